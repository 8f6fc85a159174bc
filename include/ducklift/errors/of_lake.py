"""The spool and the lake: what is not there, not as it was written, or not to be reached."""

from __future__ import annotations

from ducklift.errors.base import ConfigurationError, Retryable, Terminal


class SpoolMissing(ConfigurationError):
    """The spool package is not there, and no manifest says that it was uploaded."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"There is no spool package at {path}, and the lake has no manifest of it. If the tasks run on several hosts, "
            "set DUCKLIFT_SPOOL to a place that all of them reach (a shared folder or a bucket URL); "
            "otherwise clear the extraction task, so that it runs again."
        )


class ManifestMissing(ConfigurationError):
    """There is no manifest where one was said to be."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"There is no manifest at {url}. Manifests end in /_loads/<load id>.json; `ducklift loads` shows those of committed loads. "
            "A load whose upload did not end has none yet: run its upload again."
        )


class LakeRefused(Terminal):
    """The bucket's server refuses for good: keys, permission, owner, clock, name."""

    def __init__(self, url: str, code: str, advice: str) -> None:
        self.url, self.code = url, code
        super().__init__(f"{url}: the store answered {code}. {advice}")


class CorruptObject(Terminal):
    """What lies at this place is not what its manifest says."""

    def __init__(self, url: str, expected: str, found: str) -> None:
        self.url, self.expected, self.found = url, expected, found
        super().__init__(
            f"{url} is not what its manifest says: expected {expected}, found {found}. No row was loaded. "
            "Restore the object, or extract the slice again with --reextract."
        )


class RawExpired(CorruptObject):
    """A raw file is wanted that retention deleted; what it brought is in a checkpoint."""

    def __init__(self, url: str, expired_at: str, why: str, checkpoint: int | None) -> None:
        self.url, self.expired_at, self.why, self.checkpoint = url, expired_at, why, checkpoint
        if why == "superseded":
            advice = "A later extraction of its slice took its place; that one is loaded instead."
        else:
            advice = (
                f"A rebuild starts from checkpoint {checkpoint}. What would have to be done again from before it cannot be: "
                "put the raw file back from a copy of the lake, or read the whole stream anew with --full-refresh. "
                "Where a full refresh itself says so, read all streams anew into a table of another name."
            )
        Terminal.__init__(self, f"{url} was expired by {why} at {expired_at}. {advice}")


class CopyDiffers(Terminal):
    """What was written as Parquet is not what stands in the table; nothing was published or deleted because of it."""

    def __init__(self, table: str, expected: str, found: str) -> None:
        self.table, self.expected, self.found = table, expected, found
        super().__init__(
            f"{table}: its copy in Parquet has another content (hash {found[:12]}…) than the table ({expected[:12]}…). Nothing was deleted "
            "or published. This is a defect in Ducklift: please report it with the table's column types."
        )


class ManifestConflict(Terminal):
    """A load id stands for two different contents."""

    def __init__(self, load_id: str, where: str, known_sha256: str, found_sha256: str) -> None:
        self.load_id, self.where = load_id, where
        self.known_sha256, self.found_sha256 = known_sha256, found_sha256
        super().__init__(
            f"Load {load_id} is known to {where} with manifest sha256 {known_sha256[:12]}…, but the one offered has {found_sha256[:12]}…. "
            "A manifest is never changed: extract the slice again with --reextract, which supersedes it under a new load id."
        )


class ManifestUnreadable(Terminal):
    """A manifest cannot be read by this version."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"The manifest {url} cannot be read: {reason}")


class HistoryBroken(Terminal):
    """The commit records of a table do not make one unbroken order."""

    def __init__(self, table: str, url: str, reason: str) -> None:
        self.table, self.url, self.reason = table, url, reason
        super().__init__(
            f"{table}: the commit records at {url} are not one unbroken order: {reason}. Restore them from a copy of the lake."
        )


class LakeUnavailable(Retryable):
    """The bucket's server does not answer, or asks to slow down."""

    def __init__(self, url: str, code: str) -> None:
        self.url, self.code = url, code
        super().__init__(f"{url}: the store answered {code}, and still did after its retries. Try again later.")

"""The error tree. Whether a run may simply be tried again is decided by the class, nowhere else.

DuckliftError
├── Terminal                     mend it, then run again; Airflow does not retry it
│   ├── ConfigurationError       a file, a setting, a form field; the CLI answers 2
│   │   ├── CredentialsMissing
│   │   ├── MissingExtra         an optional package is not installed
│   │   ├── WarehouseMissing     there is nothing to read yet
│   │   ├── SpoolMissing         the package's path is not on this machine
│   │   └── ManifestMissing      no manifest lies at the URL to load
│   ├── StreamRefused            the source will not give this stream: private, banned, missing …
│   ├── FunctionFailed           a person's own function raised, or gave what holds no records
│   ├── RecordUnwritable         a record holds a value that no file format can carry
│   ├── ReadingLimit             a limit of the pipeline file on the reading was reached; nothing was kept
│   ├── ListingGap               the source could not reach back to the watermark; what it gave is loaded
│   ├── SourceFileChanged        an object that a load refers to, or was to copy, is another one by now, or gone
│   ├── SourceFileRefused        a file that is cut, a bomb, of another format, or hostile
│   ├── FilesTaken               two runs of a lake without a warehouse listed the same files, and the other one was first
│   ├── LakeRefused              keys, permission, foreign bucket, skewed clock
│   ├── CorruptObject            size or hash differs from the manifest
│   │   └── RawExpired           the raw file was deleted on purpose, by retention or because it was superseded
│   ├── CopyDiffers              a Parquet copy of a table does not give back what is in it
│   ├── ManifestConflict         one load id, two contents
│   ├── ManifestUnreadable       damaged, or written by a newer Ducklift
│   ├── LoadSuperseded           a later extraction took this load's place before it was loaded
│   ├── LoadFailed               DuckDB refused something that no other class names; rolled back
│   ├── HistoryBroken            commit records are missing, or two claim one place
│   ├── WarehouseBehind          the lake knows commits that this warehouse does not hold: rebuild it
│   ├── WarehouseDiffers         the warehouse and its rebuild from the lake are not the same
│   ├── DiskFull
│   ├── WarehouseUnusable        corrupt, or written by a newer DuckDB
│   ├── ContractBroken           records that the table's contract does not admit
│   ├── RetryOutdated            quarantined records that were retried, superseded or replaced in the meantime
│   ├── CheckFailed              a check of the pipeline file failed on the staged rows
│   ├── AccountingMismatch       rows in and rows accounted for differ; rolled back
│   ├── SweepRefused             too much of a table is said to be gone at its source
│   ├── SandboxUnavailable       a stand-in server did not start
│   └── StreamsFailed            some streams of a run failed, the others landed
└── Retryable                    wait, then run again; the CLI answers 3
    ├── SourceThrottled          429; `retry_after_s` when the source said so
    ├── SourceUnavailable        5xx, resets, time-outs, answers that make no sense
    ├── SliceNotOver             the interval still runs: what comes until its end would be missed
    ├── ExtractionIncomplete     the listing ended without reason; nothing was kept
    ├── LakeUnavailable          5xx, throttling, resets, time-outs
    ├── WarehouseBusy            another process holds the file
    ├── WarehouseUnavailable     the catalog's server or MotherDuck does not answer
    ├── ReadCopyFailed           the load is committed, the copy for BI tools is the one before
    └── WriteConflict            another writer committed first; the transaction is repeated
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_RETRY = 0, 1, 2, 3


class DuckliftError(Exception):
    """Base of all errors that Ducklift raises on purpose; the message says what, where and what to do."""

    exit_code = EXIT_FAILED

    def __reduce__(self) -> tuple[Any, ...]:
        # Airflow and multiprocessing carry exceptions between processes; subclasses have signatures of their own.
        return _revive, (self.__class__, self.args, self.__dict__)


def _revive(cls: type[DuckliftError], args: tuple[Any, ...], facts: dict[str, Any]) -> DuckliftError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class Terminal(DuckliftError):
    """Trying again cannot help until somebody mends something."""


class Retryable(DuckliftError):
    """Trying again later may help."""

    exit_code = EXIT_RETRY


class ConfigurationError(Terminal):
    """A setting, a pipeline file or a form field is not usable."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, file: Path | None = None, line: int | None = None) -> None:
        self.file, self.line = file, line
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message)


class CredentialsMissing(ConfigurationError):
    """No credentials were found; the message lists every place that was looked at."""


class MissingExtra(ConfigurationError):
    """An optional package is needed for this URL or format."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{what} needs the package {package!r}. Install it with: pip install 'ducklift[{extra}]'")


class WarehouseMissing(ConfigurationError):
    """There is no warehouse yet from which one could read."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(f"There is no warehouse at {database} yet. Fill it with: ducklift run <pipeline>, or make run.")


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


class StreamRefused(Terminal):
    """The source refuses one stream for a reason that waiting does not change."""

    def __init__(self, stream: str, reason: str, advice: str) -> None:
        self.stream, self.reason = stream, reason
        super().__init__(f"{stream}: {reason}. {advice}")


class FunctionFailed(Terminal):
    """The function of a `python` source raised; nothing of this reading landed. The original error is the cause."""

    def __init__(self, function: str, file: str, line: int | None, error: BaseException) -> None:
        self.function, self.file, self.line = function, file, line
        text = " ".join(str(error).split())[:300]
        super().__init__(
            f"{function} failed at {file}:{line}: {type(error).__name__}{': ' if text else ''}{text}. Nothing of this reading landed. "
            "Mend the function; where waiting may help, let it raise ducklift.errors.SourceUnavailable, and the task is tried again."
        )


class RecordUnwritable(Terminal):
    """A record holds something that has no place in a file; nothing of this reading landed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"A record cannot be written: {reason}. Nothing of this reading landed. Let the source yield texts, numbers, booleans, dates, "
            "times, decimals, bytes, UUIDs, lists and dicts."
        )


class ReadingLimit(Terminal):
    """A reading came to a limit that the pipeline file sets; it fails rather than end early."""

    def __init__(self, stream: str, reason: str, advice: str) -> None:
        self.stream, self.reason = stream, reason
        super().__init__(f"{stream}: {reason}. Nothing of this reading was kept. {advice}")


class ListingGap(Terminal):
    """Records between the watermark and the oldest one in reach were not read; what was read is committed."""

    def __init__(self, stream: str, cursor_from: object, cursor_to: object) -> None:
        self.stream, self.cursor_from, self.cursor_to = stream, cursor_from, cursor_to
        super().__init__(
            f"{stream}: the source's listing ended before the watermark was reached: records from {cursor_from} to {cursor_to} "
            "may be missing. What was read is loaded and the gap is recorded in _ducklift.gaps. "
            "Run more often, or fill the gap from a dump."
        )


class SourceFileChanged(Terminal):
    """An object outside the lake is not the one that was listed; loading it would not be what the slice or the manifest says."""

    def __init__(self, url: str, expected: str, found: str) -> None:
        self.url, self.expected, self.found = url, expected, found
        super().__init__(
            f"{url} was changed since it was listed: expected {expected}, found {found}. No row of it was loaded. A new run takes the file "
            "as it is now; a rebuild of what was loaded needs the old version back."
        )


class SourceFileRefused(Terminal):
    """A file outside the lake cannot be taken as what it is said to be."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url} was refused: {reason}. Nothing was loaded. Mend the file, or leave it out by a narrower source.path.")


class FilesTaken(Terminal):
    """A load of a table in the lake alone brings files that another load committed since they were listed."""

    def __init__(self, load_id: str, url: str, files: int) -> None:
        self.load_id, self.url, self.files = load_id, url, files
        super().__init__(
            f"Load {load_id} brings {files} files that another run has committed since they were listed, {url} among them. Nothing was "
            "committed twice. A new run takes what is left."
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
                "put the raw file back from a copy of the lake, or read the whole stream anew with --full-refresh."
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


class LoadSuperseded(Terminal):
    """A later extraction of the same slice or stream is in the table; loading the earlier one would bring back what it removed."""

    def __init__(self, load_id: str, superseded_by: str) -> None:
        self.load_id, self.superseded_by = load_id, superseded_by
        super().__init__(f"Load {load_id} was superseded by {superseded_by} before it was loaded. Nothing was changed, nothing is to do.")


class LoadFailed(Terminal):
    """DuckDB refused a statement of a load; the load was rolled back."""

    def __init__(self, table: str, load_id: str, reason: str) -> None:
        self.table, self.load_id, self.reason = table, load_id, reason
        super().__init__(
            f"{table}: load {load_id} failed in DuckDB: {reason}. It was rolled back, and its raw files are in the lake: "
            "mend the cause (the pipeline file, memory, disk), then run it again, or load its manifest with `ducklift load`."
        )


class HistoryBroken(Terminal):
    """The commit records of a table do not make one unbroken order."""

    def __init__(self, table: str, url: str, reason: str) -> None:
        self.table, self.url, self.reason = table, url, reason
        super().__init__(
            f"{table}: the commit records at {url} are not one unbroken order: {reason}. Restore them from a copy of the lake."
        )


class WarehouseBehind(Terminal):
    """The lake's history of a table is not the warehouse's; loading on would make a second one."""

    def __init__(self, database: str, table: str, sequence: int, load_id: str | None) -> None:
        self.database, self.table, self.sequence, self.load_id = database, table, sequence, load_id
        super().__init__(
            f"{database} does not hold commit {sequence} of {table} (load {load_id}), which the lake knows. Nothing was loaded. "
            "The warehouse is new, an old copy, or another one than the lake was filled with: make it anew with "
            "`ducklift rebuild --replace`, or point DUCKLIFT_WAREHOUSE_URL at the right one."
        )


class WarehouseDiffers(Terminal):
    """A rebuild from the lake gives something else than what stands in the warehouse."""

    def __init__(self, database: str, differences: Sequence[str]) -> None:
        self.database, self.differences = database, list(differences)
        super().__init__(
            f"{database} is not what the lake's history gives: {'; '.join(differences)}. "
            "If it was changed by hand, `ducklift rebuild --replace` makes it anew."
        )


class DiskFull(Terminal):
    """A write failed for want of space; what was half written is removed or rolled back."""

    def __init__(self, path: str, doing: str) -> None:
        self.path = path
        super().__init__(f"No space left at {path} while {doing}. Nothing half-written was kept. Free some space, or move the folder.")


class WarehouseUnusable(Terminal):
    """The warehouse file cannot be opened as it is; it is never overwritten."""

    def __init__(self, database: str, reason: str, advice: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database} cannot be opened: {reason}. {advice}")


class ContractBroken(Terminal):
    """Records do not fit the table, and its contract does not admit them."""

    def __init__(self, table: str, reason: str) -> None:
        self.table, self.reason = table, reason
        super().__init__(f"{table}: {reason}")


class CheckFailed(Terminal):
    """Checks of the pipeline file failed on the staged rows; nothing was committed."""

    def __init__(self, table: str, failures: Sequence[str]) -> None:
        self.table, self.failures = table, list(failures)
        super().__init__(f"{table}: {'; '.join(failures)}. The load was rolled back; its raw files are in the lake.")


class RetryOutdated(Terminal):
    """A package of records retried from quarantine whose time is over."""

    def __init__(self, load_id: str, retried_load: str, reason: str) -> None:
        self.load_id, self.retried_load, self.reason = load_id, retried_load, reason
        super().__init__(f"Load {load_id} retries quarantined records of load {retried_load}, but {reason}. Nothing was loaded.")


class AccountingMismatch(Terminal):
    """Rows extracted and rows accounted for differ; nothing was committed."""

    def __init__(self, load_id: str, expected: int, found: int, terms: str) -> None:
        self.load_id, self.expected, self.found = load_id, expected, found
        super().__init__(
            f"Load {load_id}: {expected} rows were extracted, but {found} are accounted for ({terms}). The load was rolled back. "
            "This is a defect in Ducklift: please report it with the manifest."
        )


class SweepRefused(Terminal):
    """More of a table is said to be gone than a sweep may blank; a broken answer must not blank everything."""

    def __init__(self, table: str, gone: int, asked: int, most: float) -> None:
        self.table, self.gone, self.asked, self.most = table, gone, asked, most
        super().__init__(
            f"{table}: of {asked} records that were asked about, {gone} are said to be gone, more than the share {most:g} that is allowed. "
            "Nothing was changed. Look at some of them at the source; if they are gone indeed, allow it once with --max-ratio."
        )


class SandboxUnavailable(Terminal):
    """A server of the sandbox did not start."""


class StreamsFailed(Terminal):
    """One or more streams of a run failed; the others landed."""

    def __init__(self, failures: dict[str, str]) -> None:
        self.failures = failures
        super().__init__("; ".join(failures.values()))


class SourceThrottled(Retryable):
    """The source asks to wait."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class SourceUnavailable(Retryable):
    """The source does not answer, or not sensibly."""


class SliceNotOver(Retryable):
    """What an interval holds was asked for before it ended; nothing was read, so that nothing is missed."""

    def __init__(self, stream: str, start: datetime, end: datetime) -> None:
        self.ends_at = end
        super().__init__(f"{stream}: the interval from {start:%F %R} UTC ends at {end:%F %R} UTC. Run it again after that.")


class ExtractionIncomplete(Retryable):
    """The source ended its answer without reason; a green run with fewer rows is not an outcome."""


class LakeUnavailable(Retryable):
    """The bucket's server does not answer, or asks to slow down."""

    def __init__(self, url: str, code: str) -> None:
        self.url, self.code = url, code
        super().__init__(f"{url}: the store answered {code}, and still did after its retries. Try again later.")


class WarehouseBusy(Retryable):
    """Another process holds the DuckDB file; only one may write at a time."""

    def __init__(self, database: str, holder: str | None) -> None:
        self.database, self.holder = database, holder
        super().__init__(
            f"{database} is held by {holder or 'another process'}. Wait for it, or give the task the pool 'ducklift_warehouse' (1 slot). "
            "BI tools that keep the file open can read a copy instead: set DUCKLIFT_READ_COPY."
        )


class ReadCopyFailed(Retryable):
    """The load is committed, but the copy of the warehouse for readers could not be renewed."""

    def __init__(self, copy: str, reason: str) -> None:
        self.copy, self.reason = copy, reason
        super().__init__(
            f"The load is committed, but the read copy {copy} could not be renewed and is the one before: {reason}. "
            "The next load tries again, and so does this one when it is run again; nothing is loaded twice."
        )


class WarehouseUnavailable(Retryable):
    """The server behind the warehouse does not answer; whether a commit under way took place shows at the next try."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database} does not answer: {reason}. Try again later; a load that was committed is not loaded twice.")


class WriteConflict(Retryable):
    """Another writer committed to the same table first; nothing of this transaction was kept."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database}: another writer was first, and nothing was kept: {reason}. Run it again.")

"""Which files of a source a table has already: derived from the committed manifests alone, and kept in the lake in compact form.

A file belongs to the first load that brought it, until that load is superseded or the pipeline is reset. The object
`_ducklift/files/<dataset>.<table>/<pipeline>.json` holds 12 bytes for each version of each file. It may be deleted: it is derived anew.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from ducklift.lake.commits import RESET, CommitRecord, read_commit
from ducklift.lake.layout import commit_prefix, files_key, manifest_key, order_key
from ducklift.lake.manifest import Manifest, RawFile, read_manifests
from ducklift.lake.store import Store
from ducklift.specs import TableName

LEDGER_VERSION = 1
_DIGEST_BYTES = 12

RecordsAfter = Callable[[int], Sequence[CommitRecord]]


class _Owner(NamedTuple):
    load_id: str
    stream: str


@dataclass
class LoadedFiles:
    """The files that one pipeline brought into one table, by identity, after the commit `sequence`."""

    sequence: int = 0
    _owners: dict[str, _Owner] = field(default_factory=dict)

    def __contains__(self, identity: object) -> bool:
        return identity in self._owners

    def __len__(self) -> int:
        return len(self._owners)

    def among(self, files: Iterable[RawFile]) -> list[RawFile]:
        """Return those of a load's files that are there already."""
        return [file for file in files if file.origin and file.origin.identity in self]

    def release(self, load_ids: Iterable[str], stream: str | None) -> None:
        """Forget the files of superseded loads, and those of all loads of a stream that is replaced."""
        gone = set(load_ids)
        if gone or stream is not None:
            self._owners = {name: owner for name, owner in self._owners.items() if owner.load_id not in gone and owner.stream != stream}

    def follow(self, record: CommitRecord, manifest: Manifest | None) -> None:
        """Go one commit on; `manifest` is that of a load of this pipeline, or None for any other commit."""
        self.release(record.supersedes, record.stream if record.replaces_stream and manifest else None)
        for file in manifest.files if manifest else ():
            # What was read to a cursor's end only has rows that are still to come.
            if file.origin and file.origin.whole:
                self._owners.setdefault(file.origin.identity, _Owner(record.load_id, record.stream))
        self.sequence = record.sequence

    def forget(self) -> None:
        """Forget everything: the pipeline was reset."""
        self._owners.clear()

    def to_bytes(self) -> bytes:
        """Return the object as it lies in the lake."""
        digests = base64.b64encode(b"".join(sorted(map(bytes.fromhex, self._owners)))).decode()
        return orjson.dumps({"ledger_version": LEDGER_VERSION, "sequence": self.sequence, "files": digests})

    @classmethod
    def from_bytes(cls, data: bytes) -> LoadedFiles:
        """Parse the object; one that is damaged or of another version is as none, since all of it can be derived."""
        try:
            values = orjson.loads(data)
            if values["ledger_version"] != LEDGER_VERSION:
                return cls()
            packed = base64.b64decode(values["files"], validate=True)
            names = (packed[start : start + _DIGEST_BYTES].hex() for start in range(0, len(packed), _DIGEST_BYTES))
            return cls(int(values["sequence"]), dict.fromkeys(names, _Owner("", "")))
        except (ValueError, LookupError, TypeError, binascii.Error):
            return cls()


def loaded_files(lake: Store, table: TableName, pipeline: str, records_after: RecordsAfter, *, with_owners: bool = False) -> LoadedFiles:
    """Return the files that a pipeline brought into a table, up to the last of the records that `records_after` gives.

    Begins at what was kept in the lake, unless a commit since then superseded others (or `with_owners` is asked for): whose files those
    were is not kept.
    """
    kept = lake.read(files_key(table, pipeline))
    found = LoadedFiles.from_bytes(kept) if kept is not None and not with_owners else LoadedFiles()
    records = records_after(found.sequence)
    if found.sequence and any(record.supersedes or record.replaces_stream for record in records):
        found, records = LoadedFiles(), records_after(0)
    follow_all(lake, found, pipeline, records)
    return found


def follow_all(lake: Store, found: LoadedFiles, pipeline: str, records: Sequence[CommitRecord]) -> None:
    """Go on over commits of a table, reading the manifests of the pipeline's own loads."""
    keys = {record.load_id: manifest_key(record.table_name, record.load_id) for record in records if _brings(record, pipeline)}
    manifests = read_manifests(lake, keys.values()) if keys else {}
    for record in records:
        if record.kind == RESET and record.pipeline == pipeline:
            found.forget()
        found.follow(record, manifests.get(keys.get(record.load_id, "")))


def _brings(record: CommitRecord, pipeline: str) -> bool:
    return record.pipeline == pipeline and record.manifest is not None


def keep_loaded_files(lake: Store, table: TableName, pipeline: str, found: LoadedFiles) -> None:
    """Keep in the lake how far the files were followed; one that is behind costs a few reads and nothing else."""
    key = files_key(table, pipeline)
    kept = lake.read(key)
    if found.sequence and (kept is None or LoadedFiles.from_bytes(kept).sequence < found.sequence):
        lake.replace(key, found.to_bytes())


def commits_in_lake(lake: Store, table: TableName) -> RecordsAfter:
    """Return a function that reads the table's commits behind a place in its order, those claimed but not recorded yet among them."""

    def after(sequence: int) -> list[CommitRecord]:
        prefix = commit_prefix(table)
        keys = [item.key for item in lake.list(prefix) if int(item.key.removeprefix(prefix).partition("-")[0]) > sequence]
        records = [read_commit(lake.read(key) or b"", lake.url_of(key)) for key in keys]
        last = records[-1].sequence if records else sequence
        while (claimed := lake.read(order_key(table, last + 1))) is not None:
            records.append(read_commit(claimed, "a claim"))
            last += 1
        return records

    return after

"""Versions of a value: each write is a new folder that never changes, and `current` is the last move of a pointer.

`assets/{key}/{partition}/{version}/version.json` is written after the value, so that a version is whole or not there. A move is a
create-only object `_moves/{time}-{version}.json`; the greatest name is the current version, so that of two writers at once both are kept
and one wins, by the same rule for everybody. `current.json` repeats the last move, for a reader that wants it by one request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import orjson
from pydantic import Field, ValidationError

from ducklift.assets.errors import ValueMissing, ValueSwept, ValueUnreadable
from ducklift.assets.keys import ASSETS, derived_key, in_utc, is_version_id, partition_prefix, version_id, version_prefix
from ducklift.assets.lineage import Origin
from ducklift.errors import LakeRefused
from ducklift.failpoints import reach
from ducklift.lake.store import Store, StoredObject
from ducklift.specs import Spec

RECORD_VERSION = 1
CURRENT, RECORD, MOVES, SWEPT = "current.json", "version.json", "_moves/", "swept.json"
Record = TypeVar("Record", bound=Spec)
Reason = Literal["write", "rollback", "pin", "unpin"]


class Version(Spec):
    """One stored value: what it is, how to read it, and where it came from. `metadata` is what manager and function told.

    `derived_from` are the tables whose rows it may hold, with the time when they were read at the earliest; of these, `direct` were read
    for the value itself, the others for one of the versions that it was `made_of`.
    """

    record_version: int = RECORD_VERSION
    key: str
    partition: str | None = None
    version: str
    written_at: datetime
    run_id: str = ""
    serializer: str
    type: str
    file: str
    size_bytes: int
    sha256: str
    seconds: float = 0.0
    metadata: dict[str, Any] = Field(default_factory=dict)
    derived_from: dict[str, datetime] = Field(default_factory=dict)
    direct: tuple[str, ...] = ()
    made_of: tuple[Origin, ...] = ()

    @property
    def origin(self) -> Origin:
        """Return what names this version among those that another value was made of."""
        return Origin(key=self.key, partition=self.partition, version=self.version)

    @property
    def file_key(self) -> str:
        """Return the key of the value's file."""
        return f"{version_prefix(self.key, self.partition, self.version)}{self.file}"


class Move(Spec):
    """One step of the pointer `current`. While `pinned`, writes add versions but do not move it."""

    key: str
    partition: str | None = None
    version: str
    moved_at: datetime
    reason: Reason
    pinned: bool = False
    run_id: str = ""


class SweptVersion(Spec):
    """What stands for a version that a deletion sweep took away: which sweep of which table, and the version that has what is left."""

    key: str
    partition: str | None = None
    version: str
    table: str
    sweep_id: str
    swept_at: datetime
    replaced_by: str | None = None


class VersionStore:
    """All versions of all values of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, version: Version, still_good: Callable[[], None] | None = None) -> Move | None:
        """Record a version whose file is in place, and point `current` at it unless the value is pinned; return the move.

        What `still_good` raises once the record is put takes the version back.
        """
        for table in version.derived_from:
            # Before the record: a sweep looks for versions under the keys that it finds here.
            self.store.create(derived_key(table, version.key), b"{}")
        self.put(version)
        reach("assets.version_recorded")
        if still_good is not None:
            try:
                still_good()
            except BaseException:
                self.delete(version.key, version.partition, version.version)
                self.store.erase_older_below(version_prefix(version.key, version.partition, version.version))
                raise
        now = self.pointer(version.key, version.partition)
        if now is not None and now.pinned:
            return None
        return self._move(version.key, version.partition, version.version, "write", run_id=version.run_id)

    def put(self, version: Version) -> None:
        """Put a version's record, which makes it one that is there."""
        self.store.create(f"{version_prefix(version.key, version.partition, version.version)}{RECORD}", _bytes(version))

    def pointer(self, key: str, partition: str | None, as_of: datetime | None = None) -> Move | None:
        """Return the last move, or the last one up to a time; None when there is none."""
        prefix = partition_prefix(key, partition)
        if as_of is None:
            data = read_if_there(self.store, f"{prefix}{CURRENT}")
            return _read(Move, data, self.store.url_of(f"{prefix}{CURRENT}")) if data else self._last_move(key, partition, None)
        return self._last_move(key, partition, as_of)

    def version(self, key: str, partition: str | None, version: str | None = None, as_of: datetime | None = None) -> Version:
        """Return the record of a version: a given one, the one that was current at a time, or the current one; raises `ValueMissing`."""
        if version is None:
            move = self.pointer(key, partition, as_of)
            if move is None:
                raise ValueMissing(key, (partition,))
            version = move.version
        return self.resolved(key, partition, version)

    def current(self, key: str, partition: str | None = None) -> str | None:
        """Return the id of the current version, or None when there is none, or a deletion sweep took it away."""
        move = self.pointer(key, partition)
        try:
            return self.resolved(key, partition, move.version).version if move else None
        except ValueMissing:
            return None

    def recorded(self, origin: Origin) -> Version | None:
        """Return the record of a version as it is, whatever a sweep left of it, or None."""
        found = f"{version_prefix(origin.key, origin.partition, origin.version)}{RECORD}"
        data = read_if_there(self.store, found)
        return _read(Version, data, self.store.url_of(found)) if data is not None else None

    def resolved(self, key: str, partition: str | None, version: str) -> Version:
        """Return a version's record, or that of what a sweep left of it; raises `ValueMissing`, `ValueSwept`."""
        record = self.recorded(Origin(key=key, partition=partition, version=version))
        if record is not None:
            return record
        swept = self.swept(key, partition, version)
        if swept is None:
            raise ValueMissing(key, (partition,), version)
        if swept.replaced_by is None:
            raise ValueSwept(key, partition, version, swept.table, swept.sweep_id)
        return self.resolved(key, partition, swept.replaced_by)

    def swept(self, key: str, partition: str | None, version: str) -> SweptVersion | None:
        """Return what stands for a version that a deletion sweep took away, or None."""
        found = f"{version_prefix(key, partition, version)}{SWEPT}"
        data = read_if_there(self.store, found)
        return _read(SweptVersion, data, self.store.url_of(found)) if data is not None else None

    def put_swept(self, swept: SweptVersion) -> None:
        """Let something stand for a version that is about to be erased."""
        self.store.replace(f"{version_prefix(swept.key, swept.partition, swept.version)}{SWEPT}", _bytes(swept))

    def derived_keys(self, table: str) -> list[str]:
        """Return the keys of the assets that were ever made of a table's rows."""
        prefix = derived_key(table, "").removesuffix(".json")
        return [each.key.removeprefix(prefix).removesuffix(".json") for each in self._listed(prefix)]

    def all_versions(self, key: str, since: datetime | None = None) -> Iterator[Version]:
        """Yield the versions of all partitions of a value that were written at a time or later."""
        limit = version_id(since, "", "").partition("-")[0] if since else ""
        for each in self._listed(f"{ASSETS}{key}/"):
            folder, _, file = each.key.rpartition("/")
            if file == RECORD and folder.rpartition("/")[2] >= limit and (data := read_if_there(self.store, each.key)) is not None:
                version = _read(Version, data, self.store.url_of(each.key))
                if version.key == key:
                    yield version

    def versions(self, key: str, partition: str | None = None) -> list[Version]:
        """Return all versions of one partition's value, the newest first."""
        found = [each.key for each in self._listed(partition_prefix(key, partition)) if each.key.endswith(f"/{RECORD}")]
        records = [_read(Version, read_if_there(self.store, name) or b"", self.store.url_of(name)) for name in found]
        mine = [record for record in records if (record.key, record.partition) == (key, partition)]
        return sorted(mine, key=lambda record: record.version, reverse=True)

    def moves(self, key: str, partition: str | None = None) -> list[Move]:
        """Return all moves of the pointer, the oldest first."""
        names = self._move_names(key, partition)
        return [_read(Move, read_if_there(self.store, name) or b"", self.store.url_of(name)) for name in names]

    def compare(self, key: str, partition: str | None, first: str, second: str) -> dict[str, tuple[Any, Any]]:
        """Return what two versions' records differ in, by name: size, form, hash, rows and whatever else was told about them."""
        sides = [self.version(key, partition, each) for each in (first, second)]
        told = [{**side.model_dump(mode="json", exclude={"metadata", "record_version", "file"}), **side.metadata} for side in sides]
        names = dict.fromkeys([*told[0], *told[1]])
        return {name: (told[0].get(name), told[1].get(name)) for name in names if told[0].get(name) != told[1].get(name)}

    def clean(self, prefix: str, older_than: timedelta) -> int:
        """Delete what is older than a time of all values under `assets/{prefix}`, pointed at or not; return how many went."""
        limit = version_id(datetime.now(UTC) - older_than, "", "")
        gone: dict[str, None] = {}
        for each in self._listed(f"{ASSETS}{prefix}"):
            folder = each.key.rpartition("/")[0]
            version = folder.rpartition("/")[2]
            if is_version_id(version) and version < limit:
                self.store.delete(each.key)
                gone[folder] = None
        return len(gone)

    def roll_back(self, key: str, partition: str | None, version: str, run_id: str = "") -> Move:
        """Point `current` at an earlier version; nothing is deleted, and the next write moves on from there."""
        self.version(key, partition, version)
        return self._move(key, partition, version, "rollback", run_id=run_id)

    def pin(self, key: str, partition: str | None, version: str | None = None) -> Move:
        """Keep `current` at a version (the current one when none is given) whatever is written, until it is unpinned."""
        chosen = self.version(key, partition, version).version
        return self._move(key, partition, chosen, "pin", pinned=True)

    def unpin(self, key: str, partition: str | None) -> Move:
        """Let writes move `current` again, and move it to the newest version."""
        newest = self.versions(key, partition)
        if not newest:
            raise ValueMissing(key, (partition,))
        return self._move(key, partition, newest[0].version, "unpin")

    def expire(self, key: str, partition: str | None, keep: int, older_than: timedelta = timedelta(0)) -> list[Version]:
        """Delete all but the newest `keep` versions, as far as they are old enough; never the current one. Return those that went."""
        if keep < 1:
            raise ValueError("keep at least one version")
        current = self.current(key, partition)
        limit = datetime.now(UTC) - older_than
        going = [version for version in self.versions(key, partition)[keep:] if version.written_at <= limit and version.version != current]
        for version in going:
            self.delete(key, partition, version.version)
        return going

    def delete(self, key: str, partition: str | None, version: str) -> None:
        """Delete one version whatever points at it; one that is gone is no error."""
        prefix = version_prefix(key, partition, version)
        # The record first: a version that is half gone must not be found.
        self.store.delete(f"{prefix}{RECORD}")
        reach("assets.version_unrecorded")
        for each in list(self.store.list(prefix)):
            self.store.delete(each.key)

    def partitions(self, key: str) -> list[str | None]:
        """Return the partitions that have a current value, in order."""
        return sorted((move.partition for move in self._pointers(f"{ASSETS}{key}/") if move.key == key), key=lambda each: each or "")

    def keys(self) -> list[str]:
        """Return the keys of all assets that have a value, in order."""
        return sorted({move.key for move in self._pointers(ASSETS)})

    def _pointers(self, prefix: str) -> list[Move]:
        found = [each.key for each in self._listed(prefix) if each.key.endswith(f"/{CURRENT}")]
        return [_read(Move, read_if_there(self.store, name) or b"", self.store.url_of(name)) for name in found]

    def _move(self, key: str, partition: str | None, version: str, reason: Reason, pinned: bool = False, run_id: str = "") -> Move:
        """Append a move and let `current.json` repeat the last one, whoever made it."""
        prefix, last = partition_prefix(key, partition), self._last_move(key, partition, None)
        moved_at = datetime.now(UTC)
        if last is not None and moved_at <= last.moved_at:
            moved_at = last.moved_at + timedelta(microseconds=1)  # another machine's clock is ahead: order is what counts
        move = Move(key=key, partition=partition, version=version, moved_at=moved_at, reason=reason, pinned=pinned, run_id=run_id)
        self.store.create(f"{prefix}{MOVES}{moved_at:%Y%m%dT%H%M%S%f}Z-{version}.json", _bytes(move))
        reach("assets.moved")
        while True:
            final = self._last_move(key, partition, None) or move
            self.store.replace(f"{prefix}{CURRENT}", _bytes(final))
            # Another writer may have moved between the look and the put, and put before us.
            if (self._last_move(key, partition, None) or move) == final:
                return move

    def _last_move(self, key: str, partition: str | None, as_of: datetime | None) -> Move | None:
        limit = f"{in_utc(as_of):%Y%m%dT%H%M%S%f}Z~" if as_of else "~"
        names = [name for name in self._move_names(key, partition) if name.rpartition("/")[2] < limit]
        return _read(Move, read_if_there(self.store, names[-1]) or b"", self.store.url_of(names[-1])) if names else None

    def _move_names(self, key: str, partition: str | None) -> list[str]:
        return sorted(each.key for each in self._listed(f"{partition_prefix(key, partition)}{MOVES}"))

    def _listed(self, prefix: str) -> list[StoredObject]:
        return listed(self.store, prefix)


def listed(store: Store, prefix: str) -> list[StoredObject]:
    """Return the objects under a prefix, none where there is not even the bucket."""
    try:
        return list(store.list(prefix))
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        return []


def read_if_there(store: Store, key: str) -> bytes | None:
    """Return an object's bytes, or None when there is none, not even the bucket: nothing was stored yet."""
    try:
        return store.read(key)
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        return None


def _bytes(record: Spec) -> bytes:
    return orjson.dumps(record.model_dump(mode="json"), option=orjson.OPT_INDENT_2)


def _read(kind: type[Record], data: bytes, where: str) -> Record:
    try:
        return kind.model_validate_json(data)
    except ValidationError as err:
        raise ValueUnreadable(where, "it is damaged, or was written by a newer Ducklift") from err

"""Versions of a value: each write is a new folder that never changes, and `current` is the last move of a pointer.

`assets/{key}/{partition}/{version}/version.json` is written after the value, so that a version is whole or not there. A move is a
create-only object `_moves/{time}-{version}.json`; the greatest name is the current version, so that of two writers at once both are kept
and one wins, by the same rule for everybody. `current.json` repeats the last move, for a reader that wants it by one request.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import orjson
from pydantic import Field, ValidationError

from ducklift.assets.errors import ValueMissing, ValueUnreadable
from ducklift.assets.keys import ASSETS, is_version_id, partition_prefix, version_id, version_prefix
from ducklift.errors import LakeRefused
from ducklift.failpoints import reach
from ducklift.lake.store import Store, StoredObject
from ducklift.specs import Spec

RECORD_VERSION = 1
CURRENT, RECORD, MOVES = "current.json", "version.json", "_moves/"
Record = TypeVar("Record", bound=Spec)
Reason = Literal["write", "rollback", "pin", "unpin"]


class Version(Spec):
    """One stored value: what it is, how to read it, and where it came from. `metadata` is what manager and function told."""

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


class VersionStore:
    """All versions of all values of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, version: Version) -> Move | None:
        """Record a version whose file is in place, and point `current` at it unless the value is pinned; return the move."""
        key = f"{version_prefix(version.key, version.partition, version.version)}{RECORD}"
        self.store.create(key, _bytes(version))
        reach("assets.version_recorded")
        now = self.pointer(version.key, version.partition)
        if now is not None and now.pinned:
            return None
        return self._move(version.key, version.partition, version.version, "write", run_id=version.run_id)

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
        found = f"{version_prefix(key, partition, version)}{RECORD}"
        data = read_if_there(self.store, found)
        if data is None:
            raise ValueMissing(key, (partition,), version)
        return _read(Version, data, self.store.url_of(found))

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
        pointer = self.pointer(key, partition)
        limit = datetime.now(UTC) - older_than
        going = [
            version
            for version in self.versions(key, partition)[keep:]
            if version.written_at <= limit and (pointer is None or version.version != pointer.version)
        ]
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
        limit = f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S%f}Z~" if as_of else "~"
        names = [name for name in self._move_names(key, partition) if name.rpartition("/")[2] < limit]
        return _read(Move, read_if_there(self.store, names[-1]) or b"", self.store.url_of(names[-1])) if names else None

    def _move_names(self, key: str, partition: str | None) -> list[str]:
        return sorted(each.key for each in self._listed(f"{partition_prefix(key, partition)}{MOVES}"))

    def _listed(self, prefix: str) -> list[StoredObject]:
        try:
            return list(self.store.list(prefix))
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

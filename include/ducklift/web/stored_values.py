"""The values that assets stored in the lake: the current version of each, and its picture where it is one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from ducklift.assets.errors import AssetMisnamed, ValueMissing, ValueSwept, ValueUnreadable
from ducklift.assets.keys import ASSETS, asset_key, version_prefix
from ducklift.assets.versions import CURRENT, RECORD, VersionStore
from ducklift.errors import LakeRefused
from ducklift.lake.store import Store
from ducklift.web.views.places import chart_path
from ducklift.web.views.states import Problem
from ducklift.web.views.tables import AssetView
from ducklift.web.views.texts import NAME, shown, shown_or_none

MOST_VALUES, MOST_PICTURE_BYTES = 200, 10_000_000
PNG, PNG_SIGNATURE = "png", b"\x89PNG\r\n\x1a\n"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_READERS = 16
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One asset's value; `tables` are those whose rows it was made of, as far as that was recorded."""

    view: AssetView
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredValues:
    """All values of a lake, by key; `more` are not among them."""

    values: tuple[StoredValue, ...] = ()
    more: int = 0
    problems: tuple[Problem, ...] = ()

    def views(self, now: datetime, *, of_table: str | None = None, visible: Collection[str] | None = None) -> tuple[AssetView, ...]:
        """Return the values that may be seen, pictures first; `visible` is None for who may see everything."""
        found = [
            replace(value.view, age_s=max((now - value.view.written_at).total_seconds(), 0.0))
            for value in self.values
            if (of_table is None or of_table in value.tables) and may_see(value.tables, visible)
        ]
        return tuple(sorted(found, key=lambda view: (view.chart is None, view.key)))


def may_see(tables: Collection[str], visible: Collection[str] | None) -> bool:
    """Return whether who sees these tables may see a value that was made of others, or of nobody knows which."""
    return visible is None or (bool(tables) and all(table in visible for table in tables))


def read_values(lake: Store) -> StoredValues:
    """Return the current versions of all assets; a value that cannot be read is a problem. Raises the lake's errors."""
    pointers: dict[str, datetime] = {}
    versions: Counter[str] = Counter()
    oldest = datetime.min.replace(tzinfo=UTC)
    try:
        for found in lake.walk(ASSETS):
            folder, _, name = found.key.rpartition("/")
            if name == CURRENT:
                pointers[folder] = found.modified or oldest
            elif name == RECORD:
                versions[folder.rpartition("/")[0]] += 1
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
    newest = _newest_partitions(pointers)
    shown_ones = sorted(newest, key=lambda key: pointers[newest[key]], reverse=True)[:MOST_VALUES]
    partitions = Counter(folder.rpartition("/")[0] for folder in pointers)

    def read(key: str) -> StoredValue | Problem:
        folder = newest[key]
        return _value(lake, folder, partitions[key], versions[folder])

    with ThreadPoolExecutor(_READERS) as pool:
        answers = list(pool.map(read, sorted(shown_ones)))
    return StoredValues(
        tuple(answer for answer in answers if isinstance(answer, StoredValue)),
        max(len(newest) - MOST_VALUES, 0),
        tuple(answer for answer in answers if isinstance(answer, Problem)),
    )


def _newest_partitions(pointers: dict[str, datetime]) -> dict[str, str]:
    """Return the folder of the partition that was written last, by the folder of its asset."""
    found: dict[str, str] = {}
    for folder, modified in sorted(pointers.items()):
        key = folder.rpartition("/")[0]
        if key not in found or modified >= pointers[found[key]]:
            found[key] = folder
    return found


def _value(lake: Store, folder: str, partitions: int, versions: int) -> StoredValue | Problem:
    try:
        move = orjson.loads(lake.read(f"{folder}/{CURRENT}") or b"")
        key, partition, version = asset_key(move["key"]), move.get("partition"), _version(move["version"])
        # A deletion sweep may have left another version in this one's place.
        record = VersionStore(lake).resolved(key, partition, version).model_dump(mode="json")
        return StoredValue(_view(record, move, partitions, versions), frozenset(map(str, record.get("derived_from") or ())))
    except ValueSwept as err:
        what = f"The stored value {shown(folder.removeprefix(ASSETS), NAME)} was deleted"
        return Problem(what, f"A deletion sweep of {shown(err.table, NAME)} found gone records in it.", "Run what makes the asset again.")
    except (AssetMisnamed, ValueMissing, ValueUnreadable, *_DAMAGED):
        fix = "Write the asset again, or roll back to another version: see `ducklift asset`."
        return Problem(f"The stored value {shown(folder.removeprefix(ASSETS), NAME)} cannot be read", "Its record is damaged or gone.", fix)


def _view(record: dict[str, Any], move: dict[str, Any], partitions: int, versions: int) -> AssetView:
    key, partition, version = asset_key(record["key"]), record.get("partition"), _version(record["version"])
    metadata = record.get("metadata") or {}
    picture = record["serializer"] == PNG and int(record["size_bytes"]) <= MOST_PICTURE_BYTES
    written_at = datetime.fromisoformat(record["written_at"])
    return AssetView(
        key=shown(key, NAME),
        partition=shown_or_none(partition, NAME),
        partitions=partitions,
        version=version,
        versions=versions,
        written_at=written_at if written_at.tzinfo else written_at.replace(tzinfo=UTC),
        age_s=0.0,
        type=shown(str(record["type"]), NAME),
        form=shown(str(record["serializer"]), NAME),
        size_bytes=int(record["size_bytes"]),
        pinned=bool(move.get("pinned")),
        chart=chart_path(key, version, partition) if picture else None,
        width=_pixels(metadata.get("width")) if picture else None,
        height=_pixels(metadata.get("height")) if picture else None,
    )


def _version(text: Any) -> str:
    if not isinstance(text, str) or not _VERSION.fullmatch(text):
        raise ValueError("no version's id")
    return text


def _pixels(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 100_000 else None


def read_picture(lake: Store, key: str, version: str, partition: str | None, visible: Collection[str] | None) -> bytes | None:
    """Return a stored picture, compared with its record; None for anything that is none, or is not for who asks."""
    try:
        prefix = version_prefix(asset_key(key), partition, _version(version))
        data = lake.read(f"{prefix}{RECORD}")
        record = orjson.loads(data) if data is not None else None
        if record is None or record["serializer"] != PNG or int(record["size_bytes"]) > MOST_PICTURE_BYTES:
            return None
        if not may_see(list(map(str, record.get("derived_from") or ())), visible) or "/" in record["file"]:
            return None
        picture = lake.read(f"{prefix}{record['file']}")
    except (AssetMisnamed, *_DAMAGED):
        return None
    sound = picture is not None and picture.startswith(PNG_SIGNATURE) and hashlib.sha256(picture).hexdigest() == record["sha256"]
    return picture if sound else None

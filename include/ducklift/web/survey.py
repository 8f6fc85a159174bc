"""A survey of all objects of a lake: how many, how large, where, since when, and what a collection of garbage would delete.

It takes minutes on a lake of a million objects, so that it is made in the background, not often, and shown with its age. What it holds
does not grow with the number of objects: counts by prefix, by table and by day.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from ducklift.errors import DuckliftError, LakeRefused
from ducklift.keeping import collect_garbage
from ducklift.lake.gc import Item, is_manifest
from ducklift.lake.layout import GC_RECORDS
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.web.lake_state import is_table
from ducklift.web.views.lakes import CollectionRow
from ducklift.web.views.texts import MESSAGE, NAME, shown

DAYS, MOST_PLACES = 60, 20_000
# A dry run reads every manifest and keeps them all; above so many it is left to `ducklift gc`.
MOST_MANIFESTS = 5_000
MOST_COLLECTIONS, _LARGEST_RECORD = 20, 5_000_000
_BREATH_EVERY, _BREATH_S = 1_000, 0.005

Place = tuple[str, str | None]
"""A prefix, and the table that what lies there belongs to; None where it belongs to no table, or nobody knows to which."""


@dataclass(slots=True)
class Heap:
    """Objects and bytes, in all and by day: two numbers for each of the last days, the oldest first."""

    objects: int = 0
    bytes: int = 0
    days: array[int] = field(default_factory=lambda: array("q", bytes(16 * DAYS)))


@dataclass(frozen=True)
class Survey:
    """What a survey found. `garbage` is None where the lake is too large for a dry run; `failed` tells why there is none otherwise."""

    last_day: date
    heaps: dict[Place, Heap]
    manifests: int
    garbage: tuple[Item, ...] | None = None
    failed: str | None = None
    collections: tuple[CollectionRow, ...] = ()


def survey(lake: Store, settings: Settings) -> Survey:
    """Look at all objects of the lake; raises the lake's errors."""
    today = datetime.now(UTC).date()
    heaps, manifests = _heaps(lake, today)
    collections = tuple(_collections(lake))
    if manifests > MOST_MANIFESTS:
        return Survey(today, heaps, manifests, collections=collections)
    try:
        return Survey(today, heaps, manifests, tuple(collect_garbage(settings).items), collections=collections)
    except DuckliftError as err:
        return Survey(today, heaps, manifests, failed=shown(str(err), MESSAGE), collections=collections)


def _heaps(lake: Store, today: date) -> tuple[dict[Place, Heap], int]:
    heaps: dict[Place, Heap] = {}
    manifests = 0
    try:
        for number, found in enumerate(lake.walk()):
            if number % _BREATH_EVERY == 0:
                time.sleep(_BREATH_S)  # whoever looks at a page meanwhile comes first
            place = place_of(found.key)
            if place not in heaps and len(heaps) >= MOST_PLACES:
                place = ("…", None)
            heap = heaps.setdefault(place, Heap())
            heap.objects += 1
            heap.bytes += found.size_bytes
            manifests += is_manifest(found.key)
            ago = (today - found.modified.astimezone(UTC).date()).days if found.modified else DAYS
            if 0 <= ago < DAYS:
                day = 2 * (DAYS - 1 - ago)
                heap.days[day] += 1
                heap.days[day + 1] += found.size_bytes
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
    return heaps, manifests


def place_of(key: str) -> Place:
    """Return the prefix that an object is counted under, and its table."""
    parts = key.split("/")
    if parts[0] in ("raw", "curated") and len(parts) > 3:
        return f"{parts[0]}/{parts[1]}/{parts[2]}/", _table(f"{parts[1]}.{parts[2]}")
    if parts[0] == "_ducklift" and len(parts) > 2:
        return f"_ducklift/{parts[1]}/", _table(parts[2].removesuffix(".json") if len(parts) == 3 else parts[2])
    if len(parts) > 2:
        return f"{parts[0]}/{parts[1]}/", None
    return f"{parts[0]}/" if len(parts) > 1 else key, None


def _table(name: str) -> str | None:
    return name if is_table(name) else None


def seen(heaps: dict[Place, Heap], visible: Collection[str] | None) -> Iterable[tuple[str, Heap]]:
    """Return the prefixes with what lies there of these tables; `visible` is None for who may see everything."""
    return [(prefix, heap) for (prefix, table), heap in heaps.items() if visible is None or (table is not None and table in visible)]


def day_of(survey_: Survey, place: int) -> date:
    """Return the day of a place in `Heap.days`."""
    return survey_.last_day - timedelta(days=DAYS - 1 - place)


def _collections(lake: Store) -> Iterable[CollectionRow]:
    try:
        found = list(lake.list(GC_RECORDS))[-MOST_COLLECTIONS:]
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        found = []
    for item in reversed(found):
        if item.size_bytes <= _LARGEST_RECORD and (record := _record(lake.read(item.key))) is not None:
            yield record


def _record(data: bytes | None) -> CollectionRow | None:
    try:
        values = orjson.loads(data or b"")
        items: Sequence[dict[str, Any]] = values["items"]
        return CollectionRow(
            started_at=datetime.fromisoformat(values["started_at"]),
            completed=values.get("completed_at") is not None,
            items=len(items),
            bytes=sum(int(item.get("size_bytes") or 0) for item in items),
            kept=len(values.get("kept") or ()),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None  # damaged outside Ducklift; nothing leans on it


def examples(items: Sequence[Item], most: int = 5) -> tuple[str, ...]:
    """Return the places of the largest items."""
    largest = sorted(items, key=lambda item: item.size_bytes, reverse=True)[:most]
    return tuple(f"{shown(item.place, NAME * 2)}: {shown(item.reason, NAME)}" for item in largest)

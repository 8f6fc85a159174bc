"""Deleting what `ducklift.lake.gc` found, with a record of it in the lake: written before the first deletion, completed after the last."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import Field, ValidationError

from ducklift.failpoints import reach
from ducklift.lake.expiry import Expiry, note_expiry
from ducklift.lake.gc import Item, Terms, is_manifest, spooled_files, under_way
from ducklift.lake.layout import GC_RECORDS, manifest_key
from ducklift.lake.manifest import compact_utc, read_manifests
from ducklift.lake.spool_place import SpoolPlace
from ducklift.lake.store import Store, Unfinished
from ducklift.specs import Spec, TableName

GC_VERSION = 1
_LOOKED_BACK = 20  # records in which an interrupted collection is looked for


class GcRecord(Spec):
    """One collection of garbage: what was to go, and once `completed_at` is set, what was still there in the end and why it was `kept`."""

    gc_version: int = GC_VERSION
    started_at: datetime
    completed_at: datetime | None = None
    items: tuple[Item, ...]
    checkpoints: dict[str, int] = Field(default_factory=dict)
    kept: dict[str, str] = Field(default_factory=dict)


def open_record(lake: Store, items: Sequence[Item], checkpoints: dict[str, int], now: datetime) -> str:
    """Write the record of a collection that is about to begin and return its key."""
    key = f"{GC_RECORDS}{compact_utc(now)}-{uuid.uuid4().hex[:8]}.json"
    _put(lake, key, GcRecord(started_at=now, items=tuple(items), checkpoints=checkpoints))
    reach("gc.recorded")
    return key


def complete_record(lake: Store, key: str, kept: dict[str, str]) -> None:
    """Note that a collection is done, and what it left in place after all."""
    record = GcRecord.model_validate_json(lake.read(key) or b"")
    _put(lake, key, record.model_copy(update={"completed_at": datetime.now(UTC), "kept": kept}))
    reach("gc.completed")


def complete_interrupted(lake: Store, except_key: str | None = None) -> list[str]:
    """Complete the records of collections that were cut short, after another one has done what was left; return their keys."""
    found = []
    for key in [item.key for item in lake.list(GC_RECORDS)][-_LOOKED_BACK:]:
        try:
            record = GcRecord.model_validate_json(lake.read(key) or b"")
        except ValidationError:
            continue  # damaged outside Ducklift; nothing leans on it
        if record.completed_at is None and key != except_key:
            there = [item.place for item in record.items if item.kind not in ("spool", "loading") and lake.size(item.place) is not None]
            complete_record(lake, key, dict.fromkeys(there, "the collection was cut short, and by the next one it was needed"))
            found.append(key)
    return found


def _put(lake: Store, key: str, record: GcRecord) -> None:
    lake.replace(key, orjson.dumps(record.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def sweep(
    lake: Store, spool: SpoolPlace, items: Sequence[Item], checkpoints: dict[str, int], terms: Terms, known: Set[str]
) -> dict[str, str]:
    """Delete the items and return what was kept after all, by its place, with the reason.

    Everything that somebody may have begun to use since it was found is looked at again; `known` are the keys of the manifests that were
    read then. `checkpoints` are the commits by table whose checkpoints hold what expired files brought.
    """
    kept = _wanted_again(lake, spool, items, terms, known)
    going = [item for item in items if item.place not in kept]
    _note(lake, going, checkpoints)
    reach("gc.noted")
    for item in going:
        _delete(lake, spool, item)
        reach("gc.deleted")
    return kept


def _wanted_again(lake: Store, spool: SpoolPlace, items: Iterable[Item], terms: Terms, known: Set[str]) -> dict[str, str]:
    """Return the items that are of use by now: named by a new manifest, put again, or about to be."""
    unnamed = [item for item in items if item.kind in ("orphan", "slice")]
    if not unnamed:
        return {}
    taken_up = spooled_files(spool)
    landed = {item.key for item in lake.list("raw/") if is_manifest(item.key)}
    for manifest in read_manifests(lake, landed - known).values():
        taken_up.update(file.key for file in manifest.files)
    busy = under_way(spool, terms) | landed
    kept = {}
    for item in unnamed:
        if item.kind == "orphan":
            found = lake.stat(item.place)
            wanted = item.place in taken_up or (found is not None and not terms.is_old(found.modified))
        else:
            wanted = manifest_key(TableName.parse(item.table or ""), item.load_id or "") in busy
        if wanted:
            kept[item.place] = "a run took it up again"
    return kept


def _note(lake: Store, items: Iterable[Item], checkpoints: dict[str, int]) -> None:
    noted = set()
    now = datetime.now(UTC)
    for item in items:
        if item.kind in ("expired", "superseded") and item.table and item.load_id and (item.table, item.load_id) not in noted:
            noted.add((item.table, item.load_id))
            retained = item.kind == "expired"
            note_expiry(
                lake,
                Expiry(
                    table=TableName.parse(item.table),
                    load_id=item.load_id,
                    why="retention" if retained else "superseded",
                    expired_at=now,
                    checkpoint=checkpoints.get(item.table) if retained else None,
                ),
            )


def _delete(lake: Store, spool: SpoolPlace, item: Item) -> None:
    if item.kind == "unfinished":
        lake.discard(Unfinished(item.place, item.handle or "", None))
    elif item.kind == "spool":
        spool.discard(item.place)
    elif item.kind == "loading":
        shutil.rmtree(Path(item.place), ignore_errors=True)
    else:
        lake.delete(item.place)

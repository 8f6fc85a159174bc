"""Watermarks: how far each stream is loaded. They move with the rows, never back by themselves."""

from __future__ import annotations

from ducklift.cursors import Cursor, latest
from ducklift.lake.commits import RESET, CommitRecord
from ducklift.lake.manifest import Manifest
from ducklift.specs import TableName
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.ledger import parsed, text

_STREAM = 'pipeline = ? AND stream = ? AND dataset = ? AND "table" = ?'


def watermark(warehouse: Warehouse, pipeline: str, stream: str, table: TableName) -> Cursor | None:
    """Return a stream's watermark, or None when it has none."""
    return _pair(warehouse, [pipeline, stream, table.dataset, table.table])[0]


def highest_loaded(warehouse: Warehouse, manifest: Manifest) -> Cursor | None:
    """Return how far the rows of a load's stream ever reached: those at or behind it may be in the table, also after a reset.

    A load that brings one interval by itself may meet any of its rows there: others read it within a longer stretch.
    """
    highest = _pair(warehouse, [manifest.pipeline, manifest.stream, manifest.table.dataset, manifest.table.table])[1]
    return latest(highest, manifest.greatest_cursor) if manifest.slice.window else highest


def after_load(warehouse: Warehouse, manifest: Manifest, offered: Cursor | None) -> Cursor | None:
    """Return where the stream's watermark is once this load is in: never further back, unless the load replaces the whole stream.

    A reading that may not move it leaves it; one that replaces the stream without being complete leaves none, so that the next one reads
    from the beginning.
    """
    known = watermark(warehouse, manifest.pipeline, manifest.stream, manifest.table)
    if manifest.spec.incremental is None:
        return known
    if manifest.replaces_stream:
        return offered if manifest.moves_watermark else None
    return latest(known, offered) if manifest.moves_watermark else known


def record(warehouse: Warehouse, commit: CommitRecord) -> None:
    """Write the watermark that a commit's record tells, and how far its rows reach; nothing when it moved neither."""
    place = [commit.pipeline, commit.stream, commit.dataset, commit.table]
    value, highest = _pair(warehouse, place)
    if commit.watermark == value and latest(highest, commit.reached) == highest:
        return
    if commit.replaces_stream:
        highest = commit.watermark
    elif commit.kind != RESET:
        highest = latest(latest(highest, commit.watermark), commit.reached)
    row = [*place, commit.cursor, text(commit.watermark), text(highest), commit.load_id, commit.loaded_at, commit.sequence]
    warehouse.run("INSERT INTO _ducklift.watermark_moves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _pair(warehouse: Warehouse, place: list[str]) -> tuple[Cursor | None, Cursor | None]:
    rows = warehouse.rows(f"SELECT value, highest FROM _ducklift.watermarks WHERE {_STREAM}", place)
    return (parsed(rows[0][0]), parsed(rows[0][1])) if rows else (None, None)

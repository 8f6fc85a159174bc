"""The snapshot of a table as it is published after a commit: its state, its last loads, and statistics that do not grow with the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ducklift.lake.commits import RECENT_LOADS, SWEEP, ColumnMoment, ColumnStatistics, QuarantinedRecord, Snapshot, snapshot_bytes
from ducklift.specs import TableName, TableSpec
from ducklift.summary import COUNT_NAMES
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.ledger import parsed, row_count
from ducklift.warehouse.statistics import Statistics, table_statistics

MOST_BYTES = 1_000_000
_OF_TABLE = 'dataset = ? AND "table" = ?'
_LOAD = (
    "load_id", "kind", "pipeline", "stream", "state", "sequence", "loaded_at", "seconds", "bytes", "files", "total_rows", *COUNT_NAMES,
    "warnings", "slice_start", "slice_end", "gap", "superseded_by", "airflow",
)  # fmt: skip
_CHANGE = ("column", "change", "type_before", "type_after", "field", "variant_of", "load_id", "changed_at")
_GAP = ("pipeline", "stream", "cursor_from", "cursor_to", "load_id", "recorded_at")
_JSON = ("warnings", "cursor_from", "cursor_to", "gap", "airflow")
# What a column held before is kept of so many moments, and of fewer where there are many columns.
_MOMENTS, _MOMENTS_OF_ALL, _FEWEST_MOMENTS = 12, 600, 2
QUARANTINE_ROWS = 50
_LONGEST_REASON, _LONGEST_RECORD, _LONGEST_PLACE = 500, 2_000, 500


def snapshot_of(warehouse: Warehouse, table: TableName, published: Snapshot | None) -> Snapshot:
    """Return the table's state as it is to be published; statistics are taken over from `published` when no commit since changed the table.

    It stays under a megabyte: what is cut first is the sample, then the statistics.
    """
    place = [table.dataset, table.table]
    loads = _listed(warehouse, "loads", _LOAD, place, "sequence")
    privacy = _privacy(warehouse, place)
    rows = row_count(warehouse, table)
    if published is not None and published.columns and not _changed(warehouse, place, published):
        statistics = _kept(published, privacy)
    else:
        statistics = table_statistics(warehouse, table, rows, privacy.personal, with_sample=privacy.sample)
        statistics = _with_history(statistics, published, privacy)
    if _swept(warehouse, place, published):
        statistics = replace(statistics, columns=tuple(_without_bounds(column) for column in statistics.columns))
    watermarks = warehouse.rows(
        f"SELECT pipeline, stream, value FROM _ducklift.watermarks WHERE {_OF_TABLE} AND value IS NOT NULL ORDER BY ALL", place
    )
    quarantined = warehouse.rows(f"SELECT count(*), count(DISTINCT load_id) FROM _ducklift.quarantine WHERE {_OF_TABLE}", place)[0]
    return _within_bounds(
        Snapshot(
            table=str(table),
            sequence=loads[0]["sequence"] if loads else 0,
            published_at=datetime.now(UTC),
            rows=rows,
            watermarks={f"{pipeline}/{stream}": parsed(value) for pipeline, stream, value in watermarks},
            loads=tuple({**load, "warnings": load["warnings"] or []} for load in loads),
            bytes=statistics.bytes,
            approximate=statistics.approximate,
            columns=statistics.columns,
            sample=statistics.sample,
            schema_changes=tuple(_listed(warehouse, "schema_changes", _CHANGE, place, "changed_at")),
            quarantined=quarantined[0],
            quarantined_loads=quarantined[1],
            quarantine=_quarantined(warehouse, place, privacy) if quarantined[0] else (),
            gaps=tuple(_listed(warehouse, "gaps", _GAP, place, "recorded_at")),
        )
    )


@dataclass(frozen=True)
class _Privacy:
    """What must not be shown: the values of `personal` columns, and any sample unless `sample`."""

    personal: frozenset[str] = field(default_factory=frozenset)
    sample: bool = True


def _privacy(warehouse: Warehouse, place: Sequence[str]) -> _Privacy:
    """Return what the newest specifications of all streams of the table ask for, taken together."""
    newest = warehouse.rows(f"SELECT max(sequence) FROM _ducklift.loads WHERE {_OF_TABLE} GROUP BY pipeline, stream", list(place))
    sequences = [sequence for (sequence,) in newest]
    rows = warehouse.rows(
        f"SELECT DISTINCT CAST(spec AS VARCHAR) FROM _ducklift.loads WHERE {_OF_TABLE} AND list_contains(?, sequence)", [*place, sequences]
    )
    specs = [TableSpec.model_validate_json(spec) for (spec,) in rows]
    personal = {column.name for spec in specs for column in spec.columns if column.pii}
    return _Privacy(frozenset(personal), sample=not personal and all(spec.sample for spec in specs))


def _changed(warehouse: Warehouse, place: Sequence[str], published: Snapshot) -> bool:
    """Return whether a commit after the published one changed rows or columns."""
    did = "rows_inserted + rows_updated + rows_deleted > 0 OR supersedes <> '[]' OR replaces_stream OR columns IS NOT NULL"
    found = warehouse.value(
        f"SELECT coalesce(bool_or({did}), false) FROM _ducklift.loads WHERE {_OF_TABLE} AND sequence > ?", [*place, published.sequence]
    )
    return bool(found)


def _swept(warehouse: Warehouse, place: Sequence[str], published: Snapshot | None) -> bool:
    """Return whether a deletion sweep took content out since the published state."""
    after = published.sequence if published else 0
    return bool(
        warehouse.value(f"SELECT count(*) FROM _ducklift.loads WHERE {_OF_TABLE} AND sequence > ? AND kind = ?", [*place, after, SWEEP])
    )


def _with_history(statistics: Statistics, published: Snapshot | None, privacy: _Privacy) -> Statistics:
    """Return the statistics with what the columns held before, without bounds where a column is personal."""
    if published is None:
        return statistics
    before = {column.name: column for column in published.columns}
    moments = max(_FEWEST_MOMENTS, min(_MOMENTS, _MOMENTS_OF_ALL // max(len(statistics.columns), 1)))
    columns = []
    for column in statistics.columns:
        known = before.get(column.name)
        told = column.model_copy(update={"history": _history(known, published)[-moments:] if known else ()})
        columns.append(_without_bounds(told) if column.name in privacy.personal else told)
    return replace(statistics, columns=tuple(columns))


def _history(known: ColumnStatistics, published: Snapshot) -> tuple[ColumnMoment, ...]:
    """Return the column's history with what was published of it last, unless that is what the history ends with."""
    moment = ColumnMoment(published.sequence, published.published_at, known.null_share, known.distinct, known.least, known.greatest)
    return known.history if known.history and known.history[-1][2:] == moment[2:] else (*known.history, moment)


def _without_bounds(column: ColumnStatistics) -> ColumnStatistics:
    """Return a column without the least and greatest values of earlier times: a sweep took content out, or it is personal."""
    return column.model_copy(update={"history": tuple(moment._replace(least=None, greatest=None) for moment in column.history)})


def _quarantined(warehouse: Warehouse, place: Sequence[str], privacy: _Privacy) -> tuple[QuarantinedRecord, ...]:
    cells = f"left(reason, {_LONGEST_REASON}), left(record, {_LONGEST_RECORD})" if privacy.sample else "NULL, NULL"
    rows = warehouse.rows(
        f"SELECT load_id, left(source_file, {_LONGEST_PLACE}), line, {cells}, quarantined_at FROM _ducklift.quarantine WHERE {_OF_TABLE} "
        f"ORDER BY quarantined_at DESC, load_id DESC, source_file, line LIMIT {QUARANTINE_ROWS}",
        list(place),
    )
    names = ("load_id", "source_file", "line", "reason", "record", "quarantined_at")
    return tuple(QuarantinedRecord.model_validate(dict(zip(names, row, strict=True))) for row in rows)


def _kept(published: Snapshot, privacy: _Privacy) -> Statistics:
    columns = tuple(
        _without_bounds(column.model_copy(update={"least": None, "greatest": None})) if column.name in privacy.personal else column
        for column in published.columns
    )
    return Statistics(published.bytes, published.approximate, columns, published.sample if privacy.sample else ())


def _listed(warehouse: Warehouse, name: str, columns: Sequence[str], place: Sequence[str], order: str) -> list[dict[str, Any]]:
    names = ", ".join(f'"{column}"' for column in columns)
    rows = warehouse.rows(f"SELECT {names} FROM _ducklift.{name} WHERE {_OF_TABLE} ORDER BY {order} DESC LIMIT {RECENT_LOADS}", list(place))
    return [{column: _plain(column, value) for column, value in zip(columns, row, strict=True)} for row in rows]


def _plain(column: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return parsed(value) if column in _JSON else value


def _within_bounds(snapshot: Snapshot) -> Snapshot:
    bare = tuple(ColumnStatistics(name=column.name, type=column.type) for column in snapshot.columns)
    for less in ({}, {"sample": (), "quarantine": ()}, {"columns": bare}, {"schema_changes": (), "gaps": ()}, {"columns": ()}):
        snapshot = snapshot.model_copy(update=less)
        if len(snapshot_bytes(snapshot)) <= MOST_BYTES:
            break
    return snapshot

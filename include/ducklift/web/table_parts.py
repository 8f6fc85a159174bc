"""Parts of a table's page that its snapshot tells: columns, preview, quarantine, gaps, growth, streams. All are bounded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ducklift.lake.commits import ColumnStatistics, Snapshot
from ducklift.specs import LINEAGE_COLUMNS
from ducklift.web.digests import StreamName
from ducklift.web.freshness import moment_s
from ducklift.web.table_rows import Sources
from ducklift.web.views.loads import LoadRow
from ducklift.web.views.places import load_path
from ducklift.web.views.queries import Pages, TableQuery
from ducklift.web.views.states import Freshness, LoadState
from ducklift.web.views.tables import (
    NO_SAMPLE,
    ColumnPoint,
    ColumnView,
    GapView,
    GrowthPoint,
    Preview,
    QuarantinedRow,
    QuarantineView,
    SchemaChange,
    StreamRow,
)
from ducklift.web.views.texts import CELL, LINE, NAME, shown, shown_or_none

PAGE_COLUMNS, PREVIEW_COLUMNS, MOST_CHANGES, MOST_STREAMS, MOST_GAPS = 100, 200, 200, 200, 50
_TYPE = 300  # a nested type may be long


def without_private(snapshot: Snapshot, personal: Collection[str]) -> Snapshot:
    """Return a snapshot without its rows, what stands in its quarantined records, and the bounds of these columns."""
    hidden = {name.casefold() for name in personal}
    return snapshot.model_copy(
        update={
            "sample": (),
            "quarantine": tuple(record.model_copy(update={"reason": None, "record": None}) for record in snapshot.quarantine),
            "columns": tuple(_without_bounds(column) if column.name.casefold() in hidden else column for column in snapshot.columns),
        }
    )


def _without_bounds(column: ColumnStatistics) -> ColumnStatistics:
    history = tuple(point._replace(least=None, greatest=None) for point in column.history)
    return column.model_copy(update={"least": None, "greatest": None, "history": history})


def columns(snapshot: Snapshot, query: TableQuery) -> tuple[tuple[ColumnView, ...], Pages]:
    """Return one page of the columns that the query asks for."""
    words = query.search.casefold()
    wanted = [column for column in snapshot.columns if words in column.name.casefold()]
    pages = Pages.of(query.columns_page, len(wanted), PAGE_COLUMNS)
    types: dict[str, list[str]] = {}
    for change in reversed(snapshot.schema_changes):
        if change.get("type_before"):
            types.setdefault(str(change.get("column")), []).append(str(change["type_before"]))
    found = wanted[pages.start : pages.start + PAGE_COLUMNS]
    return tuple(_column(column, types.get(column.name, ())) for column in found), pages


def _column(column: ColumnStatistics, types_before: Sequence[str]) -> ColumnView:
    return ColumnView(
        name=shown(column.name, NAME),
        type=shown(column.type, _TYPE),
        null_share=column.null_share,
        distinct=column.distinct,
        least=shown_or_none(column.least),
        greatest=shown_or_none(column.greatest),
        lineage=column.name in LINEAGE_COLUMNS,
        history=tuple(
            ColumnPoint(
                point.sequence, point.at, point.null_share, point.distinct, shown_or_none(point.least), shown_or_none(point.greatest)
            )
            for point in column.history
        ),
        types_before=tuple(shown(type_, _TYPE) for type_ in types_before),
    )


def schema_changes(table: str, snapshot: Snapshot) -> tuple[SchemaChange, ...]:
    """Return the newest changes of the table's columns."""
    return tuple(
        SchemaChange(
            at=moment(change.get("changed_at")),
            column=shown(str(change.get("column")), NAME),
            change=shown(str(change.get("change")), NAME),
            type_before=shown_or_none(change.get("type_before"), _TYPE),
            type_after=shown_or_none(change.get("type_after"), _TYPE),
            load_id=shown(str(change.get("load_id")), NAME),
            path=load_path(table, str(change.get("load_id"))),
        )
        for change in snapshot.schema_changes[:MOST_CHANGES]
    )


def preview(snapshot: Snapshot, hidden: NO_SAMPLE | None) -> Preview:
    """Return the newest rows; `hidden` tells why there are none where they must not be shown."""
    absent: NO_SAMPLE | None = None if snapshot.sample else hidden if snapshot.rows and hidden else "none"
    return Preview(
        columns=tuple(shown(column.name, NAME) for column in snapshot.columns[:PREVIEW_COLUMNS]),
        rows=tuple(tuple(shown_or_none(cell, CELL) for cell in row[:PREVIEW_COLUMNS]) for row in snapshot.sample),
        absent=absent,
        more_columns=max(len(snapshot.columns) - PREVIEW_COLUMNS, 0),
    )


def quarantine(table: str, snapshot: Snapshot) -> QuarantineView:
    """Return the newest records in quarantine, and the commands for them."""
    newest = tuple(
        QuarantinedRow(
            load_id=shown(record.load_id, NAME),
            path=load_path(table, record.load_id),
            file=shown(record.source_file, CELL),
            line=record.line,
            reason=shown_or_none(record.reason, CELL * 2),
            record=shown_or_none(record.record, LINE),
            at=record.quarantined_at,
        )
        for record in snapshot.quarantine
    )
    hidden = bool(newest) and all(row.record is None for row in newest)
    retry = (f"ducklift quarantine list --table {table}", f"ducklift quarantine retry --table {table}") if snapshot.quarantined else ()
    return QuarantineView(snapshot.quarantined, snapshot.quarantined_loads, newest, hidden, retry)


def gaps(table: str, snapshot: Snapshot) -> tuple[GapView, ...]:
    """Return the newest gaps."""
    return tuple(
        GapView(
            stream=shown(str(gap.get("stream")), NAME),
            cursor_from=shown(str(gap.get("cursor_from"))),
            cursor_to=shown(str(gap.get("cursor_to"))),
            load_id=shown(str(gap.get("load_id")), NAME),
            path=load_path(table, str(gap.get("load_id"))),
        )
        for gap in snapshot.gaps[:MOST_GAPS]
    )


def growth(rows: Sequence[LoadRow], freshness: Freshness) -> tuple[GrowthPoint, ...]:
    """Return the loads as points in time, oldest first, with the time until which each keeps the table fresh."""
    return tuple(
        GrowthPoint(
            at=row.at,
            load_id=row.load_id,
            path=row.path,
            state=row.state,
            rows=row.total_rows,
            loaded=row.rows_loaded,
            quarantined=row.rows_quarantined,
            fresh_until=None if freshness.target_s is None or row.state == LoadState.FAILED else _after(row.at, freshness.target_s),
        )
        for row in reversed(rows)
    )


def _after(at: datetime, seconds: float) -> datetime:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def streams(
    watermarks: Mapping[str, Any], recent: Sequence[LoadRow], failing: frozenset[StreamName], sources: Sources, now_s: float
) -> tuple[tuple[StreamRow, ...], int]:
    """Return the table's streams, failing ones first, and how many more there are; `watermarks` are keyed by pipeline and stream."""
    names: dict[StreamName, None] = {}
    for key in watermarks:
        names[key.partition("/")[0], key.partition("/")[2]] = None
    for pipeline, table in sources.tables.items():
        names.update(((pipeline, stream), None) for stream in sorted(table.streams))
    newest: dict[StreamName, LoadRow] = {}
    for row in recent:
        newest.setdefault((row.pipeline or "", row.stream), row)
    known = {part for pipeline, stream in names for part in ((shown(pipeline, NAME), shown(stream, NAME)), ("", shown(stream, NAME)))}
    names.update((name, None) for name in newest if name[1] and name not in known)
    ordered = sorted(names, key=lambda name: (name not in failing, name))
    found = tuple(_stream(name, watermarks, newest, failing, sources, now_s) for name in ordered[:MOST_STREAMS])
    return found, max(len(ordered) - MOST_STREAMS, 0)


def _stream(
    name: StreamName,
    watermarks: Mapping[str, Any],
    newest: Mapping[StreamName, LoadRow],
    failing: frozenset[StreamName],
    sources: Sources,
    now_s: float,
) -> StreamRow:
    pipeline, stream = name
    value = watermarks.get(f"{pipeline}/{stream}")
    at_s = moment_s(value, sources.cursor, now_s)
    return StreamRow(
        pipeline=shown(pipeline, NAME),
        stream=shown(stream, NAME),
        watermark=shown_or_none(value),
        cursor=shown_or_none(sources.cursor, NAME),
        lag_s=None if at_s is None else now_s - at_s,
        # Loads by an older Ducklift do not tell their pipeline.
        last=newest.get((shown(pipeline, NAME), shown(stream, NAME)), newest.get(("", shown(stream, NAME)))),
        failing=name in failing,
    )


def moment(text: Any) -> datetime | None:
    """Return a moment that is written as ISO 8601, or None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

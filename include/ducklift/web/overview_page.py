"""The overview, from the state of all tables: health, search, filters, order, one page of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ducklift.web.digests import DAY_S
from ducklift.web.lake_state import LakeState
from ducklift.web.schedules import Schedule
from ducklift.web.table_rows import TableRows
from ducklift.web.views.overview import Health, NextRun, OverviewView, TableRow
from ducklift.web.views.queries import PAGE_ROWS, OverviewQuery, Pages
from ducklift.web.views.states import Problem, Read, TableState
from ducklift.web.views.texts import NAME, shown

MOST_CHOICES, MOST_PROBLEMS = 200, 50

_GREATEST_FIRST: Mapping[str, Callable[[TableRow], Any]] = {
    "rows": lambda row: row.rows,
    "change": lambda row: None if row.change is None else abs(row.change) + (row.changed or 0),
    "freshness": lambda row: row.freshness.ratio if row.freshness.ratio is not None else None,
    "lag": lambda row: row.watermark.lag_s if row.watermark else None,
    "bytes": lambda row: row.bytes,
    "loaded": lambda row: row.loaded_at.timestamp() if row.loaded_at else None,
    "quarantined": lambda row: row.quarantined,
}


def overview(
    rows: TableRows, visible: Collection[str], query: OverviewQuery, read: Read, lake: str, problems: Sequence[Problem]
) -> OverviewView:
    """Return the overview of the `visible` tables; `problems` are those of the whole lake that may be told."""
    found = [rows.row(name) for name in visible]
    words = query.search.casefold().split()
    wanted = [row for row in found if _is_wanted(row, query)]
    if words:
        wanted = [row for row in wanted if all(word in rows.texts_of(row.name) for word in words)]
    wanted = _ordered(wanted, query)
    pages = Pages.of(query.page, len(wanted), PAGE_ROWS)
    names = {pipeline for row in found for pipeline in row.pipelines}
    return OverviewView(
        read=read,
        lake=lake,
        health=_health(rows, found),
        tables=tuple(rows.with_series(row) for row in wanted[pages.start : pages.start + PAGE_ROWS]),
        pages=pages,
        query=query,
        datasets=tuple(sorted({row.dataset for row in found})[:MOST_CHOICES]),
        pipelines=tuple(sorted(names)[:MOST_CHOICES]),
        problems=tuple(problems[:MOST_PROBLEMS]),
        problems_more=max(len(problems) - MOST_PROBLEMS, 0),
        empty=not found and read.at is not None,
    )


def _is_wanted(row: TableRow, query: OverviewQuery) -> bool:
    if (query.state and row.state != query.state) or (query.dataset and row.dataset != query.dataset):
        return False
    return not query.pipeline or query.pipeline in row.pipelines


def _ordered(rows: list[TableRow], query: OverviewQuery) -> list[TableRow]:
    """Return the rows in the order that is asked for; those without a value come last, whichever way it is turned."""
    rows = sorted(rows, key=lambda row: row.name, reverse=query.descending and query.sort == "name")
    if query.sort == "name":
        return rows
    if query.sort == "state":
        return sorted(rows, key=lambda row: (row.state.rank, -(row.freshness.ratio or 0)), reverse=query.descending)
    value = _GREATEST_FIRST[query.sort]
    known = sorted((row for row in rows if value(row) is not None), key=value, reverse=not query.descending)
    return [*known, *(row for row in rows if value(row) is None)]


def _health(rows: TableRows, found: Sequence[TableRow]) -> Health:
    states = Counter(row.state for row in found)
    begin_s = rows.now_s - DAY_S
    digests = [digest for row in found if (digest := rows.state.tables.get(row.name)) is not None]
    days = [digest.day.since(begin_s) for digest in digests]
    loads, changed, size, quarantined = (sum(day[place] for day in days) for place in range(4))
    failures = sum(load.last.at.timestamp() >= begin_s for row in found for load in rows.state.failed.get(row.name, ()))
    return Health(
        worst=min(states, key=lambda state: state.rank, default=None),
        tables=len(found),
        fresh=states[TableState.FRESH],
        late=states[TableState.LATE],
        failing=states[TableState.FAILING],
        unreadable=states[TableState.UNREADABLE],
        waiting=states[TableState.WAITING],
        untargeted=states[TableState.UNTARGETED],
        loads_last_day=loads,
        rows_last_day=changed,
        bytes_last_day=size,
        quarantined_last_day=quarantined,
        failures_last_day=failures,
        at_least=any(digest.day.cut for digest in digests),
        quarantined=sum(digest.quarantined for digest in digests),
        rows=sum(digest.rows for digest in digests),
        bytes=sum(digest.bytes or 0 for digest in digests),
        next_run=next_run(rows.schedules, {pipeline for row in found for pipeline in row.pipelines}, rows.now_s),
    )


def next_run(schedules: Mapping[str, Schedule], pipelines: Iterable[str], now_s: float) -> NextRun | None:
    """Return the next run of these pipelines; None where nothing is scheduled."""
    due: list[tuple[datetime, str]] = []
    for pipeline in pipelines:
        schedule = schedules.get(pipeline)
        if schedule is not None and schedule.next_run is not None and not schedule.paused:
            due.append((schedule.next_run, pipeline))
    if not due:
        return None
    at, pipeline = min(due)
    return NextRun(shown(pipeline, NAME), at, at.timestamp() - now_s)


def visible_tables(rows: TableRows, may_read: Callable[[str], bool] | None) -> list[str]:
    """Return the tables all of whose pipelines may be read; one of which no pipeline is known asks for the pipeline without a name."""
    names = rows.names
    if may_read is None:
        return list(names)
    answers: dict[str, bool] = {}

    def allowed(pipeline: str) -> bool:
        if pipeline not in answers:
            answers[pipeline] = may_read(pipeline)
        return answers[pipeline]

    return [name for name in names if all(allowed(pipeline) for pipeline in rows.sources_of(name).names or ("",))]


def problems_of(state: LakeState, visible: Collection[str], read: Read, may_read: Callable[[str], bool] | None) -> list[Problem]:
    """Return the problems of what may be seen; one that concerns no table in particular is told to everybody."""
    found = [read.failed] if read.failed else []
    of_files = {facts.problem: name for name, facts in state.pipelines.items() if facts.problem}
    for problem in state.problems:
        if problem in of_files:
            if may_read is None or may_read(of_files[problem]):
                found.append(problem)
        elif problem.table is None or problem.table in visible:
            found.append(problem)
    return found

"""The overview: is the lake healthy, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ducklift.web.views.queries import OverviewQuery, Pages
from ducklift.web.views.states import Freshness, LoadState, Problem, Read, TableState

COMMANDS = ("ducklift init hello --source python", "ducklift run hello", "ducklift status")


@dataclass(frozen=True, slots=True)
class NextRun:
    """The next run that a schedule will start."""

    pipeline: str
    at: datetime
    in_s: float
    """Seconds until then; negative where it is overdue."""


@dataclass(frozen=True, slots=True)
class Health:
    """The strip on top of the overview, of all tables, whatever the query asks for.

    `last_day` counts what was committed in the 24 hours before the page was made. `at_least` says that a table had more loads in that time
    than its snapshot lists, so that the true figures are greater.
    """

    worst: TableState | None
    tables: int
    fresh: int
    late: int
    failing: int
    unreadable: int
    waiting: int
    untargeted: int
    loads_last_day: int
    rows_last_day: int
    """Rows that were added or changed."""
    bytes_last_day: int
    """Bytes of raw files that were loaded."""
    quarantined_last_day: int
    failures_last_day: int
    at_least: bool
    quarantined: int
    """All rows in quarantine now."""
    rows: int
    bytes: int
    """Estimated size of all tables' values."""
    next_run: NextRun | None
    """None outside Airflow, and where nothing is scheduled."""


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One of a table's last loads, for a bar: `rows` were added or changed, `height` is their share of the greatest among the points."""

    load_id: str
    at: datetime
    state: LoadState
    rows: int
    height: float
    path: str


@dataclass(frozen=True, slots=True)
class WatermarkView:
    """How far a table has come: the watermark of the stream that is furthest behind, of `streams` that have one.

    `text` is the value as it is; `at` the moment that it stands for, where the cursor is a time, and `lag_s` how long ago that was.
    """

    text: str
    cursor: str | None
    stream: str
    streams: int
    at: datetime | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One table in the list, and the head of its page.

    `rows` and what follows are None where its snapshot cannot be read or nothing was loaded. `change` is by how many rows the last load
    made the table longer, `changed` how many it changed in place. `series` holds up to 30 loads, oldest first, failed ones among them.
    """

    name: str
    dataset: str
    path: str
    state: TableState
    reason: str
    """One sentence: why it is in this state."""
    pipelines: tuple[str, ...]
    streams: int
    failing_streams: int
    target: str
    """`warehouse` or `lake`."""
    freshness: Freshness
    rows: int | None = None
    change: int | None = None
    changed: int | None = None
    bytes: int | None = None
    quarantined: int | None = None
    loaded_at: datetime | None = None
    load_id: str | None = None
    load_path: str | None = None
    watermark: WatermarkView | None = None
    series: tuple[SeriesPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The overview page. `empty` says that there is no table and none is waited for: then `commands` are the three that fill it."""

    read: Read
    lake: str
    health: Health
    tables: tuple[TableRow, ...]
    pages: Pages
    query: OverviewQuery
    datasets: tuple[str, ...]
    """All datasets, for the filter; at most 200."""
    pipelines: tuple[str, ...]
    """All pipelines that brought something or could, for the filter; at most 200."""
    problems: tuple[Problem, ...]
    """At most 50, of the whole lake; `problems_more` are not shown."""
    problems_more: int
    empty: bool
    commands: tuple[str, ...] = COMMANDS

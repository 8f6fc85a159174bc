"""One table: how it grew, its loads, its columns, its rows, what is in quarantine, where it came from and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ducklift.web.views.loads import LoadRow
from ducklift.web.views.overview import TableRow
from ducklift.web.views.queries import Pages, TableQuery
from ducklift.web.views.states import LoadState, Problem, Read

NO_SAMPLE = Literal["personal", "off", "none"]


@dataclass(frozen=True, slots=True)
class GrowthPoint:
    """A moment in the table's life: the rows after a load, and what the load brought.

    `fresh_until` is when the table is late without another load after this one, the freshness line; None without a target.
    """

    at: datetime
    load_id: str
    path: str
    state: LoadState
    rows: int | None
    """The table's rows after it; None for a failed one."""
    loaded: int
    quarantined: int
    fresh_until: datetime | None


@dataclass(frozen=True, slots=True)
class ColumnPoint:
    """What a column held after an earlier commit; `least` and `greatest` as in `ColumnView`."""

    sequence: int
    at: datetime
    null_share: float | None
    distinct: int | None
    least: str | None
    greatest: str | None


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A column. `null_share` is from 0 to 1, `distinct` an estimate; both None where the table has too many columns to look at all.

    `least` and `greatest` are None for personal, long and nested values. `history` is oldest first, without the present.
    """

    name: str
    type: str
    null_share: float | None
    distinct: int | None
    least: str | None
    greatest: str | None
    lineage: bool
    """One of the columns that Ducklift adds."""
    history: tuple[ColumnPoint, ...] = ()
    types_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A change of the table's columns that a load made."""

    at: datetime | None
    column: str
    change: str
    type_before: str | None
    type_after: str | None
    load_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The newest rows, as texts; a NULL is None. `absent` tells why there are none: a column is personal, it is off, or there are no rows.

    At most 50 rows of 200 columns; `more_columns` are not shown.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    absent: NO_SAMPLE | None
    more_columns: int = 0


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A record that could not be loaded. `reason` and `record` are None where the table's rows must not be shown."""

    load_id: str
    path: str
    file: str
    line: int
    reason: str | None
    record: str | None
    """The raw line."""
    at: datetime


@dataclass(frozen=True, slots=True)
class QuarantineView:
    """How many rows are in quarantine, of how many loads, and the newest of them; `hidden` says that their content must not be shown.

    `retry` are the commands that look at them and try them again after a fix.
    """

    rows: int
    loads: int
    newest: tuple[QuarantinedRow, ...]
    hidden: bool
    retry: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream of the table: its watermark, and the newest thing that happened to it."""

    pipeline: str
    stream: str
    watermark: str | None
    cursor: str | None
    lag_s: float | None
    last: LoadRow | None
    failing: bool


@dataclass(frozen=True, slots=True)
class LineageRow:
    """From a source file to rows: a raw file of one of the newest loads, and what its load made of it.

    A load of many files is one row with `files` of them; `rows_*` are of the load, since rows are accounted for by load.
    """

    source: str
    files: int
    raw: str
    size_bytes: int
    load_id: str
    path: str
    rows_extracted: int
    rows_loaded: int
    rows_quarantined: int


@dataclass(frozen=True, slots=True)
class CuratedView:
    """What is published of the table under `curated/`; `behind` counts the commits since."""

    version: str
    published_at: datetime
    age_s: float
    rows: int
    files: int
    bytes: int
    partition_by: tuple[str, ...]
    versions: tuple[str, ...]
    url: str
    behind: int


@dataclass(frozen=True, slots=True)
class AssetView:
    """The current version of a stored value; `chart` is the address of the picture where it is one, with its size in pixels."""

    key: str
    partition: str | None
    partitions: int
    version: str
    versions: int | None
    written_at: datetime
    age_s: float
    type: str
    form: str
    size_bytes: int
    pinned: bool
    chart: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class GapView:
    """Records of a stream that were never read."""

    stream: str
    cursor_from: str
    cursor_to: str
    load_id: str
    path: str


@dataclass(frozen=True, slots=True)
class TableView:
    """The page of one table. Where its snapshot cannot be read, `problems` says why and what is left is empty."""

    read: Read
    table: TableRow
    snapshot_at: datetime | None
    snapshot_age_s: float | None
    sequence: int
    approximate: bool
    """`columns` tell of a part of the rows only."""
    growth: tuple[GrowthPoint, ...]
    """The last 200 loads, oldest first, failed ones among them."""
    loads: tuple[LoadRow, ...]
    """One page of the timeline, newest first, failed ones among them."""
    pages: Pages
    older_reading: bool
    """The list of older loads is being read: ask again soon."""
    streams: tuple[StreamRow, ...]
    """At most 200, failing ones first; `streams_more` are not shown."""
    streams_more: int
    columns: tuple[ColumnView, ...]
    column_pages: Pages
    schema_changes: tuple[SchemaChange, ...]
    preview: Preview
    quarantine: QuarantineView
    lineage: tuple[LineageRow, ...]
    gaps: tuple[GapView, ...]
    curated: CuratedView | None
    assets: tuple[AssetView, ...]
    """Values that were made from this table, pictures first."""
    problems: tuple[Problem, ...]
    query: TableQuery

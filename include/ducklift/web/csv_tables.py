"""Which table of a page is downloaded as CSV, and what its columns are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from ducklift.errors import LakeUnavailable
from ducklift.web.reader import LakeReader
from ducklift.web.sheets import Cell, Sheet
from ducklift.web.timeline import UNREAD
from ducklift.web.views.lakes import LakeView
from ducklift.web.views.loads import LoadView
from ducklift.web.views.overview import OverviewView
from ducklift.web.views.queries import LoadQuery, OverviewQuery, Pages, TableQuery
from ducklift.web.views.tables import TableView

# One download reads at most so many pages: 20,000 tables, 10,000 loads.
MOST_PAGES = 200
_TABLES = (
    *("name", "state", "reason", "rows", "change", "changed", "freshness.age_s", "freshness.target_s", "freshness.late", "bytes"),
    *("quarantined", "loaded_at", "load_id", "pipelines", "streams", "failing_streams", "target"),
)
_WATERMARK = ("watermark.text", "watermark.cursor", "watermark.stream", "watermark.lag_s")
_LOADS = (
    *("load_id", "state", "at", "pipeline", "stream", "sequence", "rows_extracted", "rows_inserted", "rows_updated", "rows_unchanged"),
    *("rows_deleted", "rows_deduplicated", "rows_quarantined", "total_rows", "bytes", "files", "seconds", "superseded_by", "error"),
)
_COLUMNS = ("name", "type", "null_share", "distinct", "least", "greatest", "lineage")
_FILES = ("key", "size_bytes", "sha256", "rows", "origin", "in_place")
_LINEAGE = ("source", "files", "raw", "size_bytes", "load_id", "rows_extracted", "rows_loaded", "rows_quarantined")
_QUARANTINE = ("load_id", "file", "line", "reason", "record", "at")

View = TypeVar("View")


def tables_sheet(reader: LakeReader, query: OverviewQuery, view: OverviewView) -> Sheet:
    """Return all tables that the query asks for, whatever page of them is looked at."""
    rows = (
        [*_cells(row, _TABLES), *(_cells(row, _WATERMARK) if row.watermark else [None] * len(_WATERMARK))]
        for found in _all(view, view.pages, lambda page: reader.overview(query.having(page=page)))
        for row in found.tables
    )
    return Sheet("tables", _headings((*_TABLES, *_WATERMARK)), rows)


def table_sheet(reader: LakeReader, name: str, tab: str, query: TableQuery, view: TableView) -> Sheet:
    """Return the main table of one of a table's tabs."""
    if tab == "preview":
        return Sheet(f"{name}-preview", view.preview.columns, view.preview.rows)
    if tab == "quarantine":
        return _sheet(f"{name}-quarantine", _QUARANTINE, view.quarantine.newest)
    if tab == "lineage":
        return _sheet(f"{name}-lineage", _LINEAGE, view.lineage)
    if tab == "columns":
        pages = _all(view, view.column_pages, lambda page: reader.table(name, query.having(columns_page=page)))
        return _sheet(f"{name}-columns", _COLUMNS, (column for found in pages for column in found.columns))
    pages = _all(view, view.pages, lambda page: reader.table(name, query.having(page=page)))
    return _sheet(f"{name}-loads", _LOADS, (load for found in pages for load in _all_of(found).loads))


def _all_of(view: TableView) -> TableView:
    """Return a page of loads; raises `LakeUnavailable` where some are missing: a download breaks off rather than lack them unseen."""
    for problem in view.problems:
        if problem.what == UNREAD:
            raise LakeUnavailable(view.table.name, f"{problem.what.lower()}: {problem.cause}")
    return view


def files_sheet(reader: LakeReader, name: str, query: LoadQuery, view: LoadView) -> Sheet:
    """Return all files of a load."""
    load_id = view.load.load_id
    pages = _all(view, view.pages, lambda page: reader.load(name, load_id, query.having(page=page)))
    return _sheet(f"{name}-{load_id}-files", _FILES, (file for found in pages for file in found.files))


def lake_sheet(view: LakeView, what: str) -> Sheet:
    """Return what lies where, or what was written on which day."""
    if what == "days":
        return _sheet("lake-days", ("day", "amount.objects", "amount.bytes"), view.days)
    return _sheet("lake-prefixes", ("prefix", "amount.objects", "amount.bytes", "amount.share"), view.prefixes)


def _all(first: View, pages: Pages, read: Callable[[int], View | None]) -> Iterator[View]:
    yield first
    for page in range(2, min(pages.pages, MOST_PAGES) + 1):
        found = read(page)
        if found is None:
            return
        yield found


def _sheet(name: str, columns: Sequence[str], rows: Iterable[object]) -> Sheet:
    return Sheet(name, _headings(columns), (_cells(row, columns) for row in rows))


def _headings(columns: Sequence[str]) -> list[str]:
    return [
        column.removeprefix("freshness.").removeprefix("amount.").replace("watermark.text", "watermark").replace(".", "_")
        for column in columns
    ]


def _cells(row: object, columns: Sequence[str]) -> list[Cell]:
    return [_cell(attrgetter(column)(row)) for column in columns]


def _cell(value: Any) -> Cell:
    return ", ".join(value) if isinstance(value, tuple) else value

"""`ducklift tables`, `loads` and `status`: what is there, how it came, and where it lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ducklift.cli.failing import failing_streams, print_failing
from ducklift.cli.opening import reading
from ducklift.cli.outcome import Json, print_json
from ducklift.cli.tabular import Heading, console, print_table, say
from ducklift.errors import ConfigurationError, DuckliftError, WarehouseMissing
from ducklift.safe_text import without_secrets
from ducklift.settings import Settings, load_settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Facts = dict[str, Any]

_NAMED = 5

_TABLES = """
    SELECT schema_name AS dataset, table_name AS "table", column_count AS columns
    FROM duckdb_tables()
    WHERE database_name = current_database() AND schema_name <> '_ducklift' AND NOT temporary AND NOT internal
    ORDER BY ALL
"""
_LAST_LOADS = """
    SELECT dataset, "table", load_id, loaded_at, state
    FROM _ducklift.loads
    QUALIFY row_number() OVER (PARTITION BY dataset, "table" ORDER BY loaded_at DESC, sequence DESC) = 1
"""
_JSON_COLUMNS = ("value", "watermark", "gap")
_WATERMARKS = 'SELECT dataset, "table", pipeline, stream, cursor, value FROM _ducklift.watermarks WHERE value IS NOT NULL ORDER BY ALL'
_COMMITTED = "SELECT pipeline, stream, load_id, max(loaded_at) FROM _ducklift.loads GROUP BY ALL"
_LOADS = """
    SELECT load_id, pipeline, stream, dataset || '.' || "table" AS "table", kind, state, superseded_by, manifest,
           rows_extracted, rows_inserted, rows_updated, rows_unchanged, rows_deleted, rows_deduplicated, rows_quarantined,
           total_rows, bytes, files, slice_start, slice_end, extracted_at, loaded_at, seconds, watermark, gap
    FROM _ducklift.loads
    WHERE $table IS NULL OR dataset || '.' || "table" = $table
    ORDER BY loaded_at DESC, sequence DESC
    LIMIT $limit
"""


def tables(as_json: Json = False) -> None:
    """List the tables: rows, columns, last load, watermark."""
    with reading() as warehouse:
        found = _tables(warehouse.connection)
    if as_json:
        print_json({"tables": found})
        return
    headings = [
        Heading("table", whole=True),
        Heading("rows", True),
        Heading("columns", True),
        Heading("last load (UTC)"),
        Heading("watermark"),
    ]
    lines = [
        [each["table"], f"{each['rows']:,}", str(each["columns"]), each["loaded_at"] or "", _span(each["watermarks"])] for each in found
    ]
    print_table(console(), headings, lines)


def loads(
    table: Annotated[str | None, typer.Option(metavar="DATASET.TABLE", help="Only this table's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the loads, newest first."""
    with reading() as warehouse:
        found = _rows(warehouse.connection, _LOADS, {"table": table, "limit": limit})
    if as_json:
        print_json({"loads": found})
        return
    headings = [
        Heading("load", whole=True),
        Heading("table"),
        Heading("stream"),
        Heading("state"),
        Heading("rows", True),
        Heading("new", True),
        Heading("seconds", True),
    ]
    print_table(console(), headings, [_load_line(each) for each in found])


def _load_line(load: Facts) -> list[str | None]:
    counts = [f"{load['rows_extracted']:,}", f"{load['rows_inserted']:,}"]
    return [load["load_id"], load["table"], load["stream"], load["state"], *counts, f"{load['seconds']:.1f}"]


def status(as_json: Json = False) -> None:
    """Show where lake and warehouse are, what fails, the last load of each table and the watermarks."""
    settings = load_settings()
    places = _places(settings)
    committed: list[tuple[str, str, str, datetime]] = []
    try:
        with reading(settings) as warehouse:
            found = _tables(warehouse.connection)
            committed = [] if not found else warehouse.connection.execute(_COMMITTED).fetchall()
    except WarehouseMissing:
        found = []
    failing = failing_streams(settings, committed)
    if as_json:
        print_json({"places": places, "tables": found, "failing": failing})
        return
    screen = console()
    for name, place in places.items():
        say(screen, f"{name:<10} {place['value']}  ({place['origin']})")
    print_failing(screen, failing)
    if not found:
        say(screen, _nothing_here(settings))
        return
    headings = [
        Heading("table", whole=True),
        Heading("rows", True),
        Heading("last load (UTC)"),
        Heading("load", whole=True),
        Heading("state"),
    ]
    print_table(screen, headings, [_status_line(each) for each in found])
    marks = [[each["table"], mark["stream"], mark["cursor"], str(mark["value"])] for each in found for mark in each["watermarks"]]
    if marks:
        print_table(screen, [Heading("table"), Heading("stream"), Heading("cursor"), Heading("watermark", whole=True)], marks)


def _nothing_here(settings: Settings) -> str:
    """Say what to do about a warehouse without tables: of an old lake it is another one than before."""
    from ducklift.lake.filesystem import open_lake
    from ducklift.lake.layout import TABLES

    try:
        known = [found.key.removeprefix(TABLES).removesuffix(".json") for found in open_lake(settings).list(TABLES)]
    except DuckliftError:
        known = []  # what is wrong with the lake was told with the failures
    if not known:
        return "Nothing is loaded yet: try `ducklift run NAME`, for example `ducklift run reddit`."
    names = ", ".join(known[:_NAMED]) + (f" and {len(known) - _NAMED} more" if len(known) > _NAMED else "")
    return (
        f"This warehouse holds no table, and the lake knows {names}: `ducklift rebuild` makes the warehouse from it. "
        "Tables with target: lake are read by `ducklift query --lake`."
    )


def _status_line(table: Facts) -> list[str | None]:
    return [table["table"], f"{table['rows']:,}", table["loaded_at"] or "", table["load_id"] or "", table["state"] or ""]


def _places(settings: Settings) -> dict[str, dict[str, str]]:
    values = {
        "lake": ("lake_url", settings.lake_url),
        "warehouse": ("warehouse_url", settings.warehouse_url),
        "spool": ("spool", settings.spool),
        "pipelines": ("pipelines", str(settings.pipelines)),
    }
    if settings.read_copy:
        values["read copy"] = ("read_copy", str(settings.read_copy))
    return {name: {"value": without_secrets(value), "origin": settings.origins[field]} for name, (field, value) in values.items()}


def _tables(connection: DuckDBPyConnection) -> list[Facts]:
    """Return every table with its rows, its last load and the watermarks of its streams."""
    from ducklift.warehouse.identifiers import quote_identifier

    last = {(load["dataset"], load["table"]): load for load in _rows(connection, _LAST_LOADS)}
    marks = _rows(connection, _WATERMARKS)
    found = []
    for each in _rows(connection, _TABLES):
        name = (each["dataset"], each["table"])
        [(count,)] = connection.execute(f"SELECT count(*) FROM {'.'.join(map(quote_identifier, name))}").fetchall()  # noqa: S608
        load = last.get(name, {})
        found.append(
            {
                "table": ".".join(name),
                "rows": count,
                "columns": each["columns"],
                "load_id": load.get("load_id"),
                "loaded_at": load.get("loaded_at"),
                "state": load.get("state"),
                "watermarks": [
                    {"pipeline": mark["pipeline"], "stream": mark["stream"], "cursor": mark["cursor"], "value": mark["value"]}
                    for mark in marks
                    if (mark["dataset"], mark["table"]) == name
                ],
            }
        )
    return found


def _rows(connection: DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Facts]:
    import duckdb

    try:
        result = connection.execute(sql, parameters)
    except duckdb.CatalogException as err:
        raise ConfigurationError(f"This database was not filled by Ducklift: {str(err).splitlines()[0]}") from err
    names = [column[0] for column in result.description]
    return [{name: _plain(name, value) for name, value in zip(names, row, strict=True)} for row in result.fetchall()]


def _plain(name: str, value: Any) -> Any:
    """Return timestamps as ISO 8601 text in UTC, JSON parsed, everything else as it is."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.loads(value) if name in _JSON_COLUMNS and value is not None else value


def _span(watermarks: Sequence[Facts]) -> str:
    """Return the watermark of a table's streams: one value, or the least and the greatest."""
    values = sorted({mark["value"] for mark in watermarks}, key=lambda value: (isinstance(value, str), value))
    return "" if not values else str(values[0]) if len(values) == 1 else f"{values[0]} … {values[-1]}"

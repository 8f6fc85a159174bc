"""`ducklift query`: one read-only statement on the warehouse.

Values are turned into text by DuckDB, not by Python, whose dates end at the year 9999 and whose timestamps at the microsecond.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ducklift.cli.outcome import note
from ducklift.cli.tabular import Heading, print_rows
from ducklift.errors import ConfigurationError, Terminal
from ducklift.safe_text import visible

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_TABLE_ROWS = 100
_BATCH = 1_000
_INTEGERS = ("tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint", "bignum")
_NUMBERS = frozenset((*_INTEGERS, "decimal", "float", "double"))
_NESTED = frozenset(("list", "array", "struct", "map", "union", "variant"))
_TIMESTAMPS = frozenset(("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"))
# What DuckDB takes for JSON and nobody else does: numbers that are none, and a comma behind the last item. Texts are passed over.
_NO_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:nan|inf(?:inity)?)\b|,(?=\s*[\]}])', re.IGNORECASE | re.DOTALL)

Row = Sequence[str | None]


class Format(StrEnum):
    """How the rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class Column:
    """One column of the result: `type_id` is DuckDB's name of the type without its parameters, `json` for JSON."""

    name: str
    type_id: str


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement that only reads: SELECT, FROM, DESCRIBE, SHOW, SUMMARIZE …")],
    output: Annotated[
        Format, typer.Option("--format", "-f", help="table is for reading; csv and json are for programs and faithful.")
    ] = Format.TABLE,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"Show at most so many rows; 0 for all. [default: {_TABLE_ROWS} in a table, else all]")
    ] = None,
    lake_tables: Annotated[
        list[str] | None,
        typer.Option("--lake", metavar="DATASET.TABLE", help="Query this table of the lake, through its manifests. Repeatable."),
    ] = None,
) -> None:
    """Query the warehouse, read-only; with --lake, tables of the lake instead.

    NULL is an empty field in CSV and "" an empty text; text that a spreadsheet would take for a formula is not changed.
    JSON is a list of objects: decimals keep their digits, NaN and infinities are texts, a column of JSON is embedded.
    """
    most = (_TABLE_ROWS if output is Format.TABLE else 0) if limit is None else limit
    with _connection(sql, lake_tables or ()) as connection:
        columns, rows = select(connection, sql, as_json=output is Format.JSON)
        cut = _Cut(rows, most)
        _WRITERS[output](columns, cut)
    if cut.more:
        note(f"Only the first {most} rows are shown; --limit 0 shows all.")


@contextmanager
def _connection(sql: str, lake_tables: Sequence[str]) -> Iterator[DuckDBPyConnection]:
    """Open the warehouse, with the stored values that the statement calls for, or a database in memory that shows tables of the lake."""
    from ducklift.cli.opening import reading, showing_assets, showing_lake

    if lake_tables:
        with showing_lake(lake_tables) as connection:
            yield connection
    elif "asset" in sql.lower():
        with showing_assets(sql) as connection:
            yield connection
    else:
        with reading() as warehouse:
            yield warehouse.connection


def select(connection: DuckDBPyConnection, sql: str, *, as_json: bool = False) -> tuple[list[Column], Iterator[Row]]:
    """Run one statement that only reads; rows come as text, or as fragments of JSON.

    Raises `ConfigurationError` for a statement that is not of that kind or does not fit the tables, `Terminal` when it fails while running.
    """
    import duckdb

    try:
        relation = _relation(connection, sql)
        columns = [Column(name, _type_id(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
        texts = relation.project(", ".join(_as_text(place, column, as_json) for place, column in enumerate(columns, start=1)))
    except (duckdb.ProgrammingError, duckdb.PermissionException) as err:
        raise ConfigurationError(f"The query cannot be run: {_reason(err)}") from err
    except duckdb.Error as err:
        raise Terminal(f"The query failed: {_reason(err)}") from err
    rows = _fetched(texts)
    return columns, (_as_fragments(columns, row) for row in rows) if as_json else rows


def _relation(connection: DuckDBPyConnection, sql: str) -> DuckDBPyRelation:
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        # The connection is read-only and shut off from files besides; this makes the refusal early and clear.
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise ConfigurationError(f"ducklift query runs one statement that only reads, such as SELECT; this is {kinds}.")
    return connection.sql(statements[0])


def _fetched(relation: DuckDBPyRelation) -> Iterator[Row]:
    import duckdb

    try:
        while batch := relation.fetchmany(_BATCH):
            yield from batch
    except duckdb.PermissionException as err:
        raise ConfigurationError(f"The query cannot be run: {_reason(err)}") from err
    except duckdb.InterruptException as err:
        raise KeyboardInterrupt from err
    except duckdb.Error as err:
        raise Terminal(f"The query failed: {_reason(err)}") from err


def _reason(err: Exception) -> str:
    """Return DuckDB's message on one line, without the copy of the statement that follows it."""
    return " ".join(str(err).partition("\n\nLINE ")[0].split())


def _type_id(kind: Any) -> str:
    return "json" if str(kind) == "JSON" else str(kind.id)


def _as_text(place: int, column: Column, as_json: bool) -> str:
    """Return the SQL that makes text of the column at `place`: ISO 8601 in UTC for timestamps, DuckDB's own otherwise."""
    if as_json and column.type_id in _NESTED:
        return f"CAST(to_json(#{place}) AS VARCHAR)"
    if column.type_id == "timestamp with time zone":
        return _iso(f"timezone('UTC', #{place})", "Z")
    if column.type_id in _TIMESTAMPS:
        return _iso(f"#{place}", "")
    return f"CAST(#{place} AS VARCHAR)"


def _iso(expression: str, zone: str) -> str:
    # 'infinity' and years before Christ have no ISO form; they do not match and stay as DuckDB writes them.
    return rf"regexp_replace(CAST({expression} AS VARCHAR), '^(\d+-\d\d-\d\d) (\d.*)$', '\1T\2{zone}')"


def _as_fragments(columns: Sequence[Column], row: Row) -> Row:
    return [None if value is None else _fragment(column.type_id, value) for column, value in zip(columns, row, strict=True)]


def _fragment(type_id: str, value: str) -> str:
    if type_id == "boolean" or (type_id in _NUMBERS and value.lstrip("-") not in ("nan", "inf")):
        return value
    if type_id == "json" or type_id in _NESTED:
        # Everything else stays as DuckDB wrote it, every digit.
        return _NO_JSON.sub(lambda found: found[0] if found[0].startswith('"') else found[0].strip(",") and f'"{found[0]}"', value)
    return json.dumps(value)


class _Cut:
    """The first `most` rows (0: all), and whether there were more."""

    def __init__(self, rows: Iterator[Row], most: int) -> None:
        self._rows, self._most, self.more = rows, most, False

    def __iter__(self) -> Iterator[Row]:
        for count, row in enumerate(self._rows, start=1):
            if self._most and count > self._most:
                self.more = True
                return
            yield row


def _write_table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    print_rows([Heading(column.name, numeric=column.type_id in _NUMBERS) for column in columns], list(rows))


def _write_csv(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    output = _Output()
    output.write(",".join(_csv_field(column.name) for column in columns) + "\n")
    sys.stdout.flush()
    for row in rows:
        output.write(",".join(map(_csv_field, row)) + "\n")


def _csv_field(value: str | None) -> str:
    # Python's csv module writes NULL and an empty text alike before 3.12.
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if not value or any(mark in value for mark in ',"\r\n') else value


def _write_json(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    output = _Output()
    names = [json.dumps(name) for name in _distinct([column.name for column in columns])]
    separator = "[\n"
    for row in rows:
        fields = ", ".join(f"{name}: {value if value is not None else 'null'}" for name, value in zip(names, row, strict=True))
        output.write(f"{separator}{{{fields}}}")
        separator = ",\n"
    output.write("[]\n" if separator == "[\n" else "\n]\n")


class _Output:
    """Standard output; a terminal gets control characters escaped, line by line, a pipe gets every byte, in UTF-8 whatever the locale."""

    def __init__(self) -> None:
        self._on_terminal = sys.stdout.isatty()
        if not self._on_terminal and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="strict")

    def write(self, text: str) -> int:
        return sys.stdout.write("\n".join(map(visible, text.split("\n"))) if self._on_terminal else text)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names with the later ones of a twin numbered, since an object would lose all but the last."""
    taken: set[str] = set(names)
    seen: set[str] = set()
    found = []
    for name in names:
        unique, number = name, 0
        while unique in seen or (number and unique in taken):
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        found.append(unique)
    return found


_WRITERS = {Format.TABLE: _write_table, Format.CSV: _write_csv, Format.JSON: _write_json}

"""What a table's columns hold, in one aggregate query over a bounded number of rows, and its newest rows as a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ducklift.lake.commits import ColumnStatistics
from ducklift.specs import TableName
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_table

SAMPLE_ROWS = 50
# Whichever is the least bounds the rows that statistics look at; a table with no more rows is looked at whole.
_MOST_ROWS, _MOST_CELLS, _MOST_SAMPLED_BYTES = 100_000, 4_000_000, 64 * 2**20
_FEWEST_ROWS = 4_096
_DESCRIBED_COLUMNS, _LISTED_COLUMNS = 500, 2_000
_LONGEST_CELL, _LONGEST_BOUND, _LONG_TEXT = 200, 60, 200
_SAMPLE_BYTES = 250_000
_FIXED_BYTES = {"BOOLEAN": 1, "TINYINT": 1, "SMALLINT": 2, "INTEGER": 4, "DATE": 4, "FLOAT": 4, "HUGEINT": 16, "UHUGEINT": 16, "UUID": 16}
_UNBOUNDED = ("JSON", "BLOB")


@dataclass(frozen=True)
class Statistics:
    """A table's columns as they are published; see `ducklift.lake.commits.Snapshot` for the fields."""

    bytes: int | None = None
    approximate: bool = False
    columns: tuple[ColumnStatistics, ...] = ()
    sample: tuple[tuple[str | None, ...], ...] = ()


def table_statistics(warehouse: Warehouse, table: TableName, rows: int, personal: frozenset[str], *, with_sample: bool) -> Statistics:
    """Return the statistics of a table of `rows` rows; no value of a `personal` column is in them."""
    types = dict(list(existing_columns(warehouse, table).items())[:_LISTED_COLUMNS])
    if not types:
        return Statistics()
    row_bytes = _row_bytes(warehouse, table, rows, types)
    described = dict(list(types.items())[:_DESCRIBED_COLUMNS])
    looked_at = max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_CELLS // len(described), int(_MOST_SAMPLED_BYTES / max(row_bytes, 1))))
    columns = _described(warehouse, _part(table, rows, looked_at), described, personal)
    columns += [ColumnStatistics(name=name, type=type_) for name, type_ in list(types.items())[_DESCRIBED_COLUMNS:]]
    sample = _sample(warehouse, table, rows, types) if with_sample and rows else ()
    return Statistics(int(row_bytes * rows), rows > looked_at, tuple(columns), sample)


def _part(table: TableName, rows: int, wanted: int) -> str:
    """Return the SQL of about `wanted` rows spread over the table; whole blocks are skipped without being read."""
    if rows <= wanted:
        return quote_table(table)
    return f"{quote_table(table)} TABLESAMPLE SYSTEM ({100 * wanted / rows:.6f} PERCENT)"


def _row_bytes(warehouse: Warehouse, table: TableName, rows: int, types: Mapping[str, str]) -> float:
    """Return the average size of a row's values, uncompressed, by a look at a few."""
    fixed = sum(_FIXED_BYTES.get(type_, 8) for type_ in types.values() if not _varies(type_))
    varying = [f"coalesce(avg({_length(quote_identifier(name), type_)}), 0)" for name, type_ in types.items() if _varies(type_)]
    if not varying or not rows:
        return float(fixed)
    found = warehouse.value(f"SELECT list_sum([{', '.join(varying)}]) FROM {_part(table, rows, 10 * _FEWEST_ROWS)}")
    return float(fixed) + float(found)


def _varies(type_: str) -> bool:
    return type_ in ("VARCHAR", "BLOB", "JSON") or _is_nested(type_)


def _is_nested(type_: str) -> bool:
    return type_.endswith("]") or type_.startswith(("STRUCT", "MAP", "UNION"))


def _length(name: str, type_: str) -> str:
    return f"octet_length({name})" if type_ == "BLOB" else f"strlen(CAST({name} AS VARCHAR))"


def _described(warehouse: Warehouse, part: str, types: Mapping[str, str], personal: frozenset[str]) -> list[ColumnStatistics]:
    terms = ["count(*)"]
    for name, type_ in types.items():
        column = quote_identifier(name)
        distinct = "NULL" if type_ in _UNBOUNDED or _is_nested(type_) else f"approx_count_distinct({column})"
        terms += [f"count({column})", distinct, *_bounds(column, type_, name in personal)]
    total, *found = warehouse.rows(f"SELECT {', '.join(terms)} FROM {part}")[0]
    described = []
    for index, (name, type_) in enumerate(types.items()):
        present, distinct, least, greatest = found[4 * index : 4 * index + 4]
        described.append(
            ColumnStatistics(
                name=name,
                type=type_,
                null_share=round(1 - present / total, 6) if total else None,
                distinct=None if distinct is None else min(distinct, present),
                least=least,
                greatest=greatest,
            )
        )
    return described


def _bounds(column: str, type_: str, is_personal: bool) -> list[str]:
    if is_personal or type_ in _UNBOUNDED or _is_nested(type_):
        return ["NULL", "NULL"]
    texts = [f"left(CAST({function}({column}) AS VARCHAR), {_LONGEST_BOUND})" for function in ("min", "max")]
    if type_ != "VARCHAR":
        return texts
    return [f"CASE WHEN avg(strlen({column})) <= {_LONG_TEXT} THEN {text} END" for text in texts]


def _sample(warehouse: Warehouse, table: TableName, rows: int, types: Mapping[str, str]) -> tuple[tuple[str | None, ...], ...]:
    cells = ", ".join(f"left(CAST({quote_identifier(name)} AS VARCHAR), {_LONGEST_CELL})" for name in types)
    # The newest rows lie last; so they are reached without reading those before them.
    newest = warehouse.rows(f"SELECT {cells} FROM {quote_table(table)} LIMIT {SAMPLE_ROWS} OFFSET {max(rows - SAMPLE_ROWS, 0)}")[::-1]
    room, kept = _SAMPLE_BYTES, []
    for row in newest:
        room -= sum(len((cell or "").encode()) + 10 for cell in row)
        if room < 0:
            break
        kept.append(row)
    return tuple(kept)

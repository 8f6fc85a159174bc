"""A table's columns: what they are, what a load asks for, and how a record's text becomes a value that says so when it does not fit."""

from __future__ import annotations

from dataclasses import dataclass

from ducklift.specs import ColumnSpec, ContractMode, TableName
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_literal

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")
TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")
EXACT_IN_DOUBLE = 2**53
_EARLIEST_S, _LATEST_S = -62135596800, 253402300799  # years 1 and 9999: beyond them to_timestamp raises

LINEAGE_TYPES = {
    "_load_id": "VARCHAR",
    "_loaded_at": "TIMESTAMP WITH TIME ZONE",
    "_extracted_at": "TIMESTAMP WITH TIME ZONE",
    "_source_file": "VARCHAR",
}
VALIDITY_TYPES = {"_valid_from": "TIMESTAMP WITH TIME ZONE", "_valid_to": "TIMESTAMP WITH TIME ZONE"}
ADDED_TYPES = {**VALIDITY_TYPES, **LINEAGE_TYPES}


@dataclass(frozen=True)
class Column:
    """One column of a load: its name, the field it comes from, its canonical DuckDB type and where it was asked for.

    `variant_of` names the column whose misfitting values it holds instead. `spec` is None for a column that was inferred.
    """

    name: str
    field: str
    type: str
    spec: ColumnSpec | None = None
    variant_of: str | None = None

    @property
    def declared(self) -> bool:
        """Return whether the pipeline file gives the type."""
        return self.spec is not None and self.spec.type is not None

    @property
    def called(self) -> str:
        """Return the type as the pipeline file calls it, or DuckDB's name of it."""
        return (self.spec.type if self.spec else None) or self.type

    def contract(self, of_table: ContractMode) -> ContractMode:
        """Return what to do with values that do not fit."""
        return (self.spec.contract if self.spec else None) or of_table


@dataclass(frozen=True)
class Conversion:
    """SQL that turns a text into a column's value, and SQL that is true when a text that is there does not fit."""

    value: str
    misfit: str = "false"


_BEYOND_MICROSECONDS = r"\.\d{6}\d*[1-9]"


def conversion(text: str, type_: str, declared: bool = True) -> Conversion:
    """Return how the SQL text `text` becomes a value of the canonical type; nothing is silently rounded, cut or made NULL.

    Only where the pipeline file declares a type is a number a moment (seconds since 1970) or a truth (anything but 0), and `01` a number.
    """
    cast, is_declared = f"TRY_CAST({text} AS {type_})", str(declared).lower()
    if type_ in ("VARCHAR", "JSON"):
        return Conversion(text if type_ == "VARCHAR" else f"CAST({text} AS JSON)")
    if type_ in INTEGERS:
        # By itself '007' is no number to lose zeros of; 1.5 is not 2; 5.0 is 5.
        integral = f"regexp_matches({text}, '[.eE]') AND TRY_CAST({text} AS DOUBLE) = CAST({cast} AS DOUBLE)"
        integral = f"({is_declared} AND regexp_full_match({text}, '[+-]?[0-9]+')) OR ({integral})"
        return Conversion(cast, _unless_same(text, cast, f"{cast} IS NULL OR NOT coalesce({integral}, false)"))
    if type_ in ("DOUBLE", "FLOAT"):
        inexact = f"abs({cast}) >= {EXACT_IN_DOUBLE} AND NOT regexp_matches({text}, '[.eEinfN]')"
        zeros = f"NOT {is_declared} AND regexp_matches({text}, '^[+-]?0[0-9]')"
        return Conversion(cast, f"{cast} IS NULL OR ({inexact}) OR ({zeros})")
    if type_.startswith("DECIMAL"):
        scale = type_.partition(",")[2].rstrip(")") or "0"
        rounded = f"regexp_matches({text}, '^[^eE]*\\.\\d{{{scale}}}\\d*[1-9]\\d*$')"
        # Long integers that are the same as texts may still differ as doubles.
        other = f"TRY_CAST({text} AS DOUBLE) IS DISTINCT FROM CAST({cast} AS DOUBLE)"
        return Conversion(cast, _unless_same(text, cast, f"{cast} IS NULL OR {rounded} OR {other}"))
    if type_ == "TIMESTAMP WITH TIME ZONE":
        # What has a colon is a time of day: to try each as a number first would take longer than all the rest.
        is_time = f"contains(CAST({text} AS VARCHAR), ':')"
        number = f"CASE WHEN {is_time} THEN NULL ELSE TRY_CAST({text} AS DOUBLE) END"
        value = f"CASE WHEN {number} IS NULL THEN TRY_CAST({text} AS TIMESTAMPTZ) ELSE {moment_of(number)} END"
        finer = f"({is_time} AND regexp_matches({text}, '{_BEYOND_MICROSECONDS}'))"
        return Conversion(value, f"({value}) IS NULL OR {finer}" + ("" if declared else f" OR {number} IS NOT NULL"))
    if type_ == "TIMESTAMP":
        # A cast would drop the zone in silence.
        zone = r".{10}.*(Z|z|[+-]\d\d(:?\d\d)?)$"
        return Conversion(cast, f"{cast} IS NULL OR regexp_matches({text}, '{zone}') OR regexp_matches({text}, '{_BEYOND_MICROSECONDS}')")
    if type_ == "DATE":
        return Conversion(cast, f"{cast} IS NULL OR length({text}) > 10")
    if type_ == "BOOLEAN":
        if not declared:
            return Conversion(cast, f"{text} NOT IN ('true', 'false')")
        value = f"coalesce({cast}, TRY_CAST({text} AS DOUBLE) <> 0)"
        return Conversion(value, f"{value} IS NULL")
    return Conversion(cast, f"{cast} IS NULL")


def _unless_same(text: str, cast: str, misfit: str) -> str:
    """Return the SQL of a misfit that is looked for only in texts that differ from their value's own: an OR would look into all of them."""
    return f"CASE WHEN CAST({cast} AS VARCHAR) = {text} THEN false ELSE {misfit} END"


def moment_of(seconds: str) -> str:
    """Return the SQL of a moment from that of seconds since 1970; NULL beyond the years that there are."""
    return f"to_timestamp(CASE WHEN {seconds} BETWEEN {_EARLIEST_S} AND {_LATEST_S} THEN {seconds} END)"


def without_null_words(value: str, column: Column, native: str | None = None) -> str:
    """Return `value` with the column's `null_if` values as NULL; a word that is none of its `native` type is not among them."""
    words = column.spec.null_if if column.spec else ()
    if not words:
        return value
    literals = [quote_literal(str(word).lower() if isinstance(word, bool) else str(word)) for word in words]
    listed = ", ".join(literals if native in (None, "VARCHAR") else [f"TRY_CAST({literal} AS {native})" for literal in literals])
    return f"CASE WHEN {value} IN ({listed}) THEN NULL ELSE {value} END"


def canonical_type(warehouse: Warehouse, type_: str) -> str:
    """Return DuckDB's own name of a type ('int8' is 'BIGINT')."""
    if type_.upper() == "JSON":
        return "JSON"
    found: str = warehouse.value(f"SELECT typeof(CAST(NULL AS {type_}))")
    return found


def existing_columns(warehouse: Warehouse, table: TableName) -> dict[str, str]:
    """Return the table's columns and their types, in order; empty when there is no such table."""
    rows = warehouse.rows(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE schema_name = ? AND table_name = ? AND database_name = current_database() ORDER BY column_index",
        [table.dataset, table.table],
    )
    return dict(rows)

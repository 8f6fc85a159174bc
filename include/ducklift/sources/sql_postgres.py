"""Reading PostgreSQL by its own bulk protocol, through ADBC: rows come as Arrow, never as Python objects (docs/decisions/0003)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ducklift.cursors import Cursor
from ducklift.sources.sql_selection import Column, Selection, checked_cursor

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL

BATCH_BYTES = 8 * 2**20
_BATCH_OPTION = "adbc.postgresql.batch_size_hint_bytes"
# What ADBC brings over exactly. Everything else comes as its text, which is PostgreSQL's own: ADBC gives money without its point, and
# arrays of several dimensions as one long list.
_EXACT = frozenset(
    {
        "int2", "int4", "int8", "float4", "float8", "bool", "text", "varchar", "bpchar", "name", "char", "date", "time", "timestamp",
        "timestamptz", "bytea", "uuid", "json", "jsonb", "numeric",
    }
)  # fmt: skip
_SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL IntervalStyle = 'iso_8601'",
)
_TEXTS = frozenset({"text", "varchar", "bpchar", "name", "citext"})
_BOUNDS = {">=": "ducklift.cursor_from", "<": "ducklift.cursor_to"}
_EPOCH_2000_US, _EPOCH_2000_DAYS = 946_684_800_000_000, 10_957


def postgres_rows(url: URL, selection: Selection) -> Iterator[pa.RecordBatch]:
    """Yield the selection's rows as Arrow, in one read-only transaction that sees one snapshot."""
    from adbc_driver_postgresql import dbapi

    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with dbapi.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{_BATCH_OPTION: str(BATCH_BYTES)})
        for setting in _SETTINGS:
            cursor.execute(setting)
        schema = cursor.adbc_execute_schema(_from(selection, "SELECT *"))
        selection = checked_cursor(selection if selection.columns else replace(selection, columns=tuple(map(Column, schema.names))))
        for operator, value in _bounds(selection, schema).items():
            # COPY, by which rows stream, takes no parameters: the values are bound here, and the statement names them.
            cursor.execute("SELECT set_config($1, $2, true)", (_BOUNDS[operator], str(value)))
        cursor.execute(_statement(selection, schema))
        makers = [_maker(field) for field in schema if field.name not in selection.excluded]
        names = [field.name for field in schema if field.name not in selection.excluded]
        for batch in cursor.fetch_record_batch():
            yield _batch(names, [maker(column) for maker, column in zip(makers, batch.columns, strict=True)])


def _batch(names: list[str], arrays: list[Any]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(arrays, names=names)


def _quote(name: str) -> str:
    from sqlalchemy.dialects.postgresql.base import PGDialect

    # With any style of parameters that has percent signs, those in names would be doubled.
    return str(PGDialect(paramstyle="named").identifier_preparer.quote_identifier(name))  # type: ignore[no-untyped-call]


def _from(selection: Selection, head: str) -> str:
    if selection.query is not None:
        return f"{head} FROM ({selection.query.strip().rstrip(';')}\n) AS q"
    names = [name for name in (selection.schema, selection.table) if name]
    return f"{head} FROM {'.'.join(map(_quote, names))} AS q"


def _statement(selection: Selection, schema: pa.Schema) -> str:
    wanted = [_selected(field) for field in schema if field.name not in selection.excluded]
    statement = _from(selection, f"SELECT {', '.join(wanted)}")
    if bounds := _bounds(selection, schema):
        statement += f" WHERE {' AND '.join(_bounded(selection, schema, operator) for operator in bounds)}"
    return statement + (f" LIMIT {int(selection.limit)}" if selection.limit is not None else "")


def _bounds(selection: Selection, schema: pa.Schema) -> dict[str, Cursor]:
    as_text = selection.cursor is not None and _type_of(schema.field(selection.cursor)) in _TEXTS
    return selection.bounds_asked(as_text=as_text)


def _bounded(selection: Selection, schema: pa.Schema, operator: str) -> str:
    name = _quote(str(selection.cursor))
    type_ = _type_of(schema.field(selection.cursor))
    compared = f"q.{name} {operator} current_setting('{_BOUNDS[operator]}')::{_quote(type_)}"
    return f"({compared} OR q.{name} IS NULL)" if selection.cursor_may_be_null else compared


def _type_of(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"POSTGRESQL:type", b"text").decode())


def _selected(field: pa.Field) -> str:
    name, type_ = f"q.{_quote(field.name)}", _type_of(field)
    if type_ in _EXACT:
        return f"{name} AS {_quote(field.name)}"
    if type_.startswith("_"):
        return f"to_json({name}) AS {_quote(field.name)}"
    return f"{name}::text AS {_quote(field.name)}"


def _maker(field: pa.Field) -> Callable[[pa.Array], pa.Array]:
    """Return what makes a column of the protocol's one that files and readers know."""
    import pyarrow.types as kinds

    type_ = _type_of(field)
    if type_ == "numeric":
        return _decimals(int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")))
    if kinds.is_timestamp(field.type):
        return lambda array: _with_infinities(array, "int64", 2**63, _EPOCH_2000_US)
    if kinds.is_date32(field.type):
        return lambda array: _with_infinities(array, "int32", 2**31, _EPOCH_2000_DAYS)
    return _plain


def _plain(array: pa.Array) -> pa.Array:
    """Return the array; a type that only PostgreSQL has is a text by now."""
    import pyarrow as pa

    return array.storage if isinstance(array.type, pa.OpaqueType) else array


def _decimals(modifier: int) -> Callable[[pa.Array], pa.Array]:
    """Return what makes decimals of a numeric's texts; those without a scale of their own, too long ones and NaN stay texts."""
    import pyarrow as pa

    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF

    def made(array: pa.Array) -> pa.Array:
        texts = _plain(array)
        if modifier < 4 or precision > 38 or scale > precision:
            return texts
        try:
            return texts.cast(pa.decimal128(precision, scale))
        except pa.ArrowInvalid:
            return texts  # NaN or Infinity

    return made


def _with_infinities(array: pa.Array, integer: str, beyond: int, epoch: int) -> pa.Array:
    """Return moments or days with PostgreSQL's infinities as DuckDB's; ADBC counts from 1970 and so wraps them to the other end of time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = array.cast(integer)
    positive, negative = beyond - 1 + epoch - 2 * beyond, -beyond + epoch
    least = pc.min(numbers).as_py()
    if least is None or least > negative:
        return array
    numbers = pc.if_else(pc.equal(numbers, positive), pa.scalar(beyond - 1, integer), numbers)
    numbers = pc.if_else(pc.equal(numbers, negative), pa.scalar(-beyond + 1, integer), numbers)
    return numbers.cast(array.type)

"""Reading by way of SQLAlchemy: one statement, fetched through a cursor that does not hold all rows, each fetch an Arrow table.

Identifiers are quoted by the dialect, and values are bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ducklift.sources.sql_selection import Column, Selection, checked_cursor, day_of, moment_of
from ducklift.sources.sql_types import AS_IT_IS, array_of, target_of

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine, Select
    from sqlalchemy.sql.elements import ColumnElement

FETCH_BYTES = 8 * 2**20  # of Arrow memory: what one fetch aims at
FEWEST_ROWS, MOST_ROWS = 100, 20_000

# Each reading is one statement, and so consistent in itself; these see to UTC and to that it cannot write.
_SESSIONS = {
    "mysql": ("SET SESSION time_zone = '+00:00'", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY"),
    "sqlite": ("PRAGMA query_only = ON",),
    "postgresql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "SET LOCAL TimeZone = 'UTC'"),
}
_SESSIONS["mariadb"] = _SESSIONS["mysql"]


def rows_of(engine: Engine, selection: Selection) -> Iterator[pa.Table]:
    """Yield the selection's rows as tables of about `FETCH_BYTES`."""
    dialect = engine.dialect.name
    with engine.connect() as connection:
        for statement in _SESSIONS.get(dialect, ()):
            connection.exec_driver_sql(statement)
        if not selection.columns and selection.cursor:
            selection = checked_cursor(_with_columns(connection, selection))
        result = connection.execution_options(stream_results=True, max_row_buffer=MOST_ROWS).execute(statement_of(selection, dialect))
        names = list(result.keys())
        known = {column.name: column.type for column in selection.columns}
        targets = [target_of(known.get(name), dialect) if selection.table else AS_IT_IS for name in names]
        rows = FEWEST_ROWS
        while fetched := result.fetchmany(rows):
            table = _table(names, [array_of(values, target) for values, target in zip(zip(*fetched, strict=True), targets, strict=True)])
            rows = min(max(int(len(fetched) * FETCH_BYTES / max(table.nbytes, 1)), FEWEST_ROWS), 10 * rows, MOST_ROWS)
            yield table


def _table(names: Sequence[str], arrays: Sequence[Any]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays(list(arrays), names=list(names))


def _with_columns(connection: Connection, selection: Selection) -> Selection:
    """Return a query's selection with the names of its columns, by asking for none of its rows."""
    from dataclasses import replace

    from sqlalchemy import false, select, text

    names = connection.execute(select(text("*")).select_from(_source(selection)).where(false())).keys()
    return replace(selection, columns=tuple(Column(name) for name in names))


def statement_of(selection: Selection, dialect: str) -> Select[Any]:
    """Return the one SELECT that a reading consists of."""
    from sqlalchemy import column, or_, select, text

    wanted = [_expression(each, dialect) for each in selection.columns] if selection.table else [text("*")]
    statement = select(*wanted).select_from(_source(selection))
    if selection.cursor:
        cursor: ColumnElement[Any] = column(_quoted(selection.cursor))
        for operator, value in selection.bounds_asked(as_text=_compares_texts(selection)).items():
            compared = _compared(cursor, operator, value, selection, dialect)
            statement = statement.where(or_(compared, cursor.is_(None)) if selection.cursor_may_be_null else compared)
    return statement.limit(selection.limit) if selection.limit is not None else statement


def _compares_texts(selection: Selection) -> bool:
    """Tell whether the cursor may be a text: its column is one, or has no type, as those of a query."""
    from sqlalchemy import types

    return selection.cursor_type is None or isinstance(selection.cursor_type, types.String | types.NullType)


def _source(selection: Selection) -> Any:
    from sqlalchemy import table, text

    if selection.table:
        schema = _quoted(selection.schema) if selection.schema else None
        return table(_quoted(selection.table), schema=schema)
    query = str(selection.query).strip().rstrip(";").replace(":", r"\:")
    return text(f"({query}\n) AS q")


def _quoted(name: str) -> Any:
    from sqlalchemy.sql import quoted_name

    return quoted_name(name, quote=True)


def _expression(wanted: Column, dialect: str) -> ColumnElement[Any]:
    """Return a column without a type, so that SQLAlchemy leaves its values as the driver gives them.

    MySQL prints a FLOAT with six digits, and so loses some: as a sum with a DOUBLE it comes whole.
    """
    from sqlalchemy import column, literal_column, types

    plain: ColumnElement[Any] = column(_quoted(wanted.name))
    if dialect in ("mysql", "mariadb") and isinstance(wanted.type, types.Float) and type(wanted.type).__name__.upper() == "FLOAT":
        return (plain + literal_column("0e0")).label(_quoted(wanted.name))
    return plain


def _compared(cursor: ColumnElement[Any], operator: str, value: Any, selection: Selection, dialect: str) -> ColumnElement[bool]:
    from sqlalchemy import bindparam, func, or_, types

    type_ = selection.cursor_type
    bound: Any = value
    if isinstance(type_, types.DateTime | types.Date):
        bound = day_of(value) if isinstance(type_, types.Date) else moment_of(value)
        if dialect == "sqlite":
            # SQLite keeps moments as texts of several spellings, which compare as moments only once they are spelled alike.
            spelled = func.strftime("%Y-%m-%d %H:%M:%f", cursor)
            limit = func.strftime("%Y-%m-%d %H:%M:%f", bindparam(None, str(bound)))
            return or_(spelled.is_(None), spelled >= limit if operator == ">=" else spelled < limit)
    parameter: Any = bindparam(None, bound)
    compared: ColumnElement[bool] = cursor >= parameter if operator == ">=" else cursor < parameter
    return compared

"""What is read of a database in one stream: a table as it was reflected, or a query, with the rows and columns wanted of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ducklift.cursors import Cursor, texts_around
from ducklift.errors import ConfigurationError, StreamRefused

if TYPE_CHECKING:
    from sqlalchemy import Engine

_SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys", "pg_catalog", "pg_toast"})
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Column:
    """A column of the database: its name, SQLAlchemy's type of it (None for a query's), and whether it may be NULL."""

    name: str
    type: Any = None
    nullable: bool = True


@dataclass(frozen=True)
class Selection:
    """The rows and columns wanted of one table or query. `columns` is empty for a query, whose columns show when it runs."""

    stream: str
    table: str | None = None
    schema: str | None = None
    query: str | None = None
    columns: tuple[Column, ...] = ()
    excluded: frozenset[str] = frozenset()
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    cursor_from: Cursor | None = None
    cursor_to: Cursor | None = None
    limit: int | None = None

    @property
    def bounds(self) -> dict[str, Cursor]:
        """Return the values that bound the cursor, by the operator that compares with them."""
        values = {">=": self.cursor_from, "<": self.cursor_to} if self.cursor else {}
        return {operator: value for operator, value in values.items() if value is not None}

    @property
    def cursor_type(self) -> Any:
        """Return SQLAlchemy's type of the cursor; None for a query's."""
        return next((column.type for column in self.columns if column.name == self.cursor), None)

    def bounds_asked(self, *, as_text: bool) -> dict[str, Cursor]:
        """Return the bounds that the database is given; one that compares texts, and no moments, may give rows of a day beyond them."""
        return texts_around(self.bounds) if as_text else self.bounds

    @property
    def cursor_may_be_null(self) -> bool:
        """Return whether rows may lack the cursor: they are read each time, for nothing tells when they came."""
        return all(column.nullable for column in self.columns if column.name == self.cursor)


@dataclass(frozen=True)
class Wanted:
    """What the pipeline file asks of a table or query besides its rows."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    limit: int | None = None


def is_pattern(name: str) -> bool:
    """Return whether a name stands for several tables: `all`, a glob such as `sales.*`, or a regular expression between slashes."""
    return name == "all" or bool(_PATTERN.search(name)) or (len(name) > 2 and name[0] == name[-1] == "/")


def matches(name: str, pattern: str) -> bool:
    """Return whether a table's name is one that a pattern stands for; `all` and globs without a dot mean the default schema."""
    if pattern == "all":
        return "." not in name
    if pattern[0] == pattern[-1] == "/":
        return re.fullmatch(pattern[1:-1], name) is not None
    return fnmatchcase(name, pattern) and name.count(".") >= pattern.count(".") and ("." in pattern or "." not in name)


def found_tables(engine: Engine, patterns: Sequence[str]) -> list[str]:
    """Return the names of the tables that match: those of the default schema bare, others as `schema.table` where a pattern has a dot.

    Raises `ConfigurationError` for a pattern without a table, which is a mistake more often than an empty database.
    """
    from sqlalchemy import inspect

    inspector = inspect(engine)
    names = list(inspector.get_table_names())
    if any("." in pattern for pattern in patterns):
        schemas = [schema for schema in inspector.get_schema_names() if schema.lower() not in _SYSTEM_SCHEMAS]
        names += [f"{schema}.{table}" for schema in schemas for table in inspector.get_table_names(schema=schema)]
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise ConfigurationError(
                f"tables: no table of the database matches {pattern!r}. It has: {', '.join(sorted(names)[:20]) or 'none'}."
            )
    return sorted({name for name in names if any(matches(name, pattern) for pattern in patterns)})


def reflected(engine: Engine, stream: str, wanted: Wanted) -> Selection:
    """Return a table with its columns and primary key as the database tells them; raises `StreamRefused` when there is none."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import NoSuchTableError, SAWarning

    schema, _, table = stream.rpartition(".")
    inspector = inspect(engine)
    try:
        with warnings.catch_warnings():
            # A type that SQLAlchemy does not know comes as its text or as the driver gives it; that is all there is to say.
            warnings.simplefilter("ignore", SAWarning)
            told = inspector.get_columns(table, schema or None)
        columns = [Column(each["name"], each["type"], bool(each.get("nullable", True))) for each in told]
        key = tuple(inspector.get_pk_constraint(table, schema or None).get("constrained_columns") or ())
    except NoSuchTableError:
        columns, key = [], ()
    if not columns:
        raise StreamRefused(
            stream, "the database has no such table or view, or does not show it", "Check the name, schema and permissions."
        )
    names = [column.name for column in columns]
    if unknown := sorted({*wanted.only, *wanted.without} - set(names)):
        raise ConfigurationError(f"{stream} has no columns {', '.join(unknown)}; it has {', '.join(names)}.")
    kept = tuple(each for each in columns if each.name not in wanted.without and (not wanted.only or each.name in wanted.only))
    whole_key = key if set(key) <= {column.name for column in kept} else ()
    left_out = frozenset(names) - {column.name for column in kept}
    return Selection(stream, table, schema or None, columns=kept, excluded=left_out, primary_key=whole_key, limit=wanted.limit)


def checked_cursor(selection: Selection) -> Selection:
    """Return the selection; raises `ConfigurationError` when its table does not have the cursor's column, or that holds numbers alone."""
    names = [column.name for column in selection.columns]
    if selection.cursor and names and selection.cursor not in names:
        raise ConfigurationError(
            f"{selection.stream} has no column {selection.cursor!r}, which incremental.cursor names. Read it by a pipeline of its own, or "
            f"give it its own entry under streams. Its columns: {', '.join(names)}."
        )
    _refuse_moments_for_numbers(selection)
    return selection


def _refuse_moments_for_numbers(selection: Selection) -> None:
    """Raise `ConfigurationError` where a number is to be compared with a moment: databases do it, each in its way, and find nothing."""
    from sqlalchemy import types

    for bound in selection.bounds.values() if isinstance(selection.cursor_type, types.Integer | types.Numeric) else ():
        try:
            float(bound)
        except ValueError:
            raise ConfigurationError(
                f"{selection.stream}: the cursor {selection.cursor!r} is a number, and the bound {bound!r} is none: say what it counts "
                "since 1970, for example incremental: {epoch: s} for seconds."
            ) from None


def moment_of(value: Cursor) -> datetime:
    """Return a bound as a moment in UTC without its zone, as databases without zones compare it; raises `ConfigurationError`."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigurationError(f"incremental: {value!r} is no date or time, but the cursor's column holds such.") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def day_of(value: Cursor) -> date:
    """Return a bound as a day."""
    return moment_of(value).date()

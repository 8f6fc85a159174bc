"""sql_tables: tables and queries of a database, one stream each, as Arrow with the types that the database gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ducklift.cursors import is_between
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.sources.secret_refs import Hidden, SecretRef
from ducklift.sources.sql_connection import database_errors, engine_of, plain_url, require_reader, url_from_connection, url_from_text
from ducklift.sources.sql_selection import Selection, Wanted, checked_cursor, found_tables, is_pattern, matches, reflected
from ducklift.specs import Spec

if TYPE_CHECKING:
    from sqlalchemy import URL

Limit = Annotated[int, Field(strict=True, ge=1)]


class SqlTable(Spec):
    """One table, or those that a pattern stands for, and what is wanted of it."""

    name: str = Field(min_length=1, max_length=300, description="table, schema.table, a glob such as sales.*, a /regex/, or all.")
    columns: tuple[str, ...] = Field(default=(), description="Only these columns.")
    exclude_columns: tuple[str, ...] = Field(default=(), description="All columns but these.")
    limit: Limit | None = Field(default=None, description="At most so many rows; the watermark is then neither read nor moved.")

    @field_validator("name")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value.isprintable() or not value.strip():
            raise ValueError(f"{value[:60]!r} is not the name of a table")
        return value

    @property
    def wanted(self) -> Wanted:
        """Return what is wanted besides rows."""
        return Wanted(self.columns, self.exclude_columns, self.limit)


class SqlTablesSource(Source):
    """Tables and queries of one database."""

    yields_tables: ClassVar[bool] = True
    finds_keys: ClassVar[bool] = True

    type: Literal["sql_tables"] = "sql_tables"
    url: SecretRef | str | None = Field(
        default=None, description="{env: NAME} of a variable that holds the URL; or a URL without a password."
    )
    connection: str | None = Field(default=None, min_length=1, description="An Airflow connection, by its id.")
    dialect: str | None = Field(
        default=None, pattern=r"^[a-z0-9_]+(\+[a-z0-9_]+)?$", description="For connections whose type does not say it."
    )
    tables: tuple[SqlTable, ...] = ()
    exclude_tables: tuple[str, ...] = Field(default=(), description="Names or patterns of tables that a pattern shall not stand for.")
    queries: dict[str, str] = Field(default_factory=dict, description="Streams by name, each one SELECT.")
    limit: Limit | None = Field(default=None, description="At most so many rows of each table or query.")

    @field_validator("tables", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        entries = [value] if isinstance(value, str | Mapping) else value
        return [{"name": each} if isinstance(each, str) else each for each in entries] if isinstance(entries, list | tuple) else entries

    @field_validator("url")
    @classmethod
    def _without_a_secret(cls, value: SecretRef | str | None) -> SecretRef | str | None:
        return plain_url(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something_to_read(self) -> SqlTablesSource:
        if (self.url is None) == (self.connection is None):
            raise ValueError("write where the database is: url: {env: SHOP_DATABASE_URL}, or connection: shop")
        if not self.tables and not self.queries:
            raise ValueError("write tables: [schema.table, …], tables: all, or queries: {name: SELECT …}")
        names = self.streams()
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"streams are named twice: {', '.join(twins)}")
        if bad := sorted(name for name in self.queries if not name.isprintable() or not name.strip() or "." in name):
            raise ValueError(f"queries: {bad[0]!r} is no name for a stream; write a plain one")
        return self

    def streams(self) -> list[str]:
        """Return the names of the tables and queries; of a pattern the pattern itself, until `resolved` has asked the database."""
        return [*(table.name for table in self.tables), *self.queries]

    def effective_stream(self, stream: str) -> str | None:
        """Return the stream if it is one of the configured, or a table that a pattern stands for."""
        return stream if self._table(stream) or stream in self.queries else None

    def resolved(self, settings: Settings) -> SqlTablesSource:
        """Return the source with the tables of the database in the place of patterns; raises what reaching the database may raise."""
        patterns = [table.name for table in self.tables if is_pattern(table.name)]
        if not patterns:
            return self
        with self._reaching(settings, "tables") as (url, _hidden):
            found = found_tables(engine_of(url), patterns)
        named = [table for table in self.tables if not is_pattern(table.name)]
        taken = {table.name for table in named}
        left = [name for name in found if name not in taken and not any(matches(name, each) for each in self.exclude_tables)]
        more = [table.model_copy(update={"name": name}) for name in left if (table := self._table(name))]
        return self.model_copy(update={"tables": (*named, *more)})

    def stream_uses_watermark(self, stream: str) -> bool:
        """Return True unless a limit cuts the stream short."""
        return self._limit(stream) is None

    def reads_windows(self) -> bool:
        """Return True: the cursor is bounded on both sides in the query itself."""
        return True

    def options_schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return a choice among the configured streams; a limit for a quick look."""
        names = self.streams()
        title = {"type": "array", "title": "Tables", "description": "Which of the configured tables and queries to read."}
        items = {"items": {"type": "string", "enum": names}, "examples": names, "minItems": 1, "uniqueItems": True, "default": names}
        limit = {"type": ["integer", "null"], "title": "Limit", "minimum": 1, "default": self.limit}
        return {"tables": {**title, **items}, "limit": {**limit, "description": "At most so many rows of each; empty for all."}}

    def with_options(self, options: Mapping[str, Any]) -> SqlTablesSource:
        """Return the source narrowed to chosen streams and a limit; nothing else can be chosen, least of all SQL."""
        if unknown := sorted(str(name)[:40] for name in options if name not in ("tables", "limit")):
            raise ConfigurationError(f"these are not options of a SQL source: {', '.join(unknown)}")
        chosen = options.get("tables", self.streams())
        if not isinstance(chosen, list) or not chosen or any(name not in self.streams() for name in chosen):
            raise ConfigurationError(f"tables must be one or more of those configured: {', '.join(self.streams())}")
        limit = options.get("limit", self.limit)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise ConfigurationError("limit must be a whole number from 1 on")
        tables = tuple(table for table in self.tables if table.name in chosen)
        return self.model_copy(
            update={"tables": tables, "queries": {name: sql for name, sql in self.queries.items() if name in chosen}, "limit": limit}
        )

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield the rows of a table or query as Arrow tables, in one read-only transaction.

        Raises `StreamRefused`, `CredentialsMissing`, `ConfigurationError`, `MissingExtra` or `SourceUnavailable`.
        """
        stream = request.stream
        if self.effective_stream(stream) is None:
            raise ConfigurationError(f"{stream!r} is not a stream of this source; its streams are {', '.join(self.streams())}")
        if is_pattern(stream) and stream not in self.queries:
            raise ConfigurationError(
                f"tables: {stream!r} stands for several tables, which `ducklift run` finds when it starts. A DAG's tasks are laid out "
                "before that: list the tables there by name."
            )
        report.request = {"tables": stream} if stream not in self.queries else {"query": stream}
        with self._reaching(settings, stream) as (url, _hidden):
            selection = self._selection(request, url)
            report.primary_key = selection.primary_key
            report.request |= {"columns": [column.name for column in selection.columns], "limit": selection.limit, **_told(selection)}
            yield from _rows(url, selection)
        report.ordered_and_complete = selection.limit is None

    def _selection(self, request: SliceRequest, url: URL) -> Selection:
        stream = request.stream
        table = self._table(stream)
        if table is None:
            selection = Selection(stream, query=self.queries[stream], limit=self.limit)
        else:
            selection = replace(reflected(engine_of(url), stream, table.wanted), limit=self._limit(stream))
        if selection.limit is not None:
            return selection
        bounded = replace(selection, cursor=request.cursor, cursor_from=request.cursor_from, cursor_to=request.cursor_to)
        return checked_cursor(bounded)

    def _limit(self, stream: str) -> int | None:
        table = self._table(stream)
        limits = [limit for limit in (self.limit, table.limit if table else None) if limit is not None]
        return min(limits, default=None)

    def _table(self, stream: str) -> SqlTable | None:
        """Return the entry that a table's name falls under: its own, or the first pattern's."""
        own = next((table for table in self.tables if table.name == stream), None)
        if own or stream in self.queries or any(matches(stream, each) for each in self.exclude_tables):
            return own
        return next((table for table in self.tables if is_pattern(table.name) and matches(stream, table.name)), None)

    def _reaching(self, settings: Settings, stream: str) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def reaching() -> Iterator[tuple[URL, Hidden]]:
            hidden = Hidden()
            url = self._address(settings, hidden)
            if url.password:
                settings.on_secret(str(url.password))
            require_reader(url)
            with database_errors(stream, hidden):
                yield url, hidden

        return reaching()

    def _address(self, settings: Settings, hidden: Hidden) -> URL:
        if self.connection is None:
            text = self.url.find(settings) if isinstance(self.url, SecretRef) else str(self.url)
            return url_from_text(text, settings.project, hidden)
        found = settings.connections(self.connection)
        if found is None:
            raise ConfigurationError(
                f"There is no Airflow connection {self.connection!r}. Define it under Admin > Connections, or name a variable of the "
                "environment that holds the database's URL: url: {env: SHOP_DATABASE_URL}. Without Airflow, only the second is there."
            )
        return url_from_connection(found, self.dialect, settings.project, hidden)


def _told(selection: Selection) -> dict[str, Any]:
    return {"cursor": selection.cursor, "cursor_from": selection.cursor_from, "cursor_to": selection.cursor_to} if selection.cursor else {}


def _rows(url: URL, selection: Selection) -> Iterator[Batch]:
    if url.get_backend_name() == "postgresql":
        from ducklift.sources.sql_postgres import postgres_rows

        batches: Iterator[Batch] = postgres_rows(url, selection)
    else:
        from ducklift.sources.sql_rows import rows_of

        batches = rows_of(engine_of(url), selection)
    for batch in batches:
        yield _within_bounds(batch, selection)


def _within_bounds(batch: Any, selection: Selection) -> Batch:
    """Return the rows whose cursor keeps to the bounds as moments, where the database compared it as a text."""
    import pyarrow as pa
    from sqlalchemy import types

    if not selection.bounds or isinstance(selection.cursor_type, types.DateTime | types.Date):
        return batch
    if selection.table and not pa.types.is_string(batch.schema.field(selection.cursor).type):
        return batch
    return batch.filter(pa.array([is_between(value, selection.bounds) for value in batch.column(selection.cursor).to_pylist()], pa.bool_()))

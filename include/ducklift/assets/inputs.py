"""Inputs that come from elsewhere: a file of a lake, a database. They load; they store nothing.

What one parameter wants stands in its `AssetIn(metadata=…)`; a partition's key reaches the other side as a parameter, never as text that
is put together.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import field_validator

from ducklift.assets.contexts import InputContext
from ducklift.assets.errors import ValueMissing, ValueUnreadable
from ducklift.assets.keys import partition_folder
from ducklift.assets.managers import InputManager, Surroundings, input_manager
from ducklift.assets.path_manager import open_store
from ducklift.assets.serializers import serializers
from ducklift.assets.tables import chosen_columns, table_as
from ducklift.errors import ConfigurationError, CorruptObject
from ducklift.settings import Settings
from ducklift.sources.secret_refs import SecretRef
from ducklift.specs import Spec

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_BATCH_ROWS = 50_000


def partition_values(context: InputContext) -> dict[str, str]:
    """Return what a request may use of the partition: `partition_key`, and each dimension by its name."""
    key = context.partition_key
    if key is None:
        return {}
    dimensions = dict(part.partition("=")[::2] for part in key.split("|")) if "=" in key else {}
    return {**dimensions, "partition_key": key}


class PathConfig(Spec):
    """A store, the lake itself when `url` is absent."""

    url: str | None = None


class PathInput(InputManager):
    """Loads a file of a store by its path: `AssetIn(metadata={"path": "reference/{partition_key}.parquet"})`."""

    def __init__(self, config: PathConfig, settings: Settings) -> None:
        self.store, self.settings = open_store(settings, config.url), settings

    def load_input(self, context: InputContext) -> Any:
        """Return the file's value, by its extension; raises `ValueMissing`, `ValueUnreadable`."""
        import tempfile

        key = self._key(context)
        reader = next((each for each in serializers() if key.endswith(f".{each.extension}")), None)
        if reader is None:
            known = ", ".join(f".{each.extension}" for each in serializers())
            raise ValueUnreadable(self.store.url_of(key), f"its name tells no form; known are {known}")
        parent = self.settings.home / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="value-", dir=parent) as folder:
            local = Path(folder) / f"value.{reader.extension}"
            try:
                self.store.get_file(key, local)
            except CorruptObject as err:
                raise ValueMissing(self.store.url_of(key), context.partition_keys) from err
            return reader.load(local, reader.wanted(context.type), context.columns)

    def _key(self, context: InputContext) -> str:
        path = context.metadata.get("path")
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            raise ConfigurationError(f"{context.parameter or context.key}: write metadata={{'path': 'folder/file.parquet'}}, got {path!r}.")
        values = {name: partition_folder(value) for name, value in partition_values(context).items()}
        return filled(path, values, context)


def filled(text: str, values: Mapping[str, str], context: InputContext) -> str:
    """Return a text with `{name}` replaced by the values of the partition; raises `ConfigurationError` for a name that it does not have."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = ", ".join(values) or "none, since no partition is asked for"
            raise ConfigurationError(f"{context.parameter or context.key}: {{{match[1]}}} is not known here; known are {known}.")
        return values[match[1]]

    return _PLACEHOLDER.sub(value_of, text)


class SqlConfig(Spec):
    """A database by its SQLAlchemy URL, which holds no password: the whole URL may stand in the environment or in a connection."""

    url: str | SecretRef

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str | SecretRef) -> str | SecretRef:
        if isinstance(value, str) and urlsplit(value).password:
            raise ValueError("the URL holds a password: write url: {env: NAME} and put the URL there")
        return value


class SqlInput(InputManager):
    """Loads the rows of a query: `AssetIn(metadata={"query": "select * from posts where day = :partition_key"})`, values bound.

    `:partition_keys` stands for a list of them, as in `where day in :partition_keys`; `parameters` in the metadata adds one's own.
    """

    def __init__(self, config: SqlConfig, settings: Settings) -> None:
        self._config, self._settings = config, settings
        self._engine: Any = None

    def open(self) -> None:
        """Make the engine; it connects at the first query."""
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        url = self._config.url.find(self._settings) if isinstance(self._config.url, SecretRef) else self._config.url
        try:
            self._engine = create_engine(url)
        except (ArgumentError, NoSuchModuleError, ImportError) as err:
            kind = url.partition(":")[0]
            raise ConfigurationError(
                f"SQLAlchemy cannot open a database of kind {kind!r} ({type(err).__name__}). Is its driver there?"
            ) from None

    def close(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            self._engine.dispose()

    def load_input(self, context: InputContext) -> Any:
        """Return the rows as a table of the wanted type; raises `ValueUnreadable` when the database refuses the query."""
        import pyarrow as pa
        from sqlalchemy.exc import SQLAlchemyError

        statement, values = self._statement(context)
        try:
            with self._engine.connect() as connection:
                result = connection.execution_options(stream_results=True).execute(statement, values)
                names, pieces = list(result.keys()), []
                _refuse_twins(names, context)
                while rows := result.fetchmany(_BATCH_ROWS):
                    pieces.append(pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}))
        except pa.ArrowException as err:
            reason = f"a column holds values of several types: {str(err).splitlines()[0]}; cast it to text in the query"
            raise ValueUnreadable(f"query of {context.parameter or context.key}", reason) from err
        except SQLAlchemyError as err:
            # The driver's message may show the values, but never the URL.
            raise ValueUnreadable(f"query of {context.parameter or context.key}", str(err).splitlines()[0]) from err
        table = pa.concat_tables(pieces, promote_options="permissive") if pieces else pa.table({name: pa.array([]) for name in names})
        return table_as(chosen_columns(table, context), context.type)

    @staticmethod
    def _statement(context: InputContext) -> tuple[Any, dict[str, Any]]:
        from sqlalchemy import bindparam, text

        query = context.metadata.get("query")
        if not isinstance(query, str):
            raise ConfigurationError(f"{context.parameter or context.key}: write metadata={{'query': 'select …'}}, got {query!r}.")
        statement = text(query)
        wanted = set(statement._bindparams)
        values: dict[str, Any] = {**context.metadata.get("parameters", {})}
        if "partition_keys" in wanted:
            statement = statement.bindparams(bindparam("partition_keys", expanding=True))
            values["partition_keys"] = list(context.partition_keys)
        if len(context.partition_keys) <= 1:
            values = {**partition_values(context), **values}
        if unknown := sorted(wanted - values.keys()):
            raise ConfigurationError(f"{context.parameter or context.key}: the query wants {', '.join(unknown)}, which nothing gives.")
        return statement, {name: value for name, value in values.items() if name in wanted}


def _refuse_twins(names: Sequence[str], context: InputContext) -> None:
    if twins := sorted({name for name in names if names.count(name) > 1}):
        reason = f"several of its columns are named {', '.join(twins)}, of which one alone would stay; name each once, with AS"
        raise ValueUnreadable(f"query of {context.parameter or context.key}", reason)


@input_manager(config=PathConfig, name="path")
def path(config: PathConfig, surroundings: Surroundings) -> PathInput:
    """Return the input manager of a store's files."""
    return PathInput(config, surroundings.settings)


@input_manager(config=SqlConfig, name="sql")
def sql(config: SqlConfig, surroundings: Surroundings) -> InputManager:
    """Return the input manager of a database; DuckDB's files are read by DuckDB itself, without a dialect of SQLAlchemy."""
    url = config.url.find(surroundings.settings) if isinstance(config.url, SecretRef) else config.url
    if url.startswith("duckdb:"):
        from ducklift.assets.warehouse_input import WarehouseInput

        return WarehouseInput(dataclasses.replace(surroundings.settings, warehouse_url=url), colons=True)
    return SqlInput(config, surroundings.settings)

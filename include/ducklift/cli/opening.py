"""Opening the warehouse to look into it, never to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ducklift.errors import ConfigurationError, Terminal
from ducklift.settings import Settings, load_settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from ducklift.warehouse import Warehouse

# A person waits at the prompt: long enough for a small load to end, short enough to be told who holds the file.
_WAIT_S = 5.0


@contextmanager
def reading(settings: Settings | None = None) -> Iterator[Warehouse]:
    """Open the warehouse read-only; raises `WarehouseBusy`, `WarehouseUnusable`, or `ConfigurationError` when there is none yet."""
    from ducklift.warehouse import open_warehouse

    with open_warehouse(settings or load_settings(), read_only=True, wait_s=_WAIT_S) as warehouse:
        yield warehouse


@contextmanager
def showing_lake(tables: Sequence[str]) -> Iterator[DuckDBPyConnection]:
    """Open a database in memory with a view of each of these tables of the lake; it may read the lake's files and nothing else."""
    import duckdb

    from ducklift.lake.filesystem import open_lake
    from ducklift.lake.folder import LocalStore
    from ducklift.specs import TableName
    from ducklift.warehouse.identifiers import quote_literal
    from ducklift.warehouse.interrupts import interruptible
    from ducklift.warehouse.lake_views import create_view

    lake = open_lake(load_settings())
    try:
        names = [TableName.parse(table) for table in tables]
    except ValueError as err:
        raise ConfigurationError(f"--lake {' '.join(tables)}: name tables as dataset.table, for example reddit.posts.") from err
    with duckdb.connect() as connection, interruptible(connection):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET autoinstall_known_extensions = false")
        for name in names:
            try:
                create_view(connection, lake, name)
            except duckdb.Error as err:
                raise Terminal(f"{name}: its raw files cannot be read as one: {str(err).splitlines()[0]}") from err
        if not isinstance(lake, LocalStore):
            # Objects are read by Python. A call into DuckDB that does not let go of Python would wait for ever for a thread that needs it.
            connection.execute("SET threads = 1")
        readable = lake.root if isinstance(lake, LocalStore) else str(lake.filesystem.unstrip_protocol(lake.root))
        connection.execute(f"SET allowed_directories = [{quote_literal(readable)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


@contextmanager
def showing_assets(sql: str) -> Iterator[DuckDBPyConnection]:
    """Open the warehouse with the stored values that a statement calls for as `asset('key')`; where there is none yet, one in memory."""
    import dataclasses
    import tempfile
    from pathlib import Path

    from ducklift.assets.sql import asset_calls, fetch_assets, show_assets
    from ducklift.assets.storage import Storage
    from ducklift.errors import WarehouseMissing
    from ducklift.warehouse import open_warehouse

    settings = load_settings()
    with ExitStack() as stack:
        fetched = {}
        if calls := asset_calls(sql):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ducklift-assets-"))
            # Before the warehouse is opened: an asset may be a table of it.
            with Storage(settings) as storage:
                fetched = fetch_assets(calls, storage, Path(folder))
        try:
            warehouse = stack.enter_context(reading(settings))
        except WarehouseMissing:
            if not calls:
                raise
            nowhere = dataclasses.replace(settings, warehouse_url="duckdb:///:memory:")
            warehouse = stack.enter_context(open_warehouse(nowhere))
        if calls:
            show_assets(warehouse.connection, fetched, warehouse.staging)
        yield warehouse.connection

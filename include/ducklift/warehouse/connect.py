"""Opening a warehouse: waiting for it, the resources it may use, and the settings that leave nothing open to hostile data."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.errors import ConfigurationError, DiskFull, WarehouseBusy, WarehouseUnavailable, WriteConflict
from ducklift.settings import Settings, load_settings
from ducklift.warehouse.binding import without_pandas
from ducklift.warehouse.conflicts import pauses_s
from ducklift.warehouse.identifiers import quote_literal
from ducklift.warehouse.interrupts import interruptible, interrupts_named
from ducklift.warehouse.resources import Resources, resources
from ducklift.warehouse.staging_folder import staging_folder
from ducklift.warehouse.targets import FileTarget, Kind, Target, file_unusable, make_folder, warehouse_target

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DEFAULT_WAIT_S = 60.0
_DISK_FULL = ("no space left", "file too large", "disk quota", "could not write")
_CONFLICTS = ("transaction conflict", "write-write conflict", "conflict on", "could not serialize", "deadlock detected", "retry count")
_LOST = ("server closed the connection", "connection to server", "terminating connection", "no connection to the server", "ssl syscall")
_LOCKS_GUARD = threading.Lock()
_locks: dict[str, threading.Lock] = {}


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse. `staging` is the only folder that its connection may read files from; it goes with the connection."""

    connection: DuckDBPyConnection
    database: str
    staging: Path
    settings: Settings = field(default_factory=load_settings, repr=False)
    kind: Kind = "file"

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> DuckDBPyConnection:
        """Run a statement, its values bound, and return what to fetch its rows from."""
        if not parameters:
            return self.connection.execute(sql)
        with without_pandas():
            return self.connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return all rows of a small query."""
        found: list[tuple[Any, ...]] = self.run(sql, parameters or ()).fetchall()
        return found

    def value(self, sql: str, parameters: list[Any] | None = None) -> Any:
        """Return the one value of a query's one row."""
        row = self.run(sql, parameters or ()).fetchone()
        return row[0] if row else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the body did, or roll all of it back when it raises.

        Raises `WriteConflict` when another writer was first; see `ducklift.warehouse.conflicts` for what to do about it.
        """
        with conflicts_named(self.database):
            self.connection.begin()
            try:
                yield
            except BaseException:
                self._undo()
                raise
            self.connection.commit()

    def _undo(self) -> None:
        import duckdb

        try:
            self.connection.rollback()
        except duckdb.TransactionException:
            # The catalog's server ended the transaction itself; what it was is the error that the body raised.
            return


@contextmanager
def open_warehouse(settings: Settings, *, read_only: bool = False, wait_s: float = DEFAULT_WAIT_S) -> Iterator[Warehouse]:
    """Open the warehouse that `DUCKLIFT_WAREHOUSE_URL` names, hardened; it is made when it is missing unless `read_only`.

    Waits up to `wait_s` seconds for another process. Raises `WarehouseBusy` that names the holder, `WarehouseUnavailable` when its server
    does not answer, `WarehouseUnusable` when it is corrupt, refused or newer than this DuckDB, `WarehouseMissing` when there is none to
    read.
    """
    target = warehouse_target(settings)
    with (
        staging_folder(make_folder(settings.home / "loading")) as folder,
        _alone_in_process(target, wait_s),
        errors_named(target.name),
        _opened(target, settings, folder, read_only=read_only, wait_s=wait_s) as warehouse,
    ):
        yield warehouse


@contextmanager
def open_file(database: Path, staging: Path, settings: Settings | None = None, wait_s: float = DEFAULT_WAIT_S) -> Iterator[Warehouse]:
    """Open a DuckDB file of Ducklift's own making, hardened, with a staging folder that is there already."""
    with _opened(FileTarget(database), settings or load_settings(), staging, read_only=False, wait_s=wait_s) as warehouse:
        yield warehouse


@contextmanager
def _opened(target: Target, settings: Settings, folder: Path, *, read_only: bool, wait_s: float) -> Iterator[Warehouse]:
    with ExitStack() as stack:
        # One of its own: a second instance (a scratch file of the same load) would write spill files of the same names.
        spill = folder / f"spill-{uuid.uuid4().hex[:8]}"
        if settings.temp_directory:
            spill = stack.enter_context(staging_folder(make_folder(settings.temp_directory)))
        connection = _connected(target, settings, read_only, wait_s)
        stack.callback(connection.close)
        stack.enter_context(interruptible(connection))
        harden(connection, [str(folder), str(spill), *target.data_folders()], spill, resources(settings, spill))
        yield Warehouse(connection, target.name, folder, settings, target.kind)


@contextmanager
def _alone_in_process(target: Target, wait_s: float) -> Iterator[None]:
    # A file's own lock keeps out other processes only: two threads of one would write the same file through two instances.
    if target.kind != "file":
        yield
        return
    with _LOCKS_GUARD:
        lock = _locks.setdefault(target.name, threading.Lock())
    if not lock.acquire(timeout=wait_s):
        raise WarehouseBusy(target.name, f"another thread of this process, PID {os.getpid()}")
    try:
        yield
    finally:
        lock.release()


def _connected(target: Target, settings: Settings, read_only: bool, wait_s: float) -> DuckDBPyConnection:
    pauses, end = pauses_s(longest_s=1.0), time.monotonic() + wait_s
    while True:
        try:
            with interrupts_named():
                return target.connect(settings, read_only=read_only)
        except WarehouseBusy:
            if time.monotonic() >= end:
                raise
        time.sleep(next(pauses))


def harden(connection: DuckDBPyConnection, folders: list[str], spill: Path, granted: Resources) -> None:
    """Give a connection its resources, shut it off from everything but `folders`, and lock that."""
    # The order matters: nothing can be loosened once the configuration is locked.
    for statement in (
        "SET TimeZone = 'UTC'",
        # On by itself in a notebook and under `python -c`: it writes to standard output, where --json promises JSON.
        "SET enable_progress_bar = false",
        "SET preserve_insertion_order = true",
        f"SET memory_limit = '{granted.memory_limit_bytes}B'",
        f"SET threads = {granted.threads}",
        f"SET temp_directory = {quote_literal(str(spill))}",
        f"SET max_temp_directory_size = '{granted.temp_limit_bytes}B'",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        f"SET allowed_directories = [{', '.join(map(quote_literal, folders))}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)


@contextmanager
def conflicts_named(database: str) -> Iterator[None]:
    """Turn DuckDB's words for a lost race into `WriteConflict`, those for a lost server into `WarehouseUnavailable`.

    A database of MotherDuck that is named as a dataset is a `ConfigurationError`; other catalogs bear a name that no dataset can have.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as err:
        text = str(err).lower()
        if "ambiguous reference to catalog or schema" in text:
            raise ConfigurationError(f"{database} has the name of a dataset, and DuckDB cannot tell the two apart: rename one.") from err
        if any(words in text for words in _CONFLICTS):
            raise WriteConflict(database, str(err).splitlines()[-1]) from err
        if any(words in text for words in _LOST):
            raise WarehouseUnavailable(database, str(err).splitlines()[-1]) from err
        raise


@contextmanager
def errors_named(database: str) -> Iterator[None]:
    """Turn DuckDB's words for a full disk into `DiskFull`, and those for a damaged file into `WarehouseUnusable`."""
    import duckdb

    try:
        yield
    except duckdb.Error as err:  # a full disk at the commit is a TransactionException, elsewhere an IOException or a FatalException
        text = str(err)
        if any(words in text.lower() for words in _DISK_FULL):
            raise DiskFull(database, "writing the warehouse; the load was rolled back") from err
        if "corrupt" in text.lower() or (database in text and "could not read" in text.lower()):
            raise file_unusable(database, text) from err
        raise

"""`DUCKLIFT_READ_COPY`: a copy of the DuckDB file for programs that keep their file open, renamed into place after commits."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

from ducklift.errors import ConfigurationError, ReadCopyFailed
from ducklift.failpoints import reach
from ducklift.settings import Settings
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.targets import FileTarget, warehouse_target

# What tells one content from another: the last commit of each table that changed rows, columns or quarantine.
_CONTENT = """
    SELECT dataset, "table", max(sequence) FROM _ducklift.loads
    WHERE rows_inserted + rows_updated + rows_deleted + rows_quarantined > 0
       OR supersedes <> '[]' OR replaces_stream OR columns IS NOT NULL OR kind = 'reset'
    GROUP BY ALL ORDER BY ALL
"""
_PREFIX, _SUFFIX = ".", ".copying"


def check_read_copy(settings: Settings) -> None:
    """Raise `ConfigurationError` when a read copy is asked for that cannot be: of a warehouse that is no file, or in its own place."""
    copy = settings.read_copy
    if copy is None:
        return
    target = warehouse_target(settings)
    if not isinstance(target, FileTarget):
        reason = "only a DuckDB file can be copied; remove DUCKLIFT_READ_COPY, readers of other warehouses do not block each other"
        raise ConfigurationError(f"DUCKLIFT_READ_COPY is set, but DUCKLIFT_WAREHOUSE_URL is {target.name!r}: {reason}.")
    if _place(settings).resolve() == target.path:
        raise ConfigurationError(f"DUCKLIFT_READ_COPY is {str(copy)!r}, which is the warehouse itself; name another file.")


def refresh_read_copy(warehouse: Warehouse, settings: Settings, *, anew: bool = False) -> None:
    """Put a copy of the warehouse in place of the last one when its content has changed since, or `anew`; nobody may be writing.

    Readers that hold the last copy keep it. Raises `ReadCopyFailed`; the next load, or the same one again, then tries anew.
    """
    import duckdb

    if settings.read_copy is None:
        return
    copy = _place(settings)
    if not anew and copy.exists() and _content_of_copy(copy) == warehouse.rows(_CONTENT):
        return
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        _sweep(copy)
        _renamed_into_place(warehouse, copy)
    except OSError as err:
        raise ReadCopyFailed(str(copy), err.strerror or str(err)) from err
    except duckdb.Error as err:
        raise ReadCopyFailed(str(copy), str(err).splitlines()[0]) from err


def _place(settings: Settings) -> Path:
    return settings.project / (settings.read_copy or "")


def _content_of_copy(copy: Path) -> list[tuple[object, ...]] | None:
    """Return what the copy holds, or None when it does not tell: a program may hold it for writing, or it is something else."""
    import duckdb

    try:
        with duckdb.connect(str(copy), read_only=True) as connection:
            return connection.execute(_CONTENT).fetchall()
    except duckdb.Error:
        return None


def _renamed_into_place(warehouse: Warehouse, copy: Path) -> None:
    building = copy.with_name(f"{_PREFIX}{copy.name}.{uuid.uuid4().hex[:12]}{_SUFFIX}")
    # Afterwards everything that is committed stands in the file itself, none of it in the log beside it.
    warehouse.connection.execute("CHECKPOINT")
    try:
        _copied(warehouse.database, building, copy)
        reach("load.read_copy_written")
        # A program that wrote to the last copy left a log; it must not be played into this one.
        Path(f"{copy}.wal").unlink(missing_ok=True)
        building.replace(copy)
        _synced(copy.parent)
    finally:
        building.unlink(missing_ok=True)


def _copied(database: str, building: Path, copy: Path) -> None:
    program = shutil.which("cp")
    if program is None:
        raise ReadCopyFailed(str(copy), "the program 'cp' is not installed")
    # By a process of its own: closing any descriptor of the file in this one would give up DuckDB's lock on it (POSIX, fcntl).
    done = subprocess.run([program, "--", database, str(building)], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ReadCopyFailed(str(copy), " ".join(done.stderr.split()) or f"cp ended with {done.returncode}")
    _synced(building)


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(copy: Path) -> None:
    """Remove what a copying that was killed left behind; the warehouse's lock keeps others from copying meanwhile."""
    for left in copy.parent.glob(f"{_PREFIX}{copy.name}.*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            left.unlink()

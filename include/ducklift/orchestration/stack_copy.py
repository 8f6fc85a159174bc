"""The compose stack's warehouse as a stream of bytes: `python -m ducklift.orchestration.stack_copy out|in`, for backup and restore."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ducklift.errors import ConfigurationError, DuckliftError, WarehouseUnusable
from ducklift.settings import Settings, load_settings

SCHEME = "duckdb:///"
LOADS_END_WITHIN_S = 600.0


def copy_out(settings: Settings, stream: BinaryIO) -> None:
    """Write the whole warehouse to the stream; no load begins meanwhile. Raises `WarehouseBusy` when one does not end in time."""
    from ducklift.warehouse.connect import open_warehouse

    file = warehouse_file(settings)
    if not file.is_file():
        raise ConfigurationError(f"There is no warehouse at {file} yet. Load something first.")
    with open_warehouse(settings, wait_s=LOADS_END_WITHIN_S) as warehouse:
        warehouse.run("FORCE CHECKPOINT")
        # Another process reads it: a file that this one opened and closed again would take DuckDB's lock on it away.
        subprocess.run(["cat", str(file)], stdout=stream, check=True)  # noqa: S603, S607 - a file of ours, a program of every image


def copy_in(settings: Settings, stream: BinaryIO) -> None:
    """Put what the stream holds in the warehouse's place, in one step; nothing may have it open.

    Raises `ConfigurationError` when that is no warehouse, and leaves the one that is there.
    """
    import duckdb

    from ducklift.warehouse.connect import open_warehouse

    file = warehouse_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.restored")
    with scratch.open("wb") as target:
        shutil.copyfileobj(stream, target)
    try:
        duckdb.connect(str(scratch), read_only=True).close()
    except duckdb.Error as err:
        scratch.unlink()
        raise ConfigurationError(f"What was to be restored is no warehouse that this DuckDB reads: {err}") from err
    if file.is_file():
        # What cannot be read any more is what a backup is for; what somebody holds open stays.
        with suppress(WarehouseUnusable), open_warehouse(settings, wait_s=LOADS_END_WITHIN_S) as warehouse:
            warehouse.run("FORCE CHECKPOINT")
    file.with_name(f"{file.name}.wal").unlink(missing_ok=True)
    scratch.replace(file)


def warehouse_file(settings: Settings) -> Path:
    """Return the warehouse's file; raises `ConfigurationError` when it is none of this machine."""
    if not settings.warehouse_url.startswith(SCHEME):
        raise ConfigurationError("DUCKLIFT_WAREHOUSE_URL names no DuckDB file; back that warehouse up by its own means.")
    return Path(settings.warehouse_url.removeprefix(SCHEME))


def main(arguments: list[str]) -> int:
    """Copy out or in and return the exit code; a failure is one line."""
    try:
        if arguments == ["out"]:
            copy_out(load_settings(), sys.stdout.buffer)
        else:
            copy_in(load_settings(), sys.stdin.buffer)
    except DuckliftError as err:
        sys.stderr.write(f"ducklift: {err}\n")
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The warehouse file: locked, damaged, newer, closed to hostile data. It is never overwritten."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow
import pytest
from installations import Installation, sightings

from ducklift.errors import ConfigurationError, WarehouseBusy, WarehouseUnusable
from ducklift.pipeline import load
from ducklift.warehouse import open_warehouse

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def held_by_another(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the file open for writing in another process until that is told to end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def release(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()


def test_a_file_that_stays_held_is_busy_and_the_error_names_the_holders_pid(installation: Installation) -> None:
    with (
        held_by_another(installation.warehouse_file) as holder,
        pytest.raises(WarehouseBusy, match=rf"PID {holder.pid}\b.*ducklift_warehouse"),
        open_warehouse(installation.settings, wait_s=0.2),
    ):
        pass


def test_a_load_waits_for_a_file_that_is_let_go(installation: Installation) -> None:
    with held_by_another(installation.warehouse_file) as holder:
        threading.Timer(0.3, release, [holder]).start()

        summary = installation.land(sightings(1))

    assert summary.state == "loaded"


def test_a_load_that_found_the_file_busy_lands_when_it_runs_again(installation: Installation) -> None:
    pipeline = installation.pipeline(sightings(1))
    url = installation.put(pipeline)
    with (
        held_by_another(installation.warehouse_file),
        pytest.raises(WarehouseBusy),
        open_warehouse(installation.settings, wait_s=0),
    ):
        pass

    assert load(url, installation.settings, pipeline).rows_inserted == 1


def test_the_staging_folder_of_a_load_that_waits_in_vain_is_removed(installation: Installation) -> None:
    with (
        held_by_another(installation.warehouse_file),
        pytest.raises(WarehouseBusy),
        open_warehouse(installation.settings, wait_s=0),
    ):
        pass

    assert list((installation.project / ".ducklift" / "loading").iterdir()) == []


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one" * 100, b"\0" * 20_000, b"x"])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(installation: Installation, content: bytes) -> None:
    installation.warehouse_file.parent.mkdir(parents=True)
    installation.warehouse_file.write_bytes(content)

    with pytest.raises(WarehouseUnusable, match="rebuild"):
        installation.land(sightings(1))

    assert installation.warehouse_file.read_bytes() == content


def test_a_file_whose_header_is_damaged_is_refused_and_left_as_it_is(installation: Installation) -> None:
    installation.land(sightings(1))
    damaged = bytearray(installation.warehouse_file.read_bytes())
    damaged[4096 : 3 * 4096] = os.urandom(2 * 4096)
    installation.warehouse_file.write_bytes(damaged)

    with pytest.raises(WarehouseUnusable, match="rebuild"):
        installation.land(sightings(2), day=1)

    assert installation.warehouse_file.read_bytes() == bytes(damaged)


def test_a_file_that_is_cut_short_is_refused_and_left_as_it_is(installation: Installation) -> None:
    installation.land(sightings(*range(2000)))
    cut = installation.warehouse_file.read_bytes()[: 300 * 1024]
    installation.warehouse_file.write_bytes(cut)

    with pytest.raises(WarehouseUnusable):
        installation.land(sightings(2), day=1)

    assert installation.warehouse_file.read_bytes()[: len(cut)] == cut


def checksum(block: bytes) -> int:
    """Return DuckDB's checksum of a block."""
    found = 5381
    for start in range(0, len(block), 8):
        found ^= int.from_bytes(block[start : start + 8], "little") * 0xBF58476D1CE4E5B9 & 2**64 - 1
    return found


def test_a_file_of_a_newer_duckdb_is_refused_with_the_advice_to_upgrade(installation: Installation) -> None:
    installation.land(sightings(1))
    newer = bytearray(installation.warehouse_file.read_bytes())
    newer[12:20] = (999).to_bytes(8, "little")  # the storage version, behind the checksum and the magic bytes
    newer[:8] = checksum(newer[8:4096]).to_bytes(8, "little")
    installation.warehouse_file.write_bytes(newer)

    with pytest.raises(WarehouseUnusable, match="newer DuckDB: upgrade"):
        installation.land(sightings(2), day=1)

    assert installation.warehouse_file.read_bytes() == bytes(newer)


def test_a_system_schema_of_a_newer_version_is_refused_by_name(installation: Installation) -> None:
    installation.land(sightings(1))
    with duckdb.connect(str(installation.warehouse_file)) as connection:
        connection.execute("UPDATE _ducklift.version SET version = 99")

    with pytest.raises(WarehouseUnusable, match="version 99"):
        installation.land(sightings(2), day=1)

    assert len(installation.rows()) == 1


def test_a_warehouse_that_is_not_there_cannot_be_read(installation: Installation) -> None:
    with pytest.raises(ConfigurationError, match="ducklift run"), open_warehouse(installation.settings, read_only=True):
        pass

    assert not installation.warehouse_file.exists()


def test_a_folder_in_the_place_of_the_file_is_refused(installation: Installation) -> None:
    installation.warehouse_file.mkdir(parents=True)

    with pytest.raises(WarehouseUnusable):
        installation.land(sightings(1))


HOSTILE = {
    "reading a file": "SELECT * FROM read_text('/etc/passwd')",
    "reading a file as a table": "SELECT * FROM '/etc/passwd'",
    "reading a CSV file": "SELECT * FROM read_csv('/etc/passwd')",
    "listing a folder": "SELECT * FROM glob('/etc/*')",
    "writing a file": "COPY (SELECT 1) TO '{outside}/out.csv'",
    "exporting": "EXPORT DATABASE '{outside}/export'",
    "attaching": "ATTACH '{outside}/other.duckdb'",
    "climbing out": "SELECT * FROM read_text('{staging}/../../../../etc/passwd')",
    "reading from the network": "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "installing an extension": "INSTALL httpfs",
    "loading an extension": "LOAD httpfs",
    "allowing it again": "SET enable_external_access = true",
    "allowing more folders": "SET allowed_directories = ['/']",
    "unlocking": "SET lock_configuration = false",
    "resetting": "RESET enable_external_access",
    "moving the spill": "SET temp_directory = '/etc'",
    "making a secret": "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "reading the environment": "SELECT getenv('HOME')",
}


@pytest.mark.parametrize("attempt", HOSTILE)
def test_an_open_warehouse_is_closed_to(attempt: str, installation: Installation, tmp_path: Path) -> None:
    with open_warehouse(installation.settings) as warehouse:
        sql = HOSTILE[attempt].format(outside=tmp_path, staging=warehouse.staging)
        with pytest.raises(duckdb.Error):
            warehouse.connection.execute(sql).fetchall()


def test_an_open_warehouse_is_closed_to_the_variables_of_the_process(installation: Installation) -> None:
    secrets = pyarrow.table({"password": ["hidden"]})

    with open_warehouse(installation.settings) as warehouse, pytest.raises(duckdb.Error):
        warehouse.connection.execute("SELECT * FROM secrets").fetchall()
    assert secrets.num_rows == 1


def test_a_reader_is_closed_to_files_too(installation: Installation) -> None:
    installation.land(sightings(1))

    with open_warehouse(installation.settings, read_only=True) as warehouse, pytest.raises(duckdb.Error):
        warehouse.rows("SELECT * FROM read_text('/etc/passwd')")


def test_a_reader_cannot_write(installation: Installation) -> None:
    installation.land(sightings(1))

    with open_warehouse(installation.settings, read_only=True) as warehouse, pytest.raises(duckdb.Error, match="read-only"):
        warehouse.connection.execute("DELETE FROM nature.sightings")


def test_spilling_to_disk_works_in_a_closed_warehouse(installation: Installation) -> None:
    limited = Installation(installation.project, environment={"DUCKLIFT_MEMORY_LIMIT": "64MiB", "DUCKLIFT_THREADS": "1"})

    with open_warehouse(limited.settings) as warehouse:
        warehouse.connection.execute("CREATE TEMPORARY TABLE big AS SELECT range AS a, repeat('x', 50) || range AS b FROM range(3000000)")
        assert warehouse.value("SELECT count(*) FROM (SELECT * FROM big ORDER BY b DESC)") == 3_000_000


def test_threads_of_one_process_open_the_warehouse_one_after_the_other(installation: Installation) -> None:
    def opening() -> int:
        with open_warehouse(installation.settings) as warehouse:
            return int(warehouse.value("SELECT 1"))

    with ThreadPoolExecutor(1) as pool:
        with open_warehouse(installation.settings):
            opened = pool.submit(opening)
            with pytest.raises(TimeoutError):
                opened.result(0.2)
        assert opened.result() == 1


def test_a_thread_that_waits_in_vain_for_another_is_told_that_it_is_this_process(installation: Installation) -> None:
    def opening() -> None:
        with open_warehouse(installation.settings, read_only=True, wait_s=0.1):
            pass

    with (
        ThreadPoolExecutor(1) as pool,
        open_warehouse(installation.settings),
        pytest.raises(WarehouseBusy, match=f"this process, PID {os.getpid()}"),
    ):
        pool.submit(opening).result()


ASKED_FOR_ITS_BAR = """
from pathlib import Path
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse
with open_warehouse(load_settings(environment={}, project=Path.cwd())) as warehouse:
    print(warehouse.value("SELECT current_setting('enable_progress_bar')"))
"""


def test_nothing_but_answers_reaches_standard_output_where_duckdb_would_draw_a_bar(project: Path) -> None:
    # DuckDB takes a program without a file for a notebook.
    told = subprocess.run([sys.executable, "-c", ASKED_FOR_ITS_BAR], cwd=project, capture_output=True, text=True, check=True)

    assert told.stdout == "False\n"

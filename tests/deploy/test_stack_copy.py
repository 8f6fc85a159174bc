"""The warehouse's backup as a stream, on a real DuckDB file; tests/deploy/test_stack.py does it in the containers."""

from __future__ import annotations

import io
import subprocess
import sys

import duckdb
import pytest

from ducklift.errors import ConfigurationError, WarehouseBusy
from ducklift.orchestration import stack_copy
from ducklift.settings import load_settings


@pytest.fixture
def settings(project):
    return load_settings({"DUCKLIFT_WAREHOUSE_URL": f"duckdb:///{project / 'warehouse.duckdb'}"}, project)


@pytest.fixture
def file(settings):
    return stack_copy.warehouse_file(settings)


def write(file, *numbers):
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE OR REPLACE TABLE numbers AS SELECT unnest(?) AS number", [list(numbers)])


def read(file):
    with duckdb.connect(str(file), read_only=True) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY 1").fetchall()]


def test_a_backup_puts_back_what_the_warehouse_held(settings, file, tmp_path):
    write(file, 1, 2, 3)
    with (tmp_path / "backup").open("wb") as stream:
        stack_copy.copy_out(settings, stream)
    write(file, 4)

    with (tmp_path / "backup").open("rb") as stream:
        stack_copy.copy_in(settings, stream)

    assert read(file) == [1, 2, 3]


@pytest.mark.parametrize("left", [None, b"", b"DUCK no more" * 1000], ids=["gone", "empty", "corrupt"])
def test_a_backup_restores_a_warehouse_that_is_gone_or_cannot_be_read(settings, file, tmp_path, left):
    write(file, 1, 2, 3)
    with (tmp_path / "backup").open("wb") as stream:
        stack_copy.copy_out(settings, stream)
    file.unlink()
    if left is not None:
        file.write_bytes(left)

    with (tmp_path / "backup").open("rb") as stream:
        stack_copy.copy_in(settings, stream)

    assert read(file) == [1, 2, 3]


def test_what_is_no_warehouse_takes_the_place_of_none(settings, file):
    write(file, 1, 2, 3)

    with pytest.raises(ConfigurationError, match="no warehouse"):
        stack_copy.copy_in(settings, io.BytesIO(b"not a DuckDB file" * 100))

    assert read(file) == [1, 2, 3]


def test_a_backup_waits_for_a_load_and_names_it_when_it_does_not_end(settings, file, monkeypatch):
    write(file, 1)
    monkeypatch.setattr(stack_copy, "LOADS_END_WITHIN_S", 0.1)
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(WarehouseBusy, match=str(holder.pid)):
            stack_copy.copy_out(settings, io.BytesIO())
        holder.stdin.close()


def test_there_is_nothing_to_back_up_before_the_first_load(settings):
    with pytest.raises(ConfigurationError, match="Load something first"):
        stack_copy.copy_out(settings, io.BytesIO())


def test_a_warehouse_elsewhere_is_not_this_commands_business(project):
    with pytest.raises(ConfigurationError, match="by its own means"):
        stack_copy.warehouse_file(load_settings({"DUCKLIFT_WAREHOUSE_URL": "md:mine"}, project))

"""Standard output and error as a command may find them: full, closed, with few letters."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import COMMAND

FULL = "standard output takes nothing more (No space left on device); what the command did stands."


def answer(command: str, **environment: str) -> subprocess.CompletedProcess[Any]:
    """Run a shell's command line, with `ducklift` for the command."""
    text = command.replace("ducklift", str(COMMAND), 1)
    return subprocess.run(["bash", "-c", text], env={**os.environ, **environment}, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("verb", ["status", "doctor --json", "--help", "query 'select 1' --format csv"])
def test_a_full_disk_under_the_output_is_one_line(home: Path, verb: str, buffered: str) -> None:
    if verb.startswith("query"):
        (home / ".ducklift" / "warehouse.duckdb").unlink(missing_ok=True)
        make_warehouse(home)

    done = answer(f"ducklift {verb} > /dev/full", PYTHONUNBUFFERED=buffered)

    assert (done.returncode, done.stderr.decode().splitlines()) == (1, [f"ducklift: {FULL}"])


def test_a_closed_output_or_error_is_no_failure_of_the_command(home: Path) -> None:
    make_warehouse(home)

    assert answer("ducklift query 'select 42' >&-").returncode == 0
    assert answer("ducklift query 'select 42 AS answer' 2>&-").stdout.split() == [b"answer", "──────".encode(), b"42"]
    assert answer("ducklift query nonsense >&- 2>&-").returncode == 2


def test_letters_that_the_terminal_lacks_are_shown_as_escapes_and_data_are_utf_8_all_the_same(home: Path) -> None:
    make_warehouse(home)
    select, latin = "ducklift query \"SELECT 'ä € 🦆' AS x\"", {"PYTHONIOENCODING": "latin-1"}

    assert "ä \\u20ac \\U0001f986" in answer(select, **latin).stdout.decode("latin-1")
    assert answer(f"{select} --format csv", **latin).stdout.decode() == "x\nä € 🦆\n"


def make_warehouse(home: Path) -> None:
    import duckdb

    duckdb.connect(str(home / ".ducklift" / "warehouse.duckdb")).close()

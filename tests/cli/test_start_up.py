from __future__ import annotations

import subprocess
import sys

import pytest

import ducklift as package

VERBS = ["run", "load", "query", "tables", "loads", "status", "validate", "init", "doctor", "ui", "sandbox"]
HEAVY = ("airflow", "pandas", "pyarrow", "duckdb", "praw", "s3fs", "boto3", "pydantic", "starlette", "uvicorn", "yaml", "rich")

NOT_USED = (
    "fsspec",
    "asyncio",
    "concurrent.futures",
    "tenacity",
    "ducklift.lake.gc",
    "ducklift.warehouse.replay",
    "ducklift.warehouse.checks",
)


def test_the_verbs_start_without_anything_heavy():
    listing = "import sys, ducklift.cli.app; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout.split()

    assert {name.partition(".")[0] for name in loaded}.isdisjoint(HEAVY)


def test_a_load_in_a_folder_starts_without_what_it_does_not_use(tmp_path):
    lake = "ensure_lake(open_lake(load_settings({'DUCKLIFT_LAKE_URL': sys.argv[1]})))"
    imports = "import sys, ducklift.pipeline, ducklift.warehouse.loading; from ducklift.lake.filesystem import ensure_lake, open_lake"
    listing = f"{imports}; from ducklift.settings import load_settings; {lake}; print(*sys.modules, sep='\\n')"
    started = subprocess.run([sys.executable, "-c", listing, tmp_path.as_uri()], capture_output=True, text=True, check=True)

    assert set(started.stdout.split()).isdisjoint({*NOT_USED, *HEAVY} - {"pydantic", "yaml"})


def test_help_lists_the_verbs_and_the_exit_codes(ducklift):
    answer = ducklift("--help")

    assert [verb for verb in VERBS if f" {verb} " not in answer.stdout] == []
    assert "3 retry later" in " ".join(answer.stdout.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(ducklift, verb):
    answer = ducklift(verb, "--help")

    assert answer.exit_code == 0
    assert "Usage: ducklift" in answer.stdout


def test_the_version_is_the_package_s(command):
    assert command("--version").stdout == f"ducklift {package.__version__}\n"


def test_a_call_without_a_verb_shows_the_help(ducklift):
    answer = ducklift()

    assert answer.exit_code == 2
    assert "validate" in answer.stdout + answer.stderr

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_ctrl_c_before_a_verb_is_at_work_ends_with_130_and_no_traceback():
    interrupted = "verbs.application = lambda _: signal.raise_signal(signal.SIGINT); main()"
    done = subprocess.run(
        [sys.executable, "-c", f"import signal; from ducklift.cli import main, verbs; {interrupted}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (130, "")


def test_a_project_may_be_named_from_the_working_directory(tmp_path):
    listing = "from ducklift.settings import load_settings; print(load_settings().lake_url)"
    environment = {"PATH": "", "PYTHONPATH": str(Path(package.__file__).parents[1]), "DUCKLIFT_PROJECT": "birds"}
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    assert done.stdout == f"{(tmp_path / 'birds' / '.ducklift' / 'lake').as_uri()}\n"


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_dot_env_in_another_encoding_is_refused_by_name_and_shows_no_secret(ducklift, home, encoding):
    (home / ".env").write_bytes("REDDIT_CLIENT_SECRET=hunter2\nDUCKLIFT_SPOOL=/vögel\n".encode(encoding))
    answer = ducklift("status")

    assert answer.exit_code == 2
    assert str(home / ".env") in answer.stderr
    assert "UTF-8" in answer.stderr
    assert "hunter2" not in answer.stderr

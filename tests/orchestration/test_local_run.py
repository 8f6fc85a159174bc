"""`make run`: a real DAG run on the sandbox, the next day's run, and a red one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from ducklift.errors import ConfigurationError
from ducklift.orchestration import local_run
from ducklift.orchestration.environment import LocalAirflow
from ducklift.orchestration.processes import Background
from ducklift.orchestration.run_screen import show_failure

REPOSITORY = Path(__file__).parents[2]
COUNTS = "select count(*), count(distinct name), count(distinct subreddit) from reddit.posts"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory) -> LocalAirflow:
    project = tmp_path_factory.mktemp("local run") / "a project"
    shutil.copytree(REPOSITORY / "dags", project / "dags")
    shutil.copytree(REPOSITORY / "include" / "pipelines", project / "include" / "pipelines")
    return LocalAirflow(project)


def posts(airflow: LocalAirflow) -> tuple[int, int, int]:
    import duckdb

    with duckdb.connect(str(airflow.project / ".ducklift" / "warehouse.duckdb"), read_only=True) as warehouse:
        return warehouse.execute(COUNTS).fetchone()


def raw_files(airflow: LocalAirflow) -> set[str]:
    return {str(file) for file in (airflow.sandbox / "s3").rglob("raw/reddit/posts/*.jsonl.gz")}


def run(airflow: LocalAirflow) -> int:
    return local_run.main(["--project", str(airflow.project)])


@pytest.mark.airflow
@pytest.mark.timeout(1800)
def test_make_run_shows_what_it_made_the_next_run_adds_only_what_is_new_and_a_bad_subreddit_ends_red(airflow, capsys):
    assert run(airflow) == 0
    shown = capsys.readouterr().out
    rows, names, subreddits = posts(airflow)
    first_files = raw_files(airflow)
    for part in ("reddit_extraction", "s3_upload", "duckdb_load", "top posts", "raw/reddit/posts/", "warehouse.duckdb", "make up"):
        assert part in shown
    assert len(shown.splitlines()) <= 45
    assert rows == names > 1000
    assert subreddits >= 6

    assert run(airflow) == 0
    again, names_again, _ = posts(airflow)
    assert again == names_again
    assert 0 < again - rows < rows / 4
    assert first_files < raw_files(airflow)

    pipeline = airflow.project / "include" / "pipelines" / "reddit.yaml"
    pipeline.write_text(pipeline.read_text().replace("subreddits: [", "subreddits: [nosuchsubreddit, "))
    capsys.readouterr()
    assert run(airflow) == 1
    red = capsys.readouterr()
    assert "nosuchsubreddit/new: there is no such subreddit" in red.err
    assert "Traceback" not in red.err
    assert posts(airflow)[0] > again


def test_make_run_does_not_disturb_a_standing_airflow(tmp_path):
    airflow = LocalAirflow(tmp_path)
    airflow.make_folders()
    standing = Background(tmp_path, airflow.record)
    standing.start("scheduler", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ, tmp_path / "log")
    try:
        with pytest.raises(ConfigurationError, match="make down"):
            local_run.run(airflow)
    finally:
        standing.end_all(5)


def test_two_runs_at_once_are_refused(tmp_path):
    airflow = LocalAirflow(tmp_path)
    airflow.make_folders()

    with local_run.only_run(airflow), pytest.raises(ConfigurationError, match="Another 'make run'"), local_run.only_run(airflow):
        pass


def test_of_a_failed_run_the_lines_that_tell_why_are_shown(tmp_path, capsys):
    log = tmp_path / "log"
    log.write_text(
        "2026-11-21T07:28:10Z [info     ] Filling up the Dagbag\n"
        "2026-11-21T07:28:11Z \x1b[31m[error    ] Task failed\x1b[0m\n"
        "  File tasks.py, line 52\n"
        "ducklift.errors.StreamRefused: python/new: it is private\n"
    )

    show_failure({"tasks": [{"task_id": "reddit_extraction", "stream": "python/new", "state": "failed"}]}, log)

    shown = capsys.readouterr().err
    assert "task reddit_extraction failed for python/new" in shown
    assert "StreamRefused: python/new: it is private" in shown
    assert "[error    ] Task failed\n" in shown
    assert "Dagbag" not in shown
    assert str(log) in shown

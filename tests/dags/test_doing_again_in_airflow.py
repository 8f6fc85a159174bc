"""A load done again by Airflow itself, as the Lake page's actions have it done: its package, its slice, its quarantine."""

from __future__ import annotations

from typing import Any

import pytest
from dags_on_sandbox import YAML, run_by_airflow, stand_on

from ducklift.lake.spool_place import PackageName
from ducklift.pipeline import Run, extract, load, load_pipeline, upload
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse

pytestmark = pytest.mark.airflow

STREAMS = ("python/new", "selfhosted/new")
WRONG_TYPE = "columns: [{name: title, type: bigint}]\n"


@pytest.fixture(scope="module")
def told(sandbox, tmp_path_factory) -> Any:
    """What became of three runs, each with one load to be done again, and of one with a load that nobody knows."""
    folder = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_on(sandbox, folder, monkeypatch)
        file = folder / "pipelines" / "reddit.yaml"
        right = YAML.format(subreddits="python, selfhosted", target="warehouse") + "contract: quarantine\n"
        file.write_text(right + WRONG_TYPE, "utf-8")
        settings, run = load_settings(), Run.now()
        pipeline = load_pipeline("reddit", settings)
        packages = [extract(pipeline, stream, run, settings) for stream in STREAMS]
        quarantined, pending = (f"reddit.posts/{PackageName.of(package).load_id}" for package in packages)
        assert load(upload(packages[0], settings), settings, pipeline).rows_quarantined
        upload(packages[1], settings)
        file.write_text(right, "utf-8")
        asked = [("load", pending), ("quarantine", quarantined), ("reextract", pending), ("load", f"{pending[:-8]}00000000")]
        runs = run_by_airflow(folder, [{"form": {"again": task, "of_load": of_load}} for task, of_load in asked])["runs"]
        with open_warehouse(settings, read_only=True) as warehouse:
            by_load = dict(warehouse.rows("select _load_id, count(*) from reddit.posts group by all"))
            left = warehouse.value("select count(*) from _ducklift.quarantine")
        return {"runs": runs, "rows": by_load, "quarantine": left, "pending": pending, "quarantined": quarantined}


def outcome(run: dict[str, Any]) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Return a run's state, the states of its extractions by stream, and state and load id of what it loaded."""
    extractions = {task["map_index"]: task["state"] for task in run["tasks"] if task["task"] == "reddit_extraction"}
    loaded = [task["xcom"] for task in run["tasks"] if task["task"] == "duckdb_load" and task["xcom"]]
    return run["state"], [extractions[number] for number in sorted(extractions)], [(each["state"], each["load_id"]) for each in loaded]


def id_of(load: str) -> str:
    return load.partition("/")[2]


def test_a_pending_package_is_loaded_by_its_stream_s_tasks_alone(told):
    assert outcome(told["runs"][0]) == ("success", ["skipped", "success"], [("loaded", id_of(told["pending"]))])


def test_quarantined_records_are_loaded_after_the_fix(told):
    assert outcome(told["runs"][1]) == ("success", ["success", "skipped"], [("loaded", id_of(told["quarantined"]) + "-q")])
    assert told["quarantine"] == 0


def test_a_slice_is_extracted_again_in_the_place_of_its_load(told):
    again = id_of(told["pending"]) + "-r2"

    assert outcome(told["runs"][2]) == ("success", ["skipped", "success"], [("loaded", again)])
    assert set(told["rows"]) == {again, id_of(told["quarantined"]) + "-q"}


def test_a_load_that_nobody_knows_makes_a_red_run(told):
    assert outcome(told["runs"][3]) == ("failed", ["failed", "failed"], [])

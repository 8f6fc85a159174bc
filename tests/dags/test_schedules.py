"""Partitions, backfills, the DAGs that follow them, waiting, and who is told: run by Airflow itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dags_on_sandbox import stand_on
from webhook_receiver import receiver

from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse

__all__ = ["receiver"]
pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).parents[2]
PIPELINES = {
    "sightings": """\
name: sightings
source: {type: python, function: "diary:sightings", by_interval: true}
table: nature.sightings
disposition: append
incremental: {cursor: seen, epoch: s}
layout: raw/{dataset}/{table}/day={partition}/{load_id}.{file_id}.{ext}
""",
    "counts": """\
name: counts
source: {type: python, function: "diary:counts"}
table: nature.counts
disposition: append
""",
    "bucket_file": (PROJECT / "include" / "pipelines" / "bucket_file.yaml")
    .read_text("utf-8")
    .replace("s3://ducklift-sandbox-files", "{bucket}"),
}
DAGS = """\
from datetime import timedelta
from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable
from ducklift.orchestration.dag import Budget, pipeline_dag, table_asset
from ducklift.orchestration.arrivals import ObjectsLand

sightings = pipeline_dag(
    "sightings",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    wait_for="{bucket}/ready/{{{{ dag_run.partition_key[:4] }}}}/_SUCCESS",
    budget=Budget(streams_at_once_in_all_runs=2),
    deadline=timedelta(hours=3),
    notify="ducklift.orchestration.webhook.WebhookNotifier",
)
counts = pipeline_dag("counts", schedule=PartitionedAssetTimetable(assets=table_asset("nature.sightings")))
bucket_file = pipeline_dag("bucket_file", schedule=ObjectsLand(path="incoming/*.csv*", every=timedelta(seconds=1)), retries=0)
"""


@pytest.fixture(scope="module")
def told(sandbox, receiver, tmp_path_factory) -> dict[str, Any]:
    """What became of all the runs."""
    folder = tmp_path_factory.mktemp("schedules")
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_on(sandbox, folder, monkeypatch)
        settings = load_settings()
        (folder / "dags").mkdir()
        (folder / "dags" / "schedules.py").write_text(DAGS.format(bucket=settings.lake_url), "utf-8")
        for name, text in PIPELINES.items():
            (folder / "pipelines" / f"{name}.yaml").write_text(text.replace("{bucket}", settings.lake_url), "utf-8")
        put_marker(settings)
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW_CONN_DUCKLIFT_WEBHOOK": f"http://:kept-quiet@127.0.0.1:{receiver.server_port}/http",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
            "DIARY": str(folder),
        }
        program = [sys.executable, str(Path(__file__).with_name("run_schedules.py")), str(folder / "told.json")]
        finished = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=800)
        (folder / "log").write_text(finished.stdout + finished.stderr, "utf-8")
        assert finished.returncode == 0, finished.stderr[-4000:]
        outcome = json.loads((folder / "told.json").read_text("utf-8"))
        with open_warehouse(settings, read_only=True) as warehouse:
            rows = warehouse.rows("select id, read from nature.sightings order by all")
            dropped = warehouse.rows("select id, n from bucket.prices order by all")
            counted = warehouse.rows("select day::varchar, hours, count(*) from nature.counts group by all order by all")
        return {
            **outcome,
            "rows": rows,
            "counts": counted,
            "drops": dropped,
            "settings": settings,
            "log": finished.stdout + finished.stderr,
        }


def put_marker(settings: Any) -> None:
    from ducklift.lake.filesystem import ensure_lake, open_lake

    lake = open_lake(settings)
    ensure_lake(lake)
    lake.replace("ready/2026/_SUCCESS", b"")


def partitions(runs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(run["partition"], run["state"]) for run in runs]


def test_a_backfill_over_a_closed_range_runs_each_day_once_in_the_order_that_was_asked_for(told):
    assert partitions(told["closed"]) == [("2026-01-03", "success"), ("2026-01-02", "success"), ("2026-01-01", "success")]
    assert {run["run_type"] for run in told["closed"]} == {"backfill"}


def test_a_backfill_that_overlaps_another_makes_runs_for_the_missing_days_alone(told):
    assert partitions(told["overlapping"]) == [("2026-01-04", "success")]


def test_every_day_is_there_once_whatever_was_run_how_often(told):
    ids = [row[0] for row in told["rows"]]

    assert len(ids) == len(set(ids)) == 2 * len({run["partition"] for run in told["closed"] + told["overlapping"]})


def test_a_day_run_again_finds_its_load_and_a_day_read_anew_takes_the_place_of_its_rows(told):
    (again,), (anew,) = told["again"], told["anew"]

    assert (again["partition"], again["state"]) == ("2026-01-01", "success")
    assert (anew["partition"], anew["state"]) == ("2026-01-02", "success")
    read = dict(told["rows"])
    # What the rows bear tells their reading: the first day was read once, the second one again after that.
    assert read["s1767225600"] is False
    assert read["s1767312000"] is True


def test_a_backfill_up_to_now_waits_for_the_end_of_the_day_that_is_not_over(told):
    (today,) = told["open"]

    assert today["tasks"]["python_extraction"]["state"] == "up_for_retry"
    midnight = datetime.fromisoformat(today["partition"]).replace(tzinfo=UTC) + timedelta(days=1)
    assert timedelta(0) <= datetime.fromisoformat(today["next_try"][0]) - midnight < timedelta(minutes=5)


def test_partitions_start_the_dag_that_follows_once_for_each_day_with_its_interval(told):
    assert sorted(partitions(told["followers"])) == [(f"2026-01-0{day}", "success") for day in (1, 2, 3)]
    assert {run["run_type"] for run in told["followers"]} == {"asset_triggered"}
    assert all(run["state"] == "success" for run in told["followers_anew"])
    # The day that was read anew upstream was read anew here, in the place of what was there.
    assert told["counts"] == [(f"2026-01-0{day}", 24.0, 1) for day in (1, 2, 3, 4)]


def test_objects_that_land_start_one_run_that_loads_each_by_itself_however_often_they_are_announced(told):
    (run,) = told["arrivals"]["first"]["runs"]

    bucket = told["settings"].lake_url
    assert run["run_type"] == "asset_triggered"
    assert {name.removeprefix(f"{bucket}/incoming/"): state for name, state in run["mapped"].items()} == {
        "a.csv": "success",
        "b.csv": "success",
        "cut.csv.gz": "failed",
    }
    assert run["state"] == "failed"


def test_a_watcher_that_starts_anew_announces_only_what_is_not_loaded_in_the_version_that_lies_there(told):
    assert sorted(told["arrivals"]["first"]["keys"]) == ["incoming/a.csv", "incoming/b.csv", "incoming/cut.csv.gz"]
    assert sorted(told["arrivals"]["second"]["keys"]) == ["incoming/b.csv", "incoming/c.csv", "incoming/cut.csv.gz"]
    # The second announcement of the first objects reached the second run; it brought nothing.
    assert told["drops"] == [(1, 1), (2, 2), (2, 20), (4, 4)]
    assert told["arrivals"]["quiet"] == []


def test_the_raw_files_lie_under_their_partition(told):
    from ducklift.lake.filesystem import open_lake

    keys = [found.key for found in open_lake(told["settings"]).list("raw/nature/sightings/")]

    assert {key.split("/")[3] for key in keys if "/_loads/" not in key} >= {f"day=2026-01-0{day}" for day in (1, 2, 3, 4)}


def test_a_run_waits_deferred_for_its_object_and_goes_on_when_it_is_there(told):
    for run in told["closed"]:
        assert [*run["tasks"]] == ["wait_for_objects", "python_extraction", "s3_upload", "duckdb_load"]
    assert told["log"].count("Trigger completed") >= 3


def test_a_reading_that_broke_off_is_tried_again_with_the_slice_that_the_task_had_kept(told):
    (stumbled,) = [run for run in told["closed"] if run["partition"] == "2026-01-02"]
    (kept,) = [value for key, value in told["state"]["tasks"].items() if key == f"{stumbled['run_id']}/python_extraction/slice"]

    assert stumbled["tasks"]["python_extraction"]["tries"] == 2
    assert (kept["partition"], kept["cursor_from"], kept["cursor_to"], kept["window"]) == ("2026-01-02", 1767312000, 1767398400, True)
    assert "An earlier try had fixed this slice" in told["log"]


def test_airflow_shows_the_last_load_of_each_stream_with_the_tables_asset(told):
    assert told["state"]["assets"]["last_load/sightings"].startswith("20260102T000000Z-")


def test_a_failed_run_is_told_of_once_with_its_day_and_without_a_secret(told, receiver):
    (message,) = receiver.received

    assert partitions(told["broken"]) == [("2026-01-09", "failed")]
    assert message["authorization"] == "Bearer kept-quiet"
    assert (message["dag_id"], message["partition_key"], message["last_task"]) == ("sightings", "2026-01-09", "python_extraction")
    assert "sightings" in message["text"]
    assert "kept-quiet" not in told["log"]

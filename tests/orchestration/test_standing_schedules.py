"""Backfill, watcher, waiting and deadline on a standing Airflow: scheduler, triggerer, DAG processor and API server at work together."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dags"))

from webhook_receiver import Receiver, receiver

from ducklift.lake.filesystem import open_lake
from ducklift.orchestration.airflow_api import AirflowApi
from ducklift.orchestration.environment import ADMIN
from ducklift.orchestration.standing import Standing
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse
from kept_ports import kept_ports

__all__ = ["receiver"]
DIARY = Path(__file__).resolve().parents[1] / "dags"
WITHIN_S = 1200
PIPELINES = {
    "sightings": """\
name: sightings
source: {type: python, function: "diary:sightings", by_interval: true}
table: nature.sightings
disposition: append
incremental: {cursor: seen, epoch: s}
""",
    "drops": """\
name: drops
source: {type: bucket_files, buckets: ["s3://ducklift-sandbox"], path: "incoming/*.csv", form: [path]}
table: nature.drops
disposition: append
""",
}
DAGS = """\
from datetime import timedelta
from airflow.sdk import CronPartitionTimetable
from ducklift.orchestration.arrivals import ObjectsLand
from ducklift.orchestration.dag import pipeline_dag

sightings = pipeline_dag(
    "sightings",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    wait_for="s3://ducklift-sandbox/ready/_SUCCESS",
    default_args={"retry_delay": timedelta(seconds=1)},
)
drops = pipeline_dag(
    "drops",
    schedule=ObjectsLand(every=timedelta(seconds=1)),
    deadline=timedelta(seconds=1),
    notify="ducklift.orchestration.webhook.WebhookNotifier",
)
"""


@pytest.fixture
def standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standing]:
    project = tmp_path / "project"
    (project / "dags").mkdir(parents=True)
    (project / "dags" / "schedules.py").write_text(DAGS, "utf-8")
    (project / "include" / "pipelines").mkdir(parents=True)
    for name, text in PIPELINES.items():
        (project / "include" / "pipelines" / f"{name}.yaml").write_text(text, "utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(DIARY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("DIARY", str(tmp_path))
    made = Standing(project, lambda _: None)
    yield made
    made.down()


@pytest.fixture
def port() -> Iterator[int]:
    with kept_ports(1) as (kept,):
        yield kept


def eventually(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` gives once it gives something."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return found


def finished(api: AirflowApi, dag_id: str, run_type: str, count: int) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = api.get(f"/api/v2/dags/{dag_id}/dagRuns?run_type={run_type}&order_by=id")["dag_runs"]
    return runs if len(runs) >= count and all(run["state"] in ("success", "failed") for run in runs) else []


@pytest.mark.slow
@pytest.mark.airflow
@pytest.mark.timeout(3600)
def test_a_backfill_brings_each_day_once_an_object_that_lands_is_loaded_and_a_late_run_is_told_of(
    standing: Standing, port: int, receiver: Receiver
) -> None:
    standing.up(port)
    api = AirflowApi(f"http://127.0.0.1:{port}").logged_in(ADMIN, standing.airflow.secrets().admin_password)
    assert api.get("/api/v2/importErrors")["import_errors"] == []
    webhook = {
        "connection_id": "ducklift_webhook",
        "conn_type": "http",
        "host": "127.0.0.1",
        "schema": "http",
        "port": receiver.server_port,
    }
    api.post("/api/v2/connections", webhook)
    environment = json.loads(standing.airflow.sandbox_environment.read_text("utf-8"))
    project = standing.airflow.project
    settings = load_settings({**os.environ, **environment, "DUCKLIFT_WAREHOUSE_URL": f"duckdb:///{project}/.ducklift/warehouse.duckdb"})
    bucket = open_lake(settings)
    bucket.ensure_container()
    days = {"from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-04T00:00:00Z"}
    api.post(
        "/api/v2/backfills", {"dag_id": "sightings", **days, "max_active_runs": 2, "run_backwards": True, "reprocess_behavior": "none"}
    )
    bucket.replace("ready/_SUCCESS", b"")
    bucket.replace("incoming/one.csv", b"id,n\n1,1\n")

    backfilled = eventually(lambda: finished(api, "sightings", "backfill", 4), "the backfill")
    landed = eventually(lambda: finished(api, "drops", "asset_triggered", 1), "the run for the object")
    late = eventually(lambda: receiver.received, "the message about the late run")

    assert {run["state"] for run in backfilled + landed} == {"success"}
    assert [run["partition_key"] for run in backfilled] == ["2026-01-04", "2026-01-03", "2026-01-02", "2026-01-01"]
    with open_warehouse(settings, read_only=True) as warehouse:
        assert warehouse.rows("select count(*), count(distinct id) from nature.sightings where seen < 1767571200") == [(8, 8)]
        assert warehouse.rows("select id, n from nature.drops") == [(1, 1)]
    assert (late[0]["dag_id"], late[0]["reason"]) == ("drops", "The run was not done 0:00:01 after it was queued.")
    states = api.get("/api/v2/assets?name_pattern=nature.sightings")["assets"]
    assert [asset["name"] for asset in states] == ["nature.sightings"]

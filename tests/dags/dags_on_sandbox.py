"""DAGs built for a test, on a sandbox, and as much of Airflow's context as their tasks use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ducklift.sandbox import Sandbox

if TYPE_CHECKING:
    from airflow.sdk import DAG

YAML = """\
name: reddit
source: {{type: reddit, subreddits: [{subreddits}], listing: new}}
table: reddit.posts
disposition: merge
primary_key: [name]
incremental: {{cursor: created_utc, overlap: 48h}}
target: {target}
"""


def stand_on(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", f"s3://dags-{uuid.uuid4().hex[:12]}")
    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", f"duckdb:///{folder / 'warehouse.duckdb'}")
    monkeypatch.setenv("DUCKLIFT_SPOOL", str(folder / "spool"))
    monkeypatch.setenv("DUCKLIFT_PIPELINES", str(folder / "pipelines"))
    (folder / "pipelines").mkdir(exist_ok=True)


def run_by_airflow(folder: Path, requests: Sequence[Mapping[str, Any]], dag: str = "reddit", **environment: str) -> dict[str, Any]:
    """Have Airflow itself run a DAG of this repository, once for each request, in an Airflow home of its own below `folder`.

    Returns `runs`, and the `log` of all of them; a request without a `logical_date` is a manual run. See run_dag.py for the rest of both.
    """
    places = {"AIRFLOW_HOME": str(folder / "home"), "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[2] / "dags")}
    finished = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_dag.py")), str(folder / "told.json"), dag],
        input=json.dumps([{"logical_date": None, **request} for request in requests]),
        cwd=folder,
        env={**os.environ, **places, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return {**json.loads((folder / "told.json").read_text("utf-8")), "log": finished.stdout + finished.stderr}


def build_in(pipelines: Path, *subreddits: str, target: str = "warehouse", **arguments: Any) -> DAG:
    from ducklift.orchestration.dag import pipeline_dag

    (pipelines / "reddit.yaml").write_text(YAML.format(subreddits=", ".join(subreddits or ("python",)), target=target), "utf-8")
    return pipeline_dag("reddit", **{"schedule": None, **arguments})


def dag_run(run_type: str = "manual", day: int | None = None, **fields: Any) -> Any:
    """Return a DAG run as the task runner hands it to a task; with a `day` of January it has that day for its interval."""
    from airflow.sdk.api.datamodels._generated import DagRun

    start, end = (None, None) if day is None else (datetime(2026, 1, day, tzinfo=UTC), datetime(2026, 1, day + 1, tzinfo=UTC))
    values = {
        "dag_id": "reddit",
        "run_id": f"{run_type}__one",
        "run_type": run_type,
        "logical_date": start,
        "data_interval_start": start,
        "data_interval_end": end,
        "run_after": end or datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        "start_date": None,
        "end_date": None,
        "state": "running",
        "consumed_asset_events": [],
        "partition_key": None,
    }
    return DagRun(**{**values, **fields})


class PushedXComs(dict[str, Any]):
    """What a task pushed by itself."""

    def task_instance(self, try_number: int = 1, map_index: int = 0, task_id: str = "reddit_extraction") -> Any:
        """Return as much of a task instance as the tasks use."""
        return SimpleNamespace(
            task_id=task_id, try_number=try_number, map_index=map_index, xcom_push=lambda key, value: self.__setitem__(key, value)
        )

"""Run a DAG by Airflow itself, once for each request on standard input, and write what became of the runs as JSON.

A program for the tests: `python run_dag.py <result file> [DAG]`, in an Airflow home of its own; `advance_hours` in a request moves the
sandbox's clock on first. It does on purpose what tests cannot do in their
own process: make the metadata database, and let Airflow's task runner handle the tasks.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from airflow.dag_processing.dagbag import DagBag
from airflow.listeners import hookimpl
from airflow.models.asset import AssetEvent
from airflow.models.xcom import XComModel
from airflow.sdk import lineage
from airflow.sdk.configuration import conf
from airflow.sdk.listener import get_listener_manager
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import select

REDDIT_URL = "praw_reddit_url"
DAGS = Path(__file__).parents[2] / "dags"


class EachTaskForItself:
    """Makes up for the one process that `dag.test` runs all tasks in: otherwise each has a collector of lineage of its own."""

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Begin a collection."""
        del previous_state, task_instance
        lineage.get_hook_lineage_collector.cache_clear()


def run_once(dag_id: str, logical_date: str | None, form: dict[str, Any], advance_hours: int = 0) -> dict[str, Any]:
    """Run the DAG with a logical date or without, and return its state and its tasks'."""
    if advance_hours:
        body = json.dumps({"hours": advance_hours}).encode()
        urlopen(Request(f"{os.environ[REDDIT_URL]}/sandbox/advance", body, {"Content-Type": "application/json"})).close()
    dag = DagBag(str(DAGS / f"{dag_id}.py")).dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = timedelta(seconds=1)
    run = dag.test(logical_date=datetime.fromisoformat(logical_date) if logical_date else None, run_conf=form)
    with create_session() as session:
        xcoms = session.scalars(select(XComModel).where(XComModel.run_id == run.run_id, XComModel.key == "return_value"))
        values = {(xcom.task_id, xcom.map_index): XComModel.deserialize_value(xcom) for xcom in xcoms}
    tasks = [
        {
            "task": task.task_id,
            "label": task.rendered_map_index,
            "map_index": task.map_index,
            "state": str(task.state),
            "tries": task.try_number,
            "xcom": values.get((task.task_id, task.map_index)),
        }
        for task in run.get_task_instances()
    ]
    return {"run_id": run.run_id, "state": str(run.state), "tasks": tasks}


def asset_events() -> list[dict[str, Any]]:
    """Return all events of assets, the oldest first."""
    with create_session() as session:
        events = session.scalars(select(AssetEvent).order_by(AssetEvent.id))
        return [{"asset": event.asset.name, "run_id": event.source_run_id, **event.extra} for event in events]


if __name__ == "__main__":
    initdb()
    get_listener_manager().add_listener(EachTaskForItself())
    # As the process of a task does it.
    stats.initialize(factory=get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on"))
    dag_id = sys.argv[2] if len(sys.argv) > 2 else "reddit"
    runs = [run_once(dag_id, **request) for request in json.load(sys.stdin)]
    Path(sys.argv[1]).write_text(json.dumps({"runs": runs, "events": asset_events()}, default=str), "utf-8")

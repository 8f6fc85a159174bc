"""DAGs of assets run by Airflow itself: a program for the tests, in a home of its own.

`python assets_in_airflow.py <result file> <DAGs folder>`"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import select


def run(dag: DAG, conf: dict[str, Any], logical_date: str | None) -> dict[str, Any]:
    """Run a DAG and return its state, its tasks' states and what the database holds of their XComs."""
    ended = dag.test(run_conf=conf, logical_date=datetime.fromisoformat(logical_date) if logical_date else None)
    with create_session() as session:
        rows = session.scalars(select(XComModel).where(XComModel.run_id == ended.run_id, XComModel.dag_id == dag.dag_id))
        held = {f"{row.task_id}/{row.map_index}": row.value for row in rows if row.key == "return_value"}
    tasks = {each.task_id: str(each.state) for each in ended.get_task_instances()}
    return {"state": str(ended.state), "tasks": tasks, "xcoms": held, "run_id": ended.run_id}


def events() -> list[dict[str, Any]]:
    """Return all events of assets."""
    with create_session() as session:
        found = session.scalars(select(AssetEvent).order_by(AssetEvent.id))
        return [{"asset": each.asset.name, "partition": getattr(each, "partition_key", None), "extra": each.extra} for each in found]


if __name__ == "__main__":
    initdb()
    bag = DagBag(sys.argv[2])
    assert not bag.import_errors, bag.import_errors
    day = json.load(sys.stdin)["day"]
    analytics = [run(bag.dags["reddit_analytics"], {"day": day}, None) for _ in range(2)]
    outcome = {"analytics": analytics, "xcom": run(bag.dags["handing_over"], {}, None), "events": events()}
    Path(sys.argv[1]).write_text(json.dumps(outcome, default=str), "utf-8")

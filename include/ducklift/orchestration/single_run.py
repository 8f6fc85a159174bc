"""One run of one DAG by Airflow itself, in this process, told as JSON: `python -m ducklift.orchestration.single_run DAG_ID RESULT`.

This is what `airflow dags test` does, without parsing the DAG files once more and without starting Python twice.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.errors import ConfigurationError
from ducklift.orchestration.airflow_home import prepare_home
from ducklift.orchestration.environment import write_private

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session


def run_once(dag_id: str) -> dict[str, Any]:
    """Prepare Airflow's home, run the DAG and return how it went: state, seconds, tasks, and what `duckdb_load` returned."""
    from airflow import settings
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.session import create_session

    prepare_home()
    bag = DagBag(settings.DAGS_FOLDER)
    dag = bag.dags.get(dag_id)
    if dag is None:
        broken = "\n".join(f"{file}: {error.strip()}" for file, error in bag.import_errors.items())
        raise ConfigurationError(f"There is no DAG {dag_id!r} in {settings.DAGS_FOLDER}. {broken}".strip())
    for task in dag.tasks:
        # A person waits, for minutes between two tries; and what fails on loopback once fails again.
        task.retries = 0
    started = time.monotonic()
    dag_run = dag.test()
    seconds = time.monotonic() - started
    with create_session() as session:
        return {"state": str(dag_run.state.value), "run_id": dag_run.run_id, "seconds": seconds, **outcome(dag_run, session)}


def outcome(dag_run: DagRun, session: Session) -> dict[str, Any]:
    """Return the run's task instances in the order in which they started, and its loads' summaries."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    of_run = (TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    instances = session.scalars(select(TaskInstance).where(*of_run).order_by(TaskInstance.start_date)).all()
    returned = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key="return_value", task_ids="duckdb_load")
    return {
        "tasks": [
            {"task_id": one.task_id, "stream": one.rendered_map_index, "state": str(one.state), "seconds": one.duration or 0.0}
            for one in instances
        ],
        "loads": [XComModel.deserialize_value(row) for row in session.scalars(returned).all()],
    }


if __name__ == "__main__":
    try:
        write_private(Path(sys.argv[2]), run_once(sys.argv[1]))
    except ConfigurationError as err:
        sys.exit(f"ducklift: {err}")

"""The DAG that takes what is gone at its source out of the lake and the warehouse, for each pipeline that says so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from ducklift.deletion_sweeps import sweep_pipeline
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.dag import FIRST_DAY, WAREHOUSE_POOL
from ducklift.orchestration.tasks import terminal_errors_fail
from ducklift.pipeline import load_pipeline, pipeline_names
from ducklift.settings import load_settings


def deletion_sweep_dag(
    name: str, *, schedule: Any, retries: int = 3, tags: Iterable[str] = (), doc_md: str | None = None, **dag_arguments: Any
) -> DAG:
    """Build the DAG with one mapped task, over the pipelines that have `sweep:` in their file; it takes the warehouse's pool.

    A sweep that was cut short is done to its end by the next try. `ducklift sweep NAME` shows beforehand how much it would be.
    """
    settings = load_settings()
    names = [each for each in pipeline_names(settings) if load_pipeline(each, settings).sweep is not None]
    arguments = {
        "start_date": FIRST_DAY,
        "catchup": False,
        "max_active_runs": 1,
        **dag_arguments,
        "user_defined_macros": {"pipeline_at": names.__getitem__, **dag_arguments.get("user_defined_macros", {})},
        "default_args": {"retries": retries, "retry_delay": timedelta(minutes=5), **dag_arguments.get("default_args", {})},
    }
    with DAG(name, schedule=schedule, tags=[*tags], doc_md=doc_md, **arguments) as dag:

        @task(task_id="sweep", map_index_template="{{ pipeline_at(ti.map_index) }}", pool=WAREHOUSE_POOL, multiple_outputs=False)
        def sweep(pipeline: str) -> dict[str, Any]:
            """Ask which records of the pipeline's tables are gone, and take them out; the result tells how many, and the record."""
            return sweep_of_pipeline(pipeline)

        sweep.expand(pipeline=names)
    return dag


def sweep_of_pipeline(name: str) -> dict[str, Any]:
    """Sweep all tables of a pipeline and return the totals by table."""
    with terminal_errors_fail():
        settings = airflow_settings()
        done = sweep_pipeline(load_pipeline(name, settings), settings, apply=True)
    return {each.table: each.as_dict() for each in done}

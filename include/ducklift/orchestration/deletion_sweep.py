"""The DAG that takes what is gone at its source out of the lake and the warehouse, for each pipeline that says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import DAG, task

from ducklift.deletion_sweeps import sweep_pipeline
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.dag import WAREHOUSE_POOL, of_pipelines
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
    with DAG(name, schedule=schedule, tags=[*tags], doc_md=doc_md, **of_pipelines(names, retries, dag_arguments)) as dag:

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

"""The DAG that keeps the lake in shape: garbage is collected by each pipeline's own retention, then in the rest of the lake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

from ducklift.keeping import Collection, collect_garbage
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.dag import WAREHOUSE_POOL, of_pipelines
from ducklift.orchestration.tasks import terminal_errors_fail
from ducklift.pipeline import load_pipeline, pipeline_names
from ducklift.settings import load_settings


def maintenance_dag(
    name: str, *, schedule: Any, retries: int = 3, tags: Iterable[str] = (), doc_md: str | None = None, **dag_arguments: Any
) -> DAG:
    """Build the DAG that collects garbage: the tables of each pipeline by itself, then everything else in the lake and the spool.

    Both take the warehouse's pool, since raw files expire only behind a checkpoint, and one at a time: the pool has one slot. What is
    found is deleted; `ducklift gc` shows it beforehand.
    """
    names = pipeline_names(load_settings())
    with DAG(name, schedule=schedule, tags=[*tags], doc_md=doc_md, **of_pipelines(names, retries, dag_arguments)) as dag:

        @task(task_id="table_gc", map_index_template="{{ pipeline_at(ti.map_index) }}", pool=WAREHOUSE_POOL, multiple_outputs=False)
        def table_gc(pipeline: str) -> dict[str, Any]:
            """Collect what the pipeline's tables no longer need; the result tells how much went, and where the record of it lies."""
            return collect_of_pipeline(pipeline)

        @task(task_id="lake_gc", pool=WAREHOUSE_POOL, multiple_outputs=False)
        def lake_gc() -> dict[str, Any]:
            """Collect what belongs to no pipeline's table: foreign orphans, unfinished uploads, the spool, folders of killed loads."""
            return collect_of_lake()

        cast(Any, table_gc.expand(pipeline=names)) >> lake_gc()
    return dag


def collect_of_pipeline(name: str) -> dict[str, Any]:
    """Collect the garbage of all tables of a pipeline and return the totals by table; fails when one could not be kept as a checkpoint."""
    with terminal_errors_fail():
        settings = airflow_settings()
        pipeline = load_pipeline(name, settings)
        tables = dict.fromkeys(pipeline.table_spec(stream).name for stream in pipeline.streams())
        return {str(table): _told(collect_garbage(settings, table, apply=True)) for table in tables}


def collect_of_lake() -> dict[str, Any]:
    """Collect the garbage of the whole lake and return the totals."""
    with terminal_errors_fail():
        return _told(collect_garbage(airflow_settings(), apply=True))


def _told(found: Collection) -> dict[str, Any]:
    if found.failures:
        raise AirflowFailException("; ".join(found.failures.values()))
    return {name: value for name, value in found.as_dict().items() if name in ("found", "bytes", "kinds", "record", "checkpoints")}

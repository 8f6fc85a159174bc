"""Every DAG of the project, built from its pipeline file: the YAML says what, the DAG file says when.

Parsing reads the YAML and `.env`, nothing else: no network, no metadata database, no Airflow Variable or Connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

from airflow.sdk import DAG, Asset, Param, task, task_group

from ducklift.orchestration import arrivals, tasks, waiting
from ducklift.orchestration.alerts import Notify, alerting
from ducklift.orchestration.arrivals import ObjectsLand, Watched
from ducklift.orchestration.partitions import REEXTRACT, is_partitioned
from ducklift.pipeline import Pipeline, load_pipeline
from ducklift.repeating import AGAIN, LOAD_PATTERN, OF_LOAD
from ducklift.settings import Settings, load_settings
from ducklift.specs import TableName

WAREHOUSE_POOL = "ducklift_warehouse"
# Sources that share one quota of an API across all their tasks. Set-up makes the pools.
EXTRACTION_POOLS = {"reddit": "reddit_api"}
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
ONE_AFTER_THE_OTHER = {"start_date": FIRST_DAY, "catchup": False, "max_active_runs": 1}
GROUP = "stream"
LABEL = "{{ stream_label(ti, params) }}"


@dataclass(frozen=True)
class Budget:
    """How many of a DAG's tasks may work at once, and in which pools; None leaves it to Airflow's own limits.

    `streams_at_once` bounds the extractions of one run, `streams_at_once_in_all_runs` those of all its runs together, as in a backfill.
    """

    streams_at_once: int | None = None
    streams_at_once_in_all_runs: int | None = None
    extraction_pool: str | None = None
    load_pool: str = WAREHOUSE_POOL

    def of_extraction(self, source: str) -> dict[str, Any]:
        """Return the arguments of the extraction task."""
        return {
            "pool": self.extraction_pool or EXTRACTION_POOLS.get(source),
            "max_active_tis_per_dagrun": self.streams_at_once,
            "max_active_tis_per_dag": self.streams_at_once_in_all_runs,
        }


NO_BUDGET = Budget()
REEXTRACT_FIELD = {
    "type": "boolean",
    "title": "Read again",
    "description": "Read the partition anew, and put what is read in the place of its earlier load.",
    "default": False,
}

AGAIN_FIELDS: dict[str, dict[str, Any]] = {
    AGAIN: {
        "type": ["null", "string"],
        "enum": [None, "load", "reextract", "quarantine"],
        "title": "Do again",
        "description": "With one load, instead of a new one: load its package, read its slice anew in its place, or retry its quarantine.",
        "section": "Do again",
        "default": None,
    },
    OF_LOAD: {
        "type": ["null", "string"],
        "pattern": LOAD_PATTERN,
        "title": "Of load",
        "description": "Which one: dataset.table/load_id.",
        "section": "Do again",
        "default": None,
    },
}


def pipeline_dag(
    name: str,
    *,
    schedule: Any,
    retries: int = 3,
    tags: Iterable[str] = (),
    doc_md: str | None = None,
    wait_for: str | Sequence[str] = (),
    budget: Budget = NO_BUDGET,
    deadline: timedelta | None = None,
    notify: Notify | None = None,
    **dag_arguments: Any,
) -> DAG:
    """Build the DAG of `<pipelines>/<name>.yaml`: extract, upload and load as one mapped task group over its streams.

    The stream that fails ends red, the others land, and the run is red. Missed slices are not caught up with, and one run is active at a
    time, unless `dag_arguments` say otherwise; they go to Airflow's `DAG`, and their `default_args` over the ones made here. The trigger
    form is the source's own. With `schedule=ObjectsLand(…)` the group is mapped over the objects that landed. Each run first waits,
    deferred, for the objects `wait_for` (templated S3 URLs). `notify` names who is told of a failed run, and of one not done within
    `deadline`, see `ducklift.orchestration.alerts`.

    Raises `ConfigurationError` when the pipeline file is not usable: Airflow shows it as the DAG file's import error.
    """
    settings = load_settings()
    pipeline = load_pipeline(name, settings)
    watched = schedule.watched(pipeline) if isinstance(schedule, ObjectsLand) else None
    label = partial(tasks.label_of_arrival if watched else tasks.label_of, pipeline)
    arguments = {
        **ONE_AFTER_THE_OTHER,
        "params": form_of(pipeline, is_partitioned(schedule)),
        **alerting(notify, deadline, settings),
        **dag_arguments,
        "user_defined_macros": {"stream_label": label, **dag_arguments.get("user_defined_macros", {})},
        "default_args": {**_retrying(retries), **dag_arguments.get("default_args", {})},
    }
    with DAG(name, schedule=[watched.asset] if watched else schedule, tags=[*tags], doc_md=doc_md, **arguments) as dag:
        _streams(pipeline, upload_task_id(settings), budget, watched)
        waiting.in_front_of(dag.task_group.children[GROUP], wait_for)
    return dag


def of_pipelines(names: Sequence[str], retries: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a DAG whose tasks are mapped over pipelines; `pipeline_at` names one in the label of its task."""
    return {
        **ONE_AFTER_THE_OTHER,
        **given,
        "user_defined_macros": {"pipeline_at": partial(tasks.name_at, names), **given.get("user_defined_macros", {})},
        "default_args": {"retries": retries, "retry_delay": timedelta(minutes=5), **given.get("default_args", {})},
    }


def _retrying(retries: int) -> dict[str, Any]:
    return {
        "retries": retries,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        "retry_policy": tasks.WaitAsAsked(),
    }


def form_of(pipeline: Pipeline, partitioned: bool = False) -> dict[str, Param]:
    """Return the trigger form: one field for each option of the pipeline, checked by its JSON Schema, and two to do a load again.

    A partitioned DAG's has one more, by which a run or a backfill puts its reading in the place of the partition's earlier one.
    """
    fields = {**pipeline.options_schema(), **({REEXTRACT: REEXTRACT_FIELD} if partitioned else {}), **AGAIN_FIELDS}
    return {name: _field(schema) for name, schema in fields.items()}


def _field(schema: Mapping[str, Any]) -> Param:
    rules = dict(schema)
    return Param(rules.pop("default"), description=rules.pop("description", None), schema=rules)


def upload_task_id(settings: Settings) -> str:
    """Return `s3_upload`, or `lake_upload` where `DUCKLIFT_LAKE_URL` names another store on purpose.

    The default lake, a folder to begin with, keeps the name that the task will have with a bucket. All parts of an Airflow installation
    have to see the same `DUCKLIFT_LAKE_URL`, as for everything else.
    """
    on_purpose = settings.origins.get("lake_url", "default") != "default"
    return "lake_upload" if on_purpose and not settings.lake_url.startswith("s3://") else "s3_upload"


def asset_of(pipeline: Pipeline) -> Asset:
    """Return the pipeline's table as an Airflow asset: by its name alone, which is the same wherever the warehouse lies."""
    return table_asset(str(pipeline.table_spec(pipeline.streams()[0]).name))


def table_asset(name: str) -> Asset:
    """Return the asset of a table, `dataset.table`, for the schedule of a DAG that follows it."""
    table = TableName.parse(name)
    # Schemes with x- are the user's own. For any other, Airflow asks all providers, and the parse imports boto3.
    return Asset(name=str(table), uri=f"x-ducklift://{table.dataset}/{table.table}")


def _streams(pipeline: Pipeline, upload_id: str, budget: Budget, watched: Watched | None) -> None:
    """Wire the tasks of one stream, and map them over all of them, or over the objects that were announced to a run."""
    source, table = pipeline.source.type, asset_of(pipeline)
    to_warehouse = pipeline.target == "warehouse"

    @task(task_id=f"{source}_extraction", map_index_template=LABEL, **budget.of_extraction(source))
    def extraction(stream: Any, **context: Any) -> str:
        """Read one slice of the stream into the spool; the result is the package's path."""
        if watched is not None:
            return tasks.extract_arrival(watched, stream, context)
        return tasks.extract_stream(pipeline, stream, context)

    @task(task_id=upload_id, map_index_template=LABEL, outlets=[] if to_warehouse else [table])
    def lake_upload(package_path: str, **context: Any) -> str:
        """Put the package's files into the lake, its manifest last; the result is the manifest's URL."""
        return tasks.upload_package(pipeline, package_path, None if to_warehouse else table, context)

    @task(task_id="duckdb_load", map_index_template=LABEL, pool=budget.load_pool, outlets=[table], multiple_outputs=False)
    def duckdb_load(manifest_url: str, **context: Any) -> dict[str, Any]:
        """Load the package into the table, exactly once; the result is a summary of every row."""
        return tasks.load_package(pipeline, manifest_url, table, context)

    # With a prefix, the tasks' ids would be stream.reddit_extraction and so on.
    @task_group(group_id=GROUP, prefix_group_id=False)
    def one_stream(stream: Any) -> Any:
        landed: Any = lake_upload(cast(Any, extraction(stream)))
        return duckdb_load(landed) if to_warehouse else landed

    one_stream.expand(stream=_arrivals(watched) if watched else list(pipeline.streams()))


def _arrivals(watched: Watched) -> Any:
    """Return the task that tells what a run is to load."""

    @task(task_id=arrivals.TASK_ID, multiple_outputs=False)
    def announced(**context: Any) -> list[dict[str, Any]]:
        """Tell the objects that were announced to this run, or the configured stream when it was started by hand."""
        with tasks.terminal_errors_fail():
            return watched.announced(context)

    return announced()

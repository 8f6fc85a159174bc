"""What the scheduler and the trigger form see of the DAGs, without running anything."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import ParamValidationError

from ducklift.errors import ConfigurationError
from ducklift.orchestration.dag import pipeline_dag, upload_task_id
from ducklift.settings import load_settings

PROJECT = Path(__file__).parents[2]
DAG_FILES = sorted((PROJECT / "dags").glob("*.py"))

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
for dag in bag.dags.values():
    DagSerialization.serialize_dag(dag)
heavy = [name for name in ("pandas", "pyarrow", "duckdb", "praw", "s3fs", "boto3", "requests") if name in sys.modules]
seconds = {Path: stat.duration.total_seconds() for Path, stat in ((s.file, s) for s in bag.dagbag_stats)}
print("RESULT" + json.dumps({"ids": sorted(bag.dags), "errors": bag.import_errors, "heavy": heavy, "seconds": seconds}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """What Airflow makes of the DAG folder when it works somewhere else."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "parse.py").write_text(PARSE, "utf-8")
    command = [sys.executable, "-W", "error::UserWarning", "parse.py", str(PROJECT / "dags")]
    finished = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.partition("RESULT")[2])


def test_every_dag_file_parses_in_a_foreign_working_directory(parsed):
    assert parsed["errors"] == {}
    assert parsed["ids"] == [path.stem for path in DAG_FILES]


def test_parsing_imports_nothing_heavy_and_is_quick(parsed):
    assert parsed["heavy"] == []
    assert max(parsed["seconds"].values()) < 2


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_a_dag_file_is_short_and_tells_what_a_run_does(path: Path):
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= 80
    assert text.startswith('"""')
    assert "re-run" in text.lower()


def test_the_flagship_has_three_tasks_in_a_row_mapped_over_its_streams(build):
    dag = build("python", "selfhosted")

    assert [task.task_id for task in dag.topological_sort()] == ["reddit_extraction", "s3_upload", "duckdb_load"]
    assert dag.get_task("reddit_extraction").downstream_task_ids == {"s3_upload"}
    assert dag.get_task("s3_upload").downstream_task_ids == {"duckdb_load"}
    groups = {id(task.get_closest_mapped_task_group()): task.get_closest_mapped_task_group() for task in dag.tasks}
    (group,) = groups.values()
    assert group._expand_input.value == {"stream": ["python/new", "selfhosted/new"]}


def test_a_pipeline_into_the_lake_alone_ends_with_the_upload(build):
    dag = build("python", target="lake")

    assert [task.task_id for task in dag.topological_sort()] == ["reddit_extraction", "s3_upload"]
    assert [outlet.name for outlet in dag.get_task("s3_upload").outlets] == ["reddit.posts"]


def test_missed_days_are_not_caught_up_with_and_one_run_is_active_at_a_time(build):
    dag = build()

    assert (dag.catchup, dag.max_active_runs) == (False, 1)


def test_every_task_is_retried_with_growing_delays(build):
    for task in build(retries=5).tasks:
        assert task.retries == 5
        assert task.retry_exponential_backoff == 2.0
        assert timedelta(0) < task.retry_delay < task.max_retry_delay


def test_a_dag_file_may_say_otherwise(build):
    dag = build(max_active_runs=2, default_args={"retry_delay": timedelta(seconds=7)})

    assert dag.max_active_runs == 2
    assert dag.get_task("s3_upload").retry_delay == timedelta(seconds=7)
    assert dag.get_task("s3_upload").retries == 3


def test_extraction_and_load_take_their_pools(build):
    dag = build()

    assert {task.task_id: task.pool for task in dag.tasks} == {
        "reddit_extraction": "reddit_api",
        "s3_upload": "default_pool",
        "duckdb_load": "ducklift_warehouse",
    }


def test_set_up_makes_every_pool_that_a_dag_names(build):
    from ducklift.orchestration.airflow_home import POOLS

    assert {task.pool for task in build().tasks} <= {*POOLS, "default_pool"}


def test_the_load_produces_the_table_as_an_asset(build):
    (asset,) = build().get_task("duckdb_load").outlets

    assert asset == Asset(name="reddit.posts", uri="x-ducklift://reddit/posts")


def test_the_trigger_form_is_the_sources_own(build):
    params = build("python", "selfhosted").params

    own = {"subreddits": ["python", "selfhosted"], "listing": "new", "time_filter": "day", "limit": None}
    assert params.dump() == {**own, "again": None, "of_load": None}
    subreddits = params.get_param("subreddits")
    assert subreddits.schema["title"]
    assert subreddits.description
    # A list with `examples` is what Airflow's form shows as a choice of several.
    assert subreddits.schema["type"] == "array"
    assert subreddits.schema["examples"] == ["python", "selfhosted"]
    assert params.get_param("listing").schema["enum"] == ["new", "hot", "top", "rising", "controversial"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subreddits", ["evil"]),
        ("subreddits", []),
        ("subreddits", "python"),
        ("subreddits", ["{{ 7 * 7 }}"]),
        ("listing", "'; drop table reddit.posts; --"),
        ("listing", "{{ var.value.secret }}"),
        ("time_filter", "century"),
        ("limit", -1),
        ("limit", "100"),
    ],
)
def test_the_trigger_form_refuses(build, name, value):
    params = build("python", "selfhosted").params

    with pytest.raises(ParamValidationError):
        params[name] = value


def test_a_reading_that_can_stop_offers_a_day_to_stop_before():
    params = pipeline_dag("taxi_trips", schedule=None).params

    assert params["end"] is None
    params["end"] = "2026-01-31"
    params.validate()
    for hostile in ("now", "{{ ds }}", "2026-02-30"):
        with pytest.raises(ParamValidationError):
            params["end"] = hostile


def test_jinja_in_a_form_field_is_never_evaluated(build):
    dag = build("python")
    task = dag.get_task("reddit_extraction")
    hostile = {"subreddits": ["{{ 7 * 7 }}"], "listing": "{{ 7 * 7 }}"}

    label = dag.get_template_env().from_string(task.map_index_template).render({"ti": type("TI", (), {"map_index": 0}), "params": hostile})

    assert label == "python/new"


def test_the_grid_shows_the_stream_that_is_really_read(build):
    dag = build("python", "selfhosted")
    task_instance = type("TI", (), {"map_index": 1})

    label = dag.get_template_env().from_string(dag.get_task("duckdb_load").map_index_template)

    assert label.render({"ti": task_instance, "params": {"listing": "top"}}) == "selfhosted/top"


@pytest.mark.parametrize(
    ("lake_url", "task_id"),
    [(None, "s3_upload"), ("s3://bucket/prefix", "s3_upload"), ("file:///lake", "lake_upload"), ("gs://bucket", "lake_upload")],
)
def test_the_upload_is_named_after_the_store(lake_url, task_id):
    environment = {} if lake_url is None else {"DUCKLIFT_LAKE_URL": lake_url}

    assert upload_task_id(load_settings(environment, project=Path("/nowhere"))) == task_id


def test_a_pipeline_file_that_is_not_usable_is_an_import_error_with_its_place(on_sandbox):
    (on_sandbox / "reddit.yaml").write_text("name: reddit\nsource: {type: reddit, subreddits: [python]}\ntabel: reddit.posts\n", "utf-8")

    with pytest.raises(ConfigurationError, match=r"reddit\.yaml:3"):
        pipeline_dag("reddit", schedule=None)

"""A replaced table of several subreddits: the DAG has one mapped task for all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from dags_on_sandbox import YAML, build_in, dag_run

from ducklift.orchestration.dag import of_pipelines, pipeline_dag
from ducklift.orchestration.tasks import label_of
from ducklift.pipeline import load_pipeline
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse

REPLACED = YAML.replace("disposition: merge", "disposition: replace")


@pytest.fixture
def dag(on_sandbox):
    build_in(on_sandbox)
    (on_sandbox / "reddit.yaml").write_text(REPLACED.format(subreddits="python, selfhosted", target="warehouse"), "utf-8")
    return pipeline_dag("reddit", schedule=None)


def call(dag: Any, task_id: str, argument: str, **context: Any) -> Any:
    return dag.get_task(task_id).python_callable(argument, **context)


def run_all(dag: Any, stream: str, **context: Any) -> dict[str, Any]:
    path = call(dag, "reddit_extraction", stream, **context)
    return call(dag, "duckdb_load", call(dag, "s3_upload", path, **context), **context)


def subreddits_in_table() -> list[str]:
    with open_warehouse(load_settings(), read_only=True) as warehouse:
        return [name for (name,) in warehouse.rows("SELECT DISTINCT subreddit FROM reddit.posts WHERE subreddit IS NOT NULL ORDER BY ALL")]


def test_one_mapped_task_reads_all_subreddits_into_one_load(dag):
    (group,) = {id(found): found for found in (task.get_closest_mapped_task_group() for task in dag.tasks)}.values()
    assert group._expand_input.value == {"stream": ["reddit.posts"]}

    first = run_all(dag, "reddit.posts", dag_run=dag_run(run_id="one"))
    second = run_all(dag, "reddit.posts", dag_run=dag_run(run_id="two"))

    assert (first["state"], second["state"], first["stream"]) == ("loaded", "loaded", "reddit.posts")
    assert second["total_rows"] == first["total_rows"] == second["rows_extracted"] - second["rows_deduplicated"]
    assert subreddits_in_table() == ["python", "selfhosted"]


def test_the_form_may_choose_another_listing_of_all_and_not_one_subreddit_alone(dag):
    top = {"subreddits": ["python", "selfhosted"], "listing": "top", "time_filter": "all", "limit": 5}
    summary = run_all(dag, "reddit.posts", params=top, dag_run=dag_run(run_id="top"))

    assert (summary["stream"], summary["rows_extracted"]) == ("reddit.posts", 10)
    assert subreddits_in_table() == ["python", "selfhosted"]
    with pytest.raises(AirflowFailException, match=r"a run without 'selfhosted/new' would take the rows of that away"):
        call(dag, "reddit_extraction", "reddit.posts", params={**top, "subreddits": ["python"]}, dag_run=dag_run(run_id="less"))


def test_the_form_may_name_the_subreddits_in_any_order(dag):
    summary = run_all(dag, "reddit.posts", params={"subreddits": ["selfhosted", "python"]}, dag_run=dag_run(run_id="turned"))

    assert (summary["stream"], summary["state"]) == ("reddit.posts", "loaded")
    assert subreddits_in_table() == ["python", "selfhosted"]


def test_its_slice_is_read_anew_by_the_form(dag):
    path = call(dag, "reddit_extraction", "reddit.posts", dag_run=dag_run(run_id="one"))
    manifest = call(dag, "s3_upload", path)
    call(dag, "duckdb_load", manifest)
    load_id = manifest.rpartition("/")[2].removesuffix(".json")
    asked = {"params": {"again": "reextract", "of_load": f"reddit.posts/{load_id}"}, "dag_run": dag_run(run_id="again")}

    assert run_all(dag, "reddit.posts", **asked)["load_id"] == f"{load_id}-r2"
    assert subreddits_in_table() == ["python", "selfhosted"]


def test_a_load_of_one_subreddit_from_before_is_not_read_anew_into_the_replaced_table(dag, on_sandbox):
    merged = build_in(on_sandbox, "python", "selfhosted")
    manifest = call(merged, "s3_upload", call(merged, "reddit_extraction", "python/new", dag_run=dag_run(run_id="one")))
    (on_sandbox / "reddit.yaml").write_text(REPLACED.format(subreddits="python, selfhosted", target="warehouse"), "utf-8")
    load_id = manifest.rpartition("/")[2].removesuffix(".json")
    asked = {"params": {"again": "reextract", "of_load": f"reddit.posts/{load_id}"}, "dag_run": dag_run(run_id="again")}

    with pytest.raises(AirflowFailException, match="not what the trigger form chooses now"):
        call(dag, "reddit_extraction", "reddit.posts", **asked)


def test_the_grid_labels_the_task_with_the_table(dag):
    pipeline = load_pipeline("reddit", load_settings())

    assert label_of(pipeline, SimpleNamespace(map_index=0), {}) == "reddit.posts"
    assert label_of(pipeline, SimpleNamespace(map_index=0), {"subreddits": ["python"]}) == "reddit.posts"


def test_a_task_of_a_run_from_before_a_stream_was_taken_out_is_labelled_and_not_failed_by_its_label(dag):
    pipeline = load_pipeline("reddit", load_settings())

    assert label_of(pipeline, SimpleNamespace(map_index=1), {}) == "no. 1, since taken out"
    assert of_pipelines(["reddit"], 1, {})["user_defined_macros"]["pipeline_at"](3) == "no. 3, since taken out"

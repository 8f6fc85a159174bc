"""Doing one load again by the trigger form: its package, its slice, its quarantine; called as plain functions on the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError
from dags_on_sandbox import build_in, dag_run

from ducklift.orchestration.partitions import run_of
from ducklift.pipeline import load_id_for
from ducklift.sandbox import Fault
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse

MANY_SCORES = "columns: [{name: score, type: bigint}, {name: title, type: bigint}]\ncontract: quarantine\n"


def call(dag: Any, task_id: str, argument: str, **context: Any) -> Any:
    return dag.get_task(task_id).python_callable(argument, **context)


def package(dag: Any, stream: str, **context: Any) -> str:
    """Extract and upload; return the manifest's URL."""
    return call(dag, "s3_upload", call(dag, "reddit_extraction", stream, **context))


def load_of(manifest: str) -> str:
    return "reddit.posts/" + manifest.rpartition("/")[2].removesuffix(".json")


def again(task: str | None, load: str | None, run_id: str = "again", **form: Any) -> dict[str, Any]:
    return {"params": {"again": task, "of_load": load, **form}, "dag_run": dag_run(run_id=run_id)}


def query(sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(load_settings(), read_only=True) as warehouse:
        return warehouse.rows(sql)


def test_a_pending_package_is_loaded_and_nothing_is_extracted(build):
    dag = build("python", "selfhosted")
    pending = package(dag, "selfhosted/new")
    asked = again("load", load_of(pending))

    found = package(dag, "selfhosted/new", **asked)
    summary = call(dag, "duckdb_load", found, **asked)

    assert found == pending
    assert (summary["state"], summary["manifest"]) == ("loaded", pending)
    assert query("select distinct subreddit from reddit.posts where subreddit is not null") == [("selfhosted",)]
    assert call(dag, "duckdb_load", found, **asked)["state"] == "already_loaded"


def test_the_streams_whose_load_it_is_not_are_skipped(build):
    dag = build("python", "selfhosted")
    pending = package(dag, "selfhosted/new")

    with pytest.raises(AirflowSkipException):
        call(dag, "reddit_extraction", "python/new", **again("load", load_of(pending)))


def test_a_load_of_a_stream_that_the_file_no_longer_names_is_done_by_the_first_task(build):
    pending = package(build("dataengineering"), "dataengineering/new")
    dag = build("python", "selfhosted")

    assert package(dag, "python/new", **again("load", load_of(pending))) == pending


def test_a_slice_is_extracted_again_in_the_place_of_its_load(build):
    dag = build("python")
    first = package(dag, "python/new", dag_run=dag_run(run_id="first"))
    rows = call(dag, "duckdb_load", first)["total_rows"]
    asked = again("reextract", load_of(first))

    second = package(dag, "python/new", **asked)
    summary = call(dag, "duckdb_load", second, **asked)

    assert load_of(second) == load_of(first) + "-r2"
    assert (summary["state"], summary["total_rows"]) == ("loaded", rows)
    assert query("select distinct _load_id from reddit.posts") == [(summary["load_id"],)]
    # A retry and a cleared task of the same run find what it landed; the next run reads once more, also from the newer load's id.
    assert package(dag, "python/new", **asked) == second
    assert load_of(package(dag, "python/new", **again("reextract", load_of(second), "third"))) == load_of(first) + "-r3"


def test_a_slice_whose_reading_failed_is_read_again_as_the_same_load(build, sandbox):
    dag = build("python")
    sandbox.reddit.script([Fault("status", status=404)])
    first = {"dag_run": dag_run(run_id="first")}
    with pytest.raises(AirflowFailException, match="no such subreddit"):
        package(dag, "python/new", **first)
    load_id = f"reddit.posts/{load_id_for('reddit', 'python/new', run_of(first))}"

    assert load_of(package(dag, "python/new", **again("reextract", load_id))) == load_id


def test_a_slice_that_was_read_by_other_choices_needs_them_again(build):
    dag = build("python")
    top = {"subreddits": ["python"], "listing": "top", "time_filter": "all", "limit": 5}
    first = package(dag, "python/new", params=top, dag_run=dag_run(run_id="top"))

    with pytest.raises(AirflowFailException, match="Fill the form as it was"):
        package(dag, "python/new", **again("reextract", load_of(first)))
    assert load_of(package(dag, "python/new", **again("reextract", load_of(first), **top))) == load_of(first) + "-r2"


def test_quarantined_records_are_tried_again_after_a_fix(on_sandbox):
    def built(more: str) -> Any:
        dag = build_in(on_sandbox, "python")
        file = on_sandbox / "reddit.yaml"
        file.write_text(file.read_text("utf-8") + more, "utf-8")
        from ducklift.orchestration.dag import pipeline_dag

        return dag if not more else pipeline_dag("reddit", schedule=None)

    strict = built(MANY_SCORES)
    first = package(strict, "python/new")
    assert call(strict, "duckdb_load", first)["rows_quarantined"] > 0
    asked = again("quarantine", load_of(first))

    mended = built("contract: quarantine\n")
    manifest = package(mended, "python/new", **asked)
    summary = call(mended, "duckdb_load", manifest, **asked)

    assert load_of(manifest) == load_of(first) + "-q"
    assert summary["rows_inserted"] > 0
    assert query("select count(*) from _ducklift.quarantine") == [(0,)]
    # A cleared task finds the retry that landed.
    assert package(mended, "python/new", **asked) == manifest
    with pytest.raises(AirflowFailException, match="retried quarantined records"):
        package(mended, "python/new", **again("reextract", load_of(manifest)))


def test_nothing_to_retry_fails_and_says_so(build):
    dag = build("python")
    first = package(dag, "python/new")
    call(dag, "duckdb_load", first)

    with pytest.raises(AirflowFailException, match="no quarantined records"):
        package(dag, "python/new", **again("quarantine", load_of(first)))


def test_another_pipeline_s_load_is_refused(build, on_sandbox):
    first = package(build("python"), "python/new")
    own = (on_sandbox / "reddit.yaml").read_text("utf-8")
    (on_sandbox / "other.yaml").write_text(own.replace("name: reddit", "name: other"), "utf-8")
    from ducklift.orchestration.dag import pipeline_dag

    with pytest.raises(AirflowFailException, match="of pipeline 'reddit', not of 'other'"):
        call(pipeline_dag("other", schedule=None), "reddit_extraction", "python/new", **again("load", load_of(first)))


@pytest.mark.parametrize(
    ("task", "load"),
    [
        ("drop", "reddit.posts/20260101T000000Z-abcdef01"),
        ("load", None),
        (None, "reddit.posts/20260101T000000Z-abcdef01"),
        ("load", "../../other/20260101T000000Z-abcdef01"),
        ("load", "reddit.posts/../20260101T000000Z-abcdef01"),
        ("load", "reddit.posts/20260101T000000Z-abcdef01\n"),
        ("load", "reddit.posts/{{ var.value.secret }}"),
        ("load", ["reddit.posts/20260101T000000Z-abcdef01"]),
        ("load", "s3://elsewhere/raw/reddit/posts/_loads/20260101T000000Z-abcdef01.json"),
    ],
)
def test_a_hostile_choice_is_refused_by_the_task_too(build, task, load):
    with pytest.raises(AirflowFailException, match=r"^(again|of_load):"):
        call(build("python"), "reddit_extraction", "python/new", **again(task, load))


def test_a_load_that_nobody_knows_fails_and_is_no_green_run(build):
    dag = build("python", "selfhosted")

    for stream in ("python/new", "selfhosted/new"):
        with pytest.raises(AirflowFailException, match="20260101T000000Z-abcdef01"):
            call(dag, "reddit_extraction", stream, **again("load", "reddit.posts/20260101T000000Z-abcdef01"))


@pytest.mark.parametrize(("name", "value"), [("again", "drop"), ("again", ["load"]), ("of_load", "x"), ("of_load", "a.b/../c")])
def test_the_trigger_form_refuses_what_names_no_load(build, name, value):
    with pytest.raises(ParamValidationError):
        build("python").params[name] = value

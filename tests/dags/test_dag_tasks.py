"""The task functions called as plain functions, on the sandbox and a real DuckDB."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from dags_on_sandbox import PushedXComs, build_in, dag_run, stand_on

from ducklift.errors import ConfigurationError, ListingGap, SourceThrottled, SourceUnavailable, SpoolMissing, StreamRefused
from ducklift.orchestration.partitions import run_of
from ducklift.orchestration.tasks import LONGEST_WAIT, WaitAsAsked
from ducklift.pipeline import load_id_for
from ducklift.sandbox import Fault, RedditOptions, Sandbox
from ducklift.settings import load_settings
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_client import Patience
from ducklift.warehouse import open_warehouse


def call(dag: Any, task_id: str, argument: str, **context: Any) -> Any:
    return dag.get_task(task_id).python_callable(argument, **context)


def run_all(dag: Any, stream: str = "python/new", **context: Any) -> dict[str, Any]:
    path = call(dag, "reddit_extraction", stream, **context)
    return call(dag, "duckdb_load", call(dag, "s3_upload", path, **context), **context)


def rows_in_table() -> int:
    with open_warehouse(load_settings(), read_only=True) as warehouse:
        return int(warehouse.value("select count(*) from reddit.posts"))


@pytest.fixture
def impatient(monkeypatch):
    """A source that asks once; how it repeats is tried elsewhere."""
    monkeypatch.setattr(RedditSource, "patience", Patience(attempts=1))


@pytest.fixture
def script(sandbox: Sandbox):
    """A function that scripts the sandbox's faults, which end with the test."""
    yield lambda *faults: sandbox.reddit.script(list(faults))
    sandbox.reddit.script([])


def test_each_task_hands_the_next_one_a_path_and_the_last_a_small_summary(build):
    dag = build("python")

    path = call(dag, "reddit_extraction", "python/new")
    assert Path(path).is_dir()
    manifest = call(dag, "s3_upload", path)
    assert manifest.startswith(load_settings().lake_url + "/raw/reddit/posts/_loads/")
    summary = call(dag, "duckdb_load", manifest)

    assert summary["state"] == "loaded"
    assert summary["rows_inserted"] == summary["total_rows"] == rows_in_table() > 0
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_run_of_the_schedule_stands_for_its_interval(run_type):
    run = run_of({"dag_run": dag_run(run_type, day=2)})

    assert run.by_slice
    assert (run.slice_start, run.slice_end) == (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))


def test_a_scheduled_run_and_a_backfill_of_the_same_interval_are_the_same_load():
    ids = {load_id_for("reddit", "python/new", run_of({"dag_run": dag_run(kind, day=2)})) for kind in ("scheduled", "backfill")}
    other_day = load_id_for("reddit", "python/new", run_of({"dag_run": dag_run("backfill", day=3)}))

    assert len(ids) == 1
    assert ids.pop().startswith("20260102T000000Z-")
    assert other_day.startswith("20260103T000000Z-")


@pytest.mark.parametrize("run_type", ["manual", "asset_triggered", "operator_triggered"])
def test_a_run_without_a_logical_date_is_named_by_its_id_and_starts_when_it_was_due(run_type):
    run = run_of({"dag_run": dag_run(run_type)})
    another = run_of({"dag_run": dag_run(run_type, run_id="another")})

    assert not run.by_slice
    assert run.slice_start == run.slice_end == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert load_id_for("reddit", "python/new", run).startswith("20260203T040506Z-")
    assert load_id_for("reddit", "python/new", run) != load_id_for("reddit", "python/new", another)


def test_a_manual_run_with_a_logical_date_is_no_slice_of_the_schedule():
    manual = run_of({"dag_run": dag_run("manual", day=2)})
    scheduled = run_of({"dag_run": dag_run("scheduled", day=2)})

    assert load_id_for("reddit", "python/new", manual) != load_id_for("reddit", "python/new", scheduled)


def test_a_partitioned_run_stands_for_its_partition_however_it_came_about():
    partition = {"partition_key": "2026-01-02", "partition_date": datetime(2026, 1, 2, tzinfo=UTC)}
    scheduled = run_of({"dag_run": dag_run("scheduled", run_after=datetime(2026, 1, 3, tzinfo=UTC), **partition)})
    backfill = run_of({"dag_run": dag_run("backfill", run_after=datetime(2026, 1, 2, tzinfo=UTC), **partition)})

    assert load_id_for("reddit", "python/new", scheduled) == load_id_for("reddit", "python/new", backfill)
    assert scheduled.slice_start == datetime(2026, 1, 2, tzinfo=UTC)


def test_the_manifest_keeps_the_facts_of_the_run():
    facts = run_of({"dag_run": dag_run("scheduled", day=2), "ti": PushedXComs().task_instance(try_number=3, map_index=1)}).facts

    told = {"dag_id": "reddit", "run_id": "scheduled__one", "run_type": "scheduled", "try_number": 3, "map_index": 1}
    assert facts == {**told, "task_id": "reddit_extraction"}


def test_a_cleared_run_finds_its_load_and_changes_nothing(build):
    dag, context = build("python"), {"dag_run": dag_run("scheduled", day=2)}
    first = run_all(dag, **context)

    again = run_all(dag, **context)

    assert again["state"] == "already_loaded"
    assert (again["load_id"], rows_in_table()) == (first["load_id"], first["rows_inserted"])


def test_a_stream_that_was_not_chosen_is_skipped(build):
    dag = build("python", "selfhosted")

    with pytest.raises(AirflowSkipException, match="python/new"):
        call(dag, "reddit_extraction", "python/new", params={"subreddits": ["selfhosted"]})


def test_a_chosen_listing_is_read_in_the_place_of_the_configured_one(build):
    summary = run_all(build("python"), params={"subreddits": ["python"], "listing": "top", "time_filter": "all", "limit": 7})

    assert (summary["stream"], summary["rows_extracted"], summary["watermark"]) == ("python/top", 7, None)


@pytest.mark.parametrize(
    "params",
    [
        {"subreddits": ["evil"]},
        {"subreddits": []},
        {"listing": "'; drop table reddit.posts; --"},
        {"limit": "1"},
        {"endpoint": "http://elsewhere.invalid"},
        {"subreddits": ["{{ 7 * 7 }}"]},
    ],
    ids=str,
)
def test_a_form_that_got_past_the_schema_is_refused_in_the_task_for_good(build, params):
    with pytest.raises(AirflowFailException) as caught:
        call(build("python"), "reddit_extraction", "python/new", params=params)

    assert isinstance(caught.value.__cause__, ConfigurationError)


def test_a_subreddit_that_is_refused_fails_by_name_and_is_not_retried(build):
    with pytest.raises(AirflowFailException, match="private_example/new: the subreddit is private") as caught:
        call(build("private_example"), "reddit_extraction", "private_example/new")

    assert isinstance(caught.value.__cause__, StreamRefused)


def test_a_spool_package_that_is_gone_is_not_retried(build, tmp_path):
    dag = build("python")
    path = Path(call(dag, "reddit_extraction", "python/new"))
    path.rename(tmp_path / "elsewhere")

    with pytest.raises(AirflowFailException, match="DUCKLIFT_SPOOL") as caught:
        call(dag, "s3_upload", str(path))

    assert isinstance(caught.value.__cause__, SpoolMissing)


def test_a_source_that_does_not_answer_is_left_to_the_retries(build, script, impatient):
    script(Fault("status", status=503, times=None))

    with pytest.raises(SourceUnavailable) as caught:
        call(build("python"), "reddit_extraction", "python/new")

    assert build("python").get_task("reddit_extraction").retry_policy.evaluate(caught.value, 1, 3).action is RetryAction.DEFAULT


def test_a_source_that_says_when_to_come_back_is_asked_then(build, script, impatient):
    script(Fault("status", status=429, retry_after="77", times=None))

    with pytest.raises(SourceThrottled) as caught:
        call(build("python"), "reddit_extraction", "python/new")
    decision = build("python").get_task("reddit_extraction").retry_policy.evaluate(caught.value, 1, 3)

    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == timedelta(seconds=77)


@pytest.mark.parametrize(("asked_s", "delay"), [(0.0, timedelta(seconds=1)), (1e9, LONGEST_WAIT), (None, None)])
def test_odd_times_to_come_back_are_bounded(asked_s, delay):
    assert WaitAsAsked().evaluate(SourceThrottled("throttled", asked_s), 1, 3).retry_delay == delay


def test_the_asset_event_tells_rows_bytes_and_where_they_lie(build):
    dag = build("python")
    events = OutletEventAccessors()

    summary = run_all(dag, outlet_events=events)

    (asset,) = dag.get_task("duckdb_load").outlets
    told = events[asset].extra
    for name in ("rows_extracted", "rows_inserted", "rows_updated", "total_rows", "bytes", "load_id", "manifest", "watermark", "state"):
        assert told[name] == summary[name]
    assert told["rows_loaded"] == told["rows_inserted"] + told["rows_updated"]
    assert told["last_created_at"] == told["watermark"] is not None


def test_a_pipeline_into_the_lake_alone_tells_what_landed(build):
    dag = build("python", target="lake")
    events = OutletEventAccessors()

    manifest = call(dag, "s3_upload", call(dag, "reddit_extraction", "python/new"), outlet_events=events)

    (asset,) = dag.get_task("s3_upload").outlets
    told = events[asset].extra
    assert (told["manifest"], told["stream"]) == (manifest, "python/new")
    assert told["rows_extracted"] > 0
    assert told["bytes"] > 0
    assert told["last_created_at"] > 0


def test_a_gap_fails_the_task_by_name_after_the_rows_are_in_and_again_when_it_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(RedditSource, "listing_cap", 100)
    start = tmp_path / "sandbox"
    with Sandbox(start, options=RedditOptions(listing_cap=100)) as sandbox:
        stand_on(sandbox, tmp_path, monkeypatch)
        dag = build_in(tmp_path / "pipelines", "python")
        first = run_all(dag, dag_run=dag_run(run_id="first"))
        assert first["gap"] is None
        sandbox.reddit.advance(timedelta(days=40))
        before, xcoms = rows_in_table(), PushedXComs()
        context = {"dag_run": dag_run(run_id="second"), "ti": xcoms.task_instance()}
        manifest = call(dag, "s3_upload", call(dag, "reddit_extraction", "python/new", **context), **context)

        for state in ("loaded", "already_loaded"):
            with pytest.raises(AirflowFailException, match="python/new: the source's listing ended") as caught:
                call(dag, "duckdb_load", manifest, **context)
            assert isinstance(caught.value.__cause__, ListingGap)
            assert xcoms["return_value"]["state"] == state
            assert len(xcoms["return_value"]["gap"]) == 2

    assert rows_in_table() > before


def test_a_connection_gives_the_tasks_their_keys(build, sandbox, monkeypatch):
    environment = sandbox.environment
    for name in ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    key_id, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("AIRFLOW_CONN_DUCKLIFT_LAKE", f"aws://{key_id}:{secret}@/")
    monkeypatch.setenv("AIRFLOW_CONN_REDDIT_DEFAULT", f"reddit://{environment['REDDIT_CLIENT_ID']}:{environment['REDDIT_CLIENT_SECRET']}@/")

    assert run_all(build("python"))["state"] == "loaded"


def test_a_load_is_measured_under_its_own_table(build, monkeypatch):
    seen = []

    @contextmanager
    def measured(*names):
        seen.append(names)
        yield

    monkeypatch.setattr("ducklift.orchestration.tasks.measured", measured)
    with pytest.raises(AirflowFailException):
        call(build("python"), "duckdb_load", f"{load_settings().lake_url}/raw/shop/orders/_loads/20260101T000000Z-00000000.json")
    assert seen == [("load", "reddit", "shop.orders")]

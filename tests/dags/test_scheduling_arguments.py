"""What the arguments of `pipeline_dag` for scheduling make of a DAG, and which slice a run stands for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable, RetryAction
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.trigger import CronPartitionTimetable as CoreTimetable
from dags_on_sandbox import dag_run
from pendulum import instance
from webhook_receiver import Receiver, receiver

from ducklift.errors import ConfigurationError, SliceNotOver, SourceUnavailable
from ducklift.orchestration.alerts import deadline_missed
from ducklift.orchestration.arrivals import Lookout, ObjectsLand
from ducklift.orchestration.dag import Budget, pipeline_dag, table_asset
from ducklift.orchestration.partitions import partition_interval, run_of
from ducklift.orchestration.tasks import WaitAsAsked
from ducklift.pipeline import load_pipeline
from ducklift.settings import load_settings

__all__ = ["receiver"]
WEBHOOK = "ducklift.orchestration.webhook.WebhookNotifier"
DAILY = CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")


def day(number: int, month: int = 1) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def test_a_budget_bounds_the_extractions_and_names_their_pools(build):
    budget = Budget(streams_at_once=2, streams_at_once_in_all_runs=3, extraction_pool="night", load_pool="lake_house")
    dag = build("python", "selfhosted", budget=budget)

    extraction, load = dag.get_task("reddit_extraction"), dag.get_task("duckdb_load")
    assert (extraction.max_active_tis_per_dagrun, extraction.max_active_tis_per_dag) == (2, 3)
    assert (extraction.pool, load.pool, load.max_active_tis_per_dag) == ("night", "lake_house", None)


def test_the_wait_comes_before_everything_else_and_refuses_what_is_no_object_in_s3(build):
    dag = build("python", wait_for=["s3://drop/{{ ds }}/_SUCCESS", "s3://drop/more/*.csv"])

    assert dag.get_task("reddit_extraction").upstream_task_ids == {"wait_for_objects"}
    assert dag.get_task("wait_for_objects").urls == ["s3://drop/{{ ds }}/_SUCCESS", "s3://drop/more/*.csv"]
    for url in ("gs://drop/x", "s3://drop", "drop/x"):
        with pytest.raises(ConfigurationError, match="s3://bucket/key"):
            build("python", wait_for=url)


@pytest.mark.parametrize("schedule", [DAILY, PartitionedAssetTimetable(assets=table_asset("shop.orders"))], ids=["cron", "asset"])
def test_the_form_of_a_partitioned_dag_offers_to_read_again_and_no_other_does(build, schedule):
    assert build("python", schedule=schedule).params.dump()["reextract"] is False
    assert "reextract" not in build("python").params.dump()


@pytest.mark.parametrize("notify", ["nowhere.to.be.Found", "Slack", f"{WEBHOOK}s.More", {"json.": {}}], ids=str)
def test_a_notifier_that_is_not_there_is_an_import_error(build, notify):
    with pytest.raises(ConfigurationError, match="is not to be found"):
        build("python", notify=notify)


def test_one_variable_names_the_notifiers_of_all_dags_and_is_not_shown_when_it_is_wrong(build, monkeypatch):
    assert build("python").on_failure_callback is None
    monkeypatch.setenv("DUCKLIFT_NOTIFY", json.dumps({WEBHOOK: {"conn_id": "ops"}}))
    assert [told.kwargs for told in build("python").on_failure_callback] == [{"conn_id": "ops"}]
    assert build("python", notify="").on_failure_callback is None
    monkeypatch.setenv("DUCKLIFT_NOTIFY", '{"a": "hunter2"}')
    with pytest.raises(ConfigurationError) as caught:
        build("python")
    assert "hunter2" not in str(caught.value)


def test_a_deadline_is_kept_with_the_dag_and_tells_whoever_is_told_of_failures(build, receiver: Receiver, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LATE", f"http://127.0.0.1:{receiver.server_port}/http")
    dag = build("python", deadline=timedelta(hours=2), notify={WEBHOOK: {"conn_id": "late"}})
    stored = DagSerialization.serialize_dag(dag)
    assert stored["deadline"]

    callback = dag.deadline[0].callback if isinstance(dag.deadline, list) else dag.deadline.callback
    context = {"dag_run": {"dag_id": "reddit", "dag_run_id": "manual__1"}, "deadline": {"id": "1"}}
    before = len(receiver.received)
    assert asyncio.run(deadline_missed(**callback.kwargs, context=context)) == WEBHOOK

    (message,) = receiver.received[before:]
    assert callback.path == "ducklift.orchestration.alerts.deadline_missed"
    assert (message["dag_id"], message["run_id"]) == ("reddit", "manual__1")
    assert "2:00:00" in message["reason"]


def test_one_notifier_that_fails_keeps_no_other_from_its_turn(receiver: Receiver, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_DUCKLIFT_WEBHOOK", "http://:hunter2@127.0.0.1:9/http")
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(deadline_missed({WEBHOOK: {}, "ducklift.orchestration.webhook.facts_of": {}}, 60.0))

    refused, _ = caught.value.exceptions
    assert isinstance(refused, SourceUnavailable)
    assert "hunter2" not in str(refused)
    assert "127.0.0.1" not in str(refused)


DROPS = """\
name: {name}
source: {{type: bucket_files, buckets: ["{bucket}"], path: "incoming/*.csv", form: [{form}]}}
table: nature.drops
"""


@pytest.fixture
def drops(on_sandbox: Path, tmp_path: Path) -> Callable[..., Any]:
    """A function that builds a DAG whose runs begin when objects land in a folder."""

    def made(name: str = "drops", form: str = "path", **schedule: Any) -> Any:
        text = DROPS.format(name=name, bucket=(tmp_path / "bucket").as_uri(), form=form)
        (on_sandbox / f"{name}.yaml").write_text(text, "utf-8")
        return pipeline_dag(name, schedule=ObjectsLand(**schedule))

    return made


def test_a_dag_that_waits_for_objects_to_land_has_a_watcher_and_maps_over_what_it_announces(drops):
    dag = drops(every=timedelta(seconds=9))

    (watcher,) = dag.timetable.asset_condition.objects[0].watchers
    assert watcher.trigger.serialize()[1]["path"] == "incoming/*.csv"
    assert watcher.trigger.serialize()[1]["every_s"] == 9.0
    assert [task.task_id for task in dag.topological_sort()] == ["arrivals", "bucket_files_extraction", "s3_upload", "duckdb_load"]
    assert DagSerialization.serialize_dag(dag)["timetable"]
    assert dag.get_task("arrivals").python_callable() == [{"stream": dag_streams(dag)}]


def dag_streams(dag: Any) -> str:
    return load_pipeline(dag.dag_id, load_settings()).streams()[0]


def test_a_source_that_takes_no_path_cannot_be_told_of_objects(build, drops):
    with pytest.raises(ConfigurationError, match="form offers the path"):
        build("python", schedule=ObjectsLand())
    with pytest.raises(ConfigurationError, match="form offers the path"):
        drops(form="")
    with pytest.raises(ConfigurationError, match="does not offer the bucket"):
        drops(bucket="s3://elsewhere")


def test_an_event_cannot_make_a_run_read_beside_the_watched_path(drops):
    dag = drops()
    forged = {"payload": {"objects": [{"identity": "x", "key": "secrets/keys.csv", "modified": None}]}}
    run = SimpleNamespace(consumed_asset_events=[SimpleNamespace(extra=forged)])

    with pytest.raises(AirflowFailException, match="not under the watched"):
        dag.get_task("arrivals").python_callable(dag_run=run)


def test_what_was_announced_is_announced_again_only_after_a_day_and_no_more_at_once_than_may_be_under_way(drops, tmp_path, monkeypatch):
    monkeypatch.setattr("ducklift.orchestration.arrivals.MOST_UNDER_WAY", 2)
    drops()
    (tmp_path / "bucket" / "incoming").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "bucket" / "incoming" / f"{number}.csv").write_text("id\n1\n", "utf-8")
    lookout = Lookout("drops", (tmp_path / "bucket").as_uri(), "incoming/*.csv")

    looks = [[one["key"] for one in lookout.look(load_settings(), now_s)] for now_s in (0.0, 30.0, 90_000.0)]

    # The first two were not loaded by then: the third has its turn before them.
    assert looks == [["incoming/0.csv", "incoming/1.csv"], [], ["incoming/2.csv", "incoming/0.csv"]]
    assert [one["key"] for one in Lookout(**{**vars(lookout), "told_at_s": {}}).look(load_settings(), 0.0)] == looks[0]


@pytest.mark.parametrize(
    ("key", "date", "expected"),
    [
        ("2026-01-02", None, (day(2), day(3))),
        ("2026-12", None, (day(1, 12), datetime(2027, 1, 1, tzinfo=UTC))),
        ("2026", None, (day(1), datetime(2027, 1, 1, tzinfo=UTC))),
        ("2026-01-02T05", None, (day(2) + timedelta(hours=5), day(2) + timedelta(hours=6))),
        ("2026-01-02T00:00:00", None, (day(2), day(2))),
        ("emea", None, None),
        ("emea", day(2), (day(2), day(2))),
        ("2026-01-02", day(1), (day(1), day(2))),
    ],
    ids=str,
)
def test_a_partition_that_follows_another_dags_is_as_long_as_its_key_tells(key: str, date: Any, expected: Any):
    assert partition_interval(key, date) == expected


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-06-01", 24), ("2026-10-25", 25)])
def test_a_partition_ends_where_the_next_one_of_its_cron_begins_also_when_clocks_change(date: str, hours: int):
    berlin = ZoneInfo("Europe/Berlin")
    timetable = CronPartitionTimetable("0 0 * * *", timezone="Europe/Berlin", run_offset=-1)

    start, end = partition_interval("any", datetime.fromisoformat(date).replace(tzinfo=berlin), timetable) or (None, None)

    assert start is not None
    assert end is not None
    assert (end - start, end.astimezone(berlin).hour) == (timedelta(hours=hours), 0)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", ["0 0 * * *", "30 2 * * *", "0 2 * * *", "0 * * * *", "15 1-3 * * *"])
def test_a_partition_ends_where_airflow_has_the_next_one_begin(zone: str, cron: str):
    steps, timetable = CoreTimetable(cron, timezone=zone), CronPartitionTimetable(cron, timezone=zone)
    differing, moment = [], steps._get_next(instance(day(1)))
    while moment.year == 2026:
        following = steps._get_next(moment)
        # The days when clocks change, and some others.
        if moment.day in (*range(1, 10), *range(24, 32)) and moment.month in (3, 4, 10, 11):
            ends = partition_interval("any", moment, timetable)
            differing += [] if ends == (moment, following) else [(moment, following, ends)]
        moment = following

    assert differing == []


@pytest.mark.parametrize("key", ["9999", "9999-12", "9999-12-31", "9999-12-31T23", "9999-12-31T23:59"])
def test_a_partition_that_ends_behind_the_calendar_is_refused(key: str):
    with pytest.raises(ConfigurationError, match="behind the calendar"):
        partition_interval(key, None)


def test_reading_again_is_refused_where_a_run_stands_for_no_partition():
    for run in (dag_run("backfill", day=2), dag_run("manual")):
        with pytest.raises(ConfigurationError, match="stands for no partition"):
            run_of({"dag_run": run, "params": {"reextract": True}})


def partitioned(run_type: str, params: dict[str, Any] | None = None, **fields: Any) -> Any:
    run = dag_run(run_type, partition_key="2026-01-02", partition_date=day(2), **fields)
    return run_of({"dag_run": run, "dag": SimpleNamespace(timetable=DAILY), "params": params or {}})


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual"])
def test_a_partitioned_run_asks_for_its_own_day_and_reads_it_again_only_when_told_to(run_type: str):
    run = partitioned(run_type)

    assert (run.slice_start, run.slice_end, run.partition) == (day(2), day(3), "2026-01-02")
    assert (run.by_slice, run.window, run.mode) == (True, True, "new")
    assert partitioned(run_type, {"reextract": True}).mode == "reextract"
    assert partitioned(run_type, {"reextract": "true"}).mode == "new"


def test_a_run_that_an_upstream_partition_started_reads_it_again():
    assert partitioned("asset_triggered").mode == "reextract"


def test_a_backfill_of_an_interval_asks_for_it_and_the_schedule_goes_by_the_watermark():
    assert run_of({"dag_run": dag_run("backfill", day=2)}).window
    assert not run_of({"dag_run": dag_run("scheduled", day=2)}).window


def test_a_run_whose_key_tells_no_moment_is_named_by_its_id():
    run = run_of({"dag_run": dag_run("asset_triggered", partition_key="emea", partition_date=None)})

    assert (run.by_slice, run.window, run.mode, run.partition) == (False, False, "new", "emea")


def test_a_run_that_was_early_is_tried_again_when_its_interval_is_over():
    ends = datetime.now(UTC) + timedelta(hours=5)

    decision = WaitAsAsked().evaluate(SliceNotOver("python/new", ends - timedelta(days=1), ends), 1, 3)

    assert decision.action is RetryAction.RETRY
    assert timedelta(hours=4, minutes=59) < decision.retry_delay < timedelta(hours=5, seconds=5)

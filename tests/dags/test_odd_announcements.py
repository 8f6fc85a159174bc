"""Announcements of objects with odd names, and ones that no watcher wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from dags_on_sandbox import dag_run

from ducklift.orchestration.arrivals import Lookout, ObjectsLand
from ducklift.orchestration.dag import pipeline_dag
from ducklift.orchestration.lake_asset import newest_cursor
from ducklift.orchestration.tasks import label_of_arrival
from ducklift.pipeline import load_pipeline
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse

DROPS = """\
name: drops
source: {{type: bucket_files, buckets: ["{bucket}"], path: "*.csv", form: [path]}}
table: nature.drops
"""
ODD = ["a[1].csv", "a1.csv", "b{x,y}.csv", "bx.csv", "c?.csv", "d*.csv", "dX.csv", "[e].csv"]


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def dag(on_sandbox: Path, bucket: Path) -> Any:
    (on_sandbox / "drops.yaml").write_text(DROPS.format(bucket=bucket.as_uri()), "utf-8")
    return pipeline_dag("drops", schedule=ObjectsLand())


def announced(dag: Any, objects: Any) -> Any:
    events = [SimpleNamespace(extra={"payload": {"objects": objects}})]
    return dag.get_task("arrivals").python_callable(dag_run=SimpleNamespace(consumed_asset_events=events))


def run_all(dag: Any, told: Any) -> dict[str, Any]:
    context = {"dag_run": dag_run("asset_triggered")}
    path = dag.get_task("bucket_files_extraction").python_callable(told, **context)
    manifest = dag.get_task("s3_upload").python_callable(path, **context)
    return dag.get_task("duckdb_load").python_callable(manifest, **context)


def test_an_object_whose_name_reads_like_a_pattern_is_loaded_itself_and_nothing_else(dag, bucket):
    for key in ODD:
        (bucket / key).write_text(f'of\n"{key}"\n', "utf-8")
    told = announced(dag, Lookout("drops", bucket.as_uri(), "*.csv").look(load_settings(), 0.0))

    loaded = {each["key"]: run_all(dag, each)["rows_inserted"] for each in told}

    assert loaded == dict.fromkeys(ODD, 1)
    with open_warehouse(load_settings(), read_only=True) as warehouse:
        assert sorted(key for (key,) in warehouse.rows("SELECT of FROM nature.drops")) == sorted(ODD)
    assert Lookout("drops", bucket.as_uri(), "*.csv").look(load_settings(), 0.0) == []


@pytest.mark.parametrize("key", ["plain.csv", "a[1].csv", "b{x,y}.csv"])
def test_an_announced_object_that_is_deleted_before_it_was_read_fails_its_task(dag, bucket, key):
    (bucket / key).write_text("of\nx\n", "utf-8")
    (told,) = announced(dag, Lookout("drops", bucket.as_uri(), "*.csv").look(load_settings(), 0.0))
    (bucket / key).unlink()

    with pytest.raises(AirflowFailException, match=re.escape(f"there is no object {key!r}")):
        run_all(dag, told)


def test_a_task_is_labelled_also_when_what_was_announced_to_its_run_is_kept_no_longer(dag):
    pipeline = load_pipeline("drops", load_settings())

    for kept in (None, [{"key": "a.csv", "stream": "bucket/a.csv"}]):
        assert (
            label_of_arrival(pipeline, SimpleNamespace(map_index=1, xcom_pull=lambda task_ids, kept=kept: kept), {})
            == "no. 1, since taken out"
        )


@pytest.mark.parametrize(
    "told",
    [
        {"key": "a.csv"},
        {"key": "a.csv", "identity": ["x"]},
        {"key": "a.csv", "identity": "x", "modified": "yesterday"},
        {"key": "a.csv", "identity": "x", "modified": "0001-01-01T00:00:00+14:00"},
    ],
    ids=["no-version", "a-list", "no-moment", "before-all-time"],
)
def test_an_event_that_tells_no_version_of_its_object_is_refused(dag, told):
    with pytest.raises(AirflowFailException, match=r"announces 'a\.csv' without"):
        announced(dag, [told])


@pytest.mark.parametrize("told", [None, 7, "a.csv", {"key": None, "identity": "x"}], ids=["none", "number", "text", "no-key"])
def test_an_event_that_announces_no_object_is_refused(dag, told):
    with pytest.raises(AirflowFailException, match="not under the watched"):
        announced(dag, [told])


@pytest.mark.parametrize(
    "extra",
    [None, {}, {"watermark": "a7f"}, {"watermark": [1]}, {"watermark": True}, {"watermark": 5e20}],
    ids=["nothing", "empty", "word", "list", "truth", "beyond-time"],
)
def test_a_watermark_that_tells_no_moment_keeps_a_run_from_no_other_events_moment(extra):
    told = [SimpleNamespace(extra=extra), SimpleNamespace(extra={"watermark": 1767323045000})]

    assert newest_cursor({"triggering_asset_events": {"shop.orders": told}}) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

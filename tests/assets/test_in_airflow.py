"""Assets and stored XComs in real Airflow runs: the example DAG on posts of the sandbox, and tasks that hand values over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ducklift.assets import AssetValueLoader, ValueUnreadable
from ducklift.assets.path_manager import open_store
from ducklift.errors import CorruptObject
from ducklift.settings import Settings, load_settings

pytestmark = pytest.mark.airflow

DAGS = Path(__file__).parents[2] / "dags"
ASSETS = ["top_posts", "subreddit_scores", "engagement", "summary", "engagement_chart"]
POSTS = """
name: reddit
source: {type: reddit, subreddits: [python, duckdb], listing: new}
table: reddit.posts
disposition: merge
primary_key: [name]
incremental: {cursor: created_utc}
"""


@pytest.fixture(scope="module")
def told(sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What became of two runs of the example DAG and one of tasks that hand values over."""
    from ducklift.pipeline import Run, load_pipeline, run_pipeline
    from ducklift.warehouse import open_warehouse

    folder = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch:
        chosen = {
            **sandbox.environment,
            "DUCKLIFT_LAKE_URL": (folder / "lake").as_uri(),
            "DUCKLIFT_WAREHOUSE_URL": f"duckdb:///{folder / 'warehouse.duckdb'}",
            "DUCKLIFT_SPOOL": str(folder / "spool"),
            "DUCKLIFT_PIPELINES": str(folder / "include" / "pipelines"),
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__XCOM_BACKEND": "ducklift.orchestration.xcom.StoredXCom",
        }
        for name, value in chosen.items():
            patch.setenv(name, value)
        (folder / "dags").mkdir()
        for file in (DAGS / "reddit_analytics.py", Path(__file__).with_name("handing_over_dag.py")):
            shutil.copy(file, folder / "dags")
        (folder / "include" / "pipelines").mkdir(parents=True)
        (folder / "include" / "pipelines" / "reddit.yaml").write_text(POSTS)
        settings = load_settings(project=folder)
        assert run_pipeline(load_pipeline("reddit", settings), Run.now(), settings).state == "loaded"
        with open_warehouse(settings, read_only=True) as warehouse:
            day = warehouse.value("SELECT strftime(max(created_at), '%Y-%m-%d') FROM reddit.posts")
        finished = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("assets_in_airflow.py")), str(folder / "told.json"), str(folder / "dags")],
            input=json.dumps({"day": day}),
            cwd=folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )
        assert finished.returncode == 0, (finished.stdout + finished.stderr)[-6000:]
        outcome = json.loads((folder / "told.json").read_text("utf-8"))
        yield {**outcome, "day": day, "settings": settings, "log": finished.stdout + finished.stderr}


def value(told: Any, key: str, **chosen: Any) -> Any:
    settings: Settings = told["settings"]
    return AssetValueLoader(settings).load_asset_value(key, partition_key=told["day"], **chosen)


def test_the_example_runs_green_and_stores_each_value_by_its_type(told):
    assert [run["state"] for run in told["analytics"]] == ["success", "success"], told["log"][-3000:]
    assert value(told, "top_posts").num_rows > 0
    assert isinstance(value(told, "subreddit_scores"), pd.DataFrame)
    assert value(told, "engagement").shape == (4, 4)
    assert value(told, "summary")["posts"] == value(told, "top_posts").num_rows
    assert value(told, "engagement_chart").startswith(b"\x89PNG")


def test_each_run_is_a_version_and_the_day_is_its_partition(told):
    from ducklift.assets.versions import VersionStore

    versions = VersionStore(open_store(told["settings"], None))
    assert {key: len(versions.versions(key, told["day"])) for key in ASSETS} == dict.fromkeys(ASSETS, 2)


def test_the_events_tell_what_was_stored_and_in_which_partition(told):
    events = {event["asset"]: event for event in told["events"]}
    assert set(events) == {*ASSETS, "mapped"}
    assert events["top_posts"]["partition"] == told["day"]
    assert events["top_posts"]["extra"]["rows"] == value(told, "top_posts").num_rows


def test_xcom_carries_facts_of_an_asset_and_never_its_value(told):
    held = told["analytics"][0]["xcoms"]["top_posts/-1"]
    assert "version" in json.dumps(held)
    assert len(json.dumps(held)) < 2_000


def test_large_and_odd_values_pass_between_tasks_by_reference(told):
    assert told["xcom"]["state"] == "success", told["log"][-3000:]
    held = told["xcom"]["xcoms"]
    assert all("ducklift_stored_value" in json.dumps(held[task]) for task in ("frame/-1", "large/-1", "alike/-1", "times_ten/2"))
    assert all(len(json.dumps(each)) < 1_000 for each in held.values())
    assert "ducklift_stored_value" not in json.dumps(held["small/-1"])
    assert json.dumps(held["collect/-1"]).strip('"') == "1000070"


def test_what_a_failed_try_stored_goes_when_airflow_clears_it_for_the_next(told):
    assert told["xcom"]["tasks"]["twice"] == "success"
    lake = open_store(told["settings"], None)
    assert [lake.read(each.key) for each in lake.list("assets/xcom/handing_over/twice/tried/")] == [b'{"$type":"set","value":[2]}']


def test_an_asset_maps_over_the_partitions_that_a_task_returns(told):
    loaded = AssetValueLoader(told["settings"]).load_asset_value("mapped", partition_key=["us", "eu"])
    assert loaded == {"us": "value of us", "eu": "value of eu"}


def test_a_manager_that_is_not_declared_fails_when_the_dag_file_is_parsed(monkeypatch, tmp_path):
    from ducklift.assets import UnknownManager
    from ducklift.orchestration.lake_asset import lake_asset

    monkeypatch.setenv("DUCKLIFT_PIPELINES", str(tmp_path / "include" / "pipelines"))
    with pytest.raises(UnknownManager, match="nowhere"):

        @lake_asset(io_manager_key="nowhere")
        def value():
            return 1


@pytest.fixture
def kept(told, monkeypatch) -> Any:
    """The XCom backend, and what stands in Airflow's database for a set that it stored."""
    from types import SimpleNamespace

    from ducklift.orchestration import xcom

    xcom._storage.cache_clear()
    monkeypatch.setattr(xcom, "airflow_settings", lambda: told["settings"])
    held = SimpleNamespace(value=xcom.StoredXCom.serialize_value({1, 2}, key="k", task_id="t", dag_id="d", run_id="r", map_index=-1))
    yield xcom.StoredXCom, held
    xcom._storage.cache_clear()


def test_a_reference_whose_value_is_gone_raises_and_never_becomes_a_text(kept, told):
    backend, held = kept
    lake = open_store(told["settings"], None)
    assert backend.deserialize_value(held) == {1, 2}
    assert [each.key.rpartition("/")[2] for each in lake.list("assets/xcom/d/t/k/")] == ["value.json"]  # all else stands in the reference

    backend.purge(held)
    assert list(lake.list("assets/xcom/d/t/k/")) == []
    with pytest.raises(CorruptObject, match="xcom/d/t/k"):
        backend.deserialize_value(held)


@pytest.mark.parametrize(
    ("field", "text"),
    [("key", "top_posts"), ("key", "xcom/../../raw"), ("version", "../../../../raw"), ("file", "value.json/../../x"), ("file", "../value")],
)
def test_a_reference_that_leads_elsewhere_is_refused_and_deletes_nothing(kept, told, field, text):
    backend, held = kept
    before = [each.key for each in open_store(told["settings"], None).list("")]
    held.value = json.loads(json.dumps(held.value))
    held.value["ducklift_stored_value"][field] = text
    with pytest.raises(ValueUnreadable, match=field):
        backend.deserialize_value(held)
    backend.purge(held)
    assert [each.key for each in open_store(told["settings"], None).list("")] == before


def test_a_container_of_what_only_airflow_keeps_stays_with_airflow(settings, monkeypatch):
    import pendulum

    from ducklift.assets import NoSerializer
    from ducklift.orchestration import xcom

    xcom._storage.cache_clear()
    monkeypatch.setattr(xcom, "airflow_settings", lambda: settings)
    try:
        begin = {"begin": pendulum.datetime(2026, 1, 1)}
        held = xcom.StoredXCom.serialize_value(begin, key="k", task_id="t", dag_id="d", run_id="r", map_index=-1)
        assert xcom.StoredXCom.deserialize_value(type("Held", (), {"value": held})) == begin
        with pytest.raises(NoSerializer, match=r"at value\.odd"):
            xcom.StoredXCom.serialize_value({"odd": object()}, key="k", task_id="t", dag_id="d", run_id="r", map_index=-1)
    finally:
        xcom._storage.cache_clear()

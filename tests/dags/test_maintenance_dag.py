"""DAG `lake_maintenance`: what it is made of, and what its tasks delete."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from dags_on_sandbox import YAML

from ducklift.lake.filesystem import open_lake
from ducklift.orchestration.airflow_home import POOLS
from ducklift.orchestration.maintenance import maintenance_dag
from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.settings import load_settings


@pytest.fixture
def dag(on_sandbox: Path) -> Any:
    """The DAG over one pipeline whose raw files are kept for a day; it has run once."""
    text = YAML.format(subreddits="python", target="warehouse") + "retention: {raw: 1d}\n"
    (on_sandbox / "reddit.yaml").write_text(text, "utf-8")
    settings = load_settings()
    assert run_pipeline(load_pipeline("reddit", settings), Run.now(), settings).state == "loaded"
    return maintenance_dag("lake_maintenance", schedule=None)


@pytest.fixture
def two_days_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=2)

    monkeypatch.setattr("ducklift.keeping.datetime", Later)


def test_each_pipeline_is_collected_by_itself_and_then_the_rest_of_the_lake(dag):
    assert [task.task_id for task in dag.topological_sort()] == ["table_gc", "lake_gc"]
    assert dag.get_task("table_gc").downstream_task_ids == {"lake_gc"}
    assert {task.pool for task in dag.tasks} == {"ducklift_warehouse"} <= set(POOLS)
    label = dag.get_template_env().from_string(dag.get_task("table_gc").map_index_template)
    assert label.render({"ti": type("TI", (), {"map_index": 0})}) == "reddit"


@pytest.mark.usefixtures("two_days_pass")
def test_the_task_lets_raw_files_expire_and_tells_small_totals(dag):
    told = dag.get_task("table_gc").python_callable("reddit")

    assert told["reddit.posts"]["kinds"]["expired"]["found"] == 1
    assert told["reddit.posts"]["checkpoints"] == {"reddit.posts": 1}
    assert [found.key for found in open_lake(load_settings()).list("raw/") if "/_loads/" not in found.key] == []
    assert dag.get_task("lake_gc").python_callable()["found"] == 0


@pytest.mark.usefixtures("two_days_pass")
def test_a_table_whose_checkpoint_cannot_be_written_fails_the_task_and_keeps_its_files(dag, on_sandbox: Path):
    (on_sandbox.parent / "warehouse.duckdb").unlink()

    with pytest.raises(AirflowFailException, match="does not hold commit 1"):
        dag.get_task("table_gc").python_callable("reddit")
    assert [found.key for found in open_lake(load_settings()).list("raw/") if "/_loads/" not in found.key]

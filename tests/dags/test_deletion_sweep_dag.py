"""DAG `deletion_sweep`: which pipelines it sweeps, and what its task does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from dags_on_sandbox import YAML

from ducklift.errors import SweepRefused
from ducklift.orchestration.airflow_home import POOLS
from ducklift.orchestration.deletion_sweep import deletion_sweep_dag
from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.settings import load_settings


@pytest.fixture
def dag(on_sandbox: Path) -> Any:
    text = YAML.format(subreddits="duckdb", target="warehouse")
    (on_sandbox / "reddit.yaml").write_text(f"{text}sweep: {{window: 3d}}\n", "utf-8")
    (on_sandbox / "other.yaml").write_text(text.replace("name: reddit", "name: other"), "utf-8")
    settings = load_settings()
    assert run_pipeline(load_pipeline("reddit", settings), Run.now(), settings).state == "loaded"
    return deletion_sweep_dag("deletion_sweep", schedule=None)


def test_the_pipelines_that_say_so_are_swept_one_at_a_time(dag: Any) -> None:
    (task,) = dag.tasks

    assert (task.task_id, task.pool) == ("sweep", "ducklift_warehouse")
    assert task.pool in POOLS
    assert task.op_kwargs_expand_input.value["pipeline"] == ["reddit"]
    label = dag.get_template_env().from_string(task.map_index_template)
    assert label.render({"ti": type("TI", (), {"map_index": 0})}) == "reddit"


def test_the_task_asks_and_tells_totals(dag: Any) -> None:
    told = dag.get_task("sweep").python_callable("reddit")

    assert told["reddit.posts"]["asked"] > 0
    assert told["reddit.posts"]["applied"] is True


def test_a_refused_sweep_fails_the_task_for_good(dag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise SweepRefused("reddit.posts", 9, 10, 0.5)

    monkeypatch.setattr("ducklift.orchestration.deletion_sweep.sweep_pipeline", refuse)

    with pytest.raises(AirflowFailException, match="--max-ratio"):
        dag.get_task("sweep").python_callable("reddit")

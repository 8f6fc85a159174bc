"""Request 10 (dagster#18746, #26848): parallel tasks and DuckDB's lock: others wait, with a limit, and are then told who holds it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from installations import Installation, sightings

from ducklift.errors import WarehouseBusy
from ducklift.sources.registry import SOURCE_TYPES
from ducklift.warehouse import open_warehouse

SPAWNING = multiprocessing.get_context("forkserver")


def _hold(project: Path, held: Any, let_go: Any) -> None:
    with open_warehouse(Installation(project).settings):
        held.set()
        let_go.wait(60)


def _land(project: Path, day: int, together: Any, answer: Any) -> None:
    SOURCE_TYPES["listed"] = "listed_source:ListedSource"
    together.wait(60)
    answer.put(Installation(project).land(sightings(day), day=day).state)


@pytest.fixture
def holder(installation: Installation) -> Any:
    """Another process that holds the warehouse until the test ends; its process id."""
    held, let_go = SPAWNING.Event(), SPAWNING.Event()
    process = SPAWNING.Process(target=_hold, args=(installation.project, held, let_go))
    process.start()
    assert held.wait(60)
    yield process.pid
    let_go.set()
    process.join(60)


def test_tasks_that_load_at_once_wait_for_each_other_and_all_land(installation: Installation) -> None:
    together, answers = SPAWNING.Barrier(4), SPAWNING.Queue()
    processes = [SPAWNING.Process(target=_land, args=(installation.project, day, together, answers)) for day in range(4)]
    for process in processes:
        process.start()
    states = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)

    assert states == ["loaded"] * 4
    assert [row[0] for row in installation.rows()] == ["s0000", "s0001", "s0002", "s0003"]


def test_a_task_that_waited_in_vain_is_told_who_holds_the_file_and_may_try_again(installation: Installation, holder: int) -> None:
    with pytest.raises(WarehouseBusy) as caught, open_warehouse(installation.settings, wait_s=0.2):
        raise AssertionError("the file was opened while another process held it")

    assert f"PID {holder}" in str(caught.value)
    assert "ducklift_warehouse" in str(caught.value)
    assert (holder != os.getpid(), caught.value.exit_code) == (True, 3)

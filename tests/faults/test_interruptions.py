"""A run is cut short at every boundary, and run again as Airflow would: the end is the same as if nothing had happened.

The method is SQLite's: fail at the first pass of a fail point, then at the second, the third …, until a run passes untouched.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, Installation, sighting, sightings, slice_run

from ducklift import failpoints
from ducklift.failpoints import FAILPOINTS, FailpointReached
from ducklift.lake import spool
from ducklift.pipeline import Pipeline, extract, load, upload

Step = Callable[[Any], Any]

FIRST = [sightings(1, 2), [sighting(3, count="many"), sighting(1, bird="robin")], sightings(4)]
SECOND = [sightings(2, 3), [sighting(5), sighting(6, count=1.5), sighting(1, bird="jay", seen=sighting(9)["seen"])]]
MOST_PASSES = 20


def steps(installation: Installation, pipeline: Pipeline, day: int) -> list[Step]:
    """Return the three tasks of a day's run; each takes what the one before returned, as XCom carries it."""
    settings = installation.settings
    return [
        lambda _: extract(pipeline, STREAM, slice_run(day), settings),
        lambda package: upload(package, settings),
        lambda url: load(url, settings, pipeline).state,
    ]


def tasks_of(installation: Installation) -> list[Step]:
    """Return the tasks of two days' runs, in order."""
    days = [installation.pipeline(*FIRST), installation.pipeline(*SECOND)]
    return [step for day, pipeline in enumerate(days) for step in steps(installation, pipeline, day)]


def run_through(tasks: list[Step], task: Callable[[Step, Any], Any]) -> None:
    """Run tasks one after the other, each by `task`."""
    value: Any = None
    for step in tasks:
        value = task(step, value)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ROTATE_ROWS", 2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The state after both runs when nothing interrupts them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "ROTATE_ROWS", 2)
        clean = Installation(tmp_path_factory.mktemp("clean"))
        run_through(tasks_of(clean), lambda step, value: step(value))
        return clean.state()


def fresh(tmp_path: Path) -> Iterator[tuple[int, Installation]]:
    """Yield 1, 2, 3 … with an installation each."""
    for nth in range(1, MOST_PASSES):
        project = tmp_path / str(nth)
        project.mkdir()
        yield nth, Installation(project)


class Retrying:
    """Runs a task, and once more when the fail point raised, as Airflow's retry does."""

    def __init__(self) -> None:
        self.interrupted = 0

    def __call__(self, step: Step, value: Any) -> Any:
        try:
            return step(value)
        except FailpointReached:
            self.interrupted += 1
            return step(value)


@pytest.mark.slow
@pytest.mark.parametrize("point", FAILPOINTS)
def test_a_task_that_failed_at_a_boundary_and_is_retried_ends_as_an_undisturbed_one(
    point: str, tmp_path: Path, undisturbed: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth, installation in fresh(tmp_path):
        failpoints._passes.clear()
        monkeypatch.setenv("DUCKLIFT_FAILPOINTS", f"{point}@{nth}:raise")
        task = Retrying()
        run_through(tasks_of(installation), task)

        assert installation.state() == undisturbed, f"{point}@{nth}"
        assert installation.inconsistencies() == [], f"{point}@{nth}"
        if not task.interrupted:
            assert nth > 1, f"{point} was never passed"
            return
    pytest.fail(f"{point} was still passed at the {MOST_PASSES}th time")


@pytest.mark.parametrize("point", FAILPOINTS)
def test_a_run_that_failed_at_a_boundary_and_is_cleared_ends_as_an_undisturbed_one(
    point: str, tmp_path: Path, undisturbed: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = Installation(tmp_path)
    failpoints._passes.clear()
    monkeypatch.setenv("DUCKLIFT_FAILPOINTS", f"{point}:raise")
    with pytest.raises(FailpointReached):
        run_through(tasks_of(installation), lambda step, value: step(value))

    run_through(tasks_of(installation), lambda step, value: step(value))

    assert installation.state() == undisturbed
    assert installation.inconsistencies() == []


SPAWNING = multiprocessing.get_context("forkserver")


def _work(project: Path, lake_url: str, environment: Mapping[str, str], number: int, value: Any, fail_at: str, answer: Any) -> None:
    """Run one task in a process of its own and send what it returned."""
    os.environ["DUCKLIFT_FAILPOINTS"] = fail_at
    spool.ROTATE_ROWS = 2
    answer.send(tasks_of(Installation(project, lake_url, environment))[number](value))
    answer.close()


class Killed:
    """Runs each task in a process of its own, and once more when that was killed."""

    def __init__(self, installation: Installation, fail_at: str = "", kill_after_s: Iterator[float] | None = None) -> None:
        self.installation, self.fail_at, self.kill_after_s = installation, fail_at, kill_after_s
        self.passes = 0
        self.kills = 0

    def __call__(self, number: int, value: Any) -> Any:
        for _ in range(MOST_PASSES):
            done, answer = self._once(number, value)
            if done:
                return answer
            self.kills += 1
        raise AssertionError(f"task {number} was killed {MOST_PASSES} times")

    def _once(self, number: int, value: Any) -> tuple[bool, Any]:
        receiving, sending = SPAWNING.Pipe(duplex=False)
        place = (self.installation.project, self.installation.lake_url, self.installation.environment)
        fail_at = "" if self.kills else self.fail_at
        process = SPAWNING.Process(target=_work, args=(*place, number, value, fail_at, sending))
        process.start()
        sending.close()
        if self.kill_after_s is not None:
            process.join(next(self.kill_after_s))
            process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), f"task {number} ended with {process.exitcode}"
        try:
            return True, receiving.recv()
        except EOFError:
            return False, None


def kept_quick(points: Iterable[str]) -> list[Any]:
    """Return the boundaries where only a kill tells more than an exception; the others are slow proofs."""
    quick = (
        "extract.file_closed",
        "upload.manifest_put",
        "load.downloaded",
        "load.before_commit",
        "load.committed",
        "load.commit_record_put",
    )
    return [point if point in quick else pytest.param(point, marks=pytest.mark.slow) for point in points]


@pytest.mark.parametrize("point", kept_quick(FAILPOINTS))
def test_a_task_that_was_killed_at_a_boundary_and_is_retried_ends_as_an_undisturbed_one(
    point: str, tmp_path: Path, undisturbed: Mapping[str, Any]
) -> None:
    installation = Installation(tmp_path)
    killed = Killed(installation, f"{point}:kill")
    value: Any = None
    for number in range(len(tasks_of(installation))):
        value = killed(number, value)

    assert killed.kills == 1
    assert installation.state() == undisturbed
    assert installation.inconsistencies() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_tasks_that_are_killed_at_random_moments_and_retried_end_as_undisturbed_ones(
    seed: int, tmp_path: Path, undisturbed: Mapping[str, Any]
) -> None:
    moments = random.Random(seed)
    installation = Installation(tmp_path)
    # The longest wait is enough for any task, so that each one ends some time.
    killed = Killed(installation, kill_after_s=(moments.choice([moments.uniform(0, 0.3), 10]) for _ in itertools.count()))
    value: Any = None
    for number in range(len(tasks_of(installation))):
        value = killed(number, value)

    assert installation.state() == undisturbed
    assert installation.inconsistencies() == []


def test_every_fail_point_is_reached_by_its_name_only(monkeypatch: pytest.MonkeyPatch, installation: Installation) -> None:
    monkeypatch.setenv("DUCKLIFT_FAILPOINTS", "load.comitted:kill")

    with pytest.raises(ValueError, match=r"load\.committed"):
        installation.land(sightings(1))

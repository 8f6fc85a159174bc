"""Two at once: on one slice, on two, and a ghost that wakes when its retry is done."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, Installation, sightings, slice_run
from listed_source import ListedSource

from ducklift.lake import spool
from ducklift.lake.folder import LocalStore
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.sources.base import Batch
from ducklift.sources.registry import SOURCE_TYPES

SPAWNING = multiprocessing.get_context("forkserver")


def _landing(project: Path, days: list[int], ready: Any, answer: Any) -> None:
    SOURCE_TYPES["listed"] = "listed_source:ListedSource"
    installation = Installation(project)
    ready.wait()
    answer.send([installation.land(sightings(day, day + 1, day + 2), day=day).state for day in days])


def in_processes(installation: Installation, *days: list[int]) -> list[list[str]]:
    """Land days in as many processes as there are lists, all at once; return the states."""
    ready = SPAWNING.Barrier(len(days))
    pipes = [SPAWNING.Pipe(duplex=False) for _ in days]
    processes = [
        SPAWNING.Process(target=_landing, args=(installation.project, each, ready, sending))
        for each, (_, sending) in zip(days, pipes, strict=True)
    ]
    for process in processes:
        process.start()
    states = [receiving.recv() if receiving.poll(120) else ["no answer"] for receiving, _ in pipes]
    for process in processes:
        process.join()
    return states


@pytest.fixture
def one_after_the_other(tmp_path: Path) -> Installation:
    project = tmp_path / "clean"
    project.mkdir()
    return Installation(project)


def test_two_runs_of_one_slice_at_once_load_it_once(installation: Installation, one_after_the_other: Installation) -> None:
    one_after_the_other.land(sightings(0, 1, 2))

    states = in_processes(installation, [0], [0], [0])

    assert sorted(state for each in states for state in each) == ["already_loaded", "already_loaded", "loaded"]
    assert installation.state() == one_after_the_other.state()
    assert installation.inconsistencies() == []


def test_runs_of_different_slices_at_once_all_load(installation: Installation) -> None:
    states = in_processes(installation, [0, 2, 4], [1, 3, 5])

    assert [state for each in states for state in each] == ["loaded"] * 6
    assert len(installation.rows()) == 8
    assert [row[0] for row in installation.query("SELECT sequence FROM _ducklift.loads ORDER BY 1")] == [1, 2, 3, 4, 5, 6]
    assert installation.json("_ducklift/tables/nature.sightings.json")["sequence"] == 6
    assert installation.inconsistencies() == []


def test_threads_that_run_one_slice_at_once_load_it_once(installation: Installation) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(installation.land, sightings(1, 2)) for _ in range(3)]
        states = sorted(run.result().state for run in runs)

    assert states == ["already_loaded", "already_loaded", "loaded"]
    assert len(installation.rows()) == 2


class Paused:
    """Makes a source stop after its first batch until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        original = ListedSource.read
        first = threading.Lock()

        def read(source: ListedSource, *place: Any) -> Iterator[Batch]:
            sleeps = first.acquire(blocking=False)
            for batch in original(source, *place):
                yield batch
                if sleeps and not self.reached.is_set():
                    self.reached.set()
                    assert self.go_on.wait(60)

        monkeypatch.setattr(ListedSource, "read", read)


def haunted(installation: Installation, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> str:
    """Pause an extraction, land the slice by another try, wake the first one, and return the package path that it ends with."""
    paused = Paused(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        ghost = pool.submit(extract, pipeline, STREAM, slice_run(), installation.settings)
        assert paused.reached.wait(60)
        try:
            installation.run(pipeline)
        finally:
            paused.go_on.set()
        return ghost.result()


@pytest.mark.parametrize("rotate_rows", [1, 1000])
def test_a_ghost_that_wakes_after_its_retry_landed_changes_nothing(
    installation: Installation, rotate_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "ROTATE_ROWS", rotate_rows)
    pipeline = installation.pipeline(sightings(1), sightings(2), sightings(3))

    package = haunted(installation, pipeline, monkeypatch)

    before = installation.state()
    summary = load(upload(package, installation.settings), installation.settings, pipeline)
    assert summary.state == "already_loaded"
    assert installation.state() == before
    assert installation.inconsistencies() == []


def test_a_ghost_that_uploads_other_content_after_its_retry_landed_is_not_listened_to(installation: Installation) -> None:
    early = extract(installation.pipeline(sightings(1)), STREAM, slice_run(), installation.settings)
    hidden = Path(early).rename(installation.project / "hidden")
    pipeline = installation.pipeline(sightings(1, 2))
    installation.run(pipeline)
    before = installation.state()
    Path(early).parent.mkdir(parents=True)
    hidden.rename(early)

    summary = load(upload(early, installation.settings), installation.settings, pipeline)

    assert summary.state == "already_loaded"
    assert installation.state() == before


def test_an_upload_that_another_overtook_returns_the_manifest_that_was_first(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = extract(installation.pipeline(sightings(1)), STREAM, slice_run(), installation.settings)
    quick = extract(installation.pipeline(sightings(1, 2)), STREAM, slice_run(), installation.settings)
    put_file = LocalStore.put_file
    overtaken = threading.Lock()

    def overtaking(store: LocalStore, *place: Any) -> None:
        if overtaken.acquire(blocking=False):
            upload(quick, installation.settings)
        put_file(store, *place)

    monkeypatch.setattr(LocalStore, "put_file", overtaking)
    url = upload(slow, installation.settings)

    assert load(url, installation.settings, installation.pipeline(sightings(1))).rows_inserted == 2
    assert installation.inconsistencies() == []

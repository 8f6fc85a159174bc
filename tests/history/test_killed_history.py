"""What changes a table's history is killed at every boundary of it and run again: the end is the same as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, Installation, listed_source_known, sighting, sightings, slice_run
from runs import MERGE, go, rebuilt_is_equal

from ducklift.failpoints import FAILPOINTS
from ducklift.pipeline import extract, load, upload
from ducklift.planning import Mode
from ducklift.resets import reset_pipeline
from ducklift.sources.registry import SOURCE_TYPES
from ducklift.warehouse.rebuild import rebuild

__all__ = ["listed_source_known"]

SPAWNING = multiprocessing.get_context("forkserver")
LOADING = [point for point in FAILPOINTS if point.startswith("load.")]
MOST_PASSES = 30


def loading(mode: Mode) -> Callable[[Installation], None]:
    """Return the load of what has landed for that mode: the extraction and the upload were done before, as their own tasks."""

    def run(installation: Installation) -> None:
        pipeline = installation.pipeline(sightings(2, 7), **MERGE)
        package = extract(pipeline, STREAM, replace(slice_run(1 if mode == "reextract" else 5), mode=mode), installation.settings)
        load(upload(package, installation.settings), installation.settings, pipeline)

    return run


def resetting(installation: Installation) -> None:
    reset_pipeline(installation.pipeline([], **MERGE), installation.settings, to=str(sighting(1)["seen"]))


def rebuilding(installation: Installation) -> None:
    rebuild(installation.lake, installation.settings, replacing=True)


def prepared(project: Path) -> Installation:
    project.mkdir(parents=True)
    installation = Installation(project)
    go(installation, sightings(1, 2, 3), **MERGE)
    go(installation, [sighting(3, bird="crow", seen=sighting(4)["seen"]), sighting(5)], day=1, **MERGE)
    go(installation, sightings(4, 5, 6), day=2, **MERGE)
    return installation


def _in_process(action: Callable[[Installation], None], installation: Installation, points: str) -> None:
    SOURCE_TYPES["listed"] = "listed_source:ListedSource"
    os.environ["DUCKLIFT_FAILPOINTS"] = points
    action(installation)


def reextract_load(installation: Installation) -> None:
    [url] = [installation.lake.url_of(key) for key in installation.keys("raw/") if key.endswith("-r2.json")]
    load(url, installation.settings, installation.pipeline(sightings(2, 7), **MERGE))


def refresh_load(installation: Installation) -> None:
    loading("full_refresh")(installation)


def landed(installation: Installation) -> None:
    """Land the re-extraction that `reextract_load` loads."""
    pipeline = installation.pipeline(sightings(2, 7), **MERGE)
    upload(extract(pipeline, STREAM, replace(slice_run(1), mode="reextract"), installation.settings), installation.settings)


ACTIONS: dict[str, tuple[Callable[[Installation], None], list[str]]] = {
    "reextract": (reextract_load, [*LOADING, "supersede.refolded", "supersede.removed"]),
    "full refresh": (refresh_load, ["supersede.removed", "load.before_commit", "load.committed", "load.commit_record_put"]),
    "reset": (resetting, ["reset.before_commit", "reset.committed", "load.commit_record_put", "load.snapshot_put"]),
    "rebuild": (rebuilding, ["rebuild.begun", "load.table_made", "rebuild.replayed", "rebuild.before_rename", "rebuild.renamed"]),
}
CASES = [(name, point) for name, (_, points) in ACTIONS.items() for point in points if point != "load.system_made"]


def outcome(installation: Installation) -> dict[str, Any]:
    state = installation.state()
    load_ids = installation.query("SELECT load_id FROM _ducklift.loads WHERE kind = 'reset'")
    hidden = {"commits", "snapshot"} if load_ids else set()
    ledger = [row for row in state["ledger"] if (row[0],) not in load_ids]
    watermarks = [row[:4] for row in state["watermarks"]]
    return {**{name: value for name, value in state.items() if name not in hidden}, "ledger": ledger, "watermarks": watermarks}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCE_TYPES, "listed", "listed_source:ListedSource")
        for name, (action, _) in ACTIONS.items():
            installation = prepared(tmp_path_factory.mktemp("clean") / "project")
            if name == "reextract":
                landed(installation)
            action(installation)
            found[name] = outcome(installation)
    return found


@pytest.mark.parametrize(("name", "point"), CASES)
def test_an_action_that_was_killed_and_run_again_ends_as_an_undisturbed_one(
    name: str, point: str, tmp_path: Path, undisturbed: dict[str, dict[str, Any]]
) -> None:
    installation = prepared(tmp_path / "project")
    if name == "reextract":
        landed(installation)
    action = ACTIONS[name][0]
    process = SPAWNING.Process(target=_in_process, args=(action, installation, f"{point}:kill"))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, f"{point} was never passed"

    action(installation)

    assert outcome(installation) == undisturbed[name]
    assert installation.inconsistencies() == []
    rebuilt_is_equal(installation)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_that_is_killed_at_the_nth_passing_of_any_boundary_ends_the_same(
    name: str, tmp_path: Path, undisturbed: dict[str, dict[str, Any]]
) -> None:
    action, points = ACTIONS[name]
    for point in points:
        for nth in range(1, MOST_PASSES):
            installation = prepared(tmp_path / f"{point}-{nth}")
            if name == "reextract":
                landed(installation)
            process = SPAWNING.Process(target=_in_process, args=(action, installation, f"{point}@{nth}:kill"))
            process.start()
            process.join(120)
            action(installation)
            assert outcome(installation) == undisturbed[name], f"{point}@{nth}"
            rebuilt_is_equal(installation)
            if process.exitcode == 0:
                break

"""Collections of garbage, checkpoints and publications are killed at every boundary; done again, the end is as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from installations import TABLE, Installation, sightings
from kept_lakes import HOUR, aged, applied, contents, rebuilt_contents, with_retention
from listed_source import ListedSource

from ducklift.failpoints import KEEPING_FAILPOINTS
from ducklift.keeping import publish
from ducklift.lake.curated import read_curated
from ducklift.sources.registry import SOURCE_TYPES

SPAWNING = multiprocessing.get_context("forkserver")
ORPHAN = "raw/nature/sightings/20260101T000000Z-0123abcd.0123456789ab.jsonl.gz"
GC_POINTS = [point for point in KEEPING_FAILPOINTS if not point.startswith("publish.")]
PUBLISH_POINTS = [point for point in KEEPING_FAILPOINTS if point.startswith("publish.")]
MOST_PASSES = 20
Work = Callable[[Installation], Any]


def collects(installation: Installation) -> None:
    applied(installation, HOUR)


def publishes(installation: Installation) -> None:
    publish(installation.settings, TABLE, ["bird"])


def _work(work: Work, project: Path, fail_at: str) -> None:
    os.environ["DUCKLIFT_FAILPOINTS"] = fail_at
    SOURCE_TYPES["listed"] = f"{ListedSource.__module__}:ListedSource"
    work(Installation(project))


def killed_at(work: Work, installation: Installation, fail_at: str) -> bool:
    """Do the work in a process of its own; return whether it was killed."""
    process = SPAWNING.Process(target=_work, args=(work, installation.project, fail_at))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def fresh(tmp_path: Path) -> Iterator[tuple[int, Installation]]:
    """Yield 1, 2, 3 … with an installation each that has two expired loads, an orphan and a published version."""
    for nth in range(1, MOST_PASSES):
        project = tmp_path / str(nth)
        project.mkdir()
        installation = with_retention(Installation(project), raw="30m")
        installation.land(sightings(1, 2))
        publishes(installation)
        installation.land(sightings(3, bird="robin"), day=1)
        installation.lake.replace(ORPHAN, b"orphan")
        aged(installation, ORPHAN)
        yield nth, installation
    pytest.fail(f"still passed at the {MOST_PASSES}th time")


@pytest.mark.parametrize("point", GC_POINTS)
def test_a_collection_that_was_killed_is_finished_by_the_next_one(point: str, tmp_path: Path):
    for nth, installation in fresh(tmp_path):
        before = contents(installation)
        killed = killed_at(collects, installation, f"{point}@{nth}:kill")
        assert rebuilt_contents(installation) == before, f"{point}@{nth}"
        applied(installation, HOUR)

        assert [key for key in installation.keys("raw/") if "/_loads/" not in key] == [], f"{point}@{nth}"
        assert rebuilt_contents(installation) == before, f"{point}@{nth}"
        records = [installation.json(key) for key in installation.keys("_ducklift/gc/")]
        assert records
        assert [record for record in records if record["completed_at"] is None] == []
        if not killed:
            assert nth > 1, f"{point} was never passed"
            return


@pytest.mark.parametrize("point", PUBLISH_POINTS)
def test_a_publication_that_was_killed_leaves_the_old_version_or_the_new_one(point: str, tmp_path: Path):
    for nth, installation in fresh(tmp_path):
        killed = killed_at(publishes, installation, f"{point}@{nth}:kill")
        seen = read_curated(installation.lake, TABLE).count_rows()
        assert seen == (2 if killed and point != "publish.swapped" else 3), f"{point}@{nth}"
        publishes(installation)

        assert read_curated(installation.lake, TABLE).count_rows() == 3
        for key in installation.keys("curated/"):
            aged(installation, key)
        applied(installation, timedelta())
        assert len([key for key in installation.keys("curated/") if key.endswith(".parquet")]) == 3, f"{point}@{nth}"
        if not killed:
            assert nth > 1, f"{point} was never passed"
            return

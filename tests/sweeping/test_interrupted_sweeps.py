"""A sweep that is killed at every boundary and taken up by the next one ends as an undisturbed one."""

from __future__ import annotations

from typing import Any

import pytest
from installations import TABLE, Installation, sighting
from killing import killed_at
from runs import MERGE, go, rebuilt_is_equal
from test_sweeps import BLANKING, content, holding, swept, told

from ducklift.keeping import publish

POINTS = (
    "sweep.recorded",
    "sweep.file_put",
    "sweep.manifest_put",
    "sweep.before_commit",
    "sweep.committed",
    "load.commit_record_put",
    "load.snapshot_put",
    "checkpoint.files_put",
    "sweep.checkpointed",
    "publish.files_put",
    "publish.swapped",
    "sweep.erased",
    "sweep.completed",
)


def prepared(installation: Installation) -> Installation:
    go(installation, [sighting(1), told(2), sighting(3)], **MERGE)
    go(installation, [told(2, seen=sighting(4)["seen"], count=7), told(4)], day=1, **MERGE)
    publish(installation.settings, TABLE)
    return installation


def sweeping(installation: Installation) -> Any:
    return swept(installation, 2)


def outcome(installation: Installation) -> tuple[Any, ...]:
    rows = installation.rows("id, bird, count, raw, _load_id, _source_file")
    sweeps = [installation.json(key) for key in installation.keys("_ducklift/sweeps/")]
    return rows, len([key for key in installation.keys("raw/") if "/_loads/" not in key]), {bool(sweep["completed_at"]) for sweep in sweeps}


@pytest.mark.parametrize("point", POINTS)
def test_a_sweep_that_was_killed_is_done_to_its_end_by_the_next(installation: Installation, point: str) -> None:
    prepared(installation)
    before = installation.rows("id, bird, count, _load_id, _source_file")

    assert killed_at(point, sweeping, installation), f"{point} was never passed"
    done = swept(installation)

    after = [row if row[0] != "s0002" else (row[0], "[deleted]", *row[2:]) for row in before]
    assert installation.rows("id, bird, count, _load_id, _source_file") == after
    assert outcome(installation)[1:] == (2, {True})
    assert len(done.resumed) == (point != "sweep.completed")
    assert not [place for place in holding(installation, "s0002") if "bird" in place]
    left = {row[0] for row in installation.query(f"SELECT id FROM {TABLE} WHERE bird = 'magpie on the roof next door'")}
    assert left == {"s0004"}
    rebuilt_is_equal(installation)


def test_between_the_kill_and_the_next_sweep_loads_and_rebuilds_go_on(installation: Installation) -> None:
    for point in ("sweep.manifest_put", "sweep.committed"):
        place = Installation(installation.project / point.replace(".", "-"))
        place.project.mkdir()
        prepared(place)
        assert killed_at(point, sweeping, place)

        go(place, [sighting(9)], day=2, **MERGE)
        rebuilt_is_equal(place)
        swept(place)

        assert "s0009" in {row[0] for row in place.rows()}
        assert BLANKING.values["bird"] in {row[1] for row in place.rows()}
        rebuilt_is_equal(place)
        assert content(place)

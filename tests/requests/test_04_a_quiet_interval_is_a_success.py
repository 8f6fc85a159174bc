"""Request 4 (sling#793): an interval in which nothing happened is a success, and moves nothing."""

from __future__ import annotations

from installations import Installation, sighting, sightings, slice_run
from runs import go

from ducklift.pipeline import run_pipeline


def test_a_quiet_interval_is_a_success_and_moves_nothing(installation: Installation) -> None:
    go(installation, sightings(1))

    run = run_pipeline(installation.pipeline([]), slice_run(1), installation.settings)

    assert (run.state, run.exit_code) == ("empty", 0)
    assert run.loads[0].watermark == sighting(1)["seen"]
    assert installation.rows("id") == [("s0001",)]


def test_a_first_interval_that_is_quiet_is_one_too(installation: Installation) -> None:
    assert run_pipeline(installation.pipeline([]), slice_run(), installation.settings).exit_code == 0
    assert go(installation, sightings(1), day=1).rows_inserted == 1

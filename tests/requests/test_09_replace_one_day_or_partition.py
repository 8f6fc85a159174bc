"""Request 9 (dlt#3396, dagster#21278): one day or one partition is replaced, and replacing it again changes nothing."""

from __future__ import annotations

import pytest
from installations import Installation, sighting, sightings
from runs import PLAIN, go


def ids(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("id")]


def test_one_day_is_replaced_and_replacing_it_again_changes_nothing(installation: Installation) -> None:
    for day in range(3):
        go(installation, sightings(10 * day, 10 * day + 1), day=day, **PLAIN)

    for _ in range(3):
        go(installation, sightings(12, 13), day=1, mode="reextract", **PLAIN)

    assert ids(installation) == ["s0000", "s0001", "s0012", "s0013", "s0020", "s0021"]


def test_a_run_of_the_replaced_day_that_comes_late_brings_nothing_back(installation: Installation) -> None:
    go(installation, sightings(1), **PLAIN)
    go(installation, sightings(2), mode="reextract", **PLAIN)

    assert go(installation, sightings(1), **PLAIN).state == "already_loaded"
    assert ids(installation) == ["s0002"]


@pytest.mark.parametrize("key", [[], ["id"]], ids=["without a key", "with a key"])
def test_one_partition_is_replaced_whole_and_replacing_it_again_changes_nothing(installation: Installation, key: list[str]) -> None:
    spec = {"disposition": "merge", "merge_key": ["bird"], "primary_key": key, "incremental": None}
    go(installation, [*sightings(1, 2), sighting(3, bird="owl"), sighting(4, bird="crow")], **spec)

    for day in (1, 2, 2):
        go(installation, [sighting(5, bird="owl"), sighting(6, bird="owl")], day=day, **spec)

    assert installation.rows("id, bird") == [("s0001", "wren"), ("s0002", "wren"), ("s0004", "crow"), ("s0005", "owl"), ("s0006", "owl")]

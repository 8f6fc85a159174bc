"""Request 6 (dlt#2269, #3064): late rows under the watermark arrive, and the watermark is what was loaded."""

from __future__ import annotations

from typing import Any

import pytest
from installations import TABLE, Installation, sighting, sightings
from runs import APPEND, go

from ducklift.errors import ContractBroken
from ducklift.lake.layout import snapshot_key


@pytest.mark.parametrize("spec", [{}, APPEND], ids=["merge", "append"])
def test_late_rows_under_the_watermark_arrive(installation: Installation, spec: dict[str, Any]) -> None:
    go(installation, sightings(1, 9), **spec)

    late = go(installation, sightings(5, 9, 10), day=1, **spec)

    assert (late.rows_inserted, late.rows_unchanged) == (2, 1)
    assert [row[0] for row in installation.rows("id")] == ["s0001", "s0005", "s0009", "s0010"]


def test_the_watermark_is_what_was_loaded_not_what_was_asked_for(installation: Installation) -> None:
    summary = go(installation, [*sightings(1, 2), sighting(50, count="many")])

    assert summary.rows_quarantined == 1
    assert summary.watermark == sighting(2)["seen"]
    with pytest.raises(ContractBroken):
        go(installation, [*sightings(60), sighting(61, count="many")], day=1, quarantine_limit={"rows": 0})
    assert installation.json(snapshot_key(TABLE))["watermarks"] == {"nature/birds": sighting(2)["seen"]}

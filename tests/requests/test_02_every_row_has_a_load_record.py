"""Request 2 (dlt#4023): every row has a load record, in the warehouse, in the lake, and after a rebuild."""

from __future__ import annotations

from pathlib import Path

from installations import Installation, sightings
from runs import go, rebuild_anew

ORPHANS = "SELECT id FROM nature.sightings WHERE _load_id NOT IN (SELECT load_id FROM _ducklift.loads WHERE superseded_by IS NULL)"


def test_every_row_has_a_load_record(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1, 2))
    go(installation, sightings(2, 3), day=1)
    go(installation, sightings(3, 4), day=1, mode="reextract")

    assert len(installation.rows()) == 4
    assert installation.query(ORPHANS) == []
    in_lake = {installation.json(key)["load_id"] for key in installation.keys("_ducklift/commits/")}
    assert {row[0] for row in installation.rows("_load_id")} <= in_lake
    assert rebuild_anew(installation, tmp_path / "other").query(ORPHANS) == []

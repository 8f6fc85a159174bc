"""Request 7 (dlt#2580, a state of 100 MB that stopped every pipeline): state stays small whatever the history."""

from __future__ import annotations

import json

from installations import TABLE, Installation, sightings
from runs import go

from ducklift.lake.layout import snapshot_key
from ducklift.warehouse import open_warehouse

LOADS = 20_000


def with_a_long_history(installation: Installation) -> None:
    """Load once, and then let ledger and snapshot tell of many more loads."""
    go(installation, sightings(1))
    row = f"SELECT * REPLACE ('l' || i AS load_id, i + 1 AS sequence) FROM _ducklift.loads, range(1, {LOADS}) AS t(i) WHERE sequence = 1"
    with open_warehouse(installation.settings) as warehouse:
        warehouse.connection.execute(f"INSERT INTO _ducklift.loads SELECT * EXCLUDE (i) FROM ({row})")
        warehouse.connection.execute(f'UPDATE _ducklift."control.{TABLE}" SET sequence = {LOADS}')
    snapshot = installation.json(snapshot_key(TABLE))
    newest = {**snapshot["loads"][0], "load_id": f"l{LOADS - 1}", "sequence": LOADS}
    installation.lake.replace(snapshot_key(TABLE), json.dumps({**snapshot, "sequence": LOADS, "loads": [newest]}).encode())


def test_state_stays_small_whatever_the_history(installation: Installation) -> None:
    with_a_long_history(installation)

    go(installation, sightings(2), day=1)

    def largest(prefix: str) -> int:
        return max(len(installation.lake.read(key) or b"") for key in installation.keys(prefix))

    assert installation.json(snapshot_key(TABLE))["sequence"] == LOADS + 1
    assert largest("_ducklift/tables/") < 200_000
    assert (largest("_ducklift/commits/") < 10_000, largest("_ducklift/slices/") < 2_000) == (True, True)

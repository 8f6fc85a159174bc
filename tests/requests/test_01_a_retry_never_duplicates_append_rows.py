"""Request 1 (dlt#4052): a task that failed anywhere between the bucket and the table is retried, and `append` has each row once."""

from __future__ import annotations

from typing import Any

import pytest
from installations import Installation, sightings
from runs import APPEND, PLAIN, go

from ducklift import failpoints
from ducklift.failpoints import FAILPOINTS, FailpointReached


@pytest.mark.parametrize("spec", [PLAIN, APPEND], ids=["without a cursor", "with a cursor"])
def test_a_retry_never_duplicates_append_rows(installation: Installation, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for point in (point for point in FAILPOINTS if point.startswith(("upload", "load"))):
        failpoints._passes.clear()
        monkeypatch.setenv("DUCKLIFT_FAILPOINTS", f"{point}:raise")
        try:
            go(installation, sightings(1, 2, 2), **spec)
        except FailpointReached:
            monkeypatch.delenv("DUCKLIFT_FAILPOINTS")
            go(installation, sightings(1, 2, 2), **spec)

    assert [row[0] for row in installation.rows("id")] == ["s0001", "s0002", "s0002"]

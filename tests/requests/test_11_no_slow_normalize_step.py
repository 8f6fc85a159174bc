"""Request 11 (dlt#3030): no slow normalize step. Rows are typed by DuckDB where they lie; none is walked over one by one in Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from installations import Installation, sightings

from ducklift.pipeline import load

FEW, MANY = 200, 20_000
UNDECLARED = {"columns": [], "record_column": None}


def calls_made(work: Callable[[], Any]) -> int:
    """Return how many functions were called, those of C included."""
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("format", ["jsonl.gz", "csv", "parquet"])
@pytest.mark.parametrize(
    "spec",
    [
        {"disposition": "append", "primary_key": [], "incremental": None},
        {"disposition": "merge"},
        {"disposition": "scd2"},
        {"disposition": "merge", "columns": [{"name": "count", "type": "tinyint"}]},
    ],
    ids=["append", "merge", "scd2", "with misfits"],
)
def test_a_load_does_the_same_work_in_python_for_many_rows_as_for_few(tmp_path: Path, format: str, spec: dict[str, Any]) -> None:
    made = []
    for rows in (FEW, MANY):
        project = tmp_path / str(rows)
        project.mkdir()
        installation = Installation(project)
        installation.land(sightings(*range(100, 200)), **{**UNDECLARED, "format": format, **spec})
        pipeline = installation.pipeline(sightings(*range(100, 100 + rows)), **{**UNDECLARED, "format": format, **spec})
        manifest = installation.put(pipeline, 1)
        made.append(calls_made(lambda manifest=manifest, it=installation, pipeline=pipeline: load(manifest, it.settings, pipeline)))

    # A larger file is hashed and copied in a few more blocks, and the modules that a first load imports count as well.
    assert made[1] - made[0] < MANY / 10

"""Runs of the trial installation in each mode, and what a rebuild makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from installations import STREAM, Installation, Record, slice_run

from ducklift.pipeline import extract, load, upload
from ducklift.planning import Mode
from ducklift.summary import LoadSummary
from ducklift.warehouse.rebuild import Rebuilt, rebuild, verify

COLUMNS: tuple[dict[str, Any], ...] = ({"name": "id", "type": "varchar"}, {"name": "count", "type": "bigint"})
PLAIN: dict[str, Any] = {"disposition": "append", "primary_key": [], "incremental": None}
APPEND: dict[str, Any] = {"disposition": "append", "primary_key": []}
KEYED_APPEND: dict[str, Any] = {"disposition": "append"}
MERGE: dict[str, Any] = {"disposition": "merge"}
INSERT_ONLY: dict[str, Any] = {"disposition": "insert_only"}
SCD2: dict[str, Any] = {"disposition": "scd2"}
REPLACE: dict[str, Any] = {"disposition": "replace", "incremental": None}
DISPOSITIONS = {
    "plain append": PLAIN,
    "append": APPEND,
    "keyed append": KEYED_APPEND,
    "merge": MERGE,
    "insert_only": INSERT_ONLY,
    "scd2": SCD2,
    "replace": REPLACE,
}


def go(
    installation: Installation, *batches: Sequence[Record], day: int = 0, mode: Mode = "new", stream: str = STREAM, **spec: Any
) -> LoadSummary:
    """Take these batches through all three steps as the run of one day."""
    streams = {stream: batches}
    pipeline = installation.pipeline(streams=streams, **spec)
    package = extract(pipeline, stream, replace(slice_run(day), mode=mode), installation.settings)
    return load(upload(package, installation.settings), installation.settings, pipeline)


def rebuilt_is_equal(installation: Installation) -> Rebuilt:
    """Fail unless a rebuild from the lake gives every table, ledger row, watermark, quarantined row and schema change."""
    return verify(installation.lake, installation.settings)


def rebuild_anew(installation: Installation, machine: Path) -> Installation:
    """Rebuild on another machine that knows the lake's URL only."""
    machine.mkdir(exist_ok=True)
    other = Installation(machine, installation.settings.lake_url)
    rebuild(other.lake, other.settings)
    return other

"""A lake with a pipeline file, whose things can be made older than they are."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from installations import MERGED, STREAM, TABLE, Installation, Record, slice_run

from ducklift.keeping import Collection, collect_garbage
from ducklift.pipeline import extract, load, upload
from ducklift.warehouse.connect import open_warehouse
from ducklift.warehouse.content import family_hash, system_hashes
from ducklift.warehouse.rebuild import rebuild

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


def with_retention(installation: Installation, **retention: str) -> Installation:
    """Give the installation's pipeline `nature` a file that says how long things are kept."""
    folder = installation.settings.pipelines
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.json").write_text(json.dumps({"birds": []}))
    values: dict[str, Any] = {"name": "nature", "source": {"type": "listed", "file": str(folder / "records.json")}, **MERGED}
    (folder / "nature.yaml").write_text(json.dumps({**values, "retention": retention}))
    return installation


def aged(installation: Installation, key: str, age: timedelta = 2 * DAY) -> Path:
    """Make an object of a lake in a folder look as if it was written that long ago."""
    file = Path(installation.lake.path(key))
    moment = time.time() - age.total_seconds()
    os.utime(file, (moment, moment))
    return file


def places(found: Collection, *kinds: str) -> list[str]:
    """Return what was found, of these kinds or of all."""
    return sorted(item.place for item in found.items if not kinds or item.kind in kinds)


def applied(installation: Installation, later: timedelta = HOUR) -> Collection:
    """Collect garbage as it is done some time from now."""
    return collect_garbage(installation.settings, apply=True, now=datetime.now(UTC) + later)


def contents(installation: Installation) -> dict[str, str]:
    """Return the content hashes of the table and of all system tables."""
    with open_warehouse(installation.settings, read_only=True) as warehouse:
        return {str(TABLE): family_hash(warehouse, TABLE), **system_hashes(warehouse)}


def rebuilt_contents(installation: Installation) -> dict[str, str]:
    """Return the content hashes of a warehouse that is made anew from the lake, beside the one that is there."""
    place = installation.project / ".ducklift" / "rebuilt.duckdb"
    made = rebuild(installation.lake, installation.settings, into=f"duckdb:///{place}")
    place.unlink()
    return {**{table.table: table.content_hash for table in made.tables}, **made.system}


def superseding(installation: Installation, *batches: list[Record], day: int = 0, **spec: Any) -> None:
    """Read a day's slice again, in the place of what it brought before."""
    pipeline = installation.pipeline(*batches, **spec)
    run = replace(slice_run(day), mode="reextract")
    load(upload(extract(pipeline, STREAM, run, installation.settings), installation.settings), installation.settings, pipeline)


def time_passes(monkeypatch: pytest.MonkeyPatch, time: timedelta) -> None:
    """Let everything that collects garbage from now on believe that it is later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + time

    monkeypatch.setattr("ducklift.keeping.datetime", Later)

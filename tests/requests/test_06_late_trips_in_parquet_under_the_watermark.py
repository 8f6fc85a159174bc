"""Request 6 (dlt#2269, #3064) for Parquet in place: late rows under the watermark arrive, and the watermark is what was loaded."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installations import DAY, Installation

from ducklift.pipeline import Pipeline, Run, extract, load, upload
from ducklift.summary import LoadSummary

FIRST = datetime(2026, 1, 1)  # noqa: DTZ001 - taxi meters know no zone
TRIPS: dict[str, Any] = {
    "primary_key": ["trip"],
    "incremental": {"cursor": "pickup", "overlap": "2d"},
    "columns": [{"name": "pickup_at", "from": "pickup", "type": "timestamp"}],
    "record_column": None,
}


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


def put(bucket: Path, name: str, *hours: int) -> None:
    """Write a file of trips that began so many hours after the first of January; the trip's number is its hour."""
    listed = ", ".join(f"({hour}, TIMESTAMP '{FIRST + timedelta(hours=hour)}')" for hour in hours)
    duckdb.connect().execute(f"COPY (SELECT * FROM (VALUES {listed}) AS t(trip, pickup)) TO '{bucket / name}' (FORMAT parquet)")


def trips(installation: Installation, bucket: Path, **spec: Any) -> Pipeline:
    source = {"type": "bucket_files", "buckets": [bucket.as_uri()], "path": "*.parquet", "in_place": True}
    return installation.pipeline(source=source, **{**TRIPS, **spec})


def go(installation: Installation, pipeline: Pipeline, number: int) -> LoadSummary:
    at = DAY + timedelta(days=30 + number)
    (stream,) = pipeline.streams()
    run = Run(run_id=f"run-{number}", slice_start=at, slice_end=at)
    return load(upload(extract(pipeline, stream, run, installation.settings), installation.settings), installation.settings, pipeline)


def loaded(installation: Installation) -> list[int]:
    return [row[0] for row in installation.rows("trip")]


@pytest.mark.parametrize("spec", [{}, {"disposition": "append", "primary_key": []}], ids=["merge", "append"])
def test_late_trips_of_a_new_file_and_of_one_that_grew_arrive_once(installation: Installation, bucket: Path, spec: dict[str, Any]) -> None:
    pipeline = trips(installation, bucket, **spec)
    put(bucket, "month.parquet", 0, 50, 100)
    assert go(installation, pipeline, 0).rows_inserted == 3

    put(bucket, "day.parquet", 70, 110)
    in_new = go(installation, pipeline, 1)
    put(bucket, "month.parquet", 0, 50, 90, 100, 105)
    in_grown = go(installation, pipeline, 2)

    assert (in_new.rows_inserted, in_grown.rows_inserted) == (2, 2)
    assert (in_new.watermark, in_grown.watermark) == (in_grown.watermark, (FIRST + timedelta(hours=110)).isoformat(" "))
    assert loaded(installation) == [0, 50, 70, 90, 100, 105, 110]
    assert go(installation, pipeline, 3).rows_extracted == 0


def test_what_is_later_than_the_overlap_is_not_read_until_it_is_asked_for(installation: Installation, bucket: Path) -> None:
    pipeline = trips(installation, bucket)
    put(bucket, "month.parquet", 0, 100)
    go(installation, pipeline, 0)

    put(bucket, "month.parquet", 0, 10, 60, 100)
    assert go(installation, pipeline, 1).rows_inserted == 1
    assert loaded(installation) == [0, 60, 100]

    put(bucket, "month.parquet", 0, 10, 60, 100, 101)
    assert go(installation, trips(installation, bucket, incremental={**TRIPS["incremental"], "overlap": "30d"}), 2).rows_inserted == 2
    assert loaded(installation) == [0, 10, 60, 100, 101]


def test_the_watermark_of_a_capped_run_is_the_last_trip_that_it_loaded(installation: Installation, bucket: Path) -> None:
    pipeline = trips(installation, bucket)
    put(bucket, "month.parquet", 0, 30, 60, 100)

    capped = go(installation, pipeline.with_options({"end": "2026-01-03"}), 0)
    rest = go(installation, pipeline, 1)

    assert (capped.rows_inserted, capped.watermark) == (2, (FIRST + timedelta(hours=30)).isoformat(" "))
    assert (rest.rows_inserted, rest.rows_unchanged) == (2, 2)
    assert loaded(installation) == [0, 30, 60, 100]

"""Request 8 (dlt#2866, #555): raw files lie under the date that the records themselves bear, not under that of the run."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from installations import Installation, sighting

LAYOUT = "raw/{dataset}/{table}/day={seen:YYYY-MM-DD}/{load_id}.{file_id}.{ext}"
DAY_S = 86_400


def records() -> list[dict[str, Any]]:
    """Six records of three days, in no order, and one without a date."""
    start = int(datetime(2025, 12, 30, tzinfo=UTC).timestamp())
    dated = [sighting(number, seen=start + DAY_S * (number % 3) + number) for number in range(6)]
    return [*dated, {"id": "undated", "bird": "owl"}]


@pytest.mark.parametrize("format", ["jsonl.gz", "parquet"])
def test_every_record_lies_under_its_own_date_and_all_are_one_load(installation: Installation, format: str) -> None:
    told = installation.land(records(), layout=LAYOUT, format=format)

    rows = installation.query(
        "SELECT id, strftime(seen_at, '%Y-%m-%d'), regexp_extract(_source_file, 'day=([^/]+)', 1) FROM nature.sightings"
    )
    assert len(rows) == told.rows_inserted == 7
    assert {(day, folder) for _, day, folder in rows} == {
        ("2025-12-30", "2025-12-30"),
        ("2025-12-31", "2025-12-31"),
        ("2026-01-01", "2026-01-01"),
        (None, "__HIVE_DEFAULT_PARTITION__"),
    }
    assert len({file["key"] for file in installation.manifest()["files"]}) == 4


def test_a_file_under_a_date_holds_that_dates_records_alone(installation: Installation) -> None:
    installation.land(records(), layout=LAYOUT)

    for file in installation.manifest()["files"]:
        data = installation.lake.read(file["key"])
        assert data is not None
        found = [json.loads(line) for line in gzip.decompress(data).splitlines()]
        days = {datetime.fromtimestamp(record["seen"], UTC).date().isoformat() for record in found if "seen" in record}
        assert len(days) < 2
        assert all(f"day={day}/" in file["key"] for day in days)
        assert len(found) == file["rows"]

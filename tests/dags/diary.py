"""Sightings as a function gives them, two a day, for the pipelines that Airflow runs in the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ducklift.errors import SourceUnavailable

START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
DAY_S = 86_400
# A day whose first reading breaks off in the middle, and one that is never to be had.
STUMBLES, BROKEN = "2026-01-02", "2026-01-09"


def sightings(cursor_from: float | None, cursor_to: float | None, partition: str | None) -> Iterator[list[dict[str, Any]]]:
    """Yield what was seen from one moment to another, in batches of one."""
    if partition == BROKEN:
        raise ValueError("nobody was watching")
    noted = Path(os.environ["DIARY"]) / f"{partition}.read"
    for day in range(40):
        for second in (0, DAY_S - 1):
            seen = START + day * DAY_S + second
            if (cursor_from or 0) <= seen < (cursor_to or START + 4 * DAY_S):
                yield [{"id": f"s{seen}", "seen": seen, "read": noted.exists()}]
                if partition == STUMBLES and not noted.exists():
                    noted.touch()
                    raise SourceUnavailable("the page was torn")
    noted.touch()


def counts(partition: str | None, interval_start: datetime, interval_end: datetime) -> Iterator[list[dict[str, Any]]]:
    """Yield one row that tells what a run of the DAG that follows was asked for."""
    yield [{"day": partition, "hours": (interval_end - interval_start).total_seconds() / 3600}]

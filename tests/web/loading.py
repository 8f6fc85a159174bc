"""Loads one day after the other, for a page that is looked at meanwhile: `python loading.py PROJECT DAYS`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import Installation, sightings
from listed_source import ListedSource

from ducklift.sources.registry import SOURCE_TYPES

ROWS = 500


def load_days(project: Path, first: int, days: int) -> None:
    """Load this many days; each brings new rows and changes half of those before."""
    SOURCE_TYPES.setdefault("listed", ListedSource)
    there = Installation(project)
    for day in range(first, first + days):
        there.land(sightings(*range((day - 1) * ROWS // 2, (day + 1) * ROWS // 2), seen=1_767_225_600 + day * 86_400), day=day)


if __name__ == "__main__":
    load_days(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""Cursor values as they stand in the records: numbers, or texts that are dates and times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Cursor = int | float | str
Epoch = Literal["s", "ms", "us", "ns"]
PER_SECOND: dict[Epoch, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def cursor_at(moment: datetime, epoch: Epoch | None) -> Cursor:
    """Return a moment as a cursor: a number counted since 1970 in the unit `epoch`, or ISO 8601 in UTC where it is None."""
    if epoch is None:
        return moment.astimezone(UTC).isoformat()
    since_1970 = moment - datetime.fromtimestamp(0, UTC)
    return since_1970 // timedelta(microseconds=1) * PER_SECOND[epoch] // 10**6


def behind(watermark: Cursor, overlap_s: int) -> Cursor:
    """Return where reading starts again: `overlap_s` seconds (or units, for a plain number) behind the watermark.

    A text that is no date has no "behind": it is returned as it is.
    """
    if not overlap_s:
        return watermark
    if isinstance(watermark, int | float):
        return watermark - overlap_s
    try:
        return (datetime.fromisoformat(watermark) - timedelta(seconds=overlap_s)).isoformat()
    except ValueError:
        return watermark


def latest(known: Cursor | None, offered: Cursor | None) -> Cursor | None:
    """Return the later of two watermarks: one never moves back by itself. Dates in text compare as dates."""
    if known is None or offered is None:
        return offered if known is None else known
    if isinstance(known, str) != isinstance(offered, str):
        return offered  # the cursor's type was changed on purpose in the pipeline file
    return offered if _ordered(offered) > _ordered(known) else known  # type: ignore[operator]


def greatest(values: Iterable[object]) -> Cursor | None:
    """Return the latest cursor of many; what is no cursor (absent, null, nested) is passed over."""
    cursors = [value for value in values if isinstance(value, int | float | str) and not isinstance(value, bool)]
    numbers = [value for value in cursors if not isinstance(value, str)]
    if len(numbers) == len(cursors):
        return max(numbers, default=None)
    found: Cursor | None = None
    for value in cursors:
        found = latest(found, value)
    return found


def reaches(value: object, end: Cursor) -> bool:
    """Return whether a value is the cursor `end` or lies beyond it; what cannot be compared with it does not."""
    value = value.isoformat() if isinstance(value, date) else value
    if isinstance(value, bool) or not isinstance(value, int | float | str) or isinstance(value, str) != isinstance(end, str):
        return False
    known, bound = _ordered(value), _ordered(end)
    if type(known) is not type(bound) and isinstance(end, str):
        return str(value) >= end  # one of the two is no date
    return known >= bound  # type: ignore[operator]


def _ordered(value: Cursor) -> Cursor | datetime:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment if moment.tzinfo else moment.astimezone()
    return value

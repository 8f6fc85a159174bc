"""How old a table is against how old it may be, and how far its watermarks have come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ducklift.cursors import PER_SECOND
from ducklift.web.digests import TableDigest, seconds
from ducklift.web.pipelines import PipelineTable
from ducklift.web.schedules import Schedule
from ducklift.web.views.overview import WatermarkView
from ducklift.web.views.states import Freshness
from ducklift.web.views.texts import NAME, shown

# A run that is late by half its interval, or by ten minutes, is no alarm yet; of a cadence that was only observed, two runs may be missed.
SCHEDULE_SLACK, SCHEDULE_SLACK_S = 0.5, 600.0
OBSERVED_MISSED, OBSERVED_LEAST_S = 3.0, 3_600.0
_NAMED_AS_MOMENTS = ("utc", "time", "date", "_at", "_ts", "created", "updated", "modified", "edited", "seen")
_YEAR_2000_S, _DAY_S = 946_684_800, 86_400


def freshness_of(digest: TableDigest, now_s: float, tables: Sequence[PipelineTable], schedules: Sequence[Schedule]) -> Freshness:
    """Return how fresh a table is by the strictest check on it, else by its schedules, else by the cadence of its last loads."""
    since_load_s = now_s - digest.last.at_s if digest.last else None
    checks = [(column, target_s) for table in tables for column, target_s in table.freshness.items()]
    if checks:
        column, target_s = min(checks, key=lambda check: check[1])
        newest_s = None if digest.approximate else digest.newest_values.get(column)
        age_s, measured = (now_s - newest_s, shown(column, NAME)) if newest_s is not None else (since_load_s, "last load")
        return Freshness(age_s, target_s, "check", measured, _ratio(age_s, target_s))
    intervals = [schedule.every_s for schedule in schedules if schedule.every_s and not schedule.paused]
    if intervals:
        every_s = min(intervals)
        target_s = every_s + max(every_s * SCHEDULE_SLACK, SCHEDULE_SLACK_S)
        return Freshness(since_load_s, target_s, "schedule", ratio=_ratio(since_load_s, target_s))
    if digest.cadence_s is not None and not any(schedule.paused for schedule in schedules):
        target_s = max(digest.cadence_s * OBSERVED_MISSED, OBSERVED_LEAST_S)
        return Freshness(since_load_s, target_s, "observed", ratio=_ratio(since_load_s, target_s))
    return Freshness(since_load_s)


def _ratio(age_s: float | None, target_s: float) -> float | None:
    return None if age_s is None else round(age_s / target_s, 3)


def watermark_of(watermarks: Iterable[tuple[str, str, Any]], cursor: str | None, now_s: float) -> WatermarkView | None:
    """Return the watermark of the stream that is furthest behind; watermarks of different kinds are not compared, the first one counts."""
    found = list(watermarks)
    if not found:
        return None
    kind = type(found[0][2])
    _, stream, value = min((each for each in found if type(each[2]) is kind), key=lambda each: each[2])
    at_s = moment_s(value, cursor, now_s)
    at = None if at_s is None else datetime.fromtimestamp(at_s, UTC)
    lag_s = None if at_s is None else now_s - at_s
    return WatermarkView(shown(str(value)), None if cursor is None else shown(cursor, NAME), shown(stream, NAME), len(found), at, lag_s)


def moment_s(value: Any, cursor: str | None, now_s: float) -> float | None:
    """Return a cursor's value as seconds since 1970: ISO 8601, or a number of plausible size whose name is that of a moment; else None."""
    if isinstance(value, str):
        try:
            return seconds(value)
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _named_as_moment(cursor):
        return None
    moments = (value / per_second for per_second in PER_SECOND.values())
    return next((moment for moment in moments if _YEAR_2000_S <= moment <= now_s + _DAY_S), None)


def _named_as_moment(cursor: str | None) -> bool:
    return cursor is not None and any(part in cursor.lower() for part in _NAMED_AS_MOMENTS)

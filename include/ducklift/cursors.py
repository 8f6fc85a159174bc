"""Cursor values as they stand in the records: numbers, or texts that are dates and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from ducklift.errors import ConfigurationError

Cursor = int | float | str
Epoch = Literal["s", "ms", "us", "ns"]
_FARTHEST_ZONE = timedelta(hours=14)
PER_SECOND: dict[Epoch, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def cursor_at(moment: datetime, epoch: Epoch | None) -> Cursor:
    """Return a moment as a cursor: a number counted since 1970 in the unit `epoch`, or ISO 8601 in UTC where it is None."""
    if epoch is None:
        return moment.astimezone(UTC).isoformat()
    since_1970 = moment - datetime.fromtimestamp(0, UTC)
    return since_1970 // timedelta(microseconds=1) * PER_SECOND[epoch] // 10**6


def behind(watermark: Cursor, overlap_s: int, epoch: Epoch | None = None) -> Cursor:
    """Return where reading starts again: `overlap_s` seconds behind the watermark.

    A number counts in the unit `epoch`, or in one of its own where that is not told: `overlap_s` is then so many of it. A text that is no
    date has no "behind": it is returned as it is.
    """
    if not overlap_s:
        return watermark
    if isinstance(watermark, int | float):
        return watermark - overlap_s * (PER_SECOND[epoch] if epoch else 1)
    return (datetime.fromisoformat(watermark) - timedelta(seconds=overlap_s)).isoformat() if _moment(watermark) else watermark


def latest(known: Cursor | None, offered: Cursor | None) -> Cursor | None:
    """Return the later of two watermarks: one never moves back by itself. Dates in text compare as dates."""
    if known is None or offered is None:
        return offered if known is None else known
    if isinstance(known, str) != isinstance(offered, str):
        return offered  # the cursor's type was changed on purpose in the pipeline file
    return known if _reaches(known, offered) else offered


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


def storable(value: Cursor | None, field: str) -> Cursor | None:
    """Return a cursor as it is; raises `ConfigurationError` for an integer that no watermark holds, since JSON readers would round it."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigurationError(f"The cursor {field!r} is {value}, and a watermark holds integers of 64 bits. Choose another field.")
    return value


def reaches(value: object, end: Cursor) -> bool:
    """Return whether a value is the cursor `end` or lies beyond it; what cannot be compared with it does not."""
    value = value.isoformat() if isinstance(value, date) else value
    if isinstance(value, bool) or not isinstance(value, int | float | str) or isinstance(value, str) != isinstance(end, str):
        return False
    return _reaches(value, end)


def is_moment(value: object) -> bool:
    """Return whether a value is a text that is a date or a time."""
    return isinstance(value, str) and _moment(value) is not None


def texts_around(bounds: Mapping[str, Cursor]) -> dict[str, Cursor]:
    """Return the bounds `>=` and `<` of a cursor that is compared as text: moments' so wide that no spelling in any zone is left out."""
    found = dict(bounds)
    for operator, zone in ((">=", -_FARTHEST_ZONE), ("<", _FARTHEST_ZONE)):
        moment = _moment(str(found.get(operator)))
        if moment is None:
            continue
        try:
            # Of a moment's text the day comes first, and it is a day later or earlier at most.
            day = (moment.astimezone(UTC) + zone).date()
            found[operator] = (day if operator == ">=" else day + timedelta(days=1)).isoformat()
        except OverflowError:
            del found[operator]
    return found


def is_between(value: object, bounds: Mapping[str, Cursor]) -> bool:
    """Return whether a value keeps to the bounds `>=` and `<`, as far as both are moments; about any other they say nothing here."""
    text = value.isoformat() if isinstance(value, date) else value
    if not is_moment(text):
        return True
    return all(reaches(text, bound) == (operator == ">=") for operator, bound in bounds.items() if is_moment(bound))


def _reaches(value: Cursor, bound: Cursor) -> bool:
    """Compare two of a kind: numbers, or texts, which are compared as moments where both are."""
    if isinstance(value, str) and isinstance(bound, str):
        moments = _moment(value), _moment(bound)
        return moments[0] >= moments[1] if moments[0] and moments[1] else value >= bound
    return value >= bound  # type: ignore[operator]


def _moment(text: str) -> datetime | None:
    """Return the moment that a text tells (without a zone: in UTC), or None.

    Python also reads days and times without any mark between them: there, the digits of a number are a date of the Middle Ages.
    """
    if text[4:5] != "-" or text[7:8] != "-":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""Date patterns of a layout (`YYYY-MM-DD`), and the moments they are applied to: a load's slice or a record's own field, always in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

_MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

# As dlt's users know them: English names in lower case, weeks that start on Sunday (0).
TOKENS: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda moment: f"{moment.year:04d}",
    "YY": lambda moment: f"{moment.year % 100:02d}",
    "Y": lambda moment: str(moment.year),
    "Q": lambda moment: str((moment.month + 2) // 3),
    "MMMM": lambda moment: _MONTHS[moment.month - 1],
    "MMM": lambda moment: _MONTHS[moment.month - 1][:3],
    "MM": lambda moment: f"{moment.month:02d}",
    "M": lambda moment: str(moment.month),
    "DDDD": lambda moment: f"{moment.timetuple().tm_yday:03d}",
    "DDD": lambda moment: str(moment.timetuple().tm_yday),
    "DD": lambda moment: f"{moment.day:02d}",
    "D": lambda moment: str(moment.day),
    "HH": lambda moment: f"{moment.hour:02d}",
    "H": lambda moment: str(moment.hour),
    "mm": lambda moment: f"{moment.minute:02d}",
    "m": lambda moment: str(moment.minute),
    "ss": lambda moment: f"{moment.second:02d}",
    "s": lambda moment: str(moment.second),
    "dddd": lambda moment: _WEEKDAYS[moment.weekday()],
    "ddd": lambda moment: _WEEKDAYS[moment.weekday()][:3],
    "dd": lambda moment: _WEEKDAYS[moment.weekday()][:2],
    "d": lambda moment: str(moment.isoweekday() % 7),
}
_TOKEN = "|".join(TOKENS)  # longest first within each letter, so that MM is not read as M and M
_PATTERN = re.compile(f"(?:{_TOKEN})(?:[-_./T]?(?:{_TOKEN}))*")
_PIECES = re.compile(f"({_TOKEN})")

# A number this great is no longer a second of this millennium, but a milli-, micro- or nanosecond.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


class DatePattern:
    """A sequence of date tokens, compiled; equal patterns give equal texts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces = [TOKENS.get(piece, piece) for piece in _PIECES.split(text) if piece]

    @staticmethod
    def is_one(text: str) -> bool:
        """Tell whether `text` is a date pattern such as `YYYY`, `YYYY-MM-DD` or `YYYY/MM`."""
        return _PATTERN.fullmatch(text) is not None

    def of(self, moment: datetime) -> str:
        """Return the pattern filled with a moment in UTC."""
        return "".join(piece if isinstance(piece, str) else piece(moment) for piece in self._pieces)


def moment_of(value: Any) -> datetime | None:
    """Return the moment in UTC that a record's field names, or None when it names none.

    Reads ISO 8601 texts and dates (without a zone: UTC) and epoch numbers, also as text, in seconds, milli-, micro- or nanoseconds.
    """
    try:
        if isinstance(value, str):
            value = _from_text(value.strip())
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        return _from_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError, OSError):
        return None


def _from_text(text: str) -> datetime:
    if len(text) != len("20260131"):
        try:
            return _from_number(float(text))
        except ValueError:
            pass  # no number, so it has to be a date
    return datetime.fromisoformat(text)


def _from_number(value: float) -> datetime:
    for least, per_second in _UNITS:
        if abs(value) >= least:
            return datetime.fromtimestamp(value / per_second, UTC)
    return datetime.fromtimestamp(value, UTC)

"""From where to where a reading goes: the bounds in the API's own format, and which records lie between them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from ducklift.cursors import Cursor, greatest
from ducklift.errors import StreamRefused
from ducklift.sources.base import Record, SliceRequest
from ducklift.sources.rest_config import Incremental
from ducklift.sources.rest_templates import ABSENT

_DIGITS_OF_A_DATE = re.compile(r"(19|20|21)(\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
# A number of this size counts since 1970 in a finer unit than the second: each stands for the year 5138 in the coarser one.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


class Window:
    """The bounds of one reading. `outside` counts the records that it left out."""

    def __init__(self, request: SliceRequest, incremental: Incremental | None) -> None:
        self._request, self._incremental = request, incremental
        self.outside = 0

    def value(self, name: str) -> Any:
        """Return `start_value` or `end_value` as the API wants it; `ABSENT` where the reading has no such bound."""
        bound = self._request.cursor_from if name == "start_value" else self._request.cursor_to
        if bound is None or self._incremental is None:
            return ABSENT
        try:
            return in_format(bound, self._incremental.format)
        except ValueError:
            reason = f"the cursor {bound!r} is no moment, which format: {self._incremental.format} needs"
            raise StreamRefused(self._request.stream, reason, "Write format: as_is, or another cursor.") from None

    def params(self) -> dict[str, Any]:
        """Return the parameters that carry the bounds."""
        if self._incremental is None:
            return {}
        named = ((self._incremental.start_param, "start_value"), (self._incremental.end_param, "end_value"))
        return {name: value for name, bound in named if name and (value := self.value(bound)) is not ABSENT}

    def inside(self, records: list[Record]) -> list[Record]:
        """Return the records that were asked for: an API may give more, or read its bounds as including the end.

        A record without a cursor passes; what becomes of it is for the load to say.
        """
        field, end = self._request.cursor, self._request.cursor_to
        start = self._request.cursor_from if self._request.window else None
        if field is None or (start is None and end is None):
            return records
        kept = [record for record in records if _lies_between(record.get(field), start, end)]
        self.outside += len(records) - len(kept)
        return kept

    def ends_before(self, records: list[Record], field: str) -> bool:
        """Tell whether a page of a listing that begins with the newest lies wholly before the start."""
        start = self._request.cursor_from
        if self._incremental is None or self._incremental.row_order != "desc" or start is None:
            return False
        newest = greatest(record.get(field) for record in records)
        return newest is not None and _reaches(newest, start) is False


def in_format(bound: Cursor, format_: str) -> Any:
    """Return a cursor as an API wants it; raises ValueError when it is no moment and should be one."""
    if format_ == "as_is":
        return bound
    moment = _moment(bound)
    if format_ == "iso":
        return moment.isoformat().replace("+00:00", "Z")
    if format_ == "date":
        return moment.date().isoformat()
    if format_ in ("epoch_s", "epoch_ms"):
        return int(moment.timestamp() * (1000 if format_ == "epoch_ms" else 1))
    return moment.strftime(format_)


def _moment(cursor: Cursor) -> datetime:
    """Return a cursor as a moment in UTC: a number counts since 1970, a text is a date; both without a zone mean UTC.

    Eight digits of a date are that date: as seconds they would all lie in the summer of 1970.
    """
    if _DIGITS_OF_A_DATE.fullmatch(str(cursor)):
        return datetime.strptime(str(cursor), "%Y%m%d").replace(tzinfo=UTC)
    try:
        number = float(cursor)
    except ValueError:
        moment = datetime.fromisoformat(str(cursor))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    scale = next((scale for least, scale in _UNITS if abs(number) >= least), 1.0)
    return datetime.fromtimestamp(number / scale, UTC)


def _lies_between(value: Any, start: Cursor | None, end: Cursor | None) -> bool:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return True
    return (start is None or _reaches(value, start) is not False) and (end is None or not _reaches(value, end))


def _reaches(value: Cursor, bound: Cursor) -> bool | None:
    """Tell whether a cursor is at a bound or beyond it, a number and a text as moments; None where but one of the two is a moment."""
    if not isinstance(value, str) and not isinstance(bound, str):
        return value >= bound
    moments = _moment_or_none(value), _moment_or_none(bound)
    if moments[0] is not None and moments[1] is not None:
        return moments[0] >= moments[1]
    return str(value) >= str(bound) if moments == (None, None) else None


def _moment_or_none(cursor: Cursor) -> datetime | None:
    try:
        return _moment(cursor)
    except (ValueError, OverflowError, OSError):
        return None

"""Records as text: one JSON line each, or one cell each; faithful or replaced in the open, never silently."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from ducklift.batches import Record
from ducklift.errors import RecordUnwritable

_LINE = orjson.OPT_APPEND_NEWLINE


class LineEncoder:
    """Turns records into JSON lines and counts the lone surrogates that became U+FFFD."""

    def __init__(self) -> None:
        self.surrogates_replaced = 0

    def lines(self, records: Sequence[Record], look_for_nan: bool = True) -> list[bytes]:
        """Return one line per record, each with its line feed.

        NaN and the infinities become the texts `NaN`, `Infinity` and `-Infinity`, which a load takes for what they were. The caller may say
        that there are none.
        """
        try:
            found = [orjson.dumps(record, _plain, _LINE) for record in records]
        except TypeError:
            return [self._line(worded(record)) for record in records]
        if look_for_nan:
            for place, line in enumerate(found):
                # orjson writes them as null: a line without one has none of them.
                if b"null" in line and (told := worded(records[place])) is not records[place]:
                    found[place] = self._line(told)
        return found

    def _line(self, record: Record) -> bytes:
        try:
            return orjson.dumps(record, _plain, _LINE)
        except TypeError:
            # orjson refuses lone surrogates and integers beyond 64 bits; both are rare enough for the slow way.
            return self.mended(_slowly(worded(record))).encode() + b"\n"

    def mended(self, text: str) -> str:
        """Return `text` with each lone surrogate replaced, and count them."""
        replaced = without_surrogates(text)
        self.surrogates_replaced += replaced.count("\ufffd") - text.count("\ufffd")
        return replaced

    def json(self, value: Any) -> str:
        """Return a value as JSON."""
        value = worded(value)
        try:
            return orjson.dumps(value, _plain).decode()
        except TypeError:
            return self.mended(_slowly(value))

    def cell(self, value: Any) -> str | None:
        """Return a value as the text of one cell: texts as they are, everything else as in a JSON line but without quotes."""
        if value is None:
            return None
        text = value if isinstance(value, str) else _cell(value)
        return text if text.isascii() else self.mended(text)


def without_surrogates(text: str) -> str:
    """Return `text` with each lone surrogate, which UTF-8 cannot carry, replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def worded(value: Any) -> Any:
    """Return a value with NaN and the infinities in it as words; the value itself, where there are none."""
    if isinstance(value, float):
        return value if isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        told = {name: worded(inner) for name, inner in value.items()}
        return told if any(told[name] is not inner for name, inner in value.items()) else value
    if isinstance(value, list | tuple):
        items = [worded(inner) for inner in value]
        return items if any(item is not inner for item, inner in zip(items, value, strict=True)) else value
    return value


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    value = worded(value)
    try:
        text = orjson.dumps(value, _plain).decode()
    except TypeError:
        text = _slowly(value)
    return str(json.loads(text)) if text.startswith('"') else text


def _slowly(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as err:
        raise RecordUnwritable(str(err).partition("\n")[0]) from err


def _plain(value: Any) -> Any:
    """Return what JSON has no word for as a text that says the same."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=repr) if not isinstance(value, tuple) else list(value)
    if callable(as_python := getattr(value, "tolist", None)):
        return worded(as_python())  # the numbers and arrays of numpy, and what is made like them
    raise TypeError(f"it holds a {type(value).__name__}")

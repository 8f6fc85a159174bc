"""What kinds of values each field of a load had, seen as they were written: it lets a load read a field as its type.

Kinds are told of a whole load or not at all: a field is named only when every value of it was seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from ducklift.batches import Record
from ducklift.lake.columns import EXACT_INTEGERS
from ducklift.lake.records import without_surrogates

BOOLEAN, FLOAT, TEXT, NESTED = "boolean", "float", "text", "nested"
INTEGER = "integer"
"""An integer that a double holds exactly."""
LONG_INTEGER = "long_integer"
"""An integer beyond that, within 64 bits and a sign."""
DATE, TIMESTAMP, ZONED = "date", "timestamp", "zoned_timestamp"
"""Texts that are dates, or times without and with a zone; down to microseconds, so that nothing is cut."""
OTHER = "other"
"""Anything of which the written text has to be looked at."""

_NONE = type(None)
_TIMES = tuple(
    (kind, re.compile(rf"(?:\d{{4}}-\d\d-\d\d{more}\n)+", re.ASCII))
    for kind, more in (
        (DATE, ""),
        (TIMESTAMP, r"[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?"),
        (ZONED, r"[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d(?::?\d\d)?)"),
    )
)
_ARROW_KINDS = {"bool": BOOLEAN, "double": FLOAT, "int64": LONG_INTEGER}


class FieldKinds:
    """The kinds of the fields written so far; texts are looked at only as long as all of a field are dates or times."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}
        self._unknown = False

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """Return each field's kinds, none for one without any value; empty when not every record was seen."""
        return {} if self._unknown else {name: tuple(sorted(kinds)) for name, kinds in self._kinds.items()}

    def forget(self) -> None:
        """Say nothing of this load: records were written that were not seen as values."""
        self._unknown = True

    def note(self, records: Sequence[Record]) -> bool:
        """Note the kinds of records' values; return whether NaN or infinity may be among them, which JSON has no words for."""
        suspicious = False
        for name, column in _columns(records):
            if type(name) is not str or without_surrogates(name) != name:
                self._unknown = True
                return True
            kinds = self._kinds.setdefault(name, set())
            types = set(map(type, column))
            for kind in types:
                values = column if len(types) == 1 else [value for value in column if type(value) is kind]
                suspicious |= self._note_type(kinds, kind, values)
        return suspicious

    @staticmethod
    def _note_type(kinds: set[str], kind: type, values: Sequence[Any]) -> bool:
        """Note a column's values of one Python type; subclasses are types of their own, whose text may be anything."""
        if kind is str:
            if TEXT not in kinds:
                kinds |= _text_kinds(values)
        elif kind is int:
            kinds.add(_integer_kind(min(values), max(values)))
        elif kind is float:
            kinds.add(FLOAT)
            return not isfinite(sum(values))
        elif kind is bool:
            kinds.add(BOOLEAN)
        elif kind is not _NONE:
            kinds.add(NESTED if kind in (dict, list) else OTHER)
            return True
        return False


def kinds_of_arrow(types: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the kinds of columns by their Arrow types, as far as these types are written so that they come back as they were."""
    return {name: (_ARROW_KINDS[type_],) for name, type_ in types.items() if type_ in _ARROW_KINDS}


def _columns(records: Sequence[Record]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield the fields with their values, of records with the same fields together."""
    alike: dict[tuple[Any, ...], list[Record]] = {}
    if len(shapes := set(map(tuple, records))) == 1:
        alike[shapes.pop()] = list(records)
    else:
        for names, record in zip(map(tuple, records), records, strict=True):
            alike.setdefault(names, []).append(record)
    for names, group in alike.items():
        yield from zip(names, zip(*map(dict.values, group), strict=True), strict=True)


def _integer_kind(least: int, greatest: int) -> str:
    if max(-least, greatest) < EXACT_INTEGERS:
        return INTEGER
    return LONG_INTEGER if least >= -(2**63) and greatest < 2**63 else OTHER


def _text_kinds(texts: Sequence[str]) -> set[str]:
    """Return which kinds of dates and times all texts of a column are, or that there are other texts among them."""
    if not texts[0][:1].isdigit():
        return {TEXT}
    lines = "\n".join(texts) + "\n"
    found = {next((kind for kind, pattern in _TIMES if pattern.fullmatch(lines)), TEXT)}
    if TEXT in found:
        found = {next((kind for kind, pattern in _TIMES if pattern.fullmatch(f"{text}\n")), TEXT) for text in texts}
    return {TEXT} if TEXT in found or not _all_valid(texts) else found


def _all_valid(texts: Sequence[str]) -> bool:
    try:
        return all(map(datetime.fromisoformat, texts))
    except ValueError:
        return False

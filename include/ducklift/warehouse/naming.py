"""From field names, which may be anything, to column names: snake_case, short enough, and no two alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

from ducklift.specs import LINEAGE_COLUMNS

MAX_LENGTH = 255
_WORD_EDGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_STAGING = ("_position", "_cursor_text", "_problem", "_valid_from", "_valid_to")  # what a load itself names so
_NOT_PLAIN = re.compile(r"[^a-z0-9_]+")


def snake_case(field: str) -> str:
    """Return `field` in snake_case: 'tripDistance' and 'Trip Distance' both give 'trip_distance'."""
    plain = _NOT_PLAIN.sub("_", _WORD_EDGE.sub("_", field).lower()).strip("_") if not field.startswith("_") else _leading(field)
    plain = re.sub(r"_{3,}", "__", plain) or "field"
    return f"_{plain}" if plain[0].isdigit() else plain


def _leading(field: str) -> str:
    return "_" + _NOT_PLAIN.sub("_", _WORD_EDGE.sub("_", field.lstrip("_")).lower()).strip("_")


def column_names(
    fields: Iterable[str], taken: Iterable[str] = (), plain: Callable[[str], str] = snake_case, max_length: int = MAX_LENGTH
) -> dict[str, str]:
    """Return a column name for each field, distinct from each other and from `taken` (column names that exist).

    A name that is too long or already used ends in a short hash of the field, so that the same field always gets the same name.
    """
    used = {name.lower() for name in taken} | {*LINEAGE_COLUMNS, *_STAGING}
    found: dict[str, str] = {}
    # A field that is a column name already keeps it, whatever twins it has.
    for field in sorted(fields, key=lambda field: plain(field) != field):
        name = plain(field)
        if len(name) > max_length or name in used:
            digest = hashlib.sha256(field.encode("utf-8", "surrogatepass")).hexdigest()[:6]
            name = f"{name[: max_length - 8]}_{digest}"
        used.add(name)
        found[field] = name
    return found

"""What a manifest proves of a field's values, and as what type they can be read for it without a look at each (docs/decisions/0001)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from ducklift.lake.kinds import BOOLEAN, DATE, FLOAT, INTEGER, LONG_INTEGER, NESTED, TEXT, TIMESTAMP, ZONED
from ducklift.warehouse.columns import Column

Native = Literal["BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ"]
_MOMENT = "TIMESTAMP WITH TIME ZONE"

_NATIVE: tuple[tuple[frozenset[str], Native], ...] = (
    (frozenset({INTEGER, LONG_INTEGER}), "BIGINT"),
    (frozenset({INTEGER, FLOAT}), "DOUBLE"),
    (frozenset({BOOLEAN}), "BOOLEAN"),
    (frozenset({DATE}), "DATE"),
    (frozenset({DATE, TIMESTAMP}), "TIMESTAMP"),
    (frozenset({ZONED}), "TIMESTAMPTZ"),
)
# The columns for which a value that was read as its type gives what its text would: of a double, the text itself may differ.
_SERVES: Mapping[Native, frozenset[str]] = {
    "BIGINT": frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "VARCHAR"}),
    "DOUBLE": frozenset({"DOUBLE"}),
    "BOOLEAN": frozenset({"BOOLEAN", "VARCHAR"}),
    "DATE": frozenset({"DATE"}),
    "TIMESTAMP": frozenset({"TIMESTAMP"}),
    "TIMESTAMPTZ": frozenset({_MOMENT}),
}


def native_type(kinds: Collection[str]) -> Native | None:
    """Return the type as which values of these kinds can be read exactly, or None when each has to be looked at as text."""
    return next((type_ for admitted, type_ in _NATIVE if kinds and admitted.issuperset(kinds)), None)


def inferred_type(kinds: Collection[str]) -> str | None:
    """Return the narrowest type that keeps every value, or None when it takes a look at them to know."""
    if NESTED in kinds:
        return "JSON"
    if TEXT in kinds:
        return "VARCHAR" if {TEXT, DATE, TIMESTAMP, ZONED}.issuperset(kinds) else None
    native = native_type(kinds)
    return _MOMENT if native == "TIMESTAMPTZ" else native


def is_time(native: Native) -> bool:
    """Return whether a value of this type no longer tells how it was written."""
    return native in ("DATE", "TIMESTAMP", "TIMESTAMPTZ")


def serves(native: Native, column: Column) -> bool:
    """Return whether a column can be filled from values that were read as `native`."""
    if column.variant_of or (column.spec and column.spec.null_if):
        return False
    is_moment = column.type == _MOMENT and column.declared and native in ("BIGINT", "DOUBLE")
    return is_moment or column.type in _SERVES[native]

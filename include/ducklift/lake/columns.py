"""Batches as Arrow tables whose types hold for a whole load: a field whose values disagree becomes text, and nothing is rounded or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ducklift.batches import Record
from ducklift.errors import RecordUnwritable
from ducklift.lake.records import LineEncoder

if TYPE_CHECKING:
    import pyarrow as pa

PADDING = "_padding"  # a column without values, where a format cannot write as few columns as there are
EXACT_INTEGERS = 2**53  # beyond it a double no longer holds every integer


class ColumnTypes:
    """The fields of a load in the order they came, each with its type once it had a value."""

    def __init__(self, texts: LineEncoder, least_columns: int, binary: bool) -> None:
        self._texts, self._least_columns, self._binary = texts, least_columns, binary
        self._types: dict[str, Any] = {}
        self._great_integers: set[str] = set()

    @property
    def known(self) -> dict[str, str]:
        """Return each field's Arrow type."""
        return {name: str(kind) for name, kind in self._types.items()}

    def table_of_records(self, records: Sequence[Record]) -> pa.Table:
        """Return dicts as a table; an absent field and one without a value are alike."""
        names = dict.fromkeys(name for keys in dict.fromkeys(map(tuple, records)) for name in keys)
        columns = {plain: self._typed(plain, [record.get(name) for record in records]) for name, plain in self._plain_names(names)}
        return self._table(columns, len(records))

    def table_of_arrow(self, table: pa.Table) -> pa.Table:
        """Return a source's own table; structs become JSON, odd types text, the others stay as they are."""
        columns = {}
        for name, column in zip(table.column_names, table.columns, strict=True):
            plain = self._plain_column(column.combine_chunks())
            columns[name] = self._settled(name, plain, plain)
        return self._table(columns, table.num_rows)

    def _plain_names(self, names: Iterable[Any]) -> list[tuple[Any, str]]:
        return [(name, self._texts.cell(str(name)) or "") for name in names]

    def _table(self, columns: dict[str, Any], rows: int) -> pa.Table:
        import pyarrow as pa

        arrays = {name: columns.get(name) for name in self._types}
        arrays = {name: pa.nulls(rows, self._types[name]) if found is None else found for name, found in arrays.items()}
        if len(arrays) < self._least_columns:
            arrays[PADDING] = pa.nulls(rows, pa.string())
        return pa.table(arrays)

    def _typed(self, name: str, values: list[Any]) -> Any:
        """Return the values as an array of the load's type for the field, or None when there is no value."""
        kinds = Counter(map(type, values))
        kinds.pop(type(None), None)
        if not kinds:
            return None
        return self._settled(name, self._narrow(values, set(kinds)), values)

    def _narrow(self, values: list[Any], kinds: set[type]) -> Any:
        import pyarrow as pa

        kind = _arrow_type(values, kinds, self._binary)
        if kind is not None:
            try:
                return pa.array(values, kind)
            except (OverflowError, UnicodeEncodeError, pa.ArrowInvalid):
                pass  # an integer beyond 64 bits, a lone surrogate, a date beyond Arrow's years: as text they are whole
        return self._as_text(values)

    def _settled(self, name: str, array: Any, values: Any) -> Any:
        """Return the array in the field's type, after widening that type where the array asks for it."""
        import pyarrow as pa
        import pyarrow.types as kinds

        if array is None or kinds.is_null(array.type):
            return None
        self._note_great_integers(name, array)
        known = self._types.get(name)
        if known is None or known == array.type:
            self._types[name] = array.type
            return array
        numbers = kinds.is_integer(known) or kinds.is_floating(known), kinds.is_integer(array.type) or kinds.is_floating(array.type)
        if all(numbers) and (wide := _wider(known, array.type)) and not (kinds.is_floating(wide) and name in self._great_integers):
            self._types[name] = wide
            return array.cast(wide)
        if _is_list(known):
            return self._another_list(name, array)
        values = values if isinstance(values, list) else values.to_pylist()
        if isinstance(known, pa.JsonType):
            return self._as_json(values)
        self._types[name] = pa.string()
        return self._as_text(values)

    def _another_list(self, name: str, array: Any) -> Any:
        """Return a list of another kind, as it is where need be: readers find one for all files, but none for lists and single values."""
        import pyarrow as pa
        import pyarrow.types as kinds

        if not _is_list(array.type):
            raise RecordUnwritable(f"field {name!r} held lists ({self._types[name]}) and now {array.type}; write format: jsonl.gz")
        known = self._types[name]
        numbers = all(kinds.is_integer(each.value_type) or kinds.is_floating(each.value_type) for each in (known, array.type))
        if numbers or not len(array.flatten().drop_null()):
            try:
                return array.cast(known)
            except pa.ArrowInvalid:
                pass  # it holds fractions or greater numbers
        self._types[name] = array.type
        return array

    def _note_great_integers(self, name: str, array: Any) -> None:
        import pyarrow.compute as pc
        import pyarrow.types as kinds

        if kinds.is_integer(array.type) and name not in self._great_integers:
            ends = pc.min_max(array).as_py()
            if ends["min"] is not None and max(-ends["min"], ends["max"]) > EXACT_INTEGERS:
                self._great_integers.add(name)

    def _plain_column(self, array: Any) -> Any:
        import pyarrow as pa
        import pyarrow.types as kinds

        kind = array.type
        if kinds.is_dictionary(kind):
            words = array.dictionary.cast(_plain_kind(kind.value_type))
            array = pa.DictionaryArray.from_arrays(array.indices, words).dictionary_decode()
        kind = _plain_kind(array.type)
        array = array if kind == array.type else array.cast(kind)
        if kinds.is_null(kind) or _is_scalar(kind) or (self._binary and kinds.is_binary(kind)):
            return array
        if not self._binary or not (kinds.is_nested(kind) or isinstance(kind, pa.JsonType | pa.UuidType)):
            return self._as_text(array.to_pylist())
        if kinds.is_list(kind) and kinds.is_null(kind.value_type):
            return array.cast(pa.list_(pa.bool_()))  # it has no values; any other list is wider
        return array if _is_list(kind) or isinstance(kind, pa.BaseExtensionType) else self._as_json(array.to_pylist())

    def _as_json(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        texts = [None if value is None else self._texts.json(value) for value in values]
        return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))

    def _as_text(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        return pa.array([self._texts.cell(value) for value in values], pa.string())


def _arrow_type(values: list[Any], kinds: set[type], binary: bool) -> Any:
    """Return the Arrow type that holds all values exactly, or None when only text does."""
    import pyarrow as pa

    if kinds == {int, float}:
        exact = all(abs(value) <= EXACT_INTEGERS for value in values if type(value) is int)
        return pa.float64() if exact else None
    if kinds == {datetime}:
        zones = {value.tzinfo is not None for value in values if value is not None}
        return pa.timestamp("us", "UTC" if zones == {True} else None) if len(zones) == 1 else None
    if len(kinds) != 1:
        return None
    single = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(), date: pa.date32()}
    if binary:
        single[bytes] = pa.binary()
    return single.get(next(iter(kinds)))


def _is_scalar(kind: Any) -> bool:
    import pyarrow.types as kinds

    tests = (
        kinds.is_string, kinds.is_boolean, kinds.is_integer, kinds.is_float32, kinds.is_float64,
        kinds.is_decimal128, kinds.is_date32, kinds.is_timestamp, kinds.is_time64,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _plain_kind(kind: Any) -> Any:
    """Return the type without the variants that Arrow has for texts, bytes and lists: large ones and views."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pa.string()
    if kinds.is_large_binary(kind) or kinds.is_binary_view(kind) or kinds.is_fixed_size_binary(kind):
        return pa.binary()
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        return pa.list_(_plain_kind(kind.value_type))
    return kind


def _is_list(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_list(kind) and (_is_scalar(kind.value_type) or kinds.is_binary(kind.value_type)))


def _wider(known: Any, offered: Any) -> Any:
    """Return the number type that holds all values of both, provided that integers beyond 2^53 are not among them; None without one."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_floating(known) or kinds.is_floating(offered):
        return pa.float64()
    if kinds.is_unsigned_integer(known) and kinds.is_unsigned_integer(offered):
        return max(known, offered, key=lambda kind: kind.bit_width)
    if pa.uint64() in (known, offered):
        return None
    return pa.int64()

"""Parts of Parquet files, near or far: the rows whose cursor lies in a range, found by statistics, and nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ducklift.cursors import Cursor, is_moment, reaches, texts_around
from ducklift.errors import SourceFileRefused

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 122_880  # of a row group of the local copy, and of what is in memory at once


@dataclass(frozen=True)
class Range:
    """The rows that are wanted: from the start on, before the end. A row without a cursor is wanted always."""

    cursor: str | None = None
    start: Cursor | None = None
    end: Cursor | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether every row is wanted."""
        return self.cursor is None or (self.start is None and self.end is None)


@dataclass(frozen=True)
class Part:
    """What of a file is wanted: its row groups, how many rows in them, the greatest cursor, and whether any row lies beyond the end."""

    row_groups: tuple[int, ...]
    rows: int
    greatest: Cursor | None
    reaches_the_end: bool


@dataclass(frozen=True)
class _Group:
    """A row group by its statistics: `inside` wholly wanted, `outside` not at all; neither, and its cursors have to be read."""

    inside: bool
    outside: bool
    beyond: bool
    greatest: Any


def find_part(source: BinaryIO, wanted: Range, name: str) -> Part:
    """Return which row groups hold wanted rows, and how many; only those at the range's ends have their cursor column read.

    Raises `SourceFileRefused`, which calls the file `name`, when it is no whole Parquet file or has no usable cursor.
    """
    with _parquet(source, name) as file:
        count = file.metadata.num_row_groups
        if wanted.cursor is None:
            return Part(tuple(range(count)), file.metadata.num_rows, None, False)
        kind = _cursor_type(file, wanted.cursor, name)
        found, rows, greatest, beyond = [], 0, None, False
        for index in range(count):
            group = _by_statistics(file, index, wanted, kind, name)
            if group is None or not (group.inside or group.outside):
                in_group, most, past = _by_reading(file, index, wanted, kind, name)
            else:
                in_group, most, past = (file.metadata.row_group(index).num_rows if group.inside else 0), group.greatest, group.beyond
            beyond = beyond or past
            if in_group:
                found.append(index)
                rows += in_group
                greatest = most if greatest is None or (most is not None and most > greatest) else greatest
        return Part(tuple(found), rows, _plain(greatest), beyond)


def copy_part(
    source: BinaryIO,
    target: Path,
    wanted: Range,
    name: str,
    row_groups: Sequence[int] | None = None,
    is_needed: Callable[[str], bool] | None = None,
    values: Mapping[str, str | None] | None = None,
) -> int:
    """Write the wanted rows of a file to a local one, with `values` as further columns, and return how many; memory stays at a few groups.

    `is_needed` tells which columns are read, by their names; the cursor's is in any case.
    """
    import pyarrow.parquet as pq

    with _parquet(source, name) as file:
        names = file.schema_arrow.names
        _refuse_twins(names, values or {}, name)
        chosen = [each for each in names if is_needed is None or is_needed(each) or each == wanted.cursor] or names[:1]
        _refuse_intervals(file, chosen, name)
        kind = _cursor_type(file, wanted.cursor, name) if wanted.cursor else None
        groups = list(range(file.metadata.num_row_groups)) if row_groups is None else list(row_groups)
        rows, writer, zoned = 0, None, _has_zoned_times(file, chosen, name)
        try:
            for batch in file.iter_batches(batch_size=_ROWS, row_groups=groups, columns=chosen) if groups else ():
                kept = batch if wanted.is_whole else batch.filter(_mask(batch.column(wanted.cursor), wanted, kind, name))
                if kept.num_rows:
                    kept = with_values(kept, values or {})
                    writer = writer or pq.ParquetWriter(target, kept.schema, write_time_adjusted_to_utc=zoned)
                    writer.write_batch(kept)
                    rows += kept.num_rows
        finally:
            if writer is not None:
                writer.close()
        return rows


def with_values(batch: pa.RecordBatch, values: Mapping[str, str | None]) -> pa.RecordBatch:
    """Return a batch with a column more for each value, the same in all rows."""
    import pyarrow as pa

    for name, value in values.items():
        batch = batch.append_column(name, pa.repeat(pa.scalar(value, pa.string()), batch.num_rows))
    return batch


def _refuse_twins(names: Sequence[str], values: Mapping[str, str | None], name: str) -> None:
    lower = {each.lower() for each in names}
    if twins := sorted(each for each in values if each.lower() in lower):
        raise SourceFileRefused(name, f"its path tells {', '.join(twins)}, and so do its records: set source.hive to false")


def _refuse_intervals(file: Any, chosen: Sequence[str], name: str) -> None:
    """Raise `SourceFileRefused` for Parquet's INTERVAL, which Arrow takes for twelve bytes."""
    if found := sorted({path for path, column in _leaves(file, chosen) if column.converted_type == "INTERVAL"}):
        raise SourceFileRefused(
            name,
            f"INTERVALs ({', '.join(found)}) are kept by a copy of the whole file alone: remove source.in_place, hive and path_column, "
            "or leave them out by fields: declared",
        )


def _has_zoned_times(file: Any, chosen: Sequence[str], name: str) -> bool:
    """Return whether the times of day have a zone, which Arrow writes for all of a file or for none."""
    times = [column for _, column in _leaves(file, chosen) if column.logical_type.type == "TIME"]
    kinds = {json.loads(column.logical_type.to_json())["isAdjustedToUTC"]: column.path for column in times}
    if len(kinds) > 1:
        raise SourceFileRefused(
            name, f"{kinds[True]!r} has times with a zone and {kinds[False]!r} times without: leave one of them out by fields: declared"
        )
    return True in kinds


def _leaves(file: Any, chosen: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the path and the Parquet type of what the chosen columns are made of."""
    columns = (file.schema.column(place) for place in range(len(file.schema)))
    yield from ((column.path, column) for column in columns if column.path.partition(".")[0] in chosen)


@contextmanager
def _parquet(source: BinaryIO, name: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source, pre_buffer=True) as file:
            yield file
    except pa.ArrowInvalid as err:
        raise SourceFileRefused(name, f"it is no whole Parquet file: {str(err).splitlines()[0]}") from err


def _cursor_type(file: Any, cursor: str, name: str) -> Any:
    schema = file.schema_arrow
    if cursor not in schema.names:
        raise SourceFileRefused(name, f"it has no column {cursor!r}, by which the pipeline reads incrementally")
    return schema.field(cursor).type


def _by_statistics(file: Any, index: int, wanted: Range, kind: Any, name: str) -> _Group | None:
    """Return what the footer tells of a row group, or None when it tells nothing to rely on."""
    group = file.metadata.row_group(index)
    column = next((place for place in range(group.num_columns) if group.column(place).path_in_schema == wanted.cursor), None)
    found = group.column(column).statistics if column is not None and group.column(column).is_stats_set else None
    if found is None or not found.has_min_max or not found.has_null_count or found.null_count:
        return None
    if around := _moments_in_texts(wanted, kind):
        # Texts tell of moments by the day alone: which rows of it are wanted shows when they are read.
        beyond = "<" in around and found.min >= around["<"]
        return _Group(False, beyond or (">=" in around and found.max < around[">="]), beyond, None)
    least, most = as_cursor(found.min, kind, name), as_cursor(found.max, kind, name)
    start, end = as_cursor(wanted.start, kind, name), as_cursor(wanted.end, kind, name)
    if least is None or most is None or most != most:
        return None  # NaN is not itself
    inside = (start is None or least >= start) and (end is None or most < end)
    outside = (start is not None and most < start) or (end is not None and least >= end)
    return _Group(inside, outside, end is not None and most >= end, most)


def _by_reading(file: Any, index: int, wanted: Range, kind: Any, name: str) -> tuple[int, Any, bool]:
    """Return how many rows of a group are wanted, the greatest cursor among them, and whether a row lies beyond the end."""
    import pyarrow.compute as pc

    rows, greatest, beyond = 0, None, False
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=[index], columns=[wanted.cursor]):
        column = batch.column(0)
        kept = column.filter(_mask(column, wanted, kind, name))
        rows += len(kept)
        most = as_cursor(pc.max(kept).as_py(), kind, name)
        greatest = most if greatest is None or (most is not None and most > greatest) else greatest
        past = pc.any(_reaching(column, wanted.end, kind, name)).as_py() if wanted.end is not None else False
        beyond = beyond or bool(past)
    return rows, greatest, beyond


def _mask(column: Any, wanted: Range, kind: Any, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = pa.repeat(True, len(column))
    if _moments_in_texts(wanted, kind):
        for bound, is_start in ((wanted.start, True), (wanted.end, False)):
            if bound is not None:
                reached = _reaching(column, bound, kind, name)
                mask = pc.and_(mask, reached if is_start else pc.invert(reached))
        return pc.fill_null(mask, True)
    values = _comparable(column)
    for cursor, compare in ((wanted.start, pc.greater_equal), (wanted.end, pc.less)):
        if cursor is not None:
            mask = pc.and_(mask, compare(values, _scalar(as_cursor(cursor, kind, name), kind)))
    return pc.fill_null(mask, True)


def _moments_in_texts(wanted: Range, kind: Any) -> dict[str, Cursor]:
    """Return the bounds as texts that no spelling of a wanted moment lies beyond; empty where these are no moments written as texts."""
    bounds = {operator: bound for operator, bound in ((">=", wanted.start), ("<", wanted.end)) if bound is not None}
    return texts_around(bounds) if _is_text(kind) and any(map(is_moment, bounds.values())) else {}


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind))


def _reaching(column: Any, bound: Cursor, kind: Any, name: str) -> Any:
    """Return which values are at a bound or beyond it; texts that are moments are compared as such, each of them once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(kind) and is_moment(bound):
        found = column.dictionary_encode()
        return pa.array([reaches(value, bound) for value in found.dictionary.to_pylist()], pa.bool_()).take(found.indices)
    return pc.greater_equal(_comparable(column), _scalar(as_cursor(bound, kind, name), kind))


def _comparable(column: Any) -> Any:
    """Return the column in a type fine enough to compare moments of microseconds with."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_timestamp(column.type) and column.type.unit in ("s", "ms"):
        return column.cast(pa.timestamp("us", column.type.tz))
    return column


def _scalar(value: Any, kind: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_timestamp(kind):
        return pa.scalar(value, pa.timestamp("us", kind.tz)).cast(pa.timestamp("ns" if kind.unit == "ns" else "us", kind.tz))
    if kinds.is_integer(kind) and isinstance(value, float):
        return pa.scalar(value, pa.float64())
    return pa.scalar(value, kind)


def as_cursor(value: Any, kind: Any, name: str) -> Any:
    """Return a cursor as a Python value that compares with the column's: a moment in UTC, with a zone where the column has one."""
    import pyarrow.types as kinds

    if value is None:
        return None
    try:
        if kinds.is_timestamp(kind):
            return _moment(value, with_zone=kind.tz is not None)
        if kinds.is_date(kind):
            return _moment(value, with_zone=False).date()
        if kinds.is_integer(kind):
            number = float(value)
            return int(value) if number == int(number) else number
        if kinds.is_floating(kind):
            return float(value)
        if kinds.is_decimal(kind):
            return Decimal(str(value))
    except (TypeError, ValueError) as err:
        raise SourceFileRefused(name, f"the cursor {value!r} cannot be compared with its column of type {kind}") from err
    if _is_text(kind):
        return str(value)
    raise SourceFileRefused(name, f"a column of type {kind} cannot be a cursor")


def _moment(value: Any, *, with_zone: bool) -> datetime:
    if isinstance(value, int | float):
        found = datetime.fromtimestamp(value, UTC)
    elif isinstance(value, datetime):
        found = value
    else:
        found = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
    if with_zone:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _plain(value: Any) -> Cursor | None:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value

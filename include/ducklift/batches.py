"""What a source yields and the lake writes: records as dicts, or whole Arrow tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from ducklift.cursors import Cursor, greatest, reaches, storable
from ducklift.errors import ConfigurationError, RecordUnwritable

if TYPE_CHECKING:
    import pyarrow as pa

Record: TypeAlias = dict[str, Any]
Batch: TypeAlias = "list[Record] | pa.Table | pa.RecordBatch"


@dataclass(frozen=True)
class JsonLines:
    """Records that are lines of JSON already, each with its line feed: written as they are, also one that is no JSON at all.

    `fields` are the names of all top-level fields seen so far, `greatest` the latest cursor among these.
    """

    lines: list[bytes]
    fields: tuple[str, ...] = ()
    greatest: Cursor | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def to_pylist(self) -> list[Record]:
        """Return the lines as dicts; raises `RecordUnwritable` for one that is no JSON object."""
        try:
            records = [orjson.loads(line) for line in self.lines]
        except orjson.JSONDecodeError as err:
            raise RecordUnwritable(f"a line is no JSON ({err}), which only format jsonl and a table without pii can carry") from err
        if any(not isinstance(record, dict) for record in records):
            raise RecordUnwritable("a line is no JSON object, which only format jsonl and a table without pii can carry")
        return records


def greatest_cursor(batch: Batch, field: str) -> Cursor | None:
    """Return the latest value of a cursor field in a batch, or None when no record has one; dates and times as ISO 8601 text."""
    if isinstance(batch, list):
        return storable(greatest(record.get(field) for record in batch), field)
    if field not in batch.schema.names:
        return None
    import pyarrow.compute as pc

    try:
        value = pc.max(batch.column(field)).as_py()
    except (OverflowError, ValueError) as err:
        # A watermark at infinity would never let another record in.
        raise ConfigurationError(
            f"The cursor {field!r} goes beyond the year 9999: {err}. Choose another, or end at incremental.end."
        ) from err
    if isinstance(value, Decimal):
        value = int(value) if value == int(value) else str(value)
    return storable(greatest([value.isoformat() if isinstance(value, date) else value]), field)


def before_cursor(batch: Batch, field: str, end: Cursor) -> Batch:
    """Return the batch without the records whose cursor is `end` or lies beyond it; a record without a cursor stays."""
    reached = greatest_cursor(batch, field)
    if reached is not None and not reaches(reached, end):
        return batch
    if isinstance(batch, list):
        return [record for record in batch if not reaches(record.get(field), end)]
    if field not in batch.schema.names:
        return batch
    import pyarrow as pa

    return batch.filter(pa.array([not reaches(value, end) for value in batch.column(field).to_pylist()], pa.bool_()))

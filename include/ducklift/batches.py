"""What a source yields and the lake writes: records as dicts, or whole Arrow tables."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from ducklift.cursors import Cursor, greatest, reaches
from ducklift.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

Record: TypeAlias = dict[str, Any]
Batch: TypeAlias = "list[Record] | pa.Table | pa.RecordBatch"


def greatest_cursor(batch: Batch, field: str) -> Cursor | None:
    """Return the latest value of a cursor field in a batch, or None when no record has one; dates and times as ISO 8601 text."""
    if isinstance(batch, list):
        return greatest(record.get(field) for record in batch)
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
    return greatest([value.isoformat() if isinstance(value, date) else value])


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

"""What a person's function hands over, as batches: records, lists of them, and whatever offers itself as Arrow, as frames do."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ducklift.sources.base import Batch, Record

RECORDS_PER_BATCH = 1_000
FRAME_ROWS = 100_000  # of one batch: a frame of many millions is written piece by piece
WHAT_FITS = "a dict, a list of dicts, an Arrow table or record batch, or a pandas or polars frame"


class NotRecords(TypeError):
    """A function handed over something that holds no records."""


def batches_of(returned: Any) -> Iterator[Batch]:
    """Yield what a function returned, or yields one by one, as batches of bounded size; raises `NotRecords`."""
    waiting: list[Record] = []
    for item in _items(returned):
        if isinstance(item, Mapping):
            # A copy: a generator may fill the same dict again for its next record.
            waiting.append(dict(item))
            if len(waiting) < RECORDS_PER_BATCH:
                continue
            yield waiting
        else:
            if waiting:
                yield waiting
            yield from _tables(item)
        waiting = []
    if waiting:
        yield waiting


def _items(returned: Any) -> Iterator[Any]:
    """Yield the records and tables in what was returned, lists taken apart."""
    if isinstance(returned, Iterator) and not _offers_arrow(returned):
        for item in returned:
            yield from _members(item)
    else:
        yield from _members(returned)


def _members(item: Any) -> Iterable[Any]:
    return item if isinstance(item, list | tuple) else (item,)


def _offers_arrow(item: Any) -> bool:
    return hasattr(item, "__arrow_c_stream__") or hasattr(item, "__arrow_c_array__")


def _tables(item: Any) -> Iterator[Batch]:
    import pyarrow as pa

    if isinstance(item, pa.Table | pa.RecordBatch):
        for start in range(0, item.num_rows, FRAME_ROWS):
            yield item.slice(start, FRAME_ROWS)
    elif hasattr(item, "__arrow_c_stream__"):
        for batch in pa.RecordBatchReader.from_stream(item):
            yield from _tables(batch)
    elif hasattr(item, "__arrow_c_array__"):
        yield from _tables(pa.record_batch(item))
    else:
        raise NotRecords(_refusal(item))


def _refusal(item: Any) -> str:
    if item is None:
        return "it gave None. A function that has nothing yields nothing, or returns an empty list; look for a missing return"
    if inspect.isasyncgen(item) or inspect.iscoroutine(item):
        return "it is asynchronous. Write a plain function, and call asyncio.run inside it"
    return f"it gave a {type(item).__name__}. Yield or return {WHAT_FITS}"

"""A source of dicts, for the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rows import dicts
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source


class RowsSource(Source):
    """Yields `rows` rows in batches."""

    type: str = "rows"
    rows: int = 0

    def streams(self) -> Sequence[str]:
        """Return the one stream."""
        return ("rows",)

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield the rows."""
        del request, settings
        yield from dicts(self.rows)
        report.ordered_and_complete = True

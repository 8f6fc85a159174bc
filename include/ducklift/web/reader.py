"""What every page is made from: the lake's state, read once for all viewers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ducklift.web.views.lakes import LakeView
from ducklift.web.views.loads import LoadView
from ducklift.web.views.overview import OverviewView
from ducklift.web.views.queries import LakeQuery, LoadQuery, OverviewQuery, TableQuery
from ducklift.web.views.tables import TableView


@dataclass(frozen=True, slots=True)
class Download:
    """A raw file as it lies in the lake. `name` is fit for a Content-Disposition: letters, digits, '.', '_' and '-' only."""

    name: str
    size_bytes: int
    chunks: Iterator[bytes]


class LakeReader(Protocol):
    """Makes the pages from what is published in the lake; a warehouse is never opened. Made once per process, used by many threads.

    `ducklift.web.published_lake.PublishedLake(settings, schedules)` is the one that reads a lake; `schedules` is a callable of
    `ducklift.web.schedules` that tells when Airflow starts what.

    `overview`, `table`, `load` and `lake` do not raise for anything that is wrong with the lake: what cannot be read is a `Problem`, and
    what is shown meanwhile is from before, with its age. They answer within a second also where the lake is slow: what is not there yet is
    told by `Read.reading`, and the page asks again.
    """

    def seen_by(self, may_read: Callable[[str], bool]) -> LakeReader:
        """Return the same reader for somebody who may read these pipelines alone; `may_read` takes a pipeline's name and is quick to ask.

        A table to which a pipeline contributes that may not be read is as if it were not there, on every page, in every sum and for every
        download.
        """
        ...

    def overview(self, query: OverviewQuery) -> OverviewView:
        """Return the overview: health, and the tables that the query asks for."""
        ...

    def table(self, name: str, query: TableQuery) -> TableView | None:
        """Return a table's page, by its name `dataset.table`; None where nobody knows such a table: a 404."""
        ...

    def load(self, name: str, load_id: str, query: LoadQuery) -> LoadView | None:
        """Return a load's page, also of one that failed before it landed; None where there is no trace of it: a 404."""
        ...

    def lake(self, query: LakeQuery) -> LakeView:
        """Return the lake's page: objects by day and prefix, what could go, retention."""
        ...

    def manifest(self, name: str, load_id: str) -> bytes | None:
        """Return a load's manifest as it lies in the lake, or None; raises the lake's errors."""
        ...

    def file(self, name: str, load_id: str, number: int) -> Download | None:
        """Open one raw file of a load by its place in the manifest; None for what is not in the lake. Raises the lake's errors."""
        ...

    def chart(self, key: str, version: str, partition: str | None) -> bytes | None:
        """Return a stored picture: the bytes of a PNG of at most 10 MB; None for anything else. Raises the lake's errors."""
        ...

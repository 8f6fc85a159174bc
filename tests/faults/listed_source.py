"""A source that yields the batches it was given, so that spool, lake and warehouse can be tried without any network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source


class ListedSource(Source):
    """Reads `{stream: [batch, …]}` from a JSON file; `complete` says that the reading may move the watermark."""

    type: Literal["listed"] = "listed"
    file: Path
    complete: bool = True

    def streams(self) -> Sequence[str]:
        return list(self._listing())

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        report.request = {"cursor_from": request.cursor_from, "watermark": request.watermark}
        yield from self._listing()[request.stream]
        report.ordered_and_complete = self.complete

    def _listing(self) -> dict[str, list[Batch]]:
        found: dict[str, list[Batch]] = json.loads(self.file.read_text())
        return found

"""Reading a listing of Reddit's page by page, until there is a reason to stop: a subreddit's, a user's, or that of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ducklift.errors import ConfigurationError, ExtractionIncomplete
from ducklift.sources.base import Batch, Cursor, ReadReport, Record, SliceRequest
from ducklift.sources.reddit_client import ListingPage


@dataclass(frozen=True)
class Listing:
    """One listing and how it is read: `params` go with every page; `told` stands in the report of what was asked.

    `cap` is how many items Reddit shows of it, about; `incremental` says that its order is the cursor's, so that the watermark counts.
    """

    path: str
    page_size: int
    cap: int
    incremental: bool
    limit: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass
class ListingReading:
    """How far one listing was read, and whether its end is one to believe."""

    listing: Listing
    request: SliceRequest
    report: ReadReport
    pages: int = 0
    records: int = 0
    after: str | None = None
    cursors: set[str] = field(default_factory=set)
    oldest: float | None = None
    stopped_because: str | None = None
    floor: float | None = field(init=False)
    watermark: float | None = field(init=False)

    def __post_init__(self) -> None:
        incremental = self.listing.incremental
        self.floor = epoch_s(self.request.cursor_from) if incremental else None
        self.watermark = epoch_s(self.request.watermark) if incremental else None
        self.report.request = {
            "path": self.listing.path,
            **self.listing.told,
            "limit": self.listing.limit,
            "pages": 0,
            "first": None,
            "last": None,
            "stopped_because": None,
        }

    def params(self) -> dict[str, str | int]:
        """Return the query of the next page."""
        size, limit = self.listing.page_size, self.listing.limit
        if limit is not None:
            size = min(size, limit - self.records)
        params: dict[str, str | int] = {"limit": size, "raw_json": 1, **self.listing.params}
        if self.after is not None:
            params |= {"after": self.after, "count": self.records}
        return params

    def take(self, page: ListingPage) -> Batch:
        """Count one page in, decide whether it is the last, and return its records; raises `ExtractionIncomplete`."""
        self._refuse_an_end_without_reason(page)
        limit = self.listing.limit
        batch = page.records if limit is None else page.records[: limit - self.records]
        times = [time for record in batch if (time := created_s(record)) is not None]
        self.oldest = min((*times, *([] if self.oldest is None else [self.oldest])), default=None)
        self.pages += 1
        self.records += len(batch)
        self.after = page.after
        if page.after is not None:
            self.cursors.add(page.after)
        if limit is not None and self.records >= limit:
            self.stopped_because = "limit"
        elif self.floor is not None and times and max(times) < self.floor:
            self.stopped_because = "reached the cursor"
        elif page.after is None:
            self.stopped_because = "reached the cap" if self._at_the_cap() else "end of the listing"
        self._tell(batch)
        return batch

    def conclude(self) -> None:
        """Say in the report whether the watermark may move, and what was out of reach."""
        self.report.ordered_and_complete = self.listing.incremental
        if self.stopped_because != "reached the cap" or self.watermark is None or self.oldest is None:
            return
        if self.oldest > self.watermark and self.request.watermark is not None:
            self.report.gap = (self.request.watermark, self.oldest)

    def _at_the_cap(self) -> bool:
        # By position: Reddit takes removed posts out of a page after counting it.
        return self.pages * self.listing.page_size >= self.listing.cap

    def _refuse_an_end_without_reason(self, page: ListingPage) -> None:
        stream, number = self.request.stream, self.pages + 1
        if not page.records and (page.after is not None or (self.after is not None and not self._at_the_cap())):
            raise ExtractionIncomplete(f"{stream}: page {number} of the listing is empty, though a cursor says that there is more.")
        if page.after is not None and page.after in self.cursors:
            raise ExtractionIncomplete(
                f"{stream}: page {number} of the listing leads back to a page that was read already ({page.after!r})."
            )

    def _tell(self, batch: Batch) -> None:
        told = self.report.request
        if isinstance(batch, list) and batch:
            told["first"] = told["first"] or batch[0].get("name")
            told["last"] = batch[-1].get("name")
        told["pages"] = self.pages
        told["stopped_because"] = self.stopped_because


def created_s(record: Record) -> float | None:
    """Return when a post was made, in seconds since 1970; None for a promoted item or a record that does not say."""
    if record.get("promoted") or isinstance(record.get("created_utc"), bool):
        return None
    try:
        found = float(record["created_utc"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def epoch_s(cursor: Cursor | None) -> float | None:
    """Return a cursor in seconds since 1970; raises `ConfigurationError` when it is no moment."""
    if cursor is None:
        return None
    try:
        return float(cursor)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(str(cursor)).astimezone().timestamp()
    except ValueError:
        raise ConfigurationError(
            f"{cursor!r} is no moment: Reddit's listing 'new' is in the order of created_utc, so write "
            "incremental: {cursor: created_utc}, and an initial value as a date or as seconds since 1970"
        ) from None

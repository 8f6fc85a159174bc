"""Reddit: posts of subreddits, one stream each, as whole pages of raw records through PRAW.

A record is a post when it has `name` and `created_utc`; whether it has is for the load to judge, which keeps what is no post in quarantine.
Promoted items pass through like the rest, but prove nothing about how far back a listing was read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, ValidationError, field_validator

from ducklift.errors import ConfigurationError, ExtractionIncomplete, StreamRefused
from ducklift.settings import Settings
from ducklift.sources.base import Batch, Cursor, ReadReport, Record, SliceRequest, Source, TableDefaults
from ducklift.sources.reddit_client import ListingPage, Patience, RedditClient
from ducklift.sources.reddit_columns import POSTS
from ducklift.sources.reddit_credentials import find_credentials

Listing = Literal["new", "hot", "top", "rising", "controversial"]
TimeFilter = Literal["hour", "day", "week", "month", "year", "all"]
TIMED_LISTINGS = ("top", "controversial")
# `u_name` is the subreddit of a user's own page.
_SUBREDDIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{1,20}|u_[A-Za-z0-9_-]{1,20}")


class RedditSource(Source):
    """Posts of one or more subreddits, read page by page."""

    table_defaults: ClassVar[TableDefaults] = POSTS
    page_size: ClassVar[int] = 100
    # Reddit shows about this many items of a listing, however old the subreddit is.
    listing_cap: ClassVar[int] = 1000
    patience: ClassVar[Patience] = Patience()

    type: Literal["reddit"] = "reddit"
    subreddits: tuple[str, ...] = Field(min_length=1, description="Names without r/; each is a stream of its own.")
    listing: Listing = Field(default="new", description="Only 'new' can be read incrementally.")
    time_filter: TimeFilter = Field(default="day", description="For the listings 'top' and 'controversial'.")
    limit: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="Stop after this many posts of each subreddit; the watermark is then neither read nor moved."
    )

    @field_validator("subreddits")
    @classmethod
    def _named_as_reddit_names_them(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if hint := re.fullmatch(r"/?r/([^/]+)/?", name):
                raise ValueError(f"{name!r}: write the name without r/, as {hint[1]!r}")
            # A name that is merely impossible is refused when its stream is read, so that the others land.
            if not name.isprintable() or not name.strip() or "/" in name or len(name) > 100:
                raise ValueError(f"{name[:100]!r} is not the name of a subreddit; write it without r/, for example 'dataengineering'")
        folded = [name.casefold() for name in names]
        if twins := sorted({name for name in names if folded.count(name.casefold()) > 1}):
            raise ValueError(f"subreddits are named twice (Reddit does not tell case apart): {', '.join(twins)}")
        return names

    def streams(self) -> Sequence[str]:
        """Return `<subreddit>/<listing>` for each subreddit."""
        return [f"{name}/{self.listing}" for name in self.subreddits]

    def effective_stream(self, stream: str) -> str | None:
        """Return the stream of the same subreddit under the chosen listing; None when the subreddit was not chosen."""
        name = stream.rpartition("/")[0]
        return f"{name}/{self.listing}" if name in self.subreddits else None

    def uses_watermark(self) -> bool:
        """Return True for a whole reading of `new`, the one listing that is in the order of the cursor."""
        return self.listing == "new" and self.limit is None

    def options_schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the trigger form's fields; `examples` is what makes Airflow show a list to choose from."""
        names = list(self.subreddits)
        return {
            "subreddits": {
                "type": "array",
                "title": "Subreddits",
                "description": "Which of the configured subreddits to read.",
                "items": {"type": "string", "enum": names},
                "examples": names,
                "minItems": 1,
                "uniqueItems": True,
                "default": names,
            },
            "listing": {
                "type": "string",
                "title": "Listing",
                "description": "Only 'new' without a limit reads and moves the watermark.",
                "enum": list(get_args(Listing)),
                "default": self.listing,
            },
            "time_filter": {
                "type": "string",
                "title": "Time filter",
                "description": "For the listings 'top' and 'controversial'; it always ends now.",
                "enum": list(get_args(TimeFilter)),
                "default": self.time_filter,
            },
            "limit": {
                "type": ["integer", "null"],
                "title": "Limit",
                "description": "Stop after this many posts of each subreddit; empty for all.",
                "minimum": 1,
                "default": self.limit,
            },
        }

    def with_options(self, options: Mapping[str, Any]) -> RedditSource:
        """Return the source narrowed to the chosen subreddits, under the chosen listing, time filter and limit."""
        if unknown := sorted(str(name)[:40] for name in options if name not in self.options_schema()):
            raise ConfigurationError(f"these are not options of a Reddit source: {', '.join(unknown)}")
        chosen = options.get("subreddits", list(self.subreddits))
        if not isinstance(chosen, list) or not chosen or any(name not in self.subreddits for name in chosen):
            raise ConfigurationError(f"subreddits must be one or more of those configured: {', '.join(self.subreddits)}")
        try:
            return type(self).model_validate({**self.model_dump(), **options, "subreddits": tuple(chosen)})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            raise ConfigurationError(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield the posts of one page after the other, as Reddit gave them.

        Raises `StreamRefused` when Reddit will not give this subreddit, `ExtractionIncomplete` when the listing ended without reason,
        `CredentialsMissing`, `ConfigurationError`, `SourceThrottled` or `SourceUnavailable`.
        """
        if request.stream not in self.streams():
            raise ConfigurationError(f"{request.stream!r} is not a stream of this source; its streams are {', '.join(self.streams())}")
        name = request.stream.rpartition("/")[0]
        reading = _Reading(self, request, f"r/{name}/{self.listing}", report)
        if not _SUBREDDIT.fullmatch(name):
            raise StreamRefused(request.stream, f"{name!r} is a malformed name, which no subreddit can have", "Check the spelling.")

        def count_retry() -> None:
            report.retries += 1

        with RedditClient(find_credentials(settings), self.patience, count_retry) as client:
            while not reading.stopped_because:
                batch = reading.take(client.page(request.stream, reading.path, reading.params()))
                if batch:
                    yield batch
        reading.conclude()


@dataclass
class _Reading:
    """How far one listing was read, and whether its end is one to believe."""

    source: RedditSource
    request: SliceRequest
    path: str
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
        incremental = self.source.uses_watermark()
        self.floor = _epoch_s(self.request.cursor_from) if incremental else None
        self.watermark = _epoch_s(self.request.watermark) if incremental else None
        self.report.request = {
            "path": self.path,
            "listing": self.source.listing,
            "time_filter": self.source.time_filter if self.source.listing in TIMED_LISTINGS else None,
            "limit": self.source.limit,
            "pages": 0,
            "first": None,
            "last": None,
            "stopped_because": None,
        }

    def params(self) -> dict[str, str | int]:
        """Return the query of the next page."""
        size = self.source.page_size
        if self.source.limit is not None:
            size = min(size, self.source.limit - self.records)
        params: dict[str, str | int] = {"limit": size, "raw_json": 1}
        if self.source.listing in TIMED_LISTINGS:
            params["t"] = self.source.time_filter
        if self.after is not None:
            params |= {"after": self.after, "count": self.records}
        return params

    def take(self, page: ListingPage) -> Batch:
        """Count one page in, decide whether it is the last, and return its records; raises `ExtractionIncomplete`."""
        self._refuse_an_end_without_reason(page)
        limit = self.source.limit
        batch = page.records if limit is None else page.records[: limit - self.records]
        times = [time for record in batch if (time := _created_s(record)) is not None]
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
        self.report.ordered_and_complete = self.source.uses_watermark()
        if self.stopped_because != "reached the cap" or self.watermark is None or self.oldest is None:
            return
        if self.oldest > self.watermark and self.request.watermark is not None:
            self.report.gap = (self.request.watermark, self.oldest)

    def _at_the_cap(self) -> bool:
        # By position: Reddit takes removed posts out of a page after counting it.
        return self.pages * self.source.page_size >= self.source.listing_cap

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
        if batch:
            told["first"] = told["first"] or batch[0].get("name")
            told["last"] = batch[-1].get("name")
        told["pages"] = self.pages
        told["stopped_because"] = self.stopped_because


def _created_s(record: Record) -> float | None:
    """Return when a post was made, in seconds since 1970; None for a promoted item or a record that does not say."""
    if record.get("promoted") or isinstance(record.get("created_utc"), bool):
        return None
    try:
        created_s = float(record["created_utc"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return created_s if math.isfinite(created_s) else None


def _epoch_s(cursor: Cursor | None) -> float | None:
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

"""Reddit: posts of subreddits, users and searches, one stream each, as whole pages of raw records through PRAW; comments on request.

A record is a post when it has `name` and `created_utc`; whether it has is for the load to judge, which keeps what is no post in quarantine.
Promoted items pass through like the rest, but prove nothing about how far back a listing was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from ducklift.errors import ConfigurationError, StreamRefused
from ducklift.settings import Settings
from ducklift.sources.base import Batch, KnownKeys, ReadReport, SliceRequest, Source, SweepRule, TableDefaults
from ducklift.sources.reddit_client import Patience, RedditClient
from ducklift.sources.reddit_columns import COMMENTS, POSTS
from ducklift.sources.reddit_comments import CommentReading, Comments
from ducklift.sources.reddit_credentials import find_credentials
from ducklift.sources.reddit_info import SWEEP, find_gone, read_again
from ducklift.sources.reddit_listings import Listing, ListingReading
from ducklift.sources.reddit_streams import REFRESH, SUBREDDIT, USER, Search, Stream, TimeFilter, checked_names, listed_options
from ducklift.specs import seconds

Order = Literal["new", "hot", "top", "rising", "controversial"]
TIMED_LISTINGS = ("top", "controversial")


def _searches(value: Any) -> Any:
    return [{"query": each} if isinstance(each, str) else each for each in value] if isinstance(value, list | tuple) else value


class RedditSource(Source):
    """Posts of subreddits, users and searches, read page by page; the comments of a subreddit's latest posts; scores read again."""

    table_defaults: ClassVar[TableDefaults] = POSTS
    page_size: ClassVar[int] = 100
    # Reddit shows about this many items of a listing, however old the subreddit is.
    listing_cap: ClassVar[int] = 1000
    # Searches end between 220 and 250, https://github.com/not-an-aardvark/snoowrap/issues/162
    search_cap: ClassVar[int] = 200
    patience: ClassVar[Patience] = Patience()

    type: Literal["reddit"] = "reddit"
    subreddits: tuple[str, ...] = Field(default=(), description="Names without r/; each is a stream of its own.")
    users: tuple[str, ...] = Field(default=(), description="Names without u/; what each has submitted is a stream of its own.")
    searches: Annotated[tuple[Search, ...], BeforeValidator(_searches)] = Field(
        default=(), description="Queries; each is a stream of its own."
    )
    listing: Order = Field(default="new", description="Of subreddits and users. Only 'new' can be read incrementally.")
    time_filter: TimeFilter = Field(default="day", description="For the listings 'top' and 'controversial'.")
    limit: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="Stop after this many posts of each stream; the watermark is then neither read nor moved."
    )
    comments: Comments | None = Field(default=None, description="Comments of each subreddit's latest posts, a stream each. Absent: none.")
    refresh_s: int | None = Field(
        default=None, alias="refresh", gt=0, description="Read the posts of this time again, for their scores, e.g. '3d'. Absent: none."
    )

    _seconds = field_validator("refresh_s", mode="before")(seconds)

    @field_validator("subreddits")
    @classmethod
    def _named_as_reddit_names_them(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        checked_names(names, "subreddit", "r")
        return names

    @field_validator("users")
    @classmethod
    def _users_named_as_reddit_names_them(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        checked_names(names, "user", "u")
        return names

    @model_validator(mode="after")
    def _reads_something(self) -> RedditSource:
        if not (self.subreddits or self.users or self.searches):
            raise ValueError("a Reddit source needs at least 1 item under subreddits, users or searches")
        if self.listing == "rising" and self.users:
            raise ValueError("a user's posts have no listing 'rising': write another listing, or a pipeline of their own for users")
        names = list(self.streams())
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two streams have one name: {', '.join(twins)}; give the searches names of their own")
        return self

    def streams(self) -> Sequence[str]:
        """Return `<subreddit>/<listing>` for each subreddit, then `user:…`, `search:…`, `refresh:posts` and `comments:…` as configured."""
        return [stream.name for stream in self._streams()]

    def _streams(self) -> Iterator[Stream]:
        for name in self.subreddits:
            yield Stream(f"{name}/{self.listing}", "subreddit", name)
        for name in self.users:
            yield Stream(f"user:{name}/{self.listing}", "user", name)
        for search in self.searches:
            yield Stream(f"search:{search.label}", "search", search.label)
        if self.refresh_s is not None:
            yield Stream(REFRESH, "refresh", "")
        for name in self.subreddits if self.comments is not None and self.comments.enabled else ():
            yield Stream(f"comments:{name}", "comments", name)

    def effective_stream(self, stream: str) -> str | None:
        """Return the stream of the same subreddit or user under the chosen listing; None when it was not chosen."""
        if stream in self.streams():
            return stream
        subject = stream.rpartition("/")[0]
        listed = [found for found in self._streams() if found.kind in ("subreddit", "user")]
        return next((found.name for found in listed if found.name.rpartition("/")[0] == subject), None)

    def uses_watermark(self) -> bool:
        """Return True for a whole reading of `new`, the one listing that is in the order of the cursor."""
        return self.listing == "new" and self.limit is None

    def stream_uses_watermark(self, stream: str) -> bool:
        """Return True for a whole reading of a subreddit's, a user's or a search's newest posts; no other is in the order of the cursor."""
        found = self._stream(stream)
        if found.kind == "search":
            return self._search(found).sort == "new" and self.limit is None
        return found.kind in ("subreddit", "user") and self.uses_watermark()

    def defaults_of(self, stream: str) -> TableDefaults:
        """Return the table of posts, or that of comments."""
        return COMMENTS if stream.startswith("comments:") and stream in self.streams() else POSTS

    def wanted_keys(self, stream: str) -> KnownKeys | None:
        """Return which posts are read again, for the stream that does so."""
        return KnownKeys("name", "created_utc", self.refresh_s) if stream == REFRESH and self.refresh_s is not None else None

    def sweep_rule(self) -> SweepRule:
        """Return what is taken out of posts and comments that are gone."""
        return SWEEP

    def find_gone(self, known: Iterable[list[str]], settings: Settings) -> Iterator[tuple[int, list[str]]]:
        """Ask Reddit about posts or comments by their names, a hundred a request; yield how many, and the names of those that are gone."""
        with RedditClient(find_credentials(settings), self.patience, lambda: None) as client:
            yield from find_gone(client, "sweep", known)

    def options_schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the trigger form's fields."""
        others = bool(self.users or self.searches)
        labels = [search.label for search in self.searches]
        return {
            **(listed_options("subreddits", "Subreddits", "subreddits", self.subreddits, 0 if others else 1) if self.subreddits else {}),
            **(listed_options("users", "Users", "users", self.users, 0) if self.users else {}),
            **(listed_options("searches", "Searches", "searches", labels, 0) if labels else {}),
            "listing": {
                "type": "string",
                "title": "Listing",
                "description": "Only 'new' without a limit reads and moves the watermark.",
                "enum": list(get_args(Order)),
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
                "description": "Stop after this many posts of each stream; empty for all.",
                "minimum": 1,
                "default": self.limit,
            },
        }

    def with_options(self, options: Mapping[str, Any]) -> RedditSource:
        """Return the source narrowed to the chosen subreddits, users and searches, under the chosen listing, time filter and limit."""
        if unknown := sorted(str(name)[:40] for name in options if name not in self.options_schema()):
            raise ConfigurationError(f"these are not options of a Reddit source: {', '.join(unknown)}")
        chosen: dict[str, Any] = dict(options)
        for name, known in {"subreddits": self.subreddits, "users": self.users}.items():
            chosen[name] = tuple(_chosen(options, name, known))
        labels = _chosen(options, "searches", [search.label for search in self.searches])
        chosen["searches"] = tuple(search for search in self.searches if search.label in labels)
        try:
            return type(self).model_validate({**self.model_dump(), **chosen})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            place = f"{first['loc'][0]}: " if first["loc"] else ""
            raise ConfigurationError(f"{place}{first['msg'].removeprefix('Value error, ')}") from None

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield the posts (or comments) of one page after the other, as Reddit gave them.

        Raises `StreamRefused` when Reddit will not give this subreddit, `ExtractionIncomplete` when the listing ended without reason,
        `CredentialsMissing`, `ConfigurationError`, `SourceThrottled` or `SourceUnavailable`.
        """
        stream = self._stream(request.stream)

        def count_retry() -> None:
            report.retries += 1

        with RedditClient(find_credentials(settings), self.patience, count_retry) as client:
            yield from self._read(stream, request, report, client)

    def _read(self, stream: Stream, request: SliceRequest, report: ReadReport, client: RedditClient) -> Iterable[Batch]:
        if stream.kind == "refresh":
            return read_again(client, stream.name, request.known(), report)
        listing = self._listing(stream)
        if stream.kind == "comments" and self.comments is not None:
            return CommentReading(self.comments, listing, request, report, client).read()
        return self._pages(ListingReading(listing, request, report), client)

    def _pages(self, reading: ListingReading, client: RedditClient) -> Iterator[Batch]:
        while not reading.stopped_because:
            batch = reading.take(client.page(reading.request.stream, reading.listing.path, reading.params()))
            if batch:
                yield batch
        reading.conclude()

    def _listing(self, stream: Stream) -> Listing:
        incremental = self.stream_uses_watermark(stream.name)
        if stream.kind == "search":
            return self._found_by(self._search(stream), incremental)
        form = USER if stream.kind == "user" else SUBREDDIT
        if not form.fullmatch(stream.subject):
            what = "user" if stream.kind == "user" else "subreddit"
            raise StreamRefused(stream.name, f"{stream.subject!r} is a malformed name, which no {what} can have", "Check the spelling.")
        if stream.kind == "comments":
            return Listing(f"r/{stream.subject}/new", self.page_size, self.listing_cap, incremental=False)
        timed = self.listing in TIMED_LISTINGS
        told = {"listing": self.listing, "time_filter": self.time_filter if timed else None}
        params: dict[str, str] = {"t": self.time_filter} if timed else {}
        path = f"r/{stream.subject}/{self.listing}"
        if stream.kind == "user":
            path, params = f"user/{stream.subject}/submitted", {"sort": self.listing, **params}
        return Listing(path, self.page_size, self.listing_cap, incremental, self.limit, params, told)

    def _found_by(self, search: Search, incremental: bool) -> Listing:
        params: dict[str, str] = {"q": search.query, "sort": search.sort, "t": search.time_filter, "type": "link"}
        path = "search"
        if search.subreddit is not None:
            if not SUBREDDIT.fullmatch(search.subreddit):
                raise StreamRefused(f"search:{search.label}", f"{search.subreddit!r} is no name of a subreddit", "Check the spelling.")
            path, params = f"r/{search.subreddit}/search", {**params, "restrict_sr": "1"}
        told = {"query": search.query, "listing": search.sort, "time_filter": search.time_filter}
        return Listing(path, self.page_size, self.search_cap, incremental, self.limit, params, told)

    def _stream(self, name: str) -> Stream:
        found = next((stream for stream in self._streams() if stream.name == name), None)
        if found is None:
            raise ConfigurationError(f"{name!r} is not a stream of this source; its streams are {', '.join(self.streams())}")
        return found

    def _search(self, stream: Stream) -> Search:
        return next(search for search in self.searches if search.label == stream.subject)


def _chosen(options: Mapping[str, Any], name: str, known: Sequence[str]) -> Sequence[str]:
    """Return which of the known names were chosen, all of them when the option is absent; raises `ConfigurationError` for others."""
    chosen = options.get(name, list(known))
    if not isinstance(chosen, list) or any(each not in known for each in chosen):
        raise ConfigurationError(f"{name} must be one or more of those configured: {', '.join(known)}")
    return chosen

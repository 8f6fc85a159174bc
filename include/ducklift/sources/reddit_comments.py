"""Comments of a subreddit's latest posts as flat rows, within a budget of requests; what the budget cut off is told, never hidden.

Reddit gives a post's comments as a tree, of which a page holds a part: where a branch is cut stands a `more` with the ids that follow, or
without ids, for a branch so deep that it has a page of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import Field, field_validator

from ducklift.errors import ExtractionIncomplete, StreamRefused
from ducklift.sources.base import Batch, ReadReport, Record, SliceRequest
from ducklift.sources.reddit_answers import Fault
from ducklift.sources.reddit_client import RedditClient
from ducklift.sources.reddit_listings import Listing, ListingReading, created_s
from ducklift.specs import Spec, seconds

MORE_PER_REQUEST = 100
_TOLD_AT_MOST = 1000
_TELLING = 3  # posts whose pages are all refused: these were not deleted between the listing and now


class Comments(Spec):
    """Which comments to read, and how many requests they may cost."""

    enabled: bool = True
    since_s: int = Field(default=172_800, alias="since", gt=0, description="Of posts this far back, counted from the newest, e.g. '48h'.")
    requests: int = Field(default=100, ge=1, description="Requests for comments that one run of one subreddit may make, at most.")
    per_page: int = Field(default=500, ge=1, le=500, description="Comments of a post that its first page holds; Reddit's own limit is 500.")
    sort: Literal["confidence", "top", "new", "old", "controversial", "qa"] = "confidence"

    _seconds = field_validator("since_s", mode="before")(seconds)


@dataclass(frozen=True)
class More:
    """Comments that a page left out: `ids` to ask for, or none of them, and then `parent` begins a page of its own."""

    parent: str
    ids: tuple[str, ...]
    count: int
    depth: int


@dataclass(frozen=True)
class Branches:
    """A part of a tree made flat: its comments, in the order of the tree, and what is missing of it."""

    records: list[Record]
    more: list[More]


@dataclass
class CommentReading:
    """One run over the comments of one subreddit's latest posts."""

    wanted: Comments
    listing: Listing
    request: SliceRequest
    report: ReadReport
    client: RedditClient
    spent: int = 0
    seen: set[str] = field(default_factory=set)
    left: deque[tuple[str, More]] = field(default_factory=deque)

    def read(self) -> Iterator[Batch]:
        """Yield the comments of one page after the other: first a page of each post, newest posts first, then what those left out."""
        posts = self._posts()
        told = self.report.request = {
            "path": "comments",
            "posts": len(posts),
            "posts_read": 0,
            "posts_gone": [],
            "requests": 0,
            "budget": self.wanted.requests,
            "comments": 0,
            "cut_off": {"posts": [], "comments": 0, "comments_of": {}},
        }
        waiting = deque(posts)
        while waiting and self.spent < self.wanted.requests:
            yield from self._new(self._first_page(waiting.popleft()))
        if len(told["posts_gone"]) >= _TELLING and not told["posts_read"]:
            raise ExtractionIncomplete(f"{self.request.stream}: Reddit lists posts, but gives the comments of none of them.")
        while self.left and self.spent < self.wanted.requests:
            yield from self._new(self._next(*self.left.popleft()))
        told["requests"] = self.spent
        told["cut_off"] = self._cut_off(list(waiting))

    def _posts(self) -> list[str]:
        """Return the ids of the posts of the window that have comments, by the subreddit's own listing."""
        reading = ListingReading(self.listing, replace(self.request, cursor_from=None, watermark=None), ReadReport())
        newest: float | None = None
        found: list[str] = []
        while not reading.stopped_because:
            batch = reading.take(self.client.page(self.request.stream, self.listing.path, reading.params()))
            for post in batch if isinstance(batch, list) else []:
                made = created_s(post)
                newest = made if newest is None else max(newest, made or newest)
                if made is not None and newest is not None and made >= newest - self.wanted.since_s and post.get("num_comments") != 0:
                    found.append(str(post["id"]) if "id" in post else str(post.get("name", "")).removeprefix("t3_"))
            if newest is not None:
                # The listing is not strictly ordered: a whole page has to be too old.
                reading.floor = newest - self.wanted.since_s
        return [post for post in dict.fromkeys(found) if post]

    def _first_page(self, post: str) -> list[Record]:
        self.spent += 1
        params: dict[str, str | int] = {"limit": self.wanted.per_page, "sort": self.wanted.sort, "raw_json": 1}
        try:
            branches = self.client.ask(self.request.stream, f"comments/{post}", params, lambda answer: parse_page(answer, post))
        except StreamRefused:
            # Taken away between the listing and now; when the subreddit itself is closed, its listing was refused before.
            self.report.request["posts_gone"].append(post)
            return []
        self.report.request["posts_read"] += 1
        self.left.extend((post, more) for more in branches.more)
        return branches.records

    def _next(self, post: str, more: More) -> list[Record]:
        self.spent += 1
        if not more.ids:
            return self._deeper(post, more)
        asked, rest = more.ids[:MORE_PER_REQUEST], more.ids[MORE_PER_REQUEST:]
        if rest:
            self.left.appendleft((post, replace(more, ids=rest, count=max(more.count - len(asked), len(rest)))))
        params: dict[str, str | int] = {
            "api_type": "json",
            "link_id": f"t3_{post}",
            "children": ",".join(asked),
            "sort": self.wanted.sort,
            "raw_json": 1,
        }
        found = self.client.ask(self.request.stream, "api/morechildren", params, parse_more)
        return self._taken(post, found, replace(more, ids=asked))

    def _deeper(self, post: str, more: More) -> list[Record]:
        params: dict[str, str | int] = {
            "limit": self.wanted.per_page,
            "sort": self.wanted.sort,
            "comment": more.parent.removeprefix("t1_"),
            "raw_json": 1,
        }
        found = self.client.ask(self.request.stream, f"comments/{post}", params, lambda answer: parse_page(answer, post))
        # A page of its own counts depths from its first comment on.
        by = more.depth - 1 - next((record.get("depth") or 0 for record in found.records if record.get("name") == more.parent), 0)
        lower = [replace(each, depth=each.depth + by) for each in found.more]
        return self._taken(post, Branches([{**each, "depth": (each.get("depth") or 0) + by} for each in found.records], lower), more)

    def _taken(self, post: str, found: Branches, asked: More) -> list[Record]:
        """Queue what is still missing and return the rest; raises `ExtractionIncomplete` when it is just what was asked for."""
        for more in found.more:
            if (more.parent, more.ids) == (asked.parent, asked.ids):
                raise ExtractionIncomplete(f"{self.request.stream}: asked for more comments of {post}, Reddit sends back the question.")
            self.left.append((post, more))
        return found.records

    def _new(self, records: list[Record]) -> Iterator[Batch]:
        fresh = [record for record in records if record.get("name") not in self.seen]
        self.seen.update(str(record["name"]) for record in fresh if record.get("name") is not None)
        self.report.request["comments"] += len(fresh)
        if fresh:
            yield fresh

    def _cut_off(self, posts: list[str]) -> dict[str, Any]:
        of: dict[str, int] = {}
        for post, more in self.left:
            of[post] = of.get(post, 0) + max(more.count, len(more.ids), 1)
        listed = dict(sorted(of.items(), key=lambda item: -item[1])[:_TOLD_AT_MOST])
        return {"posts": posts, "comments": sum(of.values()), "comments_of": listed}


def parse_page(document: Any, post: str) -> Branches:
    """Take a post's page apart: the post itself, then its comments; raises `Fault` when it is no such page."""
    if not isinstance(document, list) or len(document) != 2:
        raise Fault("malformed", "an answer that is no page of comments")
    _, comments = (_children(part) for part in document)
    found = flattened(comments)
    if any(record.get("link_id") not in (f"t3_{post}", None) for record in found.records):
        raise Fault("malformed", "comments of another post")
    return found


def parse_more(document: Any) -> Branches:
    """Take the answer to a request for more comments apart, which is flat; raises `Fault` when it is none."""
    json = document.get("json") if isinstance(document, dict) else None
    data = json.get("data") if isinstance(json, dict) else None
    if not isinstance(json, dict) or json.get("errors") or not isinstance(data, dict) or not isinstance(data.get("things"), list):
        raise Fault("malformed", "an answer that holds no further comments")
    return flattened(data["things"])


def _children(listing: Any) -> list[Any]:
    data = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(data, dict) or listing.get("kind") != "Listing" or not isinstance(data.get("children"), list):
        raise Fault("malformed", "a page of comments without its listings")
    found: list[Any] = data["children"]
    return found


def flattened(things: list[Any]) -> Branches:
    """Return a tree of comments as rows, each without its replies, which follow it; raises `Fault` for what is no comment."""
    records: list[Record] = []
    more: list[More] = []
    waiting = deque(things)
    while waiting:
        thing = waiting.popleft()
        data = thing.get("data") if isinstance(thing, dict) else None
        if not isinstance(data, dict) or thing.get("kind") not in ("t1", "more"):
            raise Fault("malformed", "a page of comments with something else in it")
        if thing["kind"] == "more":
            ids = tuple(map(str, data.get("children") or ()))
            more.append(More(str(data.get("parent_id")), ids, int(data.get("count") or 0), int(data.get("depth") or 0)))
            continue
        replies = data.get("replies")
        if isinstance(replies, dict):
            waiting.extendleft(reversed(_children(replies)))
        records.append({name: value for name, value in data.items() if name != "replies"})
    return Branches(records, more)

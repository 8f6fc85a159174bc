"""Listings: which posts, in which order, which page of them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ducklift.sandbox.faults import Fault
from ducklift.sandbox.posts import DAY_S, HOUR_S, Post

DEFAULT_PAGE_SIZE = 25
LISTINGS = ("new", "hot", "top", "rising", "controversial")
TIME_FILTERS_S: Mapping[str, float] = {
    "hour": HOUR_S, "day": DAY_S, "week": 7 * DAY_S, "month": 30 * DAY_S, "year": 365 * DAY_S, "all": math.inf,
}  # fmt: skip
Rank = tuple[float, ...]


@dataclass(frozen=True)
class PageRequest:
    """Which page: up to `limit` items behind the item `after`, or in front of the item `before`."""

    limit: int
    after: str | None
    before: str | None

    @classmethod
    def from_query(cls, query: Mapping[str, str], page_size_cap: int) -> PageRequest:
        """Read it from a query string; what makes no sense is taken as not given, as Reddit does."""
        try:
            limit = int(query.get("limit", ""))
        except ValueError:
            limit = DEFAULT_PAGE_SIZE
        return cls(min(limit if limit > 0 else DEFAULT_PAGE_SIZE, page_size_cap), query.get("after") or None, query.get("before") or None)


@dataclass(frozen=True)
class Page:
    """Some items of a listing, in order, and the cursors to its neighbours."""

    posts: list[Post]
    after: str | None
    before: str | None


def order(listing: str, time_filter: str, posts: Iterable[Post], now: float) -> tuple[list[Post], Callable[[Post], Rank]]:
    """Return the posts that the listing shows at `now`, best first, and the rank that orders them (smallest first)."""
    shown = [post for post in posts if post.listed(now)]
    if listing in ("top", "controversial"):
        horizon = now - TIME_FILTERS_S.get(time_filter, DAY_S)
        shown = [post for post in shown if post.created >= horizon]
    elif listing == "rising":
        shown = [post for post in shown if post.created >= now - DAY_S]

    def rank(post: Post) -> Rank:
        return (*RANKS[listing](post, now), -post.serial)

    return sorted(shown, key=rank), rank


def _rank_new(post: Post, _now: float) -> Rank:
    # Reddit's /new is not strictly by creation: some posts stand a little lower than their time says.
    return (-(post.created - post.sort_shift_s),)


def _rank_hot(post: Post, now: float) -> Rank:
    return (0 if post.stickied(now) else 1, -(math.log10(max(post.score(now), 1)) + post.created / 45_000))


def _rank_top(post: Post, now: float) -> Rank:
    return (-post.score(now),)


def _rank_rising(post: Post, now: float) -> Rank:
    return (-post.score(now) / ((now - post.created) / HOUR_S + 1),)


def _rank_controversial(post: Post, now: float) -> Rank:
    return (abs(post.upvote_ratio - 0.5) * 10 - math.log10(post.comments(now) + 1),)


RANKS: Mapping[str, Callable[[Post, float], Rank]] = {
    "new": _rank_new,
    "hot": _rank_hot,
    "top": _rank_top,
    "rising": _rank_rising,
    "controversial": _rank_controversial,
}


def cut_page(ordered: list[Post], rank: Callable[[Post], Rank], anchor: Post | None, wanted: PageRequest, too_early: int = 0) -> Page:
    """Return the page behind (or before) the post `anchor`, which need no longer be in the listing; None: the first page.

    It starts `too_early` items before its place, as a fault may want it.
    """
    ranks = [rank(post) for post in ordered]
    if anchor is not None and wanted.before and not wanted.after:
        end = bisect_left(ranks, rank(anchor))
        start = max(0, end - wanted.limit)
    else:
        start = max(0, bisect_right(ranks, rank(anchor)) - too_early) if anchor is not None else 0
        end = start + wanted.limit
    posts = ordered[start:end]
    after = posts[-1].name if posts and end < len(ordered) else None
    before = posts[0].name if posts and start > 0 else None
    return Page(posts, after, before)


def items_too_early(fault: Fault | None, wanted: PageRequest) -> int:
    """Return by how many items a scripted fault moves the page back."""
    if fault is None:
        return 0
    return {"shifted_page": fault.shift, "repeated_page": wanted.limit}.get(fault.kind, 0)


def listing_document(children: list[dict[str, Any]], after: str | None, before: str | None) -> dict[str, Any]:
    """Return Reddit's envelope around the `data` of some posts."""
    things = [{"kind": "t3", "data": child} for child in children]
    data = {"after": after, "dist": len(things), "modhash": None, "geo_filter": "", "children": things, "before": before}
    return {"kind": "Listing", "data": data}

"""Which posts a search or a user's page shows, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ducklift.sandbox.listings import LISTINGS, RANKS, TIME_FILTERS_S, Rank
from ducklift.sandbox.posts import Post

SEARCH_CAP = 250
_WORD = re.compile(r"\w+")


def found_posts(query: str, posts: Iterable[Post], subreddit: str | None) -> list[Post]:
    """Return the posts whose title and text hold every word of the query; words joined by OR are alternatives."""
    alternatives = [set(_WORD.findall(part.lower())) for part in query.split(" OR ")]
    inside = (post for post in posts if subreddit is None or post.community.name == subreddit.lower())
    return [post for post in inside if any(words and words <= _words_of(post) for words in alternatives)]


def _words_of(post: Post) -> set[str]:
    return set(_WORD.findall(f"{post.title} {post.text}".lower()))


def submitted(author: str, posts: Iterable[Post]) -> list[Post]:
    """Return what a user has submitted, as far as Reddit still tells who it was."""
    return [post for post in posts if post.author.lower() == author.lower() and post.oddity not in ("author_gone", "null_author")]


def order_found(sort: str, time_filter: str, posts: Iterable[Post], now: float) -> tuple[list[Post], Callable[[Post], Rank]]:
    """Return the posts that are shown at `now` in the wanted order, and the rank that orders them."""
    horizon = now - TIME_FILTERS_S.get(time_filter, TIME_FILTERS_S["all"])
    shown = [post for post in posts if post.listed(now) and post.created >= horizon]
    by_listing = RANKS[sort if sort in LISTINGS else "hot"]

    def rank(post: Post) -> Rank:
        if sort == "comments":
            return (-post.comments(now), -post.serial)
        return (*by_listing(post, now), -post.serial)

    return sorted(shown, key=rank), rank

"""A post's page of comments: the best of the tree, and `more` where it was cut, as Reddit's API shows it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from ducklift.sandbox.comments import Comment, comments_of, render_comment
from ducklift.sandbox.listings import listing_document
from ducklift.sandbox.posts import Archive, Post
from ducklift.sandbox.submissions import render

DEFAULT_LIMIT, GREATEST_LIMIT = 200, 500
DEEPEST_ON_A_PAGE = 9  # what lies deeper has a page of its own
MORE_AT_ONCE = 100


class Discussion:
    """The comments of one post at one moment."""

    def __init__(self, post: Post, now: float, sort: str = "confidence") -> None:
        self.post, self.now, self.sort = post, now, sort
        self.comments = comments_of(post, now)
        self.children: dict[int | None, list[Comment]] = {}
        for comment in self.comments:
            self.children.setdefault(comment.parent, []).append(comment)
        for siblings in self.children.values():
            siblings.sort(key=self._rank)

    def page(self, archive: Archive, limit: int, first: str | None = None) -> list[dict[str, Any]] | None:
        """Return the page of the post, or of one comment of it; None when there is no such comment."""
        root = next((comment for comment in self.comments if comment.id == first), None)
        if first and root is None:
            return None
        begin = self.children.get(None, []) if root is None else [root]
        shown = self._best(begin, limit, root)
        things = self._things(begin, shown, root.depth if root else 0, "" if root is None else root.name)
        head = listing_document([render(self.post, archive, self.now)], None, None)
        return [head, _listing(things)]

    def more(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the comments of these ids and what hangs below them, flat, and `more` for what is too much at once."""
        wanted = set(ids)
        chosen = [comment for comment in self.comments if comment.id in wanted]
        shown = self._best(chosen, MORE_AT_ONCE)
        flat: list[dict[str, Any]] = []
        for place in sorted(shown):
            flat.append({"kind": "t1", "data": render_comment(self.comments[place], self.now)})
        for comment in (self.comments[place] for place in sorted(shown)):
            hidden = [child for child in self.children.get(comment.place, []) if child.place not in shown]
            flat += [self._more(comment.name, hidden, comment.depth + 1, 0)] if hidden else []
        skipped = [comment for comment in chosen if comment.place not in shown]
        parents = {comment.parent for comment in skipped}
        for parent in parents:
            siblings = [comment for comment in skipped if comment.parent == parent]
            flat.append(self._more(siblings[0].parent_name, siblings, siblings[0].depth, 0))
        return flat

    def _rank(self, comment: Comment) -> tuple[float, int]:
        order: Mapping[str, float] = {"new": -comment.created, "old": comment.created}
        return order.get(self.sort, -comment.score), comment.place

    def _best(self, begin: list[Comment], limit: int, root: Comment | None = None) -> set[int]:
        """Return the places of the comments that are shown: the best of those whose parents are."""
        top = root.depth if root else 0
        waiting = [(self._rank(comment), comment.place) for comment in begin]
        heapq.heapify(waiting)
        shown: set[int] = set()
        while waiting and len(shown) < limit:
            _, place = heapq.heappop(waiting)
            shown.add(place)
            for child in self.children.get(place, []):
                if child.depth - top <= DEEPEST_ON_A_PAGE:
                    heapq.heappush(waiting, (self._rank(child), child.place))
        return shown

    def _things(self, siblings: list[Comment], shown: set[int], lifted_by: int, parent: str) -> list[dict[str, Any]]:
        things: list[dict[str, Any]] = []
        for comment in (each for each in siblings if each.place in shown):
            below = self._things(self.children.get(comment.place, []), shown, lifted_by, comment.name)
            data = render_comment(comment, self.now, _listing(below) if below else "", lifted_by)
            things.append({"kind": "t1", "data": data})
        hidden = [comment for comment in siblings if comment.place not in shown]
        if hidden:
            too_deep = hidden[0].depth - lifted_by > DEEPEST_ON_A_PAGE
            things.append(self._more(parent or self.post.name, [] if too_deep else hidden, hidden[0].depth, lifted_by))
        return things

    def _more(self, parent: str, hidden: list[Comment], depth: int, lifted_by: int) -> dict[str, Any]:
        ids = [comment.id for comment in hidden]
        name = ids[0] if ids else "_"
        data = {"count": sum(map(self._size, hidden)), "name": f"t1_{name}", "id": name, "parent_id": parent}
        return {"kind": "more", "data": {**data, "depth": depth - lifted_by, "children": ids}}

    def _size(self, comment: Comment) -> int:
        return 1 + sum(map(self._size, self.children.get(comment.place, [])))


def _listing(things: list[dict[str, Any]]) -> dict[str, Any]:
    data = {"after": None, "dist": None, "modhash": None, "geo_filter": "", "children": things, "before": None}
    return {"kind": "Listing", "data": data}


def comment_limit(query: Mapping[str, str]) -> int:
    """Return how many comments a page shows, as its query says."""
    text = query.get("limit", "")
    return min(int(text), GREATEST_LIMIT) if text.isdigit() and int(text) else DEFAULT_LIMIT

"""The sandbox's comments: which a post has, when they appear, who answers whom. A pure function of the post and of virtual time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

from ducklift.sandbox.posts import DIGITS, HOUR_S, Post
from ducklift.sandbox.submissions import CREATED_OFFSET_S, permalink, selftext_html
from ducklift.sandbox.vocabulary import AUTHOR_FIRST, AUTHOR_SECOND, CLOSINGS, OPENINGS, SHARED_WORDS

ID_DIGITS = 3  # of a comment, behind those of its post
_PACE_S = 14 * HOUR_S  # as the post's number of comments grows
_DEEPEST = 14

CONSTANT_FIELDS: dict[str, Any] = {
    "approved_at_utc": None, "approved_by": None, "author_flair_text": None, "author_flair_css_class": None, "author_premium": False,
    "banned_at_utc": None, "banned_by": None, "can_gild": False, "can_mod_post": False, "collapsed": False, "collapsed_reason": None,
    "controversiality": 0, "distinguished": None, "downs": 0, "gilded": 0, "gildings": {}, "likes": None, "locked": False,
    "mod_note": None, "mod_reports": [], "no_follow": True, "num_reports": None, "removal_reason": None, "saved": False,
    "score_hidden": False, "send_replies": True, "stickied": False, "subreddit_type": "public", "total_awards_received": 0,
    "treatment_tags": [], "unrepliable_reason": None, "user_reports": [], "archived": False, "all_awardings": [], "awarders": [],
}  # fmt: skip


@dataclass(frozen=True)
class Comment:
    """What is fixed about one comment; times are seconds since 1970, `place` is its number among the post's comments."""

    post: Post
    place: int
    parent: int | None
    parent_name: str
    depth: int
    created: float
    author: str
    body: str
    score: int
    deleted_after_s: float | None
    by_author: bool

    @property
    def id(self) -> str:
        """Return the id, from which the post's can be told."""
        digits, number = "", self.place
        for _ in range(ID_DIGITS):
            number, digit = divmod(number, 36)
            digits = DIGITS[digit] + digits
        return self.post.id + digits

    @property
    def name(self) -> str:
        """Return the fullname."""
        return f"t1_{self.id}"

    def deleted(self, now: float) -> bool:
        """Tell whether its author or a moderator has taken it down; it keeps its place in the tree."""
        return self.deleted_after_s is not None and now >= self.created + self.deleted_after_s


def comments_of(post: Post, now: float) -> list[Comment]:
    """Return the post's comments of that moment, the oldest first: as many as its number of comments says."""
    return _made(post, min(post.comments(now), 36**ID_DIGITS - 1))


def post_id_of(comment_id: str) -> str:
    """Return the id of the post that a comment's id belongs to."""
    return comment_id[:-ID_DIGITS]


def _made(post: Post, count: int) -> list[Comment]:
    random = Random(f"comments/{post.id}")  # noqa: S311 - sample data, not a secret
    found: list[Comment] = []
    for place in range(count):
        parent = None if random.random() < 0.2 or not found else random.choice(found[-3:])
        if parent is not None and parent.depth >= _DEEPEST:
            parent = None
        share = min((place + 0.5) / max(post.final_comments, 1), 0.998)
        found.append(
            Comment(
                post=post,
                place=place,
                parent=None if parent is None else parent.place,
                parent_name=post.name if parent is None else parent.name,
                depth=0 if parent is None else parent.depth + 1,
                created=float(int(post.created + HOUR_S / 2 - _PACE_S * math.log(1 - share))),
                author=f"{random.choice(AUTHOR_FIRST)}_{random.choice(AUTHOR_SECOND)}",
                body=_write(random),
                score=max(-9, int(random.lognormvariate(1.2, 1.1)) - 2),
                deleted_after_s=random.uniform(1, 60) * HOUR_S if random.random() < 0.08 else None,
                by_author=random.random() < 0.6,
            )
        )
    return found


def _write(random: Random) -> str:
    text = random.choice(OPENINGS if random.random() < 0.5 else CLOSINGS)
    for slot, words in SHARED_WORDS.items():
        while f"{{{slot}}}" in text:
            text = text.replace(f"{{{slot}}}", random.choice(words), 1)
    return text


def render_comment(comment: Comment, now: float, replies: Any = "", lifted_by: int = 0) -> dict[str, Any]:
    """Return the `data` of a comment's `t1` thing as it stands at `now`; `lifted_by` is the depth of the page's first comment."""
    post = comment.post
    own = f"{permalink(post)}{comment.id}/"
    data = CONSTANT_FIELDS | {
        "id": comment.id, "name": comment.name, "link_id": post.name, "depth": comment.depth - lifted_by,
        "parent_id": comment.parent_name,
        "author": comment.author, "author_fullname": f"t2_{sum(map(ord, comment.author)):x}", "body": comment.body,
        "body_html": selftext_html(comment.body), "score": comment.score, "ups": comment.score, "permalink": own,
        "created_utc": comment.created, "created": comment.created + CREATED_OFFSET_S, "edited": False,
        "is_submitter": comment.author == post.author, "subreddit": post.community.name, "subreddit_id": post.community.subreddit_id,
        "subreddit_name_prefixed": f"r/{post.community.name}", "replies": replies,
    }  # fmt: skip
    if comment.deleted(now):
        word = "[deleted]" if comment.by_author else "[removed]"
        del data["author_fullname"]
        data |= {"author": "[deleted]", "body": word, "body_html": selftext_html(word)}
    return data

"""The synthetic subreddit `firehose`: any number of posts, made page by page from ready-made bytes, in constant memory."""

from __future__ import annotations

import re
from datetime import datetime

import orjson

from ducklift.sandbox.listings import PageRequest
from ducklift.sandbox.posts import DIGITS, Archive
from ducklift.sandbox.submissions import render

FIREHOSE = "firehose"
ID_PREFIX, ID_DIGITS = "fh", 6
PATTERNS = 64
# Placeholders for what differs from post to post: the id, the creation time (twice) and the score (twice).
TIME_MARK, CREATED_MARK, SCORE_MARK = 1_111_111_111.0, 1_222_222_222.0, 1_333_333_333
SECONDS_APART = 1
OFFSET_OF_CREATED_S = 28_800


class Firehose:
    """`count` posts, one a second, the newest at `origin`. The number 0 is the oldest."""

    def __init__(self, count: int, seed: int, origin: datetime) -> None:
        self.count = count
        self._newest = int(origin.timestamp())
        archive = Archive(seed, origin)
        self._templates = [_template(render(post, archive, post.created)) for post in archive.posts(origin.timestamp())[:PATTERNS]]

    def created(self, number: int) -> int:
        """Return when the post of that number was made, in seconds since 1970."""
        return self._newest - (self.count - 1 - number) * SECONDS_APART

    def page(self, wanted: PageRequest, too_early: int = 0) -> bytes:
        """Return one page of `/new` as JSON, the newest post first, starting `too_early` posts before its place."""
        top = self.count - 1
        if wanted.after and (number := self.number_of(wanted.after)) is not None:
            top = min(top, number - 1 + too_early)
        elif wanted.after:
            top = -1
        elif wanted.before and (number := self.number_of(wanted.before)) is not None:
            top = min(top, number + wanted.limit)
        bottom = max(top - wanted.limit, -1)
        after = _fullname(bottom + 1) if bottom >= 0 else None
        before = _fullname(top) if -1 < top < self.count - 1 else None
        return self._document(range(top, bottom, -1), after, before)

    def things(self, names: list[str]) -> list[bytes]:
        """Return the `t3` things of those fullnames that exist, as JSON."""
        return [self._thing(number) for name in names if (number := self.number_of(name)) is not None]

    def number_of(self, name: str) -> int | None:
        """Return the number of the post of that fullname; None if it is no post of the firehose."""
        if not re.fullmatch(rf"t3_{ID_PREFIX}[0-9a-z]{{{ID_DIGITS}}}", name):
            return None
        number = int(name[-ID_DIGITS:], 36)
        return number if number < self.count else None

    def _document(self, numbers: range, after: str | None, before: str | None) -> bytes:
        head = orjson.dumps({"after": after, "dist": len(numbers), "modhash": None, "geo_filter": "", "before": before})
        return b"".join(
            (b'{"kind":"Listing","data":', head[:-1], b',"children":[', b",".join(self._thing(number) for number in numbers), b"]}}")
        )

    def _thing(self, number: int) -> bytes:
        created = self.created(number)
        values = {
            b"i": _identifier(number).encode(),
            b"t": b"%d.0" % created,
            b"c": b"%d.0" % (created + OFFSET_OF_CREATED_S),
            b"s": b"%d" % (number * 7919 % 4_001),
        }
        pieces = self._templates[number % len(self._templates)]
        return b"".join([values[piece] if place % 2 else piece for place, piece in enumerate(pieces)])


def _template(data: dict[str, object]) -> list[bytes]:
    """Return the post's JSON cut at its placeholders: text, placeholder, text, …"""
    post_id = str(data["id"])
    data |= {"created_utc": TIME_MARK, "created": CREATED_MARK, "score": SCORE_MARK, "ups": SCORE_MARK}
    data |= {
        "subreddit": FIREHOSE,
        "subreddit_name_prefixed": f"r/{FIREHOSE}",
        "subreddit_id": "t5_sbx99",
        "author": data["author"] or "amber_teal",
    }
    text = orjson.dumps({"kind": "t3", "data": data})
    for mark, letter in ((post_id, b"i"), (TIME_MARK, b"t"), (CREATED_MARK, b"c"), (SCORE_MARK, b"s")):
        text = text.replace(str(mark).encode(), b"\x00" + letter + b"\x00")
    return text.split(b"\x00")


def _identifier(number: int) -> str:
    digits = ""
    for _ in range(ID_DIGITS):
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return ID_PREFIX + digits


def _fullname(number: int) -> str:
    return f"t3_{_identifier(number)}"

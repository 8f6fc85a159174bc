"""The sandbox's posts: which exist, when they appear, when they go. A pure function of the seed and of virtual time.

A `Post` holds what never changes; what moves (score, comments, deletion) is computed from its age. The archive only remembers
what it has already worked out.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from ducklift.sandbox.communities import COMMUNITIES, Community
from ducklift.sandbox.vocabulary import (
    AUTHOR_FIRST,
    AUTHOR_SECOND,
    CLOSINGS,
    LINK_HOSTS,
    OPENINGS,
    QUESTION_TAILS,
    SHARED_WORDS,
    STATEMENT_TAILS,
    WEEKLY_THREAD,
    WEEKLY_THREAD_TEXT,
)

HISTORY = timedelta(days=30)
POSTS_PER_HOUR = 2_000 / (30 * 24)
HOUR_S, DAY_S = 3_600, 86_400
IDS_PER_HOUR = 32
CROSSPOST_REACH = 150
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

Form = Literal["self", "link", "image", "gallery", "video", "poll", "crosspost"]
Oddity = Literal["", "promoted", "null_author", "author_gone", "bare", "gallery_lost"]


@dataclass(frozen=True, slots=True)
class Post:
    """What is fixed about one post from the start. Times are seconds since 1970, UTC; delays are seconds after `created`."""

    serial: int
    id: str
    community: Community
    created: float
    form: Form
    title: str
    text: str
    author: str
    flair: str | None
    link_host: str
    final_score: int
    final_comments: int
    upvote_ratio: float
    listed_after_s: float
    deleted_after_s: float | None
    deleted_by: str | None
    edited_after_s: float | None
    sort_shift_s: float
    over_18: bool
    spoiler: bool
    locked: bool
    sticky: bool
    oddity: Oddity
    crosspost_of: str | None = None

    @property
    def name(self) -> str:
        """Return the fullname."""
        return f"t3_{self.id}"

    def deleted(self, now: float) -> bool:
        """Tell whether its author or a moderator has taken it down."""
        return self.deleted_after_s is not None and now >= self.created + self.deleted_after_s

    def listed(self, now: float) -> bool:
        """Tell whether listings show it: it has appeared (some do late) and has not been taken down."""
        return now >= self.created + self.listed_after_s and not self.deleted(now)

    def stickied(self, now: float) -> bool:
        """Tell whether it stands at the top of its subreddit: a weekly thread does for its week."""
        return self.sticky and now < self.created + 7 * DAY_S

    def score(self, now: float) -> int:
        """Return its score: it grows fast at first, and has settled after four days."""
        return max(0, 1 + round((self.final_score - 1) * _growth(now - self.created, 9 * HOUR_S)))

    def comments(self, now: float) -> int:
        """Return its number of comments, which lags behind the score."""
        return round(self.final_comments * _growth(now - self.created - HOUR_S / 2, 14 * HOUR_S))


class Archive:
    """All posts of one seed, from 30 days before `origin` on."""

    def __init__(self, seed: int, origin: datetime) -> None:
        self._seed = seed
        self._start = (origin - HISTORY).timestamp()
        self._lock = threading.Lock()
        self._hours = 0
        self._posts: list[Post] = []
        self._created: list[float] = []
        self._by_name: dict[str, Post] = {}

    def posts(self, now: float) -> list[Post]:
        """Return the posts made until `now`, the oldest first, shown or not."""
        with self._lock:
            while self._start + self._hours * HOUR_S <= now:
                self._add_hour(self._hours)
                self._hours += 1
            return self._posts[: bisect_right(self._created, now)]

    def find(self, name: str, now: float) -> Post | None:
        """Return the post of that fullname, if it has been made by now."""
        self.posts(now)
        post = self._by_name.get(name)
        return post if post is not None and post.created <= now else None

    def _add_hour(self, hour: int) -> None:
        random = Random(f"{self._seed}/{hour}")  # noqa: S311 - sample data, not a secret
        # Fewer posts at night: a wave over the day whose mean is one.
        rate = POSTS_PER_HOUR * (1 + 0.7 * math.sin((hour % 24 - 8) / 24 * math.tau))
        starts = sorted(random.uniform(0, HOUR_S) for _ in range(int(rate + random.random())))
        made = [
            _make_post(random, hour * IDS_PER_HOUR + position, self._start + hour * HOUR_S + int(offset), self._parents())
            for position, offset in enumerate(starts)
        ]
        if hour % (7 * 24) == 6:
            community = COMMUNITIES[hour // (7 * 24) % len(COMMUNITIES)]
            made.append(_weekly_thread(random, community, hour * IDS_PER_HOUR + IDS_PER_HOUR - 1, self._start + (hour + 1) * HOUR_S - 1))
        for post in made:
            self._posts.append(post)
            self._created.append(post.created)
            self._by_name[post.name] = post

    def _parents(self) -> list[Post]:
        return [post for post in self._posts[-CROSSPOST_REACH:] if post.form in ("self", "link", "image") and not post.oddity]


def post_id(serial: int) -> str:
    """Return the id of a serial number. It starts with letters that Reddit's own ids will not reach for a long time."""
    digits = ""
    while serial:
        serial, digit = divmod(serial, 36)
        digits = DIGITS[digit] + digits
    return "sbx" + digits.rjust(4, "0")


def _growth(age_s: float, pace_s: float) -> float:
    return 1 - math.exp(-min(max(age_s, 0.0), 4 * DAY_S) / pace_s)


def _make_post(random: Random, serial: int, created: float, parents: list[Post]) -> Post:
    community = random.choices(COMMUNITIES, [each.share for each in COMMUNITIES])[0]
    form = _choose_form(random, community)
    parent = random.choice(parents) if form == "crosspost" and parents else None
    if form == "crosspost" and parent is None:
        form = "self"
    title = parent.title if parent else _write_title(random, community)
    score = max(0, int(random.lognormvariate(math.log(community.typical_score), 1.25)))
    deleted_after_s, deleted_by = _choose_deletion(random)
    late = random.random() < 0.02
    return Post(
        serial=serial,
        id=post_id(serial),
        community=community,
        created=float(created),
        form=form,
        title=title[0].upper() + title[1:],
        text=_write_text(random, community) if form in ("self", "poll") else "",
        author=_choose_author(random),
        flair=random.choice(community.flairs) if random.random() < 0.8 else None,
        link_host=random.choice(LINK_HOSTS),
        final_score=score,
        final_comments=int(score * random.uniform(0.05, 0.6)) + random.randrange(6),
        upvote_ratio=round(min(1.0, random.betavariate(9, 1.3)), 2) if score > 1 else round(random.uniform(0.2, 0.55), 2),
        listed_after_s=random.uniform(2, 30) * HOUR_S if late else 0.0,
        deleted_after_s=deleted_after_s,
        deleted_by=deleted_by,
        edited_after_s=random.uniform(0.05, 20) * HOUR_S if random.random() < 0.1 else None,
        sort_shift_s=random.uniform(5, 40) * 60 if random.random() < 0.05 else 0.0,
        over_18=random.random() < 0.01,
        spoiler=random.random() < 0.01,
        locked=random.random() < 0.02,
        sticky=False,
        oddity=_choose_oddity(random, form),
        crosspost_of=parent.name if parent else None,
    )


def _weekly_thread(random: Random, community: Community, serial: int, created: float) -> Post:
    plain = _make_post(random, serial, created, [])
    return replace(
        plain, community=community, form="self", title=WEEKLY_THREAD, text=WEEKLY_THREAD_TEXT, author="sandbox_moderator",
        flair=None, listed_after_s=0.0, deleted_after_s=None, deleted_by=None, edited_after_s=None, sort_shift_s=0.0,
        over_18=False, spoiler=False, locked=False, sticky=True, oddity="",
    )  # fmt: skip


def _choose_form(random: Random, community: Community) -> Form:
    if random.random() < 0.02:
        return "crosspost"
    draw = random.random()
    if draw < community.self_posts:
        return "poll" if random.random() < 0.03 else "self"
    if draw < community.self_posts + community.images:
        return "gallery" if random.random() < 0.2 else "image"
    return "video" if random.random() < 0.12 else "link"


def _choose_deletion(random: Random) -> tuple[float | None, str | None]:
    if random.random() >= 0.2:
        return None, None
    # Most go within a day and a half, a few within the first minutes, a few after weeks.
    delay_s = min(random.expovariate(1 / (11 * HOUR_S)), 36 * HOUR_S) if random.random() < 0.9 else random.uniform(2, 20) * DAY_S
    return delay_s, random.choices(("deleted", "moderator", "automod_filtered"), (0.55, 0.35, 0.1))[0]


def _choose_oddity(random: Random, form: Form) -> Oddity:
    draw = random.random()
    if form == "gallery" and draw < 0.15:
        return "gallery_lost"
    for share, oddity in ((0.004, "promoted"), (0.008, "null_author"), (0.02, "author_gone"), (0.03, "bare")):
        if draw < share:
            return oddity  # type: ignore[return-value]  # mypy widens the tuple's literals to str
    return ""


def _choose_author(random: Random) -> str:
    # The square makes a few names write often.
    first = AUTHOR_FIRST[int(random.random() ** 2 * len(AUTHOR_FIRST))]
    second = random.choice(AUTHOR_SECOND)
    return f"{first}_{second}" if random.random() < 0.5 else f"{first}{second.title()}{random.randrange(100)}"


def _write_title(random: Random, community: Community) -> str:
    template = random.choice(community.titles)
    if random.random() < 0.75:
        template += f" {random.choice(QUESTION_TAILS)}" if template.endswith("?") else random.choice(STATEMENT_TAILS)
    return _fill(random, template, community)


def _write_text(random: Random, community: Community) -> str:
    details = random.sample(community.details, k=min(len(community.details), random.randint(1, 3)))
    parts = [random.choice(OPENINGS), *details, random.choice(CLOSINGS)]
    return "\n\n".join(_fill(random, part, community) for part in parts)


def _fill(random: Random, template: str, community: Community) -> str:
    slots = {**SHARED_WORDS, **community.words}
    for slot in slots:
        while f"{{{slot}}}" in template:
            template = template.replace(f"{{{slot}}}", random.choice(slots[slot]), 1)
    return template

"""The lake itself: what lies where, what came when, and what could go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from ducklift.web.views.queries import LakeQuery
from ducklift.web.views.states import Problem, Read
from ducklift.web.views.tables import AssetView


@dataclass(frozen=True, slots=True)
class Amount:
    """Objects and their bytes; `share` is the part of the lake's bytes, from 0 to 1."""

    objects: int
    bytes: int
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class PrefixRow:
    """What lies under a prefix: `raw/reddit/posts/`, `curated/…`, `assets/…`, `_ducklift/commits/` …"""

    prefix: str
    amount: Amount


@dataclass(frozen=True, slots=True)
class DayRow:
    """What was written on a day (UTC) and is still there; `height` is its part of the greatest day's bytes, from 0 to 1."""

    day: date
    amount: Amount
    height: float


@dataclass(frozen=True, slots=True)
class GarbageRow:
    """What a collection of garbage would delete now, of one kind: `orphan`, `superseded`, `expired`, `unfinished` …"""

    kind: str
    meaning: str
    found: int
    bytes: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """How long a pipeline's raw files are kept; None is for ever."""

    pipeline: str
    raw_s: int | None
    keep_superseded_s: int


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A collection of garbage that was carried out."""

    started_at: datetime
    completed: bool
    items: int
    bytes: int
    kept: int


@dataclass(frozen=True, slots=True)
class LakeView:
    """The lake page. `survey` tells when all objects were last listed: that is done in the background, and not often.

    `garbage` is None where it is not known yet, or the lake is too large to find out here: `garbage_note` says which, and how to learn it.
    """

    read: Read
    lake: str
    survey: Read
    total: Amount
    prefixes: tuple[PrefixRow, ...]
    """The greatest first; at most 200, the rest together under the prefix `…`."""
    days: tuple[DayRow, ...]
    """The last 60 days, oldest first."""
    garbage: tuple[GarbageRow, ...] | None
    garbage_note: str | None
    retention: tuple[RetentionRow, ...]
    collections: tuple[CollectionRow, ...]
    """The last 20, newest first."""
    assets: tuple[AssetView, ...]
    """All stored values, by key; at most 200."""
    problems: tuple[Problem, ...]
    query: LakeQuery

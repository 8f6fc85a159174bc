"""The words for how a table and a load are, with the icon that goes with each; colour is never the only sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal


class TableState(StrEnum):
    """How a table is, worst first. The value is the word to show."""

    UNREADABLE = "unreadable"
    """Its snapshot is damaged, or of a newer Ducklift: see `Problem`."""
    FAILING = "failing"
    """The newest thing that happened to one of its streams is a failure, or a load with a gap."""
    LATE = "late"
    """Nothing failed, and what is there is older than its target."""
    WAITING = "waiting"
    """A pipeline file names it and nothing was loaded yet."""
    UNTARGETED = "no target"
    """It was loaded, and nothing tells how often it should be: no check, no schedule, too few loads."""
    FRESH = "fresh"

    @property
    def icon(self) -> str:
        """Return the name of its icon."""
        return _TABLE_ICONS[self]

    @property
    def rank(self) -> int:
        """Return its place among the states: 0 is the worst."""
        return list(TableState).index(self)


class LoadState(StrEnum):
    """How one load ended. The value is the word to show."""

    FAILED = "failed"
    GAP = "gap"
    """Loaded, and the source could not reach back to the watermark: records are missing, and the run ended red."""
    QUARANTINED = "quarantined"
    """Loaded, and some of its rows are in quarantine."""
    WARNED = "warned"
    """Loaded, and a check of level `warn` found something."""
    LOADED = "loaded"
    EMPTY = "empty"
    """It came through and brought no row."""
    SUPERSEDED = "superseded"
    """A later extraction took its place; what it brought is out of the table."""
    RESET = "reset"
    """No load: a watermark was moved on purpose."""
    SWEPT = "swept"
    """No load: a deletion sweep took content out."""

    @property
    def icon(self) -> str:
        """Return the name of its icon."""
        return _LOAD_ICONS[self]


_TABLE_ICONS = {
    TableState.UNREADABLE: "broken",
    TableState.FAILING: "cross",
    TableState.LATE: "clock",
    TableState.WAITING: "hourglass",
    TableState.UNTARGETED: "dot",
    TableState.FRESH: "check",
}
_LOAD_ICONS = {
    LoadState.FAILED: "cross",
    LoadState.GAP: "gap",
    LoadState.QUARANTINED: "flag",
    LoadState.WARNED: "warning",
    LoadState.LOADED: "check",
    LoadState.EMPTY: "dot",
    LoadState.SUPERSEDED: "replaced",
    LoadState.RESET: "rewind",
    LoadState.SWEPT: "broom",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be shown, told by name: what, why, and what to do. `table` is absent where it is about the whole lake."""

    what: str
    cause: str
    fix: str
    table: str | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old a table is against how old it may be.

    `age_s` counts from the newest value of `measured` (a column with a freshness check), or from the last load where that is `last load`;
    None before the first. `origin` tells where the target comes from: a freshness `check` of the pipeline file, the DAG's `schedule`, what
    was `observed` of the last loads, or `none`. `ratio` is age over target: above 1 it is late; None without a target.
    """

    age_s: float | None = None
    target_s: float | None = None
    origin: Literal["check", "schedule", "observed", "none"] = "none"
    measured: str = "last load"
    ratio: float | None = None

    @property
    def late(self) -> bool:
        """Return whether the target is missed."""
        return self.ratio is not None and self.ratio > 1


@dataclass(frozen=True, slots=True)
class Read:
    """When what a page shows was read from the lake, and whether it is being read now.

    `at` is None where nothing was read yet: then the page says that the lake is being read, and asks again soon. `failed` names why the
    last try failed; what is shown is then from before.
    """

    at: datetime | None
    age_s: float | None
    reading: bool = False
    failed: Problem | None = None

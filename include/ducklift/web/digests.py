"""What the overview keeps of each table's snapshot: small, since it is kept of a thousand tables at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from ducklift.lake.commits import LOAD, RECENT_LOADS, RESET, SWEEP, snapshot_values
from ducklift.specs import TableName
from ducklift.web.views.states import LoadState

SERIES = 30
RETRIED = "-q"
DAY_S = 86_400.0
# Loads of one run follow each other closely; a cadence is told by runs.
_SAME_RUN_S = 90.0
_FEWEST_RUNS = 5
_MOMENT_TYPES = ("TIMESTAMP", "DATE")
_MOST_MOMENT_COLUMNS = 20

Values = Mapping[str, Any]
StreamName = tuple[str, str]


class Mark(NamedTuple):
    """One load, for a bar."""

    load_id: str
    at_s: float
    state: LoadState
    rows: int


class StreamMark(NamedTuple):
    """The newest commit of a stream."""

    at_s: float
    load_id: str
    gap: bool


@dataclass(frozen=True, slots=True)
class LastLoad:
    """The newest load of a table: by how many rows it made it longer, and how many it changed in place."""

    load_id: str
    at_s: float
    change: int
    changed: int
    warnings: int


@dataclass(frozen=True, slots=True)
class Day:
    """The loads that may lie in the last 24 hours, newest first, as columns of numbers; `cut` says that there may have been more."""

    at_s: array[float] = field(default_factory=lambda: array("d"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    bytes: array[int] = field(default_factory=lambda: array("q"))
    quarantined: array[int] = field(default_factory=lambda: array("q"))
    cut: bool = False

    def since(self, begin_s: float) -> tuple[int, int, int, int]:
        """Return loads, rows, bytes and quarantined rows from a moment on."""
        count = next((place for place, at_s in enumerate(self.at_s) if at_s < begin_s), len(self.at_s))
        return count, sum(self.rows[:count]), sum(self.bytes[:count]), sum(self.quarantined[:count])


@dataclass(frozen=True, slots=True)
class TableDigest:
    """What is kept of one snapshot. Moments are seconds since 1970."""

    name: str
    published_s: float
    sequence: int
    rows: int
    bytes: int | None
    quarantined: int
    approximate: bool
    watermarks: tuple[tuple[str, str, Any], ...]
    series: tuple[Mark, ...]
    streams: dict[StreamName, StreamMark]
    last: LastLoad | None
    listed_since_s: float
    """Of commits before this moment, the snapshot does not tell any more."""
    day: Day
    cadence_s: float | None
    newest_values: dict[str, float]
    """The greatest value of the columns that are moments."""


def digest(data: bytes, url: str, now_s: float) -> TableDigest:
    """Return what is kept of a snapshot; raises `ManifestUnreadable` for a damaged or newer one, and whatever wrong types cause."""
    values = snapshot_values(data, url)
    loads: Sequence[Values] = values["loads"]
    size = values.get("bytes")
    if not all(isinstance(load["load_id"], str) for load in loads) or not isinstance(size, int | None):
        raise TypeError("a load's id is no text, or a size no number")
    of_rows = [load for load in loads if load.get("kind", LOAD) == LOAD]
    gone = superseded(loads)
    marks = tuple(
        Mark(load["load_id"], seconds(load["loaded_at"]), load_state(load, gone), _changed_rows(load))
        for load in reversed(of_rows[:SERIES])
    )
    return TableDigest(
        name=str(TableName.parse(values["table"])),
        published_s=seconds(values["published_at"]),
        sequence=int(values["sequence"]),
        rows=int(values["rows"]),
        bytes=size,
        quarantined=int(values.get("quarantined") or 0),
        approximate=bool(values.get("approximate")),
        watermarks=tuple((*key.partition("/")[::2], value) for key, value in values["watermarks"].items()),
        series=marks,
        streams=_streams(loads),
        last=_last(loads),
        listed_since_s=seconds(loads[-1]["loaded_at"]) if len(loads) >= RECENT_LOADS else 0.0,
        day=_day(of_rows, now_s - DAY_S, cut=len(loads) >= RECENT_LOADS),
        cadence_s=cadence_s([mark.at_s for mark in marks]),
        newest_values=_newest_values(values.get("columns") or ()),
    )


def seconds(text: str) -> float:
    """Return a moment that is written as ISO 8601 in seconds since 1970; without a zone it is UTC.

    Raises ValueError for anything else, and for a moment that in UTC lies in a year that Python does not have.
    """
    moment = datetime.fromisoformat(text)
    try:
        return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError as err:
        raise ValueError(f"{text} lies outside the years 1 to 9999") from err


def superseded(loads: Sequence[Values]) -> dict[str, str]:
    """Return which of the listed loads are superseded, and by which."""
    found = {load["load_id"]: load["superseded_by"] for load in loads if load.get("superseded_by")}
    for load in loads:
        found.update((load_id, load["load_id"]) for load_id in load.get("supersedes") or ())
    return found


def later_extraction(load_id: str, others: Iterable[str]) -> str | None:
    """Return which of other committed loads read a load's slice again after it, and so took its place; None where none did.

    Which loads are superseded is published of the last ones alone; of older ones their names tell this much.
    """
    first, number = _extraction(load_id)
    told = ((other, *_extraction(other)) for other in others if other.startswith(first) and not other.endswith(RETRIED))
    return min(((place, other) for other, base, place in told if base == first and place > number), default=(0, None))[1]


def _extraction(load_id: str) -> tuple[str, int]:
    """Return the name of a slice's first load, and which of its extractions, or of their retried quarantines, a load is."""
    base, _, number = load_id.partition(RETRIED)[0].partition("-r")
    return base, int(number) if number.isdigit() else 1


def load_state(load: Values, gone: Mapping[str, str]) -> LoadState:
    """Return how a committed load of a snapshot or a commit record ended."""
    kind = load.get("kind", LOAD)
    if kind in (RESET, SWEEP):
        return LoadState.RESET if kind == RESET else LoadState.SWEPT
    if load["load_id"] in gone:
        return LoadState.SUPERSEDED
    if load.get("gap"):
        return LoadState.GAP
    if load.get("rows_quarantined"):
        return LoadState.QUARANTINED
    if load.get("warnings"):
        return LoadState.WARNED
    return LoadState.LOADED if load.get("rows_extracted") else LoadState.EMPTY


def cadence_s(moments: Sequence[float]) -> float | None:
    """Return the usual time between two runs, from their loads' moments in order; None where they are too few, or all of one day."""
    runs: list[float] = []
    for at_s in moments:
        if not runs or at_s - runs[-1] > _SAME_RUN_S:
            runs.append(at_s)
    if len(runs) < _FEWEST_RUNS or runs[-1] - runs[0] < DAY_S:
        return None
    return median(later - earlier for earlier, later in pairwise(runs))


def _changed_rows(load: Values) -> int:
    return int(load.get("rows_inserted") or 0) + int(load.get("rows_updated") or 0)


def _streams(loads: Sequence[Values]) -> dict[StreamName, StreamMark]:
    found: dict[StreamName, StreamMark] = {}
    for load in loads:
        name = (str(load.get("pipeline") or ""), str(load["stream"]))
        if load.get("kind", LOAD) != SWEEP and name not in found:
            found[name] = StreamMark(seconds(load["loaded_at"]), load["load_id"], bool(load.get("gap")))
    return found


def _last(loads: Sequence[Values]) -> LastLoad | None:
    place = next((place for place, load in enumerate(loads) if load.get("kind", LOAD) == LOAD), None)
    if place is None:
        return None
    load, before = loads[place], loads[place + 1] if place + 1 < len(loads) else {}
    changed, warnings = int(load.get("rows_updated") or 0), len(load.get("warnings") or ())
    return LastLoad(load["load_id"], seconds(load["loaded_at"]), _grown_by(load, before), changed, warnings)


def _grown_by(load: Values, before: Values) -> int:
    """Return by how many rows a load made its table longer; those of a load whose place it took, and closed versions, are no `rows_`."""
    after, there = load.get("total_rows"), before.get("total_rows")
    if isinstance(after, int) and isinstance(there, int):
        return after - there
    return int(load.get("rows_inserted") or 0) - int(load.get("rows_deleted") or 0)


def _day(loads: Sequence[Values], begin_s: float, *, cut: bool) -> Day:
    day = Day(cut=cut and bool(loads) and seconds(loads[-1]["loaded_at"]) > begin_s)
    for load in loads:
        at_s = seconds(load["loaded_at"])
        if at_s < begin_s:
            break
        day.at_s.append(at_s)
        day.rows.append(_changed_rows(load))
        day.bytes.append(int(load.get("bytes") or 0))
        day.quarantined.append(int(load.get("rows_quarantined") or 0))
    return day


def _newest_values(columns: Sequence[Values]) -> dict[str, float]:
    found: dict[str, float] = {}
    for column in columns:
        if len(found) == _MOST_MOMENT_COLUMNS:
            break
        if column["type"].startswith(_MOMENT_TYPES) and column.get("greatest"):
            try:
                found[column["name"]] = seconds(column["greatest"])
            except ValueError:
                continue  # infinity, or a year that Python does not have
    return found

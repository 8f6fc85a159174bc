"""One load: what came in, what happened to every row, its files, how long each step took, and what was tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ducklift.web.views.places import AirflowPlace
from ducklift.web.views.queries import LoadQuery, Pages
from ducklift.web.views.states import LoadState, Problem, Read

Step = Literal["extract", "upload", "load"]
Fate = Literal["inserted", "updated", "unchanged", "deduplicated", "quarantined"]


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One load in a list, and the head of its page; also a failed one that never came through.

    `seconds` is how long loading took. A failed load has no counts: all are 0 and `error` tells why it failed.
    """

    load_id: str
    path: str
    table: str
    state: LoadState
    at: datetime
    age_s: float
    pipeline: str | None
    stream: str
    sequence: int | None = None
    rows_extracted: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_deleted: int = 0
    rows_deduplicated: int = 0
    rows_quarantined: int = 0
    total_rows: int | None = None
    """The table's rows after it."""
    bytes: int = 0
    files: int = 0
    seconds: float | None = None
    manifest_path: str | None = None
    """Where its manifest is downloaded; None for what has none: a reset, a sweep, a load that failed before its upload."""
    airflow: AirflowPlace | None = None
    superseded_by: str | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    tries: int = 0
    """How many failed tries of it are recorded."""
    pending: bool = False
    """Its package lies in the lake and is not loaded: it can be loaded without reading the source again."""
    slice_start: datetime | None = None
    slice_end: datetime | None = None

    @property
    def rows_loaded(self) -> int:
        """Return how many rows are in the table that were not, or not so."""
        return self.rows_inserted + self.rows_updated


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One failed try of a step: what failed, when, where, and whether waiting may help."""

    step: Step
    at: datetime
    age_s: float
    error_class: str
    message: str
    retryable: bool
    try_number: int | None = None
    seconds: float | None = None
    airflow: AirflowPlace | None = None


@dataclass(frozen=True, slots=True)
class FlowPart:
    """A part of the rows that came in, and what became of it; `share` is its part of all, from 0 to 1."""

    fate: Fate
    rows: int
    share: float
    meaning: str
    """One sentence, for who does not know the word."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What happened to every row: `extracted` equals the sum of `parts`, or the load would have been rolled back (CONTRACT 10).

    All five parts are there, in a fixed order, also those of 0 rows. `deleted` rows left the table and are no part of what came in.
    """

    extracted: int
    parts: tuple[FlowPart, ...]
    deleted: int
    accounted: bool


@dataclass(frozen=True, slots=True)
class FileView:
    """One raw file. `path` is where it is downloaded, None where it lies elsewhere (`in_place`) or is gone by retention or a sweep."""

    number: int
    key: str
    size_bytes: int
    sha256: str
    rows: int | None
    """None where only reading all of it would tell."""
    origin: str | None
    """The URL that it was copied from, or that it lies at."""
    in_place: bool
    path: str | None


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long a step took, from `began` to `ended`; `offset` and `width` are its place in the whole span of the load, from 0 to 1.

    `upload` runs from the end of the reading until the manifest was there, the wait between the two tasks in it: `includes_wait`.
    Figures that are not known (of loads by an older Ducklift, of a lake that was copied) are absent: the step is then not in the list.
    """

    step: Step
    seconds: float
    began: datetime
    ended: datetime
    offset: float
    width: float
    includes_wait: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value, both fit to be shown."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class LoadView:
    """The page of one load. For one that failed before it landed, `files`, `flow` and most of `came_in` are empty."""

    read: Read
    load: LoadRow
    came_in: tuple[Fact, ...]
    """What was asked for and what the source gave: slice, cursors, request, extractor, format, schema."""
    flow: Flow | None
    files: tuple[FileView, ...]
    pages: Pages
    query: LoadQuery
    steps: tuple[StepTime, ...]
    attempts: tuple[AttemptView, ...]
    """Failed tries of this load, newest first."""
    gap: tuple[str, str] | None
    watermark: str | None
    supersedes: tuple[str, ...]
    schema_changes: tuple[Fact, ...]
    expired: str | None
    """Why its raw files are gone, where they are gone on purpose."""
    manifest_sha256: str | None
    problems: tuple[Problem, ...]

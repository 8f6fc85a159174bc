"""The reader of a lake: what is published in it, kept in memory and refreshed by what changed. A warehouse is never opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from ducklift.lake.filesystem import open_lake
from ducklift.lake.store import Store
from ducklift.safe_text import without_secrets
from ducklift.settings import Settings
from ducklift.specs import TableName
from ducklift.web.lake_page import Surveyed, lake_page
from ducklift.web.lake_state import LakeState, read_state
from ducklift.web.load_page import CommitIndex, LoadPages, is_load_id
from ducklift.web.objects import Objects
from ducklift.web.overview_page import overview, problems_of, visible_tables
from ducklift.web.reader import Download
from ducklift.web.refreshed import Refreshed
from ducklift.web.schedules import Schedule, Schedules, no_schedules
from ducklift.web.stored_values import StoredValues, read_picture, read_values
from ducklift.web.survey import Survey, survey
from ducklift.web.table_page import TablePages
from ducklift.web.table_rows import TableRows
from ducklift.web.views.lakes import LakeView
from ducklift.web.views.loads import LoadView
from ducklift.web.views.overview import OverviewView
from ducklift.web.views.queries import LakeQuery, LoadQuery, OverviewQuery, TableQuery
from ducklift.web.views.states import Problem, Read
from ducklift.web.views.tables import TableView
from ducklift.web.views.texts import CELL, shown

MayRead = Callable[[str], bool]
_NO_STATE, _NO_SCHEDULES = LakeState(), dict[str, Schedule]()


@dataclass(frozen=True)
class Patience:
    """How old what is shown may be, and how long a page waits for it where there is nothing yet, or (`newer_s`) for what is newer."""

    moment_s: float = 2.0
    newer_s: float = 0.05
    state_kept_s: float = 5.0
    state_s: float = 5.0
    schedules_kept_s: float = 30.0
    schedules_s: float = 0.3
    objects_s: float = 0.8
    survey_kept_s: float = 900.0
    survey_asked_s: float = 60.0
    survey_s: float = 0.3
    values_kept_s: float = 60.0
    values_s: float = 0.3


class Sources:
    """What all readers of a process share: the lake, what was read of it, and what is being read."""

    def __init__(self, settings: Settings, schedules: Schedules, patience: Patience) -> None:
        self.settings, self.patience = settings, patience
        self._rows: TableRows | None = None
        self.lake: Store = open_lake(settings)
        newer_s = patience.newer_s
        self.objects = Objects(self.lake, kept_s=patience.state_kept_s, patience_s=patience.objects_s)
        self.index = CommitIndex(self.lake)
        self.state: Refreshed[LakeState] = Refreshed(
            "Reading the lake", self._read, kept_s=patience.state_kept_s, patience_s=patience.state_s, newer_s=newer_s
        )
        self.schedules: Refreshed[dict[str, Schedule]] = Refreshed(
            "Asking for the schedules",
            lambda _: dict(schedules()),
            kept_s=patience.schedules_kept_s,
            patience_s=patience.schedules_s,
            newer_s=newer_s,
        )
        self.survey: Refreshed[Survey] = Refreshed(
            "Listing the lake",
            lambda _: survey(self.lake, settings),
            kept_s=patience.survey_kept_s,
            patience_s=patience.survey_s,
            newer_s=newer_s,
        )
        self.values: Refreshed[StoredValues] = Refreshed(
            "Reading the stored values",
            lambda _: read_values(self.lake),
            kept_s=patience.values_kept_s,
            patience_s=patience.values_s,
            newer_s=newer_s,
        )

    def look(self) -> tuple[Read, TableRows, Problem | None]:
        """Return the state of all tables at a moment that is `moment_s` old at most, so that many viewers share what is made of it.

        The problem is that Airflow does not tell its schedules.
        """
        now = datetime.now(UTC)
        held, schedules = self.state.held(), self.schedules.held()
        state, known = held.value or _NO_STATE, schedules.value or _NO_SCHEDULES
        rows = self._rows
        same = rows is not None and rows.state is state and rows.schedules is known
        if rows is None or not same or (now - rows.now).total_seconds() >= self.patience.moment_s:
            rows = self._rows = TableRows(state, known, now)
        return held.read(rows.now), rows, schedules.failed

    def _read(self, before: LakeState | None) -> LakeState:
        return read_state(self.lake, self.settings, before)


class PublishedLake:
    """A `LakeReader`. Made once per process; `schedules` come from Airflow, where there is one."""

    def __init__(self, settings: Settings, schedules: Schedules = no_schedules, patience: Patience | None = None) -> None:
        self._sources = Sources(settings, schedules, patience or Patience())
        self._may_read: MayRead | None = None

    def seen_by(self, may_read: MayRead) -> PublishedLake:
        """Return the same reader for somebody who may read these pipelines alone."""
        seen = PublishedLake.__new__(PublishedLake)
        seen._sources, seen._may_read = self._sources, may_read
        return seen

    def overview(self, query: OverviewQuery) -> OverviewView:
        """Return the overview: health, and the tables that the query asks for."""
        look = self._look()
        return overview(look.rows, look.visible, query, look.read, self._url, look.problems)

    def table(self, name: str, query: TableQuery) -> TableView | None:
        """Return a table's page, by its name `dataset.table`; None where nobody knows such a table."""
        look = self._look()
        if name not in look.visible:
            return None
        pages = TablePages(self._sources.lake, self._sources.objects, look.rows, look.now)
        values = self._sources.values.held().value or StoredValues()
        assets = values.views(look.now, of_table=name, visible=look.limits)
        return pages.page(TableName.parse(name), query, look.read, assets)

    def load(self, name: str, load_id: str, query: LoadQuery) -> LoadView | None:
        """Return a load's page, also of one that failed before it landed; None where there is no trace of it.

        Raises `LakeUnavailable` while the names of a long table's old loads are being read.
        """
        look = self._look()
        if name not in look.visible or not is_load_id(load_id):
            return None
        return self._loads(look).page(TableName.parse(name), load_id, query, look.read)

    def lake(self, query: LakeQuery) -> LakeView:
        """Return the lake's page: objects by day and prefix, what could go, retention."""
        look, sources = self._look(), self._sources
        survey = sources.survey.held(sources.patience.survey_asked_s if query.survey else None)
        pipelines = look.rows.state.pipelines
        mine = {name: facts for name, facts in pipelines.items() if self._may_read is None or self._may_read(name)}
        known = Surveyed(self._url, survey, sources.values.held(), mine, look.limits)
        return lake_page(known, query, look.read, look.problems, look.now)

    def chart(self, key: str, version: str, partition: str | None) -> bytes | None:
        """Return a stored picture: the bytes of a PNG of at most 10 MB; None for anything else. Raises the lake's errors."""
        return read_picture(self._sources.lake, key, version, partition, self._look().limits)

    def manifest(self, name: str, load_id: str) -> bytes | None:
        """Return a load's manifest as it lies in the lake, or None; raises the lake's errors."""
        look = self._look()
        if name not in look.visible or not is_load_id(load_id):
            return None
        return self._loads(look).manifest(TableName.parse(name), load_id)

    def file(self, name: str, load_id: str, number: int) -> Download | None:
        """Open one raw file of a load by its place in the manifest; None for what is not in the lake. Raises the lake's errors."""
        look = self._look()
        if name not in look.visible or not is_load_id(load_id):
            return None
        return self._loads(look).file(TableName.parse(name), load_id, number)

    def _loads(self, look: _Look) -> LoadPages:
        return LoadPages(self._sources.lake, self._sources.objects, self._sources.index, look.rows, look.now)

    @property
    def _url(self) -> str:
        return shown(without_secrets(self._sources.lake.url), CELL)

    def _look(self) -> _Look:
        return _Look(self._sources, self._may_read)


class _Look:
    """One look at the lake's state, at one moment, by one person."""

    def __init__(self, sources: Sources, may_read: MayRead | None) -> None:
        self.read, self.rows, self._schedules_failed = sources.look()
        self.now, self._may_read = self.rows.now, may_read

    @cached_property
    def visible(self) -> frozenset[str]:
        """Return the names of the tables that may be seen."""
        return frozenset(visible_tables(self.rows, self._may_read))

    @property
    def limits(self) -> frozenset[str] | None:
        """Return the tables beyond which nothing may be seen; None for who may see every table, and what belongs to none (no name)."""
        if self._may_read is None:
            return None
        everything = self.read.at is not None and self.visible == self.rows.names and self._may_read("")
        return None if everything else self.visible

    @property
    def problems(self) -> list[Problem]:
        """Return what cannot be read, as far as it may be told."""
        found = problems_of(self.rows.state, self.visible, self.read, self._may_read)
        return [*found, self._schedules_failed] if self._schedules_failed else found

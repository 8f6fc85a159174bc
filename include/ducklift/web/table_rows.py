"""One table as the overview lists it: its state, the reason for it, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ducklift.lake.attempts import FailedLoad, standing_failures
from ducklift.web.digests import SERIES, Mark, TableDigest
from ducklift.web.freshness import freshness_of, watermark_of
from ducklift.web.lake_state import LakeState
from ducklift.web.pipelines import PipelineTable
from ducklift.web.schedules import Schedule
from ducklift.web.views.overview import SeriesPoint, TableRow
from ducklift.web.views.places import load_path, table_path
from ducklift.web.views.states import Freshness, LoadState, TableState
from ducklift.web.views.texts import NAME, shown, span

# What a person chose in a form once and got wrong is not asked for again: it fails a table for a day.
_UNCONFIGURED_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Which pipelines a table has to do with; `tables` and `schedules` are of those that have a file, or a schedule."""

    names: tuple[str, ...]
    tables: Mapping[str, PipelineTable]
    schedules: Mapping[str, Schedule]
    target: str

    def configures(self, stream: str) -> bool:
        """Return whether a pipeline file names the stream."""
        return any(stream in table.streams for table in self.tables.values())

    @property
    def cursor(self) -> str | None:
        """Return what the cursor is called in the table."""
        return next((table.cursor for table in self.tables.values() if table.cursor), None)


class TableRows:
    """Makes the rows of all tables of a state, at one moment. `schedules` are by pipeline."""

    def __init__(self, state: LakeState, schedules: Mapping[str, Schedule], now: datetime) -> None:
        self.state, self.schedules, self.now, self.now_s = state, schedules, now, now.timestamp()
        self._rows: dict[str, TableRow] = {}
        self._files: dict[str, dict[str, PipelineTable]] = {}
        for name, facts in state.pipelines.items():
            for table, found in facts.tables.items():
                self._files.setdefault(table, {})[name] = found

    @cached_property
    def names(self) -> frozenset[str]:
        """Return the names of all tables that somebody loaded, failed to load, or means to."""
        return frozenset({*self.state.tables, *self.state.unreadable, *self.state.failed, *self._files})

    def sources_of(self, name: str) -> Sources:
        """Return the pipelines of a table, from its loads, its failures and the pipeline files."""
        digest, files = self.state.tables.get(name), self._files.get(name, {})
        told = (*digest.streams, *((pipeline, stream) for pipeline, stream, _ in digest.watermarks)) if digest else ()
        loaded = {pipeline for pipeline, _ in told if pipeline}
        failed = {load.pipeline for load in self.state.failed.get(name, ()) if load.pipeline}
        names = tuple(sorted({*loaded, *failed, *files}))
        in_lake = any(self.state.pipelines[pipeline].target == "lake" for pipeline in files)
        schedules = {pipeline: self.schedules[pipeline] for pipeline in names if pipeline in self.schedules}
        return Sources(names, files, schedules, "lake" if in_lake else "warehouse")

    def texts_of(self, name: str) -> str:
        """Return the names by which a table is found: its own, its pipelines', its streams'."""
        digest = self.state.tables.get(name)
        loaded = [stream for _, stream in digest.streams] if digest else []
        failed = [load.stream for load in self.state.failed.get(name, ())]
        configured = [stream for table in self._files.get(name, {}).values() for stream in table.streams]
        return " ".join((name, *self.sources_of(name).names, *loaded, *failed, *configured)).casefold()

    def standing(self, name: str, sources: Sources) -> list[FailedLoad]:
        """Return the failures of a table that nothing came after, newest first."""
        digest = self.state.tables.get(name)
        failed = self.state.failed.get(name, ())
        if not failed:
            return []
        newest = {stream: datetime.fromtimestamp(mark.at_s, UTC) for stream, mark in digest.streams.items()} if digest else {}
        committed = {mark.load_id: datetime.fromtimestamp(mark.at_s, UTC) for mark in digest.series} if digest else {}
        since_s = digest.listed_since_s if digest else 0.0
        return [load for load in standing_failures(failed, newest, committed) if self._counts(load, sources, since_s)]

    def _counts(self, load: FailedLoad, sources: Sources, listed_since_s: float) -> bool:
        at_s = load.last.at.timestamp()
        return at_s >= listed_since_s and (sources.configures(load.stream) or self.now_s - at_s < _UNCONFIGURED_S)

    def row(self, name: str) -> TableRow:
        """Return the row of a table, without its series; made once for all who look at this moment."""
        found = self._rows.get(name)
        if found is None:
            found = self._rows[name] = self._made(name)
        return found

    def _made(self, name: str) -> TableRow:
        sources, digest = self.sources_of(name), self.state.tables.get(name)
        failures = self.standing(name, sources)
        tables, schedules = list(sources.tables.values()), list(sources.schedules.values())
        freshness = freshness_of(digest, self.now_s, tables, schedules) if digest else Freshness()
        gaps = [stream for (_, stream), mark in digest.streams.items() if mark.gap] if digest else []
        state, reason = self._state(name, digest, failures, gaps, freshness)
        streams = {stream for _, stream in digest.streams} if digest else set()
        streams.update(stream for table in tables for stream in table.streams)
        return TableRow(
            name=name,
            dataset=name.partition(".")[0],
            path=table_path(name),
            state=state,
            reason=reason,
            pipelines=tuple(shown(pipeline, NAME) for pipeline in sources.names),
            streams=len(streams),
            failing_streams=len({load.stream for load in failures}.union(gaps)),
            target=sources.target,
            freshness=freshness,
            **(self._figures(name, digest, sources) if digest else {}),
        )

    def with_series(self, row: TableRow) -> TableRow:
        """Return a row with its last loads; those are made for the rows alone that are shown."""
        return replace(row, series=self.series(row.name))

    def _figures(self, name: str, digest: TableDigest, sources: Sources) -> dict[str, Any]:
        figures = {
            "rows": digest.rows,
            "bytes": digest.bytes,
            "quarantined": digest.quarantined,
            "watermark": watermark_of(digest.watermarks, sources.cursor, self.now_s),
        }
        if (last := digest.last) is None:
            return figures
        loaded_at = datetime.fromtimestamp(last.at_s, UTC)
        path = load_path(name, last.load_id)
        return {
            **figures,
            "change": last.change,
            "changed": last.changed,
            "loaded_at": loaded_at,
            "load_id": last.load_id,
            "load_path": path,
        }

    def _state(
        self, name: str, digest: TableDigest | None, failures: list[FailedLoad], gaps: list[str], freshness: Freshness
    ) -> tuple[TableState, str]:
        if (problem := self.state.unreadable.get(name)) is not None:
            return TableState.UNREADABLE, problem.cause
        if failures:
            return TableState.FAILING, _told(failures)
        if gaps:
            others = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
            return TableState.FAILING, f"{shown(gaps[0], NAME)}{others}: the source could not reach back to the watermark."
        if digest is None or digest.last is None:
            return TableState.WAITING, "Nothing was loaded yet."
        return _by_age(freshness)

    def series(self, name: str) -> tuple[SeriesPoint, ...]:
        """Return a table's last loads, failed ones that never came through among them, oldest first."""
        digest = self.state.tables.get(name)
        marks = list(digest.series) if digest else []
        came_through = {mark.load_id for mark in marks}
        oldest_s = marks[0].at_s if len(marks) == SERIES else 0.0
        for load in self.state.failed.get(name, ()):
            at_s = load.last.at.timestamp()
            if load.load_id not in came_through and load.mended_at is None and at_s >= oldest_s:
                marks.append(Mark(load.load_id, at_s, LoadState.FAILED, 0))
        marks = sorted(marks, key=lambda mark: mark.at_s)[-SERIES:]
        most = max((mark.rows for mark in marks), default=0) or 1
        return tuple(
            SeriesPoint(
                load_id=mark.load_id,
                at=datetime.fromtimestamp(mark.at_s, UTC),
                state=mark.state,
                rows=mark.rows,
                height=round(mark.rows / most, 4),
                path=load_path(name, mark.load_id),
            )
            for mark in marks
        )


def _told(failures: list[FailedLoad]) -> str:
    load = failures[0]
    streams = len({failed.stream for failed in failures})
    others = f" {streams - 1} more streams fail." if streams > 2 else " One more stream fails." if streams == 2 else ""
    tries = "1 try" if len(load.tries) == 1 else f"{len(load.tries)} tries"
    return f"{shown(load.stream or 'unknown stream', NAME)} failed at {load.last.step} ({load.last.error}, {tries}).{others}"


def _by_age(freshness: Freshness) -> tuple[TableState, str]:
    if freshness.target_s is None or freshness.age_s is None:
        return TableState.UNTARGETED, "Nothing tells how often it should be loaded: no freshness check, no schedule, too few loads."
    what = "The last load is" if freshness.measured == "last load" else f"The newest {freshness.measured} is"
    sources = {"check": "a check allows", "schedule": "its schedule allows", "observed": "its usual cadence allows"}
    told = f"{what} {span(max(freshness.age_s, 0))} old; {sources[freshness.origin]} {span(freshness.target_s)}."
    return (TableState.LATE if freshness.late else TableState.FRESH), told

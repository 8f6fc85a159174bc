"""A table's page, from its snapshot, the manifests of its newest loads, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from ducklift.errors import DuckliftError
from ducklift.lake.commits import Snapshot, parse_snapshot
from ducklift.lake.curated import CurrentVersion
from ducklift.lake.layout import current_key, manifest_key, snapshot_key
from ducklift.lake.store import Store
from ducklift.specs import TableName
from ducklift.web import table_parts
from ducklift.web.objects import FOR_EVER, Found, Objects, Wanted
from ducklift.web.table_rows import TableRows
from ducklift.web.timeline import Timeline
from ducklift.web.views.loads import LoadRow
from ducklift.web.views.queries import TableQuery
from ducklift.web.views.states import Problem, Read
from ducklift.web.views.tables import NO_SAMPLE, AssetView, CuratedView, LineageRow, TableView
from ducklift.web.views.texts import CELL, MESSAGE, NAME, shown

LINEAGE_LOADS, GROWTH_LOADS = 20, 200
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
_AGAIN = "Open the page again in a moment; if it stays, see `ducklift doctor`."


class TablePages:
    """Makes the pages of tables at one moment."""

    def __init__(self, lake: Store, objects: Objects, rows: TableRows, now: datetime) -> None:
        self._lake, self._objects, self._rows, self._now = lake, objects, rows, now

    def page(self, table: TableName, query: TableQuery, read: Read, assets: Sequence[AssetView]) -> TableView:
        """Return the page of a table; what cannot be read of it is a problem on it."""
        name = str(table)
        problems: list[Problem] = []
        snapshot, curated = self._published(table, problems)
        sources = self._rows.sources_of(name)
        # A file may have called a column personal since the snapshot was published.
        personal = self._personal(name)
        if snapshot is not None and name in self._rows.state.private:
            snapshot = table_parts.without_private(snapshot, personal)
        standing = self._rows.standing(name, sources)
        head = self._rows.with_series(self._rows.row(name))
        if (unreadable := self._rows.state.unreadable.get(name)) is not None:
            problems = [unreadable]
        now_s = self._rows.now_s
        timeline = Timeline.of(table, snapshot, self._rows.state.failed.get(name, ()), now_s)
        recent = timeline.recent
        loads, pages, unread = timeline.page(query.page, self._lake, self._objects, now_s)
        failing = frozenset((load.pipeline, load.stream) for load in standing)
        streams, more = table_parts.streams(snapshot.watermarks if snapshot else {}, recent, failing, sources, now_s)
        shape = snapshot or _nothing(name, self._now)
        columns, column_pages = table_parts.columns(shape, query)
        return TableView(
            read=read,
            table=head,
            snapshot_at=snapshot.published_at if snapshot else None,
            snapshot_age_s=(self._now - snapshot.published_at).total_seconds() if snapshot else None,
            sequence=shape.sequence,
            approximate=shape.approximate,
            growth=table_parts.growth(recent[:GROWTH_LOADS], head.freshness),
            loads=tuple(loads),
            pages=pages,
            older_reading=False,
            streams=streams,
            streams_more=more,
            columns=columns,
            column_pages=column_pages,
            schema_changes=table_parts.schema_changes(name, shape),
            preview=table_parts.preview(shape, self._hidden(personal, shape)),
            quarantine=table_parts.quarantine(name, shape),
            lineage=self._lineage(table, timeline.listed, problems),
            gaps=table_parts.gaps(name, shape),
            curated=self._curated(curated, shape),
            assets=tuple(assets),
            problems=(*problems, *unread),
            query=query,
        )

    def _published(self, table: TableName, problems: list[Problem]) -> tuple[Snapshot | None, CurrentVersion | None]:
        """Return the snapshot and what is published; both are asked for at once."""
        name, key = str(table), snapshot_key(table)
        wanted = {"curated": Wanted(current_key(table))}
        kept = self._rows.state.snapshots.get(key)
        if kept is not None and name not in self._rows.state.unreadable:
            wanted["snapshot"] = Wanted(key, kept.mark)
        answers = self._objects.read(wanted)
        snapshot = curated = None
        try:
            data = _data(answers.get("snapshot"))
            found = parse_snapshot(data, self._lake.url_of(key)) if data is not None else None
            Timeline.of(table, found, (), self._rows.now_s)  # its loads are plain JSON, which may be anything
            snapshot = found
        except (DuckliftError, *_DAMAGED) as err:
            problems.append(Problem(f"The snapshot of {name} cannot be read", _cause(err), _AGAIN, name))
        try:
            curated = _current(_data(answers["curated"]))
        except (DuckliftError, *_DAMAGED) as err:
            fix = f"Publish it again: ducklift publish {name}"
            problems.append(Problem(f"What is published of {name} cannot be read", _cause(err), fix, name))
        return snapshot, curated

    def _personal(self, name: str) -> frozenset[str]:
        """Return the table's columns that are personal by the pipeline files of now."""
        return frozenset(column for facts in self._rows.state.pipelines.values() for column in facts.personal.get(name, ()))

    def _hidden(self, personal: frozenset[str], snapshot: Snapshot) -> NO_SAMPLE | None:
        if not snapshot.columns or snapshot.sample:
            return None
        return "personal" if personal else "off"

    def _curated(self, current: CurrentVersion | None, snapshot: Snapshot) -> CuratedView | None:
        if current is None:
            return None
        return CuratedView(
            version=shown(current.version, NAME),
            published_at=current.published_at,
            age_s=(self._now - current.published_at).total_seconds(),
            rows=current.rows,
            files=len(current.files),
            bytes=sum(file.size_bytes for file in current.files),
            partition_by=tuple(shown(name, NAME) for name in current.partition_by),
            versions=tuple(shown(version, NAME) for version in current.versions),
            url=shown(self._lake.url_of(f"curated/{current.table.dataset}/{current.table.table}/{current.version}/"), CELL * 2),
            behind=max(snapshot.sequence - current.sequence, 0),
        )

    def _lineage(self, table: TableName, listed: Sequence[LoadRow], problems: list[Problem]) -> tuple[LineageRow, ...]:
        """Return where the rows of the newest loads came from; rows are accounted for by load, so each load is a row here."""
        loads = [row for row in listed if row.manifest_path and row.files][:LINEAGE_LOADS]
        answers = self._objects.read({row.load_id: Wanted(manifest_key(table, row.load_id), FOR_EVER) for row in loads})
        found = []
        for row in loads:
            try:
                data = _data(answers[row.load_id])
                files = orjson.loads(data)["files"] if data is not None else []
                if files:
                    found.append(_lineage_row(row, files))
            except (DuckliftError, *_DAMAGED) as err:
                name, cause = str(table), _cause(err)
                problems.append(
                    Problem(f"The manifest of {row.load_id} cannot be read", cause, "Restore the object, or extract again.", name)
                )
        return tuple(found)


def _lineage_row(row: LoadRow, files: Sequence[Mapping[str, Any]]) -> LineageRow:
    first = files[0]
    return LineageRow(
        source=shown(str((first.get("origin") or {}).get("url") or row.stream), CELL * 2),
        files=len(files),
        raw=shown(str(first["key"]), CELL * 2),
        size_bytes=row.bytes,
        load_id=row.load_id,
        path=row.path,
        rows_extracted=row.rows_extracted,
        rows_loaded=row.rows_loaded,
        rows_quarantined=row.rows_quarantined,
    )


def _data(answer: Found | DuckliftError | None) -> bytes | None:
    if isinstance(answer, DuckliftError):
        raise answer
    return answer.data if answer is not None else None


def _cause(err: Exception) -> str:
    return shown(str(err), MESSAGE) if isinstance(err, DuckliftError) else "It was damaged outside Ducklift."


def _current(data: bytes | None) -> CurrentVersion | None:
    return CurrentVersion.model_validate(orjson.loads(data)) if data is not None else None


def _nothing(name: str, now: datetime) -> Snapshot:
    return Snapshot(table=name, sequence=0, published_at=now, rows=0)

"""A load's page, and what may be downloaded of it: its commit record, its manifest, the notes of its failed tries."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar

from ducklift.errors import DuckliftError, LakeUnavailable
from ducklift.lake.attempts import FailedLoad, parse_failed_load, without_quotes
from ducklift.lake.commits import CommitRecord, Snapshot, parse_snapshot, read_commit
from ducklift.lake.expiry import Expiry
from ducklift.lake.layout import attempts_key, commit_key, commit_prefix, expired_key, manifest_key, snapshot_key, swept_key
from ducklift.lake.manifest import Manifest, read_manifest
from ducklift.lake.store import Store
from ducklift.specs import TableName
from ducklift.web import load_parts
from ducklift.web.digests import later_extraction, superseded
from ducklift.web.load_rows import attempt_view, committed_row, failed_row, record_row
from ducklift.web.objects import FOR_EVER, Found, Objects, Wanted
from ducklift.web.reader import Download
from ducklift.web.refreshed import Refreshed
from ducklift.web.table_rows import TableRows
from ducklift.web.views.loads import LoadView
from ducklift.web.views.queries import LoadQuery, Pages
from ducklift.web.views.states import Problem, Read
from ducklift.web.views.texts import MESSAGE, NAME, shown, shown_or_none

T = TypeVar("T")
_LOAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_UNFIT_FOR_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_CHUNK = 1 << 20
_AGAIN = "Open the page again in a moment; if it stays, see `ducklift doctor`."


def is_load_id(text: str) -> bool:
    """Return whether a text may be a load's id, and so be part of a key."""
    return _LOAD_ID.fullmatch(text) is not None and ".." not in text


class CommitIndex:
    """Where in a table's order each of its loads stands, for loads that no snapshot lists any more; of a few tables at a time."""

    def __init__(self, lake: Store, *, kept_s: float = 300.0, patience_s: float = 5.0, tables: int = 4) -> None:
        self._lake, self._kept_s, self._patience_s, self._tables = lake, kept_s, patience_s, tables
        self._lock = Lock()
        self._known: OrderedDict[TableName, Refreshed[dict[str, int]]] = OrderedDict()

    def sequence(self, table: TableName, load_id: str) -> int | None:
        """Return a load's place, or None; raises `LakeUnavailable` while the names of the table's commits are being read."""
        return self._places(table).get(load_id)

    def load_ids(self, table: TableName) -> Collection[str]:
        """Return the ids of all loads; raises `LakeUnavailable` like `sequence`."""
        return self._places(table).keys()

    def _places(self, table: TableName) -> Mapping[str, int]:
        with self._lock:
            found = self._known.pop(table, None) or self._made(table)
            self._known[table] = found
            while len(self._known) > self._tables:
                self._known.popitem(last=False)
        held = found.held()
        if held.value is None:
            cause = held.failed.cause if held.failed else "the list of the table's loads is being read, which takes a while the first time"
            raise LakeUnavailable(self._lake.url_of(commit_prefix(table)), cause)
        return held.value

    def _made(self, table: TableName) -> Refreshed[dict[str, int]]:
        prefix = commit_prefix(table)

        def read(_: dict[str, int] | None) -> dict[str, int]:
            names = (found.key.removeprefix(prefix).removesuffix(".json") for found in self._lake.walk(prefix))
            return {load_id: int(place) for place, _, load_id in (name.partition("-") for name in names) if place.isdigit()}

        return Refreshed(f"Listing the loads of {table}", read, kept_s=self._kept_s, patience_s=self._patience_s, newer_s=0.0)


@dataclass(frozen=True)
class _Traces:
    """What the lake tells of a load; all None where there is no trace of it."""

    listed: Mapping[str, Any] | None
    record: CommitRecord | None
    manifest: Manifest | None
    landed_at: datetime | None
    failed: FailedLoad | None
    expired: Expiry | None
    problems: tuple[Problem, ...]


class LoadPages:
    """Makes the pages of loads at one moment."""

    def __init__(self, lake: Store, objects: Objects, index: CommitIndex, rows: TableRows, now: datetime) -> None:
        self._lake, self._objects, self._index, self._rows, self._now = lake, objects, index, rows, now

    def page(self, table: TableName, load_id: str, query: LoadQuery, read: Read) -> LoadView | None:
        """Return the page of a load, or None where there is no trace of it."""
        snapshot = self._snapshot(table)
        traces = self._traces(table, load_id, snapshot)
        now_s, gone = self._rows.now_s, superseded(snapshot.loads if snapshot else ())
        if traces.record is not None:
            if traces.listed is None and (later := self._later(table, load_id, snapshot)) is not None:
                gone = {load_id: later, **gone}
            row = record_row(traces.record, gone, now_s, traces.failed)
        elif traces.listed is not None:
            row = committed_row(str(table), traces.listed, gone, now_s, traces.failed)
        elif traces.failed is not None and traces.failed.tries:
            row = failed_row(str(table), traces.failed, now_s)
        else:
            return None
        record, manifest = traces.record, traces.manifest
        files, pages = load_parts.files(manifest, query.page, traces.expired is not None) if manifest else ((), Pages.of(1, 0, 1))
        return LoadView(
            read=read,
            load=row,
            came_in=load_parts.came_in(manifest) if manifest else (),
            flow=load_parts.flow(record) if record is not None and record.manifest else None,
            files=files,
            pages=pages,
            query=query,
            steps=load_parts.steps(manifest, traces.landed_at, record) if manifest else (),
            attempts=tuple(attempt_view(one, now_s) for one in reversed(traces.failed.tries)) if traces.failed else (),
            gap=(shown(str(record.gap[0])), shown(str(record.gap[1]))) if record is not None and record.gap else None,
            watermark=shown_or_none(record.watermark) if record is not None else None,
            supersedes=tuple(shown(one, NAME) for one in record.supersedes[:50]) if record is not None else (),
            schema_changes=load_parts.schema_changes(record.schema_changes) if record is not None else (),
            expired=_told(traces.expired),
            manifest_sha256=record.manifest_sha256 if record is not None else None,
            problems=traces.problems,
        )

    def manifest(self, table: TableName, load_id: str) -> bytes | None:
        """Return a load's manifest as it lies in the lake, or None."""
        return self._lake.read(manifest_key(table, load_id))

    def file(self, table: TableName, load_id: str, number: int) -> Download | None:
        """Open one raw file of a load, in its swept version where a sweep touched it; None for what is not in the lake."""
        for key in (swept_key(table, load_id), manifest_key(table, load_id)):
            data = self._lake.read(key)
            if data is not None:
                break
        else:
            return None
        files = read_manifest(data, self._lake.url_of(key)).files
        if not 0 <= number < len(files) or files[number].in_place or not files[number].key.startswith("raw/"):
            return None
        found = files[number].key
        stored = self._lake.stat(found)
        if stored is None:
            return None
        return Download(_UNFIT_FOR_A_NAME.sub("_", found.rpartition("/")[2])[-120:], stored.size_bytes, _chunks(self._lake, found))

    def _snapshot(self, table: TableName) -> Snapshot | None:
        key = snapshot_key(table)
        kept = self._rows.state.snapshots.get(key)
        if kept is None or str(table) in self._rows.state.unreadable:
            return None
        answer = self._objects.read({"snapshot": Wanted(key, kept.mark)})["snapshot"]
        data = answer.data if isinstance(answer, Found) else None
        return parse_snapshot(data, self._lake.url_of(key)) if data is not None else None

    def _older(self, table: TableName, load_id: str, snapshot: Snapshot | None) -> int | None:
        """Return the place of a load that the snapshot does not list; one that failed may have come through before those it lists."""
        noted = any(load.load_id == load_id for load in self._rows.state.failed.get(str(table), ()))
        all_listed = snapshot is None or not snapshot.loads or int(snapshot.loads[-1]["sequence"]) <= 1
        return None if noted and all_listed else self._index.sequence(table, load_id)

    def _later(self, table: TableName, load_id: str, snapshot: Snapshot | None) -> str | None:
        listed = [str(load["load_id"]) for load in (snapshot.loads if snapshot else ())]
        return later_extraction(load_id, [*self._index.load_ids(table), *listed])

    def _traces(self, table: TableName, load_id: str, snapshot: Snapshot | None) -> _Traces:
        listed = next((load for load in (snapshot.loads if snapshot else ()) if load["load_id"] == load_id), None)
        sequence = int(listed["sequence"]) if listed else self._older(table, load_id, snapshot)
        wanted = {
            "manifest": Wanted(manifest_key(table, load_id), FOR_EVER, timed=True),
            "swept": Wanted(swept_key(table, load_id)),
            "attempts": Wanted(attempts_key(table, load_id)),
            "expired": Wanted(expired_key(table, load_id)),
        }
        if sequence is not None:
            wanted["record"] = Wanted(commit_key(table, sequence, load_id), FOR_EVER)
        answers = self._objects.read(wanted)
        problems: list[Problem] = []

        def parsed(name: str, what: str, parse: Callable[[bytes, str], T]) -> T | None:
            answer = answers.get(name)
            if answer is None or (isinstance(answer, Found) and answer.data is None):
                return None
            try:
                if isinstance(answer, DuckliftError):
                    raise answer
                return parse(answer.data or b"", self._lake.url_of(wanted[name].key))
            except (DuckliftError, ValueError) as err:
                cause = shown(str(err) if isinstance(err, DuckliftError) else "It was damaged outside Ducklift.", MESSAGE)
                problems.append(Problem(f"{what} cannot be read", cause, _AGAIN, str(table)))
                return None

        landed, failed = answers["manifest"], parsed("attempts", "The note of its failed tries", parse_failed_load)
        if failed is not None and str(table) in self._rows.state.private:
            failed = without_quotes(failed)
        manifest = parsed("swept", "The manifest of the swept files", read_manifest) or parsed("manifest", "The manifest", read_manifest)
        return _Traces(
            listed=listed,
            record=parsed("record", "The commit record", read_commit),
            manifest=manifest,
            landed_at=landed.modified if isinstance(landed, Found) else None,
            failed=failed,
            expired=parsed("expired", "The note of its expiry", lambda data, _: Expiry.model_validate_json(data)),
            problems=tuple(problems),
        )


def _told(expired: Expiry | None) -> str | None:
    if expired is None:
        return None
    why = "the pipeline keeps raw files no longer" if expired.why == "retention" else "a later load took this one's place"
    return f"Deleted on {expired.expired_at:%Y-%m-%d %H:%M} UTC: {why}."


def _chunks(lake: Store, key: str) -> Iterator[bytes]:
    with lake.opened(key) as source:
        while chunk := source.read(_CHUNK):
            yield chunk

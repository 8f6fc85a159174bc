"""The order of commits to a table that lives in the lake alone: each claims the next place by an object that only one can create.

A commit is done when its place is claimed; the commit record, the mark by load id and the snapshot follow, put by whoever comes by. The
snapshot of place n is put only when everything up to n is, so that one that is behind costs a few reads and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from ducklift.cursors import latest
from ducklift.errors import ContractBroken, FilesTaken, ManifestConflict
from ducklift.failpoints import reach
from ducklift.lake.commits import (
    LOAD,
    RECENT_LOADS,
    CommitRecord,
    Snapshot,
    publish_snapshot,
    read_commit,
    read_commits,
    read_snapshot,
    record_bytes,
    superseded_loads,
)
from ducklift.lake.layout import commit_key, committed_key, order_key
from ducklift.lake.loaded_files import commits_in_lake, loaded_files
from ducklift.lake.manifest import Manifest
from ducklift.lake.store import Store
from ducklift.specs import TableName
from ducklift.summary import COUNT_NAMES

Make = Callable[[Snapshot | None], CommitRecord]
_TOLD = (
    "load_id", "kind", "pipeline", "stream", "state", "sequence", "loaded_at", "seconds", "bytes", "files", "total_rows", *COUNT_NAMES,
    "slice_start", "slice_end", "gap", "supersedes", "airflow",
)  # fmt: skip


def current_snapshot(lake: Store, table: TableName, target: str) -> Snapshot | None:
    """Return a table's state: as published, and for a table in the lake alone with the commits that were not published yet."""
    known = read_snapshot(lake, table)
    if target != "lake":
        return known
    while (claimed := lake.read(order_key(table, (known.sequence if known else 0) + 1))) is not None:
        known = _after(known, read_commit(claimed, "a claim"))
    return known


def commit_package(lake: Store, manifest: Manifest, manifest_sha256: str, url: str) -> tuple[CommitRecord, bool]:
    """Commit a landed package to its table in the lake; return the record, and whether it was there already.

    One that was there tells of the table's rows of now.

    Raises `ContractBroken` for an empty replacement that is not allowed, `ManifestConflict` when the load id stands for another manifest.
    """
    known = read_snapshot(lake, manifest.table)
    # In this order: what the snapshot covers is marked by load id, everything else is met on the way to the next free place.
    marked = lake.read(committed_key(manifest.table, manifest.load_id))
    if marked is not None:
        record = _same(read_commit(marked, url), manifest_sha256)
        return (record.model_copy(update={"total_rows": known.rows}) if known else record), True
    if _replaces(manifest) and not manifest.rows and not manifest.spec.allow_empty:
        raise ContractBroken(str(manifest.table), "an empty extraction would empty the table. Set allow_empty: true where that is meant.")
    return _claim(lake, known, manifest.table, lambda state: _record(lake, state, manifest, manifest_sha256, url))


def reset_stream(lake: Store, table: TableName, known: Snapshot | None, record: CommitRecord) -> CommitRecord:
    """Commit a reset of a stream's watermark to a table in the lake."""
    return _claim(
        lake, known, table, lambda state: record.model_copy(update={"sequence": _next(state), "total_rows": state.rows if state else 0})
    )[0]


def _claim(lake: Store, known: Snapshot | None, table: TableName, make: Make) -> tuple[CommitRecord, bool]:
    while True:
        record = make(known)
        found = read_commit(lake.create(order_key(table, record.sequence), record_bytes(record)), "a claim")
        reach("commit.place_claimed")
        known = _after(known, found)
        _complete(lake, found, known)
        if found.load_id == record.load_id:
            return _same(found, record.manifest_sha256), found.loaded_at != record.loaded_at


def _complete(lake: Store, record: CommitRecord, snapshot: Snapshot) -> None:
    table = record.table_name
    lake.create(commit_key(table, record.sequence, record.load_id), record_bytes(record))
    reach("commit.recorded")
    lake.create(committed_key(table, record.load_id), record_bytes(record))
    reach("commit.marked")
    publish_snapshot(lake, table, snapshot)


def _same(record: CommitRecord, manifest_sha256: str | None) -> CommitRecord:
    if record.manifest_sha256 != manifest_sha256:
        raise ManifestConflict(record.load_id, "the lake's commit", record.manifest_sha256 or "", manifest_sha256 or "")
    return record


def _replaces(manifest: Manifest) -> bool:
    return manifest.spec.disposition == "replace" or manifest.replaces_stream


def _next(known: Snapshot | None) -> int:
    return known.sequence + 1 if known else 1


def _refuse_known_files(lake: Store, manifest: Manifest) -> None:
    """Raise `FilesTaken` when another load brought the same files meanwhile: in a lake alone, nothing can leave them out any more."""
    if _replaces(manifest) or manifest.supersedes or not any(file.origin for file in manifest.files):
        return
    known = loaded_files(lake, manifest.table, manifest.pipeline, commits_in_lake(lake, manifest.table))
    if taken := known.among(manifest.files):
        raise FilesTaken(manifest.load_id, taken[0].source, len(taken))


def _record(lake: Store, known: Snapshot | None, manifest: Manifest, sha256: str, url: str) -> CommitRecord:
    _refuse_known_files(lake, manifest)
    watermark = known.watermark_of(manifest.pipeline, manifest.stream) if known else None
    if manifest.replaces_stream:
        watermark = manifest.greatest_cursor if manifest.moves_watermark else None
    elif manifest.moves_watermark:
        watermark = latest(watermark, manifest.greatest_cursor)
    record = CommitRecord(
        kind=LOAD,
        sequence=_next(known),
        load_id=manifest.load_id,
        pipeline=manifest.pipeline,
        stream=manifest.stream,
        dataset=manifest.table.dataset,
        table=manifest.table.table,
        state="loaded" if manifest.rows else "empty",
        manifest=url,
        manifest_sha256=sha256,
        rows_extracted=manifest.rows,
        rows_inserted=manifest.rows,
        bytes=manifest.size_bytes,
        files=len(manifest.files),
        slice_start=manifest.slice.start,
        slice_end=manifest.slice.end,
        extracted_at=manifest.extracted_at,
        loaded_at=datetime.now(UTC),
        watermark=watermark,
        gap=manifest.gap,
        supersedes=manifest.supersedes,
        replaces_stream=manifest.replaces_stream,
        target="lake",
        spec=manifest.spec.model_dump(mode="json", by_alias=True),
        airflow=manifest.airflow,
    )
    return record.model_copy(update={"total_rows": _total_rows(lake, known, record)})


def _total_rows(lake: Store, known: Snapshot | None, record: CommitRecord) -> int:
    if known is None or record.spec["disposition"] == "replace":
        return record.rows_extracted
    if not record.supersedes and not record.replaces_stream:
        return known.rows + record.rows_extracted
    records = [*read_commits(lake, record.table_name), record]
    return sum(found.rows_extracted for found in live_commits(records))


def live_commits(records: list[CommitRecord]) -> list[CommitRecord]:
    """Return the loads whose files make a table in the lake, in order: those that nothing superseded and no later replacement hides."""
    return _followed(records)[0]


def hidden_loads(records: list[CommitRecord]) -> dict[str, str]:
    """Return which loads of a table in the lake a replacement hides, and which one hid each first."""
    return _followed(records)[1]


def _followed(records: list[CommitRecord]) -> tuple[list[CommitRecord], dict[str, str]]:
    superseded = superseded_loads(records)
    live: list[CommitRecord] = []
    hidden: dict[str, str] = {}
    for record in records:
        if record.kind != LOAD or record.load_id in superseded:
            continue
        if record.spec["disposition"] == "replace":
            hidden |= {earlier.load_id: record.load_id for earlier in live}
            live = []
        live.append(record)
    return live, hidden


def _after(known: Snapshot | None, record: CommitRecord) -> Snapshot:
    """Return the state after one more commit."""
    watermarks = dict(known.watermarks) if known else {}
    stream = f"{record.pipeline}/{record.stream}"
    watermarks.pop(stream, None)
    if record.watermark is not None:
        watermarks[stream] = record.watermark
    told = {name: value for name, value in record.model_dump(mode="json").items() if name in _TOLD}
    return Snapshot(
        table=str(record.table_name),
        sequence=record.sequence,
        published_at=datetime.now(UTC),
        rows=record.total_rows or 0,
        watermarks=watermarks,
        loads=(told, *(known.loads if known else ()))[:RECENT_LOADS],
    )

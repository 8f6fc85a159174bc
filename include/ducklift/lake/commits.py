"""What was committed, in order, and each table's published snapshot: all that a reader or a rebuild needs without a warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from pydantic import Field, ValidationError

from ducklift.errors import HistoryBroken, ManifestUnreadable
from ducklift.failpoints import reach
from ducklift.lake.layout import COMMITS, commit_key, commit_prefix, snapshot_key
from ducklift.lake.manifest import Cursor, Slice
from ducklift.lake.store import Store
from ducklift.specs import Spec, TableName, TableSpec
from ducklift.summary import COUNT_NAMES, LoadSummary, State

SNAPSHOT_VERSION = 2  # 1: without quarantined records, histories of columns, and where loads came from
COMMIT_VERSION = 1
RECENT_LOADS = 200
SNAPSHOT_DAMAGED = "it was damaged outside Ducklift. Delete it: the next load publishes it anew from the warehouse."
LOAD, RESET, SWEEP = "load", "reset", "sweep"


class CommitRecord(Spec):
    """One commit to a table: a whole row of the ledger, so that a rebuild writes it as it was. Nothing in it is computed again.

    `kind` tells what changed the table's state. `supersedes` names loads whose effect this one removed; `replaces_stream` says that it
    removed every earlier load of its stream. `columns` holds the table's columns and types, and `schema_changes` what was recorded of them,
    when this commit changed them. `reached` is the greatest cursor of a load that left the watermark where it was, since it read one
    interval by itself: a longer reading that comes there later meets its rows again.
    """

    commit_version: int = COMMIT_VERSION
    kind: str = LOAD
    sequence: int
    load_id: str
    pipeline: str
    stream: str
    dataset: str
    table: str
    state: str
    manifest: str | None = None
    manifest_sha256: str | None = None
    rows_extracted: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_deleted: int = 0
    rows_deduplicated: int = 0
    rows_quarantined: int = 0
    total_rows: int | None = None
    bytes: int = 0
    files: int = 0
    slice_start: datetime | None = None
    slice_end: datetime | None = None
    extracted_at: datetime | None = None
    loaded_at: datetime
    seconds: float = 0.0
    watermark: Cursor | None = None
    gap: tuple[Cursor, Cursor] | None = None
    supersedes: tuple[str, ...] = ()
    replaces_stream: bool = False
    reached: Cursor | None = None
    target: str = "warehouse"
    columns: dict[str, str] | None = None
    spec: dict[str, Any]
    airflow: dict[str, Any] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    schema_changes: tuple[dict[str, str | None], ...] = ()

    @property
    def table_name(self) -> TableName:
        """Return the table that was changed."""
        return TableName(dataset=self.dataset, table=self.table)

    @property
    def table_spec(self) -> TableSpec:
        """Return the specification by which it was loaded."""
        return TableSpec.model_validate(self.spec)

    @property
    def cursor(self) -> str:
        """Return the name of the cursor field, or an empty text."""
        return str((self.spec.get("incremental") or {}).get("cursor", ""))

    def as_summary(self, state: State | None = None) -> LoadSummary:
        """Return what the commit did, as a load's summary; one that was there already brought no rows."""
        counts = {} if state == "already_loaded" else {name: getattr(self, name) for name in COUNT_NAMES}
        return LoadSummary(
            **counts,
            load_id=self.load_id,
            stream=self.stream,
            state=state or ("loaded" if self.rows_extracted else "empty"),
            table=str(self.table_name),
            manifest=self.manifest,
            bytes=self.bytes,
            files=self.files,
            seconds=self.seconds,
            watermark=self.watermark,
            cursor_name=self.table_spec.cursor_name if self.spec else None,
            total_rows=self.total_rows,
            gap=self.gap,
            warnings=self.warnings,
        )


class ColumnMoment(NamedTuple):
    """What a column held after an earlier commit; see `ColumnStatistics` for the values."""

    sequence: int
    at: datetime
    null_share: float | None
    distinct: int | None
    least: str | None
    greatest: str | None


class ColumnStatistics(Spec):
    """What one column holds; `distinct` is an estimate, and of the rows looked at. `least` and `greatest` are texts, cut where long.

    Both are absent for personal columns, long texts and nested values; everything is where a table has more columns than anyone reads.
    `history` is what it held before, oldest first: the last changes, fewer where there are many columns.
    """

    name: str
    type: str
    null_share: float | None = None
    distinct: int | None = None
    least: str | None = None
    greatest: str | None = None
    history: tuple[ColumnMoment, ...] = ()


class QuarantinedRecord(Spec):
    """A record in quarantine; `reason` and `record` are cut where long, and absent where the table's values must not be shown."""

    load_id: str
    source_file: str
    line: int
    reason: str | None = None
    record: str | None = None
    quarantined_at: datetime


class Snapshot(Spec):
    """What is published of a table after each commit; `watermarks` is keyed by `pipeline/stream`.

    `bytes` estimates the size of the values, uncompressed. `approximate` says that `columns` tell of a part of the rows only. `sample`
    holds the newest rows as texts, cut where long, in the order of `columns`; it is empty where the pipeline says so or a column is
    personal. `loads` and `schema_changes` are the last ones, newest first; `quarantined` counts rows, `quarantined_loads` their loads, and
    `quarantine` holds the newest of these rows.
    """

    snapshot_version: int = SNAPSHOT_VERSION
    table: str
    sequence: int
    published_at: datetime
    rows: int
    watermarks: dict[str, Cursor] = Field(default_factory=dict)
    loads: tuple[dict[str, Any], ...] = ()
    bytes: int | None = None
    approximate: bool = False
    columns: tuple[ColumnStatistics, ...] = ()
    sample: tuple[tuple[str | None, ...], ...] = ()
    schema_changes: tuple[dict[str, str | None], ...] = ()
    quarantined: int = 0
    quarantined_loads: int = 0
    quarantine: tuple[QuarantinedRecord, ...] = ()
    gaps: tuple[dict[str, Any], ...] = ()

    @property
    def newest_load_id(self) -> str | None:
        """Return the load id of the commit that was published last."""
        return str(self.loads[0]["load_id"]) if self.loads else None

    def watermark_of(self, pipeline: str, stream: str) -> Cursor | None:
        """Return the stream's watermark, or None before its first complete load."""
        return self.watermarks.get(f"{pipeline}/{stream}")


def read_snapshot(lake: Store, table: TableName) -> Snapshot | None:
    """Return the table's snapshot, or None before its first commit; raises `ManifestUnreadable` on a damaged or newer one."""
    key = snapshot_key(table)
    data = lake.read(key)
    if data is None:
        return None
    return parse_snapshot(data, lake.url_of(key))


def parse_snapshot(data: bytes, url: str) -> Snapshot:
    """Parse a snapshot; raises `ManifestUnreadable` when it is damaged or newer than this version."""
    try:
        return Snapshot.model_validate(snapshot_values(data, url))
    except ValidationError as err:
        raise ManifestUnreadable(url, SNAPSHOT_DAMAGED) from err


def snapshot_values(data: bytes, url: str) -> dict[str, Any]:
    """Return a snapshot's plain values, its version checked and nothing else; raises `ManifestUnreadable`."""
    try:
        values = orjson.loads(data)
        version = int(values["snapshot_version"])
    except (ValueError, LookupError, TypeError) as err:
        raise ManifestUnreadable(url, SNAPSHOT_DAMAGED) from err
    if version > SNAPSHOT_VERSION:
        raise ManifestUnreadable(url, f"its version is {version}. Upgrade Ducklift.")
    found: dict[str, Any] = values
    return found


def publish(lake: Store, table: TableName, records: Sequence[CommitRecord], snapshot: Snapshot) -> None:
    """Put the commit records that are not there yet, then swap the snapshot."""
    for record in records:
        lake.create(commit_key(table, record.sequence, record.load_id), record_bytes(record))
        reach("load.commit_record_put")
    publish_snapshot(lake, table, snapshot)
    reach("load.snapshot_put")


def record_bytes(record: CommitRecord) -> bytes:
    """Return a commit record as it lies in the lake."""
    return orjson.dumps(record.model_dump(mode="json"), option=orjson.OPT_INDENT_2)


def publish_snapshot(lake: Store, table: TableName, snapshot: Snapshot) -> None:
    """Swap the table's snapshot."""
    lake.replace(snapshot_key(table), snapshot_bytes(snapshot))


def snapshot_bytes(snapshot: Snapshot) -> bytes:
    """Return a snapshot as it lies in the lake."""
    return orjson.dumps(snapshot.model_dump(mode="json"), option=orjson.OPT_INDENT_2)


def read_commit(data: bytes, url: str) -> CommitRecord:
    """Parse a commit record; raises `ManifestUnreadable` when it is damaged or newer than this version."""
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as err:
        raise ManifestUnreadable(url, f"it is not JSON ({err}). It was damaged outside Ducklift; restore it.") from err
    version = values.get("commit_version") if isinstance(values, dict) else None
    if not isinstance(version, int) or version > COMMIT_VERSION:
        raise ManifestUnreadable(url, f"its version is {version}, this Ducklift reads up to {COMMIT_VERSION}. Upgrade Ducklift.")
    try:
        return CommitRecord.model_validate(values)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        raise ManifestUnreadable(url, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from err


def read_commits(lake: Store, table: TableName) -> list[CommitRecord]:
    """Return all commits of a table in their order; raises `HistoryBroken` when one is missing or two claim one place."""
    keys = [found.key for found in lake.list(commit_prefix(table))]
    records = [read_commit(lake.read(key) or b"", lake.url_of(key)) for key in keys]
    for place, record in enumerate(records, start=1):
        if record.sequence != place:
            what = "is missing" if record.sequence > place else "is there twice: two warehouses were filled from this lake"
            raise HistoryBroken(str(table), lake.url_of(commit_prefix(table)), f"commit {min(place, record.sequence)} {what}")
    return records


def committed_tables(lake: Store) -> list[TableName]:
    """Return the tables that have commit records, sorted."""
    names = {found.key.removeprefix(COMMITS).partition("/")[0] for found in lake.list(COMMITS)}
    return [TableName.parse(name) for name in sorted(names)]


def superseded_loads(records: Sequence[CommitRecord]) -> dict[str, str]:
    """Return which loads are superseded and by which load; `records` are a table's commits in their order.

    A load that replaces its stream supersedes those before it, and those that were extracted before it and came late.
    """
    found: dict[str, str] = {}
    streams: dict[tuple[str, str], list[CommitRecord]] = {}
    for record in records:
        earlier = streams.setdefault((record.pipeline, record.stream), [])
        gone = [*record.supersedes, *(load.load_id for load in earlier)] if record.replaces_stream else record.supersedes
        for load_id in gone:
            found.setdefault(load_id, record.load_id)
        if record.extracted_at is not None:
            newer = [load.load_id for load in earlier if load.replaces_stream and _extracted(load) > record.extracted_at]
            if newer:
                found.setdefault(record.load_id, newer[0])
            earlier.append(record)
    return found


def _extracted(record: CommitRecord) -> datetime:
    return record.extracted_at or record.loaded_at


def fix_slice(lake: Store, key: str, wanted: Slice) -> Slice:
    """Store the slice unless one is stored, and return the stored one: the first try decides for all."""
    try:
        return Slice.model_validate_json(lake.create(key, wanted.to_bytes()))
    except ValidationError as err:
        reason = "the slice was damaged outside Ducklift. Delete it, and run again."
        raise ManifestUnreadable(lake.url_of(key), reason) from err

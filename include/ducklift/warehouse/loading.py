"""Loading one package: the ledger, the rows, the watermark and the quarantine commit together, and then the lake is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from ducklift.cursors import Cursor
from ducklift.errors import WriteConflict
from ducklift.failpoints import reach
from ducklift.lake.commits import LOAD, CommitRecord, Snapshot, publish, read_commits, read_snapshot, superseded_loads
from ducklift.lake.layout import manifest_key
from ducklift.lake.manifest import Manifest, sha256_of
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.specs import TableName, TableSpec
from ducklift.summary import LoadSummary
from ducklift.warehouse import ledger, watermarks
from ducklift.warehouse.children import family
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.conflicts import until_committed
from ducklift.warehouse.connect import Warehouse, open_warehouse
from ducklift.warehouse.fetching import Fetched, fetch
from ducklift.warehouse.intake import Brought, Intake, SecondLookNeeded, bring_in, refusals_named, take_in
from ducklift.warehouse.known_files import files_there, goes_by_files
from ducklift.warehouse.landing import refuse_unclear_cursor
from ducklift.warehouse.lossy_types import refuse_lossy_types
from ducklift.warehouse.merge import refuse_unclear_deletions
from ducklift.warehouse.quarantine import specification_of
from ducklift.warehouse.read_copy import check_read_copy, refresh_read_copy
from ducklift.warehouse.snapshots import snapshot_of
from ducklift.warehouse.system import prepare_system


def load_package(lake: Store, manifest: Manifest, manifest_bytes: bytes, spec: TableSpec, settings: Settings) -> LoadSummary:
    """Load one landed package into the warehouse that the settings name, exactly once; see `ducklift.pipeline.load` for the errors."""
    check_read_copy(settings)
    with open_warehouse(settings) as warehouse:
        prepare_system(warehouse)
        reach("load.system_made")
        published = read_snapshot(lake, manifest.table)
        _in_step(warehouse, lake, manifest.table, published)
        summary = load_into(warehouse, lake, manifest, manifest_bytes, spec)
        publish_missing(warehouse, lake, manifest.table, published)
        refresh_read_copy(warehouse, settings)
    reach("load.published")
    return summary


def _in_step(warehouse: Warehouse, lake: Store, table: TableName, published: Snapshot | None) -> None:
    """Raise `WarehouseBehind` unless the warehouse holds the lake's last commit; one in memory begins empty and is brought up to it."""
    if warehouse.database == ":memory:" and published and not ledger.row_count(warehouse, table):
        from ducklift.warehouse.replay import replay

        records = read_commits(lake, table)
        replay(warehouse, lake, records, superseded_loads(records))
    ledger.check_in_step(warehouse, table, published)


def load_into(warehouse: Warehouse, lake: Store, manifest: Manifest, manifest_bytes: bytes, spec: TableSpec) -> LoadSummary:
    """Load one package in one transaction of an open warehouse; a load that the ledger knows is a no-op.

    Where another writer of the table commits first, it is taken in again and committed behind that one.
    """
    started = time.monotonic()
    spec = specification_of(manifest, spec)
    remove = _removal(warehouse, lake, manifest, spec) if manifest.supersedes or manifest.replaces_stream else None
    sha256, url = sha256_of(manifest_bytes), lake.url_of(manifest_key(manifest.table, manifest.load_id))
    known = ledger.known_load(warehouse, manifest, sha256, url)
    if known is not None:
        return known
    with refusals_named(warehouse, manifest):
        once = None if goes_by_files(manifest, spec) else fetch(lake, manifest, spec, warehouse.staging, warehouse.settings)

        def taken_in_and_committed() -> LoadSummary:
            there = files_there(warehouse, lake, manifest, spec)
            fetched = once or fetch(lake, manifest, spec, warehouse.staging, warehouse.settings, there)
            for quick in (True, False) if remove is None else (False,):
                shape = _shape(warehouse, manifest.table)
                highest = watermarks.highest_loaded(warehouse, manifest)
                intake = take_in(warehouse, fetched.manifest, spec, fetched.files, highest, quick)
                refuse_unclear_cursor(intake.plan)
                refuse_unclear_deletions(intake.plan)
                try:
                    return _commit(warehouse, intake, fetched, shape, sha256, url, started, remove)
                except SecondLookNeeded:
                    if not quick:
                        raise
            raise AssertionError("the second look always returns or raises")

        return until_committed(taken_in_and_committed)


def _removal(warehouse: Warehouse, lake: Store, manifest: Manifest, spec: TableSpec) -> Callable[[], None]:
    from ducklift.warehouse.superseding import remove_superseded

    return partial(remove_superseded, warehouse, lake, manifest, spec)


def _commit(
    warehouse: Warehouse,
    intake: Intake,
    fetched: Fetched,
    shape: Mapping[str, Mapping[str, str]],
    sha256: str,
    url: str,
    started: float,
    remove: Callable[[], None] | None,
) -> LoadSummary:
    """Commit what was taken in; `shape` is what the tables were like when the load was planned."""
    manifest = fetched.landed
    with warehouse.transaction():
        known = ledger.known_load(warehouse, manifest, sha256, url)
        if known is not None:
            return known
        if _shape(warehouse, manifest.table) != shape:
            raise WriteConflict(warehouse.database, f"the columns of {manifest.table} were changed since they were read")
        loaded_at = datetime.now(UTC)
        sequence = ledger.next_sequence(warehouse, manifest.table)
        if fetched.followed is not None and fetched.followed + 1 != sequence:
            raise WriteConflict(warehouse.database, f"another load of {manifest.table} was committed since its files were looked up")
        brought = bring_in(warehouse, intake, loaded_at, watermarks.highest_loaded(warehouse, manifest), remove)
        brought = brought.with_left_out(fetched.left_out)
        fetched.refuse_changed()
        refuse_lossy_types(warehouse, manifest.table)
        ledger.check_accounting(manifest.load_id, brought.counts)
        reach("load.applied")
        moved = watermarks.after_load(warehouse, manifest, brought.cursor)
        summary = _summary(warehouse, manifest, url, brought, moved, started)
        record = _record(manifest, intake, summary, brought, sequence, sha256, loaded_at)
        watermarks.record(warehouse, record)
        ledger.write(warehouse, record)
        reach("load.before_commit")
    reach("load.committed")
    return summary


def publish_missing(warehouse: Warehouse, lake: Store, table: TableName, published: Snapshot | None) -> None:
    """Publish the commits that the lake does not know yet (a crash may have cut an earlier publication short) and the snapshot.

    Looks again after each publication: it may have replaced a later one, of another writer.
    """
    while True:
        # One transaction: the snapshot must not speak of a commit whose record is not among those put before it.
        with warehouse.transaction():
            records = ledger.commit_records(warehouse, table, published.sequence if published else 0)
            snapshot = snapshot_of(warehouse, table, published) if records else None
        if snapshot is None:
            return
        publish(lake, table, records, snapshot)
        published = snapshot


def _shape(warehouse: Warehouse, table: TableName) -> dict[str, dict[str, str]]:
    """Return the columns of a table and its child tables; empty where no other writer can change them meanwhile."""
    if warehouse.kind in ("file", "memory"):
        return {}
    return {str(name): existing_columns(warehouse, name) for name in (table, *(child for _, child in family(warehouse, table)))}


def _summary(warehouse: Warehouse, manifest: Manifest, url: str, brought: Brought, moved: Cursor | None, started: float) -> LoadSummary:
    return LoadSummary(
        **asdict(brought.counts),
        load_id=manifest.load_id,
        stream=manifest.stream,
        state="loaded" if brought.counts.rows_extracted else "empty",
        table=str(manifest.table),
        manifest=url,
        bytes=manifest.size_bytes,
        files=len(manifest.files),
        seconds=round(time.monotonic() - started, 3),
        watermark=moved,
        cursor_name=manifest.spec.cursor_name,
        total_rows=ledger.row_count(warehouse, manifest.table),
        gap=manifest.gap,
        warnings=brought.warnings,
    )


def _record(
    manifest: Manifest, intake: Intake, summary: LoadSummary, brought: Brought, sequence: int, sha256: str, loaded_at: datetime
) -> CommitRecord:
    return CommitRecord(
        kind=LOAD,
        sequence=sequence,
        load_id=manifest.load_id,
        pipeline=manifest.pipeline,
        stream=manifest.stream,
        dataset=manifest.table.dataset,
        table=manifest.table.table,
        state=summary.state,
        manifest=summary.manifest,
        manifest_sha256=sha256,
        **asdict(brought.counts),
        total_rows=summary.total_rows,
        bytes=manifest.size_bytes,
        files=len(manifest.files),
        slice_start=manifest.slice.start,
        slice_end=manifest.slice.end,
        extracted_at=manifest.extracted_at,
        loaded_at=loaded_at,
        seconds=summary.seconds,
        watermark=summary.watermark,
        gap=manifest.gap,
        supersedes=manifest.supersedes,
        replaces_stream=manifest.replaces_stream,
        reached=manifest.greatest_cursor if manifest.slice.window else None,
        columns=brought.columns,
        spec=intake.plan.spec.model_dump(mode="json", by_alias=True),
        airflow=manifest.airflow,
        warnings=brought.warnings,
    )

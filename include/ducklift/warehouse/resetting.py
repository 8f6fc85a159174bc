"""Moving a stream's watermark back on purpose, as a commit of its own in the table's order."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from ducklift.cursors import Cursor
from ducklift.failpoints import reach
from ducklift.lake.commits import RESET, CommitRecord, read_snapshot
from ducklift.lake.manifest import compact_utc
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.specs import TableSpec
from ducklift.warehouse import ledger, watermarks
from ducklift.warehouse.conflicts import until_committed
from ducklift.warehouse.connect import Warehouse, open_warehouse
from ducklift.warehouse.loading import publish_missing
from ducklift.warehouse.read_copy import check_read_copy, refresh_read_copy
from ducklift.warehouse.system import prepare_system


def reset_record(pipeline: str, stream: str, spec: TableSpec, to: Cursor | None, target: str) -> CommitRecord:
    """Return the commit that a reset will be; its place in the order is not known yet."""
    now = datetime.now(UTC)
    digest = hashlib.sha256("\0".join((pipeline, stream, RESET, now.isoformat())).encode()).hexdigest()
    return CommitRecord(
        kind=RESET,
        sequence=0,
        load_id=f"{compact_utc(now)}-{digest[:8]}",
        pipeline=pipeline,
        stream=stream,
        dataset=spec.name.dataset,
        table=spec.name.table,
        state=RESET,
        loaded_at=now,
        watermark=to,
        target=target,
        spec=spec.model_dump(mode="json", by_alias=True),
    )


def reset_in_warehouse(lake: Store, settings: Settings, record: CommitRecord, *, always: bool = False) -> Cursor | None:
    """Commit a reset and publish it; return the watermark before it. One that is there already is only committed again if `always`."""
    table = record.table_name
    check_read_copy(settings)
    with open_warehouse(settings) as warehouse:
        prepare_system(warehouse)
        published = read_snapshot(lake, table)
        ledger.check_in_step(warehouse, table, published)
        before = until_committed(lambda: _commit(warehouse, record, always))
        reach("reset.committed")
        publish_missing(warehouse, lake, table, published)
        refresh_read_copy(warehouse, settings)
    return before


def _commit(warehouse: Warehouse, record: CommitRecord, always: bool) -> Cursor | None:
    table = record.table_name
    with warehouse.transaction():
        before = watermarks.watermark(warehouse, record.pipeline, record.stream, table)
        if before != record.watermark or always:
            sequence = ledger.next_sequence(warehouse, table)
            commit = record.model_copy(update={"sequence": sequence, "total_rows": ledger.row_count(warehouse, table)})
            watermarks.record(warehouse, commit)
            ledger.write(warehouse, commit)
            reach("reset.before_commit")
    return before

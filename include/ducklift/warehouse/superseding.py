"""Taking the effect of superseded loads out of a table: afterwards it is as if they had never been loaded."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from ducklift.errors import ContractBroken
from ducklift.failpoints import reach
from ducklift.lake.commits import LOAD, CommitRecord, superseded_loads
from ducklift.lake.manifest import Manifest
from ducklift.lake.store import Store
from ducklift.specs import TableName, TableSpec
from ducklift.warehouse import ledger
from ducklift.warehouse.children import family
from ducklift.warehouse.connect import Warehouse, open_file
from ducklift.warehouse.effects import empty, take_out
from ducklift.warehouse.identifiers import quote_identifier, quote_literal, quote_table
from ducklift.warehouse.replay import replay
from ducklift.warehouse.system import prepare_system


def remove_superseded(warehouse: Warehouse, lake: Store, manifest: Manifest, spec: TableSpec) -> None:
    """Remove what the loads did that `manifest` supersedes: rows, deletions and quarantined rows; the ledger keeps them, marked.

    Runs in the superseding load's transaction, before its own rows. Where other loads may have met the rows of the superseded ones, these
    are done again from the lake without them; a DELETE would also take what the others had left out as known already.
    """
    table = manifest.table
    if manifest.replaces_stream and not manifest.rows and not spec.allow_empty:
        reason = "an empty full refresh would take away all rows of its stream. Set allow_empty: true where that is meant."
        raise ContractBroken(str(table), reason)
    records = ledger.commit_records(warehouse, table)
    superseded = superseded_loads(records)
    live = [record for record in records if record.kind == LOAD and record.load_id not in superseded]
    gone = [record for record in live if _is_superseded(record, manifest)]
    if not gone:
        return
    load_ids = {record.load_id for record in gone}
    rest = [record for record in live if record.load_id not in load_ids]
    if not take_out(warehouse, spec, gone, rest):
        _do_others_again(warehouse, lake, table, records, {**superseded, **dict.fromkeys(load_ids, manifest.load_id)})
    ledger.mark_superseded(warehouse, table, sorted(load_ids), manifest.load_id)
    reach("supersede.removed")


def _is_superseded(record: CommitRecord, manifest: Manifest) -> bool:
    whole_stream = manifest.replaces_stream and (record.pipeline, record.stream) == (manifest.pipeline, manifest.stream)
    return whole_stream or record.load_id in manifest.supersedes


def _do_others_again(
    warehouse: Warehouse, lake: Store, table: TableName, records: Sequence[CommitRecord], superseded: dict[str, str]
) -> None:
    """Fill the table with what the remaining commits give, done again in a scratch file: one transaction cannot hold their ALTERs."""
    name = f"scratch_{uuid.uuid4().hex[:12]}"
    file = warehouse.staging / f"{name}.duckdb"
    with open_file(file, warehouse.staging, warehouse.settings) as scratch:
        prepare_system(scratch)
        replay(scratch, lake, records, superseded)
        children = [child for _, child in family(scratch, table)]
    reach("supersede.refolded")
    # Stays attached until the connection ends: a database cannot be detached in the transaction that read it.
    warehouse.run(f"ATTACH {quote_literal(str(file))} AS {name} (READ_ONLY)")
    empty(warehouse, table)
    columns = ", ".join(map(quote_identifier, records_columns(records)))
    if columns:
        warehouse.run(f"INSERT INTO {quote_table(table)} BY NAME SELECT {columns} FROM {name}.{quote_table(table)}")
    for child in children:
        warehouse.run(f"DELETE FROM {quote_table(child)}")
        warehouse.run(f"INSERT INTO {quote_table(child)} BY NAME SELECT * FROM {name}.{quote_table(child)}")
    warehouse.run(f"INSERT INTO _ducklift.deletions SELECT * FROM {name}._ducklift.deletions")


def records_columns(records: Sequence[CommitRecord]) -> list[str]:
    """Return the table's columns after these commits."""
    return list(next((record.columns for record in reversed(records) if record.columns is not None), {}))

"""What loads did to a table, and taking it out again where the rows themselves tell it."""

from __future__ import annotations

from collections.abc import Sequence

from ducklift.lake.commits import CommitRecord
from ducklift.specs import TableName, TableSpec
from ducklift.warehouse.children import remove_orphans
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_table


def take_out(warehouse: Warehouse, spec: TableSpec, gone: Sequence[CommitRecord], rest: Sequence[CommitRecord]) -> bool:
    """Take the loads `gone` out of the table and its child tables, in which `rest` are live as well; return whether the rows told how.

    `spec` is the superseding load's. Where it replaces the whole table, nothing is to do.
    """
    later = [record for record in rest if record.sequence > gone[0].sequence]
    if not rest or not existing_columns(warehouse, spec.name):
        empty(warehouse, spec.name)
    elif spec.disposition == "replace" and _alike(gone, rest, spec):
        pass
    elif _stand_apart(gone, later, spec):
        load_ids = sorted(record.load_id for record in gone)
        warehouse.run(f"DELETE FROM {quote_table(spec.name)} WHERE list_contains(?, _load_id)", [load_ids])
    else:
        return False
    remove_orphans(warehouse, spec.name)
    return True


def empty(warehouse: Warehouse, table: TableName) -> None:
    """Delete the table's rows, and what it remembers of deleted keys."""
    if existing_columns(warehouse, table):
        warehouse.run(f"DELETE FROM {quote_table(table)}")
    warehouse.run('DELETE FROM _ducklift.deletions WHERE dataset = ? AND "table" = ?', [table.dataset, table.table])


def _alike(gone: Sequence[CommitRecord], others: Sequence[CommitRecord], spec: TableSpec) -> bool:
    return all(record.spec.get("disposition") == spec.disposition for record in [*gone, *others])


def _stand_apart(gone: Sequence[CommitRecord], later: Sequence[CommitRecord], spec: TableSpec) -> bool:
    """Return whether nothing but the rows that bear their load ids tells that these loads ever were."""
    if not _alike(gone, later, spec) or any(record.rows_unchanged for record in later):
        return False
    if spec.disposition in ("append", "insert_only"):
        return True
    only_inserted = not any(record.rows_updated or record.rows_unchanged or record.rows_deleted for record in gone)
    return spec.disposition == "merge" and not spec.merge_key and only_inserted

"""Rows that cannot be loaded, kept whole with their file, line and reason, in the transaction of the rows that can."""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate
from typing import Any

from ducklift.errors import ContractBroken, RetryOutdated
from ducklift.lake.manifest import Manifest
from ducklift.specs import QuarantineLimit, TableSpec
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_literal
from ducklift.warehouse.staging import STAGED, Staged


def set_aside(warehouse: Warehouse, manifest: Manifest, staged: Staged, now: datetime) -> int:
    """Move the rows with a problem out of the staged ones into quarantine; return how many.

    Raises `ContractBroken` when they are more than the pipeline's `quarantine_limit` allows.
    """
    if not staged.problems or staged.reader is None:
        return 0
    _check_limit(warehouse, staged)
    place = [manifest.table.dataset, manifest.table.table, manifest.load_id]
    rows_before = [0, *accumulate(file.rows for file in manifest.files)]
    offsets = ", ".join(f"({quote_literal(file.source)}, {before})" for file, before in zip(manifest.files, rows_before, strict=False))
    whole = staged.reader.relation(warehouse, {}, with_record=True)
    warehouse.run(
        f"""
        INSERT INTO _ducklift.quarantine
        SELECT ?, ?, ?, _source_file, _position - rows_before, _problem, whole_record, ?
        FROM (SELECT _position, _source_file, _problem FROM {STAGED} WHERE _problem IS NOT NULL)
        JOIN (VALUES {offsets}) AS files(key, rows_before) ON key = _source_file
        JOIN (SELECT position, {whole.whole} AS whole_record FROM ({whole.sql})) AS whole ON whole.position = _position
        ORDER BY _position
        """,
        [*place, now],
    )
    removed: int = warehouse.value(f"DELETE FROM {STAGED} WHERE _problem IS NOT NULL")
    return removed


def specification_of(manifest: Manifest, spec: TableSpec) -> TableSpec:
    """Return by what specification a package is loaded; `spec` itself, unless it holds records retried from quarantine.

    These are added to what their `replace` left, and what is asked of a whole load (a least number of rows, freshness, a limit to what is
    quarantined) is not asked of them.
    """
    if manifest.retried_load is None:
        return spec
    changes: dict[str, Any] = {"quarantine_limit": QuarantineLimit()}
    changes["checks"] = tuple(check for check in spec.checks if check.min_rows is None and check.freshness is None)
    if spec.disposition == "replace":
        changes["disposition"] = "insert_only" if spec.primary_key else "append"
    return spec.model_copy(update=changes)


def release(warehouse: Warehouse, manifest: Manifest) -> None:
    """Take the records that this load retries out of quarantine, in its transaction; raises `RetryOutdated` when they are not there.

    They may have been retried in the meantime, their load superseded, or the table replaced.
    """
    load_id = manifest.retried_load
    if load_id is None:
        return
    place = [manifest.table.dataset, manifest.table.table]
    removed = warehouse.value('DELETE FROM _ducklift.quarantine WHERE dataset = ? AND "table" = ? AND load_id = ?', [*place, load_id])
    if removed != manifest.rows:
        raise RetryOutdated(manifest.load_id, load_id, f"{removed} of its records are in quarantine, not the {manifest.rows} retried")
    replaced_by = warehouse.value(
        """
        SELECT max(later.load_id) FROM _ducklift.loads AS later JOIN _ducklift.loads AS own USING (dataset, "table")
        WHERE dataset = ? AND "table" = ? AND own.load_id = ? AND later.sequence > own.sequence AND later.kind = 'load'
          AND (later.rows_extracted > 0 OR (later.spec ->> '$.allow_empty') = 'true') AND (later.spec ->> '$.disposition') = 'replace'
        """,
        [*place, load_id],
    )
    if replaced_by is not None:
        raise RetryOutdated(manifest.load_id, load_id, f"load {replaced_by} has replaced the table since")


def _check_limit(warehouse: Warehouse, staged: Staged) -> None:
    limit = staged.plan.spec.quarantine_limit
    share = staged.problems / max(staged.rows, 1)
    too_many = limit.rows is not None and staged.problems > limit.rows
    if not too_many and (limit.share is None or share <= limit.share):
        return
    reasons = warehouse.rows(
        f"SELECT _problem, count(*) FROM {STAGED} WHERE _problem IS NOT NULL GROUP BY _problem ORDER BY count(*) DESC LIMIT 3"
    )
    shown = "; ".join(f"{reason} ({count} rows)" for reason, count in reasons)
    raise ContractBroken(
        str(staged.plan.spec.name),
        f"{staged.problems} of {staged.rows} rows would be quarantined, more than quarantine_limit allows: {shown}. Nothing was loaded.",
    )

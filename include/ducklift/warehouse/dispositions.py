"""How staged rows become a table's rows. Each disposition runs inside the load's transaction and accounts for every staged row."""

from __future__ import annotations

from collections.abc import Callable

from ducklift.errors import ContractBroken
from ducklift.specs import Disposition
from ducklift.summary import RowCounts
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.landing import Landing, changed, cursor_column, insert_staged, remove_duplicates
from ducklift.warehouse.merge import merge
from ducklift.warehouse.scd2 import scd2
from ducklift.warehouse.staging import STAGED


def apply(warehouse: Warehouse, landing: Landing, staged_rows: int) -> RowCounts:
    """Bring the staged rows into the table; every staged row is counted once. Rows with a problem must be gone from `staged`."""
    if not staged_rows and (landing.spec.disposition != "replace" or landing.plan.is_new):
        return RowCounts()  # a quiet interval; a new table may not even have its key columns yet
    return DISPOSITIONS[landing.spec.disposition](warehouse, landing)


def _append(warehouse: Warehouse, landing: Landing) -> RowCounts:
    """Add the rows. With a key, a row read twice by one load is added once; rows that an overlap read again are not added again."""
    deduplicated = remove_duplicates(warehouse, landing, keep_versions=True) if landing.keys else 0
    known = _remove_known(warehouse, landing)
    return RowCounts(rows_inserted=insert_staged(warehouse, landing), rows_unchanged=known, rows_deduplicated=deduplicated)


def _remove_known(warehouse: Warehouse, landing: Landing) -> int:
    """Remove the staged rows that the table has already."""
    known = already_there(landing)
    return changed(warehouse, f"DELETE FROM {STAGED} WHERE _position IN ({known})") if known else 0


def already_there(landing: Landing) -> str | None:
    """Return the SQL of the positions of staged rows that an append or insert_only leaves out, or None when it takes all.

    `insert_only` leaves out known keys; `append` what an overlap read again: rows at or behind the watermark, the same by key and cursor
    or, without a key, in every column and by stream. Rows without a cursor are read each time, also before there is a watermark.
    """
    if landing.spec.disposition == "insert_only":
        return f"SELECT s._position FROM {STAGED} AS s SEMI JOIN {landing.target} AS t ON {landing.same_key}"
    if landing.spec.incremental is None:
        return None
    watermark = landing.watermark_sql()
    has_column = cursor_column(landing.plan) is not None
    if not landing.keys:
        same = f"{landing.same_data} AND t._load_id IN ({landing.loads_of_stream})"
    else:
        # A later version of a key is a row of its own, also when it comes late.
        same = landing.same_key + (f" AND t.{landing.cursor} IS NOT DISTINCT FROM s.{landing.cursor}" if has_column else "")
    without = f"s.{landing.cursor} IS NULL" if has_column else "s._cursor_text IS NULL"
    behind = without if watermark is None else f"{without} OR s.{landing.cursor} <= {watermark}"
    return f"SELECT s._position FROM {STAGED} AS s WHERE ({behind}) AND EXISTS (SELECT 1 FROM {landing.target} AS t WHERE {same})"


def _insert_only(warehouse: Warehouse, landing: Landing) -> RowCounts:
    """Add the rows whose key is new; a known key is left as it was. Of several with one key in a load the first counts."""
    deduplicated = remove_duplicates(warehouse, landing, keep_first=True)
    known = _remove_known(warehouse, landing)
    return RowCounts(rows_inserted=insert_staged(warehouse, landing), rows_unchanged=known, rows_deduplicated=deduplicated)


def _replace(warehouse: Warehouse, landing: Landing) -> RowCounts:
    """Put the load in the place of the whole table; an empty one only where that is allowed."""
    staged: int = warehouse.value(f"SELECT count(*) FROM {STAGED}")
    deduplicated = remove_duplicates(warehouse, landing) if landing.keys and staged else 0
    if not staged and not landing.spec.allow_empty:
        reason = "an empty extraction would empty the table. Set allow_empty: true where that is meant."
        raise ContractBroken(str(landing.spec.name), reason)
    deleted = changed(warehouse, f"DELETE FROM {landing.target}")
    if not staged:
        return RowCounts(rows_deleted=deleted)  # a table that an empty load made has no key column yet
    return RowCounts(rows_inserted=insert_staged(warehouse, landing), rows_deleted=deleted, rows_deduplicated=deduplicated)


DISPOSITIONS: dict[Disposition, Callable[[Warehouse, Landing], RowCounts]] = {
    "append": _append,
    "merge": merge,
    "insert_only": _insert_only,
    "replace": _replace,
    "scd2": scd2,
}

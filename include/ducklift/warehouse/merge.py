"""Disposition `merge`: one row per key, the newest version of each; or whole partitions by `merge_key`; and deletes by a column.

Newest is the greatest (cursor, `_extracted_at`, `load_id`, position), so that a replay of old data never overwrites newer. No index and no
ON CONFLICT: staging, DELETE and INSERT are quicker, and ON CONFLICT keeps the first duplicate of a batch in silence.
"""

from __future__ import annotations

from ducklift.errors import ContractBroken
from ducklift.summary import RowCounts
from ducklift.warehouse.columns import INTEGERS, TIMES
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.evolution import Plan
from ducklift.warehouse.identifiers import quote_identifier, quote_literal
from ducklift.warehouse.landing import Landing, changed, cursor_column, insert_staged, remove_duplicates
from ducklift.warehouse.staging import STAGED

_HASH = "__ducklift_hash"
_SURPLUS = "surplus"
_NUMBERS = (*INTEGERS, "DOUBLE", "FLOAT")


def merge(warehouse: Warehouse, landing: Landing) -> RowCounts:
    """Bring the staged rows into the table and count what became of each."""
    deduplicated = remove_duplicates(warehouse, landing) if landing.keys else 0
    older = _remove_older_partitions(warehouse, landing) if landing.spec.merge_key else 0
    older += _remove_older_than_deletions(warehouse, landing) if landing.spec.deleted_column and landing.keys else 0
    if _replaces_partitions(landing):
        _make_partitions(warehouse, landing)
    fates = _fates(warehouse, landing)
    deleted = fates.pop(_SURPLUS, 0)
    _remove(warehouse, "fate = 'older'")
    deleted += _delete_partitions(warehouse, landing) if _replaces_partitions(landing) else 0
    if landing.keys:
        # An equal row is written again too: its lineage has to tell the newest extraction, or a replay of an older one would win over it.
        changed(warehouse, f"DELETE FROM {landing.target} AS t USING {STAGED} AS s WHERE {landing.same_key}")
    if landing.spec.deleted_column and landing.plan.named(landing.spec.deleted_column) in landing.plan.types():
        deleted += _apply_deletions(warehouse, landing, fates)
    insert_staged(warehouse, landing)
    return RowCounts(
        rows_inserted=fates.get("insert", 0),
        rows_updated=fates.get("update", 0),
        rows_unchanged=fates.get("same", 0) + fates.get("older", 0) + older,
        rows_deduplicated=deduplicated,
        rows_deleted=deleted,
    )


def _replaces_partitions(landing: Landing) -> bool:
    """Return whether the partitions of the staged rows go; records that were in quarantine come to those that their load brought."""
    return bool(landing.spec.merge_key) and not landing.is_retry


def _fates(warehouse: Warehouse, landing: Landing) -> dict[str, int]:
    """Make the temporary table `fates` (what becomes of each staged row) and return the counts per fate.

    A table that was appended to before may hold a key more than once: the rows that go for one staged row beyond the first are `surplus`.
    """
    if landing.plan.is_new or not landing.keys:
        warehouse.run(f"CREATE OR REPLACE TEMPORARY TABLE fates AS SELECT _position, 'insert' AS fate FROM {STAGED}")
    else:
        # A partition goes whole: its rows win over nothing, or a key would be gone with the old one and not come with the new one.
        stays = (
            f"NOT EXISTS (SELECT 1 FROM temp.partitions AS p WHERE {_partition_join(landing, 'p')})"
            if _replaces_partitions(landing)
            else "true"
        )
        warehouse.run(f"""
            CREATE OR REPLACE TEMPORARY TABLE fates AS
            SELECT s._position, CASE
                WHEN t._load_id IS NULL THEN 'insert'
                WHEN {landing.order("t")} > {landing.order("s")} AND {stays} THEN 'older'
                WHEN t.{_HASH} = s.{_HASH} THEN 'same'
                ELSE 'update' END AS fate
            FROM (SELECT *, {landing.data_hash} AS {_HASH} FROM {STAGED}) AS s
            LEFT JOIN (SELECT *, {landing.data_hash} AS {_HASH} FROM {landing.target}) AS t ON {landing.same_key}
        """)
    found = _counted(warehouse)
    if sum(found.values()) == warehouse.value(f"SELECT count(*) FROM {STAGED}"):
        return found
    warehouse.run("""
        CREATE OR REPLACE TEMPORARY TABLE fates AS
        SELECT _position, count(*) - 1 AS surplus, CASE
            WHEN count(*) = 1 THEN min(fate)
            WHEN bool_or(fate = 'older') THEN 'older'
            ELSE 'update' END AS fate
        FROM temp.fates GROUP BY _position
    """)
    surplus: int = warehouse.value("SELECT coalesce(sum(surplus), 0)::BIGINT FROM temp.fates WHERE fate <> 'older'")
    return {**_counted(warehouse), _SURPLUS: surplus}


def _counted(warehouse: Warehouse) -> dict[str, int]:
    return dict(warehouse.rows("SELECT fate, count(*) FROM temp.fates GROUP BY fate"))


def _remove(warehouse: Warehouse, condition: str) -> int:
    return changed(warehouse, f"DELETE FROM {STAGED} WHERE _position IN (SELECT _position FROM temp.fates WHERE {condition})")


def _partition_join(landing: Landing, side: str = "s") -> str:
    names = [quote_identifier(name) for name in landing.plan.partitions]
    return " AND ".join(f"t.{name} = {side}.{name}" for name in names)


def _make_partitions(warehouse: Warehouse, landing: Landing) -> None:
    """Make the temporary table `partitions`: those that the load replaces."""
    names = ", ".join(quote_identifier(name) for name in landing.plan.partitions)
    warehouse.run(f"CREATE OR REPLACE TEMPORARY TABLE partitions AS SELECT DISTINCT {names} FROM {STAGED}")


def _remove_older_partitions(warehouse: Warehouse, landing: Landing) -> int:
    """Leave out the partitions that a newer extraction has replaced already."""
    newer = f"row(t._extracted_at, t._load_id) > row({landing.extracted_at_sql}, {quote_literal(landing.load_id)})"
    return changed(
        warehouse,
        f"DELETE FROM {STAGED} WHERE _position IN (SELECT s._position FROM {STAGED} AS s "
        f"WHERE EXISTS (SELECT 1 FROM {landing.target} AS t WHERE {_partition_join(landing)} AND {newer}))",
    )


def _delete_partitions(warehouse: Warehouse, landing: Landing) -> int:
    """Delete the rows of the staged partitions; return how many of them the load does not bring again."""
    again = 0
    if landing.keys:
        again = warehouse.value(
            f"SELECT count(*) FROM {landing.target} AS t SEMI JOIN {STAGED} AS s ON {landing.same_key} "
            f"SEMI JOIN temp.partitions AS p ON {_partition_join(landing, 'p')}"
        )
    gone = changed(warehouse, f"DELETE FROM {landing.target} AS t USING temp.partitions AS s WHERE {_partition_join(landing)}")
    return gone - again


def _deleted(landing: Landing, side: str = "") -> str:
    """Return the SQL that is true for a row that asks for its deletion: a true flag, a number but 0, or a deletion time."""
    name = landing.plan.named(landing.spec.deleted_column or "")
    type_ = landing.plan.types()[name]
    column = f"{side}{quote_identifier(name)}"
    if type_ == "BOOLEAN":
        return f"coalesce({column}, false)"
    if _is_number(type_):
        return f"coalesce({column} <> 0, false)"
    return f"{column} IS NOT NULL"


def _is_number(type_: str) -> bool:
    return type_ in _NUMBERS or type_.startswith("DECIMAL")


def refuse_unclear_deletions(plan: Plan) -> None:
    """Raise `ContractBroken` where the deletion mark is of a type in which nobody can tell what asks for it: is 'N' a yes?"""
    name = plan.named(plan.spec.deleted_column or "")
    type_ = plan.types().get(name, "BOOLEAN")
    if type_ == "BOOLEAN" or type_ in TIMES or _is_number(type_):
        return
    reason = f"deleted_column {name!r} is {type_}, which tells neither yes from no nor a time"
    raise ContractBroken(str(plan.spec.name), f"{reason}. Declare it under columns as boolean or timestamptz.")


def _key_text(landing: Landing, side: str) -> str:
    return f"to_json([{', '.join(f'CAST({side}.{key} AS VARCHAR)' for key in landing.keys)}])::VARCHAR"


def _same_deletion(landing: Landing) -> str:
    """Return the SQL that joins `d`, a remembered deletion of this table, and `s` on the key.

    Its key is read as the column's type, which may be wider by now than it was when the key was written down.
    """
    types = landing.plan.types()
    keys = [
        f"TRY_CAST(json_extract_string(d.key, '$[{place}]') AS {types[name]}) = s.{quote_identifier(name)}"
        for place, name in enumerate(landing.plan.keys)
    ]
    table = [f"d.dataset = {quote_literal(landing.spec.name.dataset)}", f'd."table" = {quote_literal(landing.spec.name.table)}']
    return " AND ".join([*table, *keys])


def _cursor_type(landing: Landing) -> str:
    column = cursor_column(landing.plan)
    return column.type if column else "BIGINT"


def _remove_older_than_deletions(warehouse: Warehouse, landing: Landing) -> int:
    """Leave out versions that are older than the deletion of their key, or a replay would bring the row back."""
    cursor = f"CAST(d.cursor AS {_cursor_type(landing)})"
    deletion = f"row({cursor} IS NOT NULL, {cursor}, d.extracted_at, d.load_id)"
    return changed(
        warehouse,
        f"DELETE FROM {STAGED} WHERE _position IN (SELECT s._position FROM {STAGED} AS s JOIN _ducklift.deletions AS d "
        f"ON {_same_deletion(landing)} WHERE {deletion} > {landing.order('s')})",
    )


def _apply_deletions(warehouse: Warehouse, landing: Landing, fates: dict[str, int]) -> int:
    """Take the staged deletions out (their rows are gone from the table) and remember them; correct the counts of fates.

    A deletion of a row that was there counts as updated and deleted, one of a row that was not as unchanged.
    """
    rows = dict(
        warehouse.rows(
            f"SELECT fate, count(*) FROM {STAGED} AS s JOIN temp.fates USING (_position) WHERE {_deleted(landing, 's.')} GROUP BY fate"
        )
    )
    there: int = rows.get("same", 0) + rows.get("update", 0)
    fates["same"] = fates.get("same", 0) - rows.get("same", 0) + rows.get("insert", 0)
    fates["insert"] = fates.get("insert", 0) - rows.get("insert", 0)
    fates["update"] = fates.get("update", 0) + rows.get("same", 0)
    if landing.keys:
        _remember_deletions(warehouse, landing)
    changed(warehouse, f"DELETE FROM {STAGED} AS s WHERE {_deleted(landing, 's.')}")
    return there


def _remember_deletions(warehouse: Warehouse, landing: Landing) -> None:
    place = f"{quote_literal(landing.spec.name.dataset)}, {quote_literal(landing.spec.name.table)}"
    changed(warehouse, f"DELETE FROM _ducklift.deletions AS d USING {STAGED} AS s WHERE {_same_deletion(landing)}")
    cursor = f"CAST(s.{landing.cursor} AS VARCHAR)" if cursor_column(landing.plan) else "NULL"
    changed(
        warehouse,
        f"INSERT INTO _ducklift.deletions SELECT {place}, {_key_text(landing, 's')}, {cursor}, {landing.extracted_at_sql}, "
        f"{quote_literal(landing.load_id)} FROM {STAGED} AS s WHERE {_deleted(landing, 's.')}",
    )

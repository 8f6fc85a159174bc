"""Disposition `scd2`: every version of a row is kept, with `_valid_from` and `_valid_to`; one version per key is open.

A version starts at its cursor where that is a time, else at its extraction, but never before the one it follows. A version that is older
than the open one changes nothing, as in a merge; an equal one only renews the open one's lineage. Several versions of a key in one load
make a chain when the cursor is a time.
"""

from __future__ import annotations

from ducklift.summary import RowCounts
from ducklift.warehouse.columns import TIMES
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier
from ducklift.warehouse.landing import Landing, changed, cursor_column, remove_duplicates
from ducklift.warehouse.staging import STAGED


def scd2(warehouse: Warehouse, landing: Landing) -> RowCounts:
    """Close the open versions that changed, open the new ones, and count what became of each staged row."""
    column = cursor_column(landing.plan)
    chained = column is not None and column.type in TIMES
    deduplicated = 0 if chained else remove_duplicates(warehouse, landing)
    moment = f"coalesce(CAST(s.{landing.cursor} AS TIMESTAMPTZ), {landing.extracted_at_sql})" if chained else landing.extracted_at_sql
    _make_chain(warehouse, landing, moment)
    fates = dict(warehouse.rows("SELECT __fate, count(*) FROM temp.chain WHERE __fate <> 'open' GROUP BY __fate"))
    _renew(warehouse, landing)
    _close(warehouse, landing)
    _open(warehouse, landing)
    return RowCounts(
        rows_inserted=fates.get("first", 0),
        rows_updated=fates.get("next", 0),
        rows_unchanged=fates.get("same", 0) + fates.get("older", 0),
        rows_deduplicated=deduplicated + fates.get("repeated", 0),
    )


def _data(landing: Landing, side: str) -> str:
    return f"row({', '.join(f'{side}.{name}' for name in landing.plan.data_columns)})"


def _make_chain(warehouse: Warehouse, landing: Landing, moment: str) -> None:
    """Make the temporary table `chain`: for each staged key the open version and the staged ones in order, each with its fate."""
    keys = ", ".join(landing.keys)
    side_keys = {side: ", ".join(f"{side}.{key}" for key in landing.keys) for side in "st"}
    warehouse.connection.execute(f"""
        CREATE OR REPLACE TEMPORARY TABLE chain AS
        WITH versions AS (
            SELECT {side_keys["t"]}, CAST(0 AS BIGINT) AS _position, {_data(landing, "t")} AS __data, {landing.order("t")} AS __version,
                   t._valid_from AS __moment
            FROM {landing.target} AS t SEMI JOIN {STAGED} AS s ON {landing.same_key} WHERE t._valid_to IS NULL
            UNION ALL
            SELECT {side_keys["s"]}, s._position, {_data(landing, "s")}, {landing.order("s")}, {moment} FROM {STAGED} AS s
        ), judged AS (
            SELECT *, max(CASE WHEN _position = 0 THEN __version END) OVER (PARTITION BY {keys}) AS __open_version FROM versions
        ), current AS (
            SELECT *, _position > 0 AND __open_version IS NOT NULL AND __open_version > __version AS __is_older FROM judged
        ), ordered AS (
            SELECT * EXCLUDE (__moment),
                lag(__data) OVER chain AS __data_before,
                lag(_position) OVER chain AS __position_before,
                row_number() OVER chain AS __place,
                max(__moment) OVER (chain ROWS UNBOUNDED PRECEDING) AS __moment
            FROM current WHERE NOT __is_older
            WINDOW chain AS (PARTITION BY {keys} ORDER BY __version, _position)
        )
        SELECT {keys}, _position, __place, __moment, CASE
            WHEN _position = 0 THEN 'open'
            WHEN __position_before IS NULL THEN 'first'
            WHEN __data_before IS NOT DISTINCT FROM __data THEN CASE WHEN __position_before = 0 THEN 'same' ELSE 'repeated' END
            ELSE 'next' END AS __fate
        FROM ordered
        UNION ALL SELECT {keys}, _position, 0, __moment, 'older' FROM current WHERE __is_older
    """)


def _renew(warehouse: Warehouse, landing: Landing) -> None:
    """Give open versions that were seen again, unchanged, the lineage of this load, so that older data cannot win over them later."""
    renewed = {"_extracted_at", "_load_id"}
    renewed |= {name for name, source in landing.plan.aliases.items() if source in renewed}
    values = ", ".join(f"{quote_identifier(name)} = {value}" for name, value in landing.origins().items() if name in renewed)
    changed(
        warehouse,
        f"UPDATE {landing.target} AS t SET {values} "
        f"FROM temp.chain AS s WHERE s.__fate = 'same' AND t._valid_to IS NULL AND {landing.same_key}",
    )


def _close(warehouse: Warehouse, landing: Landing) -> None:
    keys = ", ".join(landing.keys)
    changed(
        warehouse,
        f"UPDATE {landing.target} AS t SET _valid_to = s.__moment "
        f"FROM (SELECT {keys}, min(__moment) AS __moment FROM temp.chain WHERE __fate = 'next' GROUP BY {keys}) AS s "
        f"WHERE t._valid_to IS NULL AND {landing.same_key}",
    )


def _open(warehouse: Warehouse, landing: Landing) -> None:
    keys = ", ".join(landing.keys)
    data = ", ".join(f"s.{name}" for name in landing.plan.data_columns)
    changed(
        warehouse,
        f"""
        INSERT INTO {landing.target} BY NAME
        SELECT {data}, v.__moment AS _valid_from, v.valid_to AS _valid_to, {landing.lineage()}
        FROM {STAGED} AS s JOIN (
            SELECT _position, __moment, lead(__moment) OVER (PARTITION BY {keys} ORDER BY __place) AS valid_to
            FROM temp.chain WHERE __fate IN ('first', 'next')
        ) AS v USING (_position) ORDER BY s._position
        """,
    )

"""A deletion sweep in the warehouse: the content of swept rows and quarantined records is taken out, as a commit in the table's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ducklift.failpoints import reach
from ducklift.lake.blanking import Blanker
from ducklift.lake.commits import SWEEP, CommitRecord
from ducklift.lake.swept import SweepRecord
from ducklift.specs import LINEAGE_COLUMNS, TableName, TableSpec
from ducklift.warehouse import ledger
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.conflicts import until_committed
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_literal, quote_table

_KEYS = "temp.swept_keys"
_MADE_BY_LOADS = (*LINEAGE_COLUMNS, "_valid_from", "_valid_to", "_row_key")
_AT_ONCE = 10_000


def content_columns(warehouse: Warehouse, spec: TableSpec, blanker: Blanker) -> dict[str, str | None]:
    """Return the table's columns that hold content, with the text that takes its place or None."""
    declared = {column.name: column for column in spec.columns}
    fields = _fields_of_columns(warehouse, spec.name)
    found: dict[str, str | None] = {}
    for name in existing_columns(warehouse, spec.name):
        if name in _MADE_BY_LOADS or name == spec.record_column or name in spec.primary_key:
            continue
        column = declared.get(name)
        taken, text = blanker.column(column.field if column else fields.get(name, name))
        if taken:
            found[name] = text
    return found


def _fields_of_columns(warehouse: Warehouse, table: TableName) -> dict[str, str]:
    rows = warehouse.rows(
        'SELECT "column", field FROM _ducklift.schema_changes WHERE dataset = ? AND "table" = ? AND field IS NOT NULL ORDER BY changed_at',
        [table.dataset, table.table],
    )
    return dict(rows)


def rows_to_ask_about(warehouse: Warehouse, spec: TableSpec, blanker: Blanker, moment: str, window_s: int) -> Iterator[list[str]]:
    """Yield the keys of the rows in the window before the newest one that still hold content, newest first, in lists of bounded length."""
    columns = content_columns(warehouse, spec, blanker)
    key = quote_identifier(spec.primary_key[0])
    if not columns:
        return
    moment_column = next((column.name for column in spec.columns if column.field == moment), moment)
    made = quote_identifier(moment_column)
    held = " OR ".join(
        f"{quote_identifier(name)} IS NOT NULL"
        + (f" AND CAST({quote_identifier(name)} AS VARCHAR) <> {quote_literal(text)}" if text else "")
        for name, text in columns.items()
    )
    rows = warehouse.rows(
        f"""
        SELECT CAST({key} AS VARCHAR) FROM {quote_table(spec.name)}
        WHERE {made} >= (SELECT max({made}) FROM {quote_table(spec.name)}) - to_seconds(?) AND ({held})
        GROUP BY ALL ORDER BY max({made}) DESC, 1
        """,
        [window_s],
    )
    for start in range(0, len(rows), _AT_ONCE):
        yield [found for (found,) in rows[start : start + _AT_ONCE]]


def oldest_moment(warehouse: Warehouse, spec: TableSpec, keys: Sequence[tuple[str, ...]], moment: str) -> object:
    """Return when the oldest of these rows was made, or None."""
    _note_keys(warehouse, keys)
    column = next((column.name for column in spec.columns if column.field == moment), moment)
    return warehouse.value(f"SELECT min({quote_identifier(column)}) FROM {quote_table(spec.name)} WHERE {_chosen(spec)}")


def commit_sweep(warehouse: Warehouse, sweep: SweepRecord, blanker: Blanker, record: CommitRecord) -> int:
    """Take the content of swept rows out in one transaction with its ledger row; return how many rows. It is done once."""
    return until_committed(lambda: _commit(warehouse, sweep, blanker, record))


def _commit(warehouse: Warehouse, sweep: SweepRecord, blanker: Blanker, record: CommitRecord) -> int:
    with warehouse.transaction():
        known = warehouse.rows("SELECT rows_updated FROM _ducklift.loads WHERE load_id = ?", [record.load_id])
        if known:
            return int(known[0][0])
        sequence = ledger.next_sequence(warehouse, sweep.table)
        rows = blank_rows(warehouse, sweep.spec, blanker)
        total = ledger.row_count(warehouse, sweep.table)
        ledger.write(warehouse, record.model_copy(update={"sequence": sequence, "rows_updated": rows, "total_rows": total}))
        reach("sweep.before_commit")
    return rows


def sweep_commit(sweep: SweepRecord) -> CommitRecord:
    """Return the commit that a sweep will be; its place in the order is not known yet."""
    return CommitRecord(
        kind=SWEEP,
        sequence=0,
        load_id=sweep.sweep_id,
        pipeline=sweep.pipeline,
        stream="",
        dataset=sweep.table.dataset,
        table=sweep.table.table,
        state=SWEEP,
        loaded_at=sweep.started_at,
        spec=sweep.spec.model_dump(mode="json", by_alias=True),
    )


def blank_rows(warehouse: Warehouse, spec: TableSpec, blanker: Blanker) -> int:
    """Take the content out of the rows and the quarantined records of these keys; return how many rows there were."""
    _blank_quarantine(warehouse, spec.name, blanker)
    columns = existing_columns(warehouse, spec.name)
    if not columns:
        return 0
    _note_keys(warehouse, sorted(blanker.keys))
    taken = content_columns(warehouse, spec, blanker)
    table, chosen = quote_table(spec.name), _chosen(spec)
    if spec.record_column in columns:
        _blank_records(warehouse, spec, blanker)
    changes = [f"{quote_identifier(name)} = {_instead(name, columns[name], text)}" for name, text in taken.items()]
    if changes:
        warehouse.connection.execute(f"UPDATE {table} SET {', '.join(changes)} WHERE {chosen}")
    count: int = warehouse.value(f"SELECT count(*) FROM {table} WHERE {chosen}")
    return count


def _instead(name: str, type_: str, text: str | None) -> str:
    if text is None or type_ != "VARCHAR":
        return "NULL"
    return f"CASE WHEN {quote_identifier(name)} IS NOT NULL THEN {quote_literal(text)} END"


def _chosen(spec: TableSpec) -> str:
    texts = ", ".join(f"CAST({quote_identifier(name)} AS VARCHAR)" for name in spec.primary_key)
    return f"[{texts}] IN (SELECT key FROM {_KEYS})"


def _note_keys(warehouse: Warehouse, keys: Sequence[tuple[str, ...]]) -> None:
    warehouse.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_KEYS.partition('.')[2]} (key VARCHAR[])")
    if keys:
        warehouse.connection.execute(f"INSERT INTO {_KEYS} SELECT unnest(CAST(? AS VARCHAR[][]))", [[list(key) for key in keys]])


def _blank_records(warehouse: Warehouse, spec: TableSpec, blanker: Blanker) -> None:
    """Blank the whole records of the swept rows, of which there are few, one by one and as raw files are blanked."""
    name, table = quote_identifier(spec.record_column or ""), quote_table(spec.name)
    rows = warehouse.rows(f"SELECT DISTINCT CAST({name} AS VARCHAR) FROM {table} WHERE {_chosen(spec)} AND {name} IS NOT NULL")
    for (text,) in rows:
        blanked = blanker.line(text.encode())
        if blanked is not None:
            warehouse.connection.execute(
                f"UPDATE {table} SET {name} = CAST(? AS JSON) WHERE {_chosen(spec)} AND CAST({name} AS VARCHAR) = ?",
                [blanked.decode(), text],
            )


def _blank_quarantine(warehouse: Warehouse, table: TableName, blanker: Blanker) -> None:
    place = [table.dataset, table.table]
    rows = warehouse.rows(
        'SELECT DISTINCT record FROM _ducklift.quarantine WHERE dataset = ? AND "table" = ? AND record IS NOT NULL', place
    )
    for (text,) in rows:
        blanked = blanker.line(text.encode())
        if blanked is not None:
            # A reason shows the beginning of a value that did not fit.
            warehouse.connection.execute(
                "UPDATE _ducklift.quarantine SET record = ?, "
                "reason = regexp_replace(reason, '^(column [^:]*: not an? [^:]*): .*$', '\\1', 's') "
                'WHERE dataset = ? AND "table" = ? AND record = ?',
                [blanked.decode(), *place, text],
            )

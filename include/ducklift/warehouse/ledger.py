"""The ledger: which commits made the tables. It is looked up inside the load's transaction, and it never forgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ducklift.errors import AccountingMismatch, LoadSuperseded, ManifestConflict, WarehouseBehind
from ducklift.lake.commits import CommitRecord, Snapshot, superseded_loads
from ducklift.lake.manifest import Manifest
from ducklift.specs import TableName
from ducklift.summary import COUNT_NAMES, LoadSummary, RowCounts
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_table

# The ledger's columns are the commit record's fields but its version; `superseded_by` is told by the records that came later.
_COLUMNS = tuple(name for name in CommitRecord.model_fields if name not in ("commit_version", "schema_changes", "reached"))
_CHANGE = ("table", "column", "change", "type_before", "type_after", "field", "variant_of")
_JSON_COLUMNS = ("watermark", "gap", "supersedes", "columns", "spec", "airflow", "warnings")
_OF_TABLE = 'dataset = ? AND "table" = ?'


def known_load(warehouse: Warehouse, manifest: Manifest, sha256: str, url: str) -> LoadSummary | None:
    """Return what the ledger tells of this load, as `already_loaded`, with the table's rows of now; None when it is not there.

    Raises `ManifestConflict` when the ledger knows the load id with another manifest, `LoadSuperseded` when a later extraction that is
    loaded took its place.
    """
    rows = warehouse.rows(
        "SELECT manifest_sha256, watermark, gap, bytes, files, warnings FROM _ducklift.loads WHERE load_id = ?",
        [manifest.load_id],
    )
    if not rows:
        _refuse_superseded(warehouse, manifest)
        return None
    known_sha256, watermark, gap, size, files, warnings = rows[0]
    if known_sha256 != sha256:
        raise ManifestConflict(manifest.load_id, "the ledger", known_sha256, sha256)
    return LoadSummary(
        load_id=manifest.load_id,
        stream=manifest.stream,
        state="already_loaded",
        table=str(manifest.table),
        manifest=url,
        bytes=size,
        files=files,
        watermark=parsed(watermark),
        total_rows=row_count(warehouse, manifest.table),
        gap=tuple(parsed(gap)) if gap else None,
        warnings=tuple(parsed(warnings) or ()),
    )


def _refuse_superseded(warehouse: Warehouse, manifest: Manifest) -> None:
    by = warehouse.value(
        f"""
        SELECT load_id FROM _ducklift.loads WHERE {_OF_TABLE} AND (
            (supersedes <> '[]' AND list_contains(CAST(supersedes AS VARCHAR[]), ?))
            OR (replaces_stream AND pipeline = ? AND stream = ? AND extracted_at > ?)
        ) ORDER BY sequence LIMIT 1
        """,
        [manifest.table.dataset, manifest.table.table, manifest.load_id, manifest.pipeline, manifest.stream, manifest.extracted_at],
    )
    if by is not None:
        raise LoadSuperseded(manifest.load_id, by)


def check_in_step(warehouse: Warehouse, table: TableName, published: Snapshot | None) -> None:
    """Raise `WarehouseBehind` unless the warehouse holds the commit that the lake published last of this table."""
    if published is None or not published.sequence:
        return
    held = warehouse.value(
        f"SELECT load_id FROM _ducklift.loads WHERE {_OF_TABLE} AND sequence = ?", [table.dataset, table.table, published.sequence]
    )
    if held is None or held != published.newest_load_id:
        raise WarehouseBehind(warehouse.database, str(table), published.sequence, published.newest_load_id)


def next_sequence(warehouse: Warehouse, table: TableName) -> int:
    """Return the commit's place in the table's order. Writing the table's own control row makes two writers to one table collide.

    The row has a table to itself, since DuckLake would take writes to two rows of one table for a conflict.
    """
    control = _control_row(warehouse, table)
    if not warehouse.value(f"UPDATE {control} SET sequence = sequence + 1"):
        warehouse.run(f"INSERT INTO {control} VALUES (1)")
    found: int = warehouse.value(f"SELECT sequence FROM {control}")
    return found


def begin_sequence(warehouse: Warehouse, table: TableName, sequence: int) -> None:
    """Let the order of a table that has no commit yet go on behind this place."""
    warehouse.run(f"INSERT INTO {_control_row(warehouse, table)} VALUES (?)", [sequence])


def _control_row(warehouse: Warehouse, table: TableName) -> str:
    control = f"_ducklift.{quote_identifier(f'control.{table}')}"
    warehouse.run(f"CREATE TABLE IF NOT EXISTS {control} (sequence BIGINT)")
    return control


def check_accounting(load_id: str, counts: RowCounts) -> None:
    """Raise `AccountingMismatch` unless every extracted row is accounted for."""
    if counts.accounted != counts.rows_extracted:
        terms = ", ".join(f"{name.removeprefix('rows_')} {getattr(counts, name)}" for name in COUNT_NAMES[1:])
        raise AccountingMismatch(load_id, counts.rows_extracted, counts.accounted, terms)


def write(warehouse: Warehouse, record: CommitRecord) -> None:
    """Write a commit's ledger row, in the transaction of what it did, and note in the rows of other loads that it superseded them."""
    values = record.model_dump()
    row = {name: text(values[name]) if name in _JSON_COLUMNS else values[name] for name in _COLUMNS}
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" for _ in row)
    warehouse.run(f"INSERT INTO _ducklift.loads ({names}) VALUES ({marks})", list(row.values()))
    if record.gap is not None:
        place = [record.pipeline, record.stream, record.dataset, record.table]
        gap = [*place, text(record.gap[0]), text(record.gap[1]), record.load_id, record.loaded_at]
        warehouse.run("INSERT INTO _ducklift.gaps VALUES (?, ?, ?, ?, ?, ?, ?, ?)", gap)


def mark_superseded(warehouse: Warehouse, table: TableName, load_ids: Sequence[str], by: str) -> None:
    """Note that loads are superseded, and forget their quarantined rows and gaps: what took their place tells its own."""
    place = [table.dataset, table.table, list(load_ids)]
    which = f"WHERE {_OF_TABLE} AND list_contains(?, load_id)"
    warehouse.run(f"UPDATE _ducklift.loads SET superseded_by = ? {which} AND superseded_by IS NULL", [by, *place])
    for name in ("quarantine", "gaps"):
        warehouse.run(f"DELETE FROM _ducklift.{name} {which}", place)


def commit_records(warehouse: Warehouse, table: TableName, after_sequence: int = 0) -> list[CommitRecord]:
    """Return the commits of a table behind a place in its order, oldest first."""
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    rows = warehouse.rows(
        f"SELECT {names} FROM _ducklift.loads WHERE {_OF_TABLE} AND sequence > ? ORDER BY sequence",
        [table.dataset, table.table, after_sequence],
    )
    found = []
    for row in rows:
        values = dict(zip(_COLUMNS, row, strict=True))
        values.update({name: parsed(values[name]) for name in _JSON_COLUMNS})
        if values["columns"] is not None:
            values["schema_changes"] = _schema_changes(warehouse, values["load_id"])
        values["reached"] = _reached(warehouse, values["load_id"])
        found.append(CommitRecord.model_validate(values))
    return found


def _reached(warehouse: Warehouse, load_id: str) -> Any:
    """Return how far the rows of a load that left the watermark where it was go beyond all rows before it; None for any other load."""
    found = warehouse.rows("SELECT nullif(highest, value) FROM _ducklift.watermark_moves WHERE load_id = ?", [load_id])
    return parsed(found[0][0]) if found else None


def _schema_changes(warehouse: Warehouse, load_id: str) -> list[dict[str, Any]]:
    names = ", ".join(f'"{name}"' for name in _CHANGE)
    rows = warehouse.rows(f"SELECT {names} FROM _ducklift.schema_changes WHERE load_id = ? ORDER BY rowid", [load_id])
    return [dict(zip(_CHANGE, row, strict=True)) for row in rows]


def write_schema_changes(warehouse: Warehouse, record: CommitRecord) -> None:
    """Write the schema changes that a commit's record tells."""
    names = ", ".join(f'"{name}"' for name in ("dataset", *_CHANGE, "load_id", "changed_at"))
    for change in record.schema_changes:
        row = [record.dataset, *(change[name] for name in _CHANGE), record.load_id, record.loaded_at]
        marks = ", ".join("?" for _ in row)
        warehouse.run(f"INSERT INTO _ducklift.schema_changes ({names}) VALUES ({marks})", row)


def live_load_ids(records: Sequence[CommitRecord]) -> set[str]:
    """Return the loads whose effect is in the table."""
    return {record.load_id for record in records} - superseded_loads(records).keys()


def row_count(warehouse: Warehouse, table: TableName) -> int:
    """Return the rows of a table, 0 when it does not exist yet."""
    if not existing_columns(warehouse, table):
        return 0
    count: int = warehouse.value(f"SELECT count(*) FROM {quote_table(table)}")
    return count


def text(value: Any) -> str | None:
    """Return a value as a JSON column holds it; None is NULL."""
    return None if value is None else orjson.dumps(value).decode()


def parsed(value: str | None) -> Any:
    """Return what a JSON column holds."""
    return None if value is None else orjson.loads(value)

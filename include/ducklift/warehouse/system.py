"""The system schema `_ducklift`: made in the target's own catalog, so that it commits with the rows it speaks of."""

from __future__ import annotations

from ducklift import __version__
from ducklift.errors import WarehouseUnusable
from ducklift.warehouse.conflicts import until_committed
from ducklift.warehouse.connect import Warehouse

SYSTEM_VERSION = 1

# No primary keys: an index doubles the file and DuckLake has none. The ledger is looked up inside the transaction instead.
# DuckLake tells writers apart by table: what all of them write is only ever appended to, so that loads into different tables do not
# meet; loads into the same one meet in its own control table (see `ducklift.warehouse.ledger`).
_TABLES = """
CREATE SCHEMA IF NOT EXISTS _ducklift;
CREATE TABLE IF NOT EXISTS _ducklift.version (version INTEGER, made_by VARCHAR);
CREATE TABLE IF NOT EXISTS _ducklift.loads (
    load_id VARCHAR, pipeline VARCHAR, stream VARCHAR, dataset VARCHAR, "table" VARCHAR, sequence BIGINT, kind VARCHAR,
    state VARCHAR, manifest VARCHAR, manifest_sha256 VARCHAR,
    rows_extracted BIGINT, rows_inserted BIGINT, rows_updated BIGINT, rows_unchanged BIGINT, rows_deleted BIGINT,
    rows_deduplicated BIGINT, rows_quarantined BIGINT, total_rows BIGINT, bytes BIGINT, files BIGINT,
    slice_start TIMESTAMPTZ, slice_end TIMESTAMPTZ, extracted_at TIMESTAMPTZ, loaded_at TIMESTAMPTZ, seconds DOUBLE,
    watermark JSON, gap JSON, supersedes JSON, replaces_stream BOOLEAN, superseded_by VARCHAR, target VARCHAR,
    columns JSON, spec JSON, airflow JSON, warnings JSON
);
CREATE TABLE IF NOT EXISTS _ducklift.watermark_moves (
    pipeline VARCHAR, stream VARCHAR, dataset VARCHAR, "table" VARCHAR, cursor VARCHAR, value JSON,
    highest JSON, load_id VARCHAR, updated_at TIMESTAMPTZ, sequence BIGINT
);
CREATE TABLE IF NOT EXISTS _ducklift.schema_changes (
    dataset VARCHAR, "table" VARCHAR, "column" VARCHAR, change VARCHAR, type_before VARCHAR, type_after VARCHAR,
    field VARCHAR, variant_of VARCHAR, load_id VARCHAR, changed_at TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS _ducklift.quarantine (
    dataset VARCHAR, "table" VARCHAR, load_id VARCHAR, source_file VARCHAR, line BIGINT, reason VARCHAR, record VARCHAR,
    quarantined_at TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS _ducklift.deletions (
    dataset VARCHAR, "table" VARCHAR, key VARCHAR, cursor VARCHAR, extracted_at TIMESTAMPTZ, load_id VARCHAR
);
CREATE TABLE IF NOT EXISTS _ducklift.gaps (
    pipeline VARCHAR, stream VARCHAR, dataset VARCHAR, "table" VARCHAR, cursor_from JSON, cursor_to JSON, load_id VARCHAR,
    recorded_at TIMESTAMPTZ
);
CREATE VIEW IF NOT EXISTS _ducklift.watermarks AS
    SELECT * EXCLUDE (sequence) FROM _ducklift.watermark_moves
    QUALIFY row_number() OVER (PARTITION BY pipeline, stream, dataset, "table" ORDER BY sequence DESC) = 1;
CREATE VIEW IF NOT EXISTS _ducklift.control AS
    SELECT dataset, "table", max(sequence) AS sequence FROM _ducklift.loads GROUP BY dataset, "table";
"""


def prepare_system(warehouse: Warehouse) -> None:
    """Make the system schema when it is missing; raises `WarehouseUnusable` when a newer Ducklift made it."""
    if not has_system(warehouse):
        until_committed(lambda: _create(warehouse))
    version = warehouse.value("SELECT max(version) FROM _ducklift.version")
    if version != SYSTEM_VERSION:
        reason = f"its system schema is of version {version}, this Ducklift knows {SYSTEM_VERSION}"
        raise WarehouseUnusable(warehouse.database, reason, "Upgrade Ducklift, or rebuild the warehouse from the lake.")


def has_system(warehouse: Warehouse) -> bool:
    """Return whether the warehouse has the system schema."""
    found = warehouse.value(
        "SELECT count(*) FROM duckdb_tables() "
        "WHERE schema_name = '_ducklift' AND table_name = 'version' AND database_name = current_database()"
    )
    return bool(found)


def _create(warehouse: Warehouse) -> None:
    # Looked up again inside: of two processes that begin on one catalog, the second finds what the first has made.
    with warehouse.transaction():
        if not has_system(warehouse):
            warehouse.run(_TABLES)
            warehouse.run("INSERT INTO _ducklift.version VALUES (?, ?)", [SYSTEM_VERSION, __version__])

"""The keys and moments of records as they stand in raw files, gathered in a scratch file of DuckDB's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ducklift.lake.manifest import Manifest
from ducklift.lake.store import Store
from ducklift.warehouse.columns import conversion
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.fetching import fetch
from ducklift.warehouse.readers import reader_for

_AT_ONCE = 10_000


def note_keys(warehouse: Warehouse, lake: Store, manifest: Manifest, key: str, moment: str) -> None:
    """Note the keys of one load's records with their moments; raises the errors of `ducklift.warehouse.fetching.fetch`."""
    warehouse.connection.execute("CREATE TABLE IF NOT EXISTS known (key VARCHAR, moment TIMESTAMPTZ)")
    folder = warehouse.staging / manifest.load_id
    try:
        fetched = fetch(lake, manifest, manifest.spec, folder, warehouse.settings)
        _note(warehouse, fetched.manifest, fetched.files, key, moment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _note(warehouse: Warehouse, manifest: Manifest, files: Sequence[Path], key: str, moment: str) -> None:
    import duckdb

    reader = reader_for(manifest, files, whole_records=False)
    while reader is not None:
        relation = reader.relation(warehouse, {key: "VARCHAR", moment: "VARCHAR"})
        made = conversion(f"CAST({relation.fields[moment]} AS VARCHAR)", "TIMESTAMP WITH TIME ZONE").value
        name = f"CAST({relation.fields[key]} AS VARCHAR)"
        try:
            warehouse.connection.execute(f"INSERT INTO known SELECT {name}, {made} FROM ({relation.sql}) WHERE {name} IS NOT NULL")
            return
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            slower = reader.slower()
            if slower is None:
                raise
            reader = slower


def newest_first(warehouse: Warehouse, window_s: int) -> Iterator[list[str]]:
    """Yield the noted keys, each once, whose moment lies in the window that ends with the newest, in lists of bounded length."""
    rows = warehouse.connection.execute(
        """
        SELECT key FROM (SELECT key, max(moment) AS moment FROM known GROUP BY key)
        WHERE moment >= (SELECT max(moment) FROM known) - to_seconds(?) ORDER BY moment DESC, key
        """,
        [window_s],
    )
    while found := rows.fetchmany(_AT_ONCE):
        yield [key for (key,) in found]

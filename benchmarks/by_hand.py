"""Loads written by hand, to measure against: DuckDB alone, and the best statements that write the same columns; nothing is verified."""

from __future__ import annotations

import os

import duckdb

from benchmarks.rows import COLUMNS

TYPED = ", ".join(f"'{name}': '{type_}'" for name, type_ in COLUMNS.items())
_READING = {
    "jsonl": f"read_json('FILE', format = 'newline_delimited', columns = {{{TYPED}}})",
    "csv": f"read_csv('FILE', header = true, columns = {{{TYPED}}})",
    "parquet": "read_parquet('FILE')",
}


def connected(folder: str) -> duckdb.DuckDBPyConnection:
    """Return a connection to the side's own file."""
    connection = duckdb.connect(f"{folder}/hand.duckdb")
    connection.execute("SET TimeZone = 'UTC'")
    if limit := os.environ.get("DUCKLIFT_MEMORY_LIMIT"):
        connection.execute(f"SET memory_limit = '{limit}'")
    if threads := os.environ.get("DUCKLIFT_THREADS"):
        connection.execute(f"SET threads = {threads}")
    return connection


def _rows(file: str, load_id: str) -> str:
    """Return the SQL of a file's rows with the same lineage as Ducklift's."""
    extension = file.rpartition("/")[2].partition(".")[2]
    reading = _READING[extension.partition(".")[0]].replace("FILE", file)
    key = f"raw/bench/rows/{load_id}.0123456789ab.{extension}"
    lineage = f"'{load_id}' AS _load_id, now() AS _loaded_at, now() AS _extracted_at, '{key}' AS _source_file"
    return f"SELECT *, {lineage} FROM {reading}"


def file_to_table(folder: str, file: str) -> None:
    """Make a table of a file."""
    connection = connected(folder)
    connection.execute(f"CREATE TABLE rows AS {_rows(file, 'load-1')}")
    connection.close()


def merge(folder: str, file: str) -> None:
    """Merge a file into the table: the newest version of each key."""
    connection = connected(folder)
    connection.execute("BEGIN")
    newest = "QUALIFY row_number() OVER (PARTITION BY id ORDER BY created DESC) = 1"
    connection.execute(f"CREATE TEMP TABLE batch AS {_rows(file, 'load-2')} {newest}")
    connection.execute("DELETE FROM rows USING batch WHERE rows.id = batch.id")
    connection.execute("INSERT INTO rows BY NAME SELECT * FROM batch")
    connection.execute("COMMIT")
    connection.close()

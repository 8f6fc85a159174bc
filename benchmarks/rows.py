"""Rows to measure with: ten columns, half a kilobyte, made by DuckDB or as dicts; the same for every case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

COLUMNS = {
    "id": "BIGINT",
    "name": "VARCHAR",
    "title": "VARCHAR",
    "author": "VARCHAR",
    "score": "BIGINT",
    "ratio": "DOUBLE",
    "created": "TIMESTAMP WITH TIME ZONE",
    "over_18": "BOOLEAN",
    "body": "VARCHAR",
    "comments": "BIGINT",
}
BATCH = 1_000


def select(rows: int, first: int = 0, version: int = 0) -> str:
    """Return SQL of `rows` rows with ids from `first`; another version has other scores."""
    return f"""
        SELECT i AS id, 't3_' || i AS name, 'How number ' || i || ' came to be, and what it left' AS title, 'user_' || (i % 9999) AS author,
            (i * 7919 + {version}) % 5000 AS score, ((i % 100) / 100.0)::DOUBLE AS ratio, to_timestamp(1700000000 + i) AS created,
            i % 3 = 0 AS over_18, repeat('lorem ipsum dolor ', (i % 30)::INT) AS body, i % 77 AS comments
        FROM range({first}, {first + rows}) AS t(i)
    """


def write(path: Path, rows: int, kind: str, first: int = 0, version: int = 0) -> Path:
    """Write a file of rows in a format of the lake, unless it is there."""
    options = {
        "jsonl": "FORMAT json",
        "jsonl.gz": "FORMAT json, COMPRESSION gzip",
        "csv": "FORMAT csv, HEADER",
        "parquet": "FORMAT parquet, COMPRESSION zstd",
    }[kind]
    if not path.exists():
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({select(rows, first, version)}) TO '{path}' ({options})")
    return path


def dicts(rows: int) -> Iterator[list[dict[str, Any]]]:
    """Yield batches of dicts as an API's client would."""
    for start in range(0, rows, BATCH):
        yield [
            {
                "id": i,
                "name": f"t3_{i}",
                "title": f"How number {i} came to be, and what it left",
                "author": f"user_{i % 9999}",
                "score": i * 7919 % 5000,
                "ratio": i % 100 / 100.0,
                "created": 1700000000 + i,
                "over_18": i % 3 == 0,
                "body": "lorem ipsum dolor " * (i % 30),
                "comments": i % 77,
            }
            for i in range(start, min(start + BATCH, rows))
        ]

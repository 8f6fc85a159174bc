"""Stored tables in SQL: `select * from asset('top_posts')`, or `asset('top_posts', '2026-01-01')` for one partition."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.assets.errors import ValueMissing, ValueUnreadable
from ducklift.assets.keys import asset_key
from ducklift.assets.storage import Storage, input_context
from ducklift.errors import ConfigurationError
from ducklift.warehouse.identifiers import quote_identifier, quote_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FUNCTION = "asset"
PARTITION_COLUMN = "_partition"
_PREFIX = "asset:"

Call = tuple[str, str | None]
Fetched = dict[Call, list[tuple[str | None, Path]]]


def asset_calls(sql: str) -> list[Call]:
    """Return the keys and partitions that a statement's `asset(…)` calls name; raises `ConfigurationError` where one is no literal."""
    import duckdb

    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {}
    return list(dict.fromkeys(_call(node) for node in _nodes(tree) if _is_call(node)))


def fetch_assets(calls: list[Call], storage: Storage, folder: Path) -> Fetched:
    """Write the values that are called for into a folder, each partition a Parquet file.

    Raises `ValueMissing`, and `ValueUnreadable` for a value that is no table.
    """
    import pyarrow.parquet as pq

    found: Fetched = {}
    for number, (key, partition) in enumerate(calls):
        parts = found.setdefault((key, partition), [])
        for name, table in _tables(storage, key, partition):
            file = folder / f"asset-{number}-{len(parts)}.parquet"
            pq.write_table(table, file)
            parts.append((name, file))
    return found


def show_assets(connection: DuckDBPyConnection, fetched: Fetched, folder: Path) -> None:
    """Make the function `asset` known to a connection; `folder` is one that it may read, and the files are moved there."""
    for (key, partition), parts in fetched.items():
        selects = []
        for name, file in parts:
            place = quote_literal(str(shutil.move(file, folder / file.name)))
            label = "" if name is None else f", {quote_literal(name)} AS {quote_identifier(PARTITION_COLUMN)}"
            selects.append(f"SELECT *{label} FROM read_parquet({place})")  # noqa: S608 — quoted
        view = quote_identifier(_view(key, partition))
        connection.execute(f"CREATE TEMPORARY VIEW {view} AS {' UNION ALL BY NAME '.join(selects)}")
    # In brackets: a second form would be read as a second table of the first one's FROM.
    names = ("md5(key)", "md5(key || '@' || part)")
    forms = [f"(SELECT * FROM query_table({quote_literal(_PREFIX)} || {name}))" for name in names]  # noqa: S608 — of constants
    connection.execute(f"CREATE TEMPORARY MACRO {FUNCTION}(key) AS TABLE {forms[0]}, (key, part) AS TABLE {forms[1]}")


def _tables(storage: Storage, key: str, partition: str | None) -> Iterator[tuple[str | None, Any]]:
    import pyarrow as pa

    stored: list[str | None] = (storage.partitions(key) or [None]) if partition is None else [partition]
    if not stored:
        raise ValueMissing(key)
    for name in stored:
        value = storage.load(input_context(key, name))
        yield name if partition is None else None, _as_table(value, key, pa)


def _as_table(value: Any, key: str, pa: Any) -> Any:
    from ducklift.assets.serializers import full_name
    from ducklift.assets.tables import TableSerializer, record_batches, table_of_records

    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return table_of_records(value)
    if full_name(type(value)) not in TableSerializer.types:
        raise ValueUnreadable(key, f"a value of type {full_name(type(value))} is no table, which SQL could read")
    found = record_batches(value)
    return found if isinstance(found, pa.Table) else found.read_all()


def _view(key: str, partition: str | None) -> str:
    """Return the view's name: DuckDB's take no dots, and do not tell upper from lower case."""
    text = key if partition is None else f"{key}@{partition}"
    return f"{_PREFIX}{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for each in tree.values():
            yield from _nodes(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)


def _is_call(node: dict[str, Any]) -> bool:
    function = node.get("function")
    return node.get("type") == "TABLE_FUNCTION" and isinstance(function, dict) and function.get("function_name") == FUNCTION


def _call(node: dict[str, Any]) -> Call:
    texts = [_literal(each) for each in node["function"].get("children", [])]
    if len(texts) not in (1, 2) or any(text is None for text in texts):
        raise ConfigurationError("Write asset('key') or asset('key', 'partition'), each a text that stands there as it is.")
    return asset_key(texts[0] or ""), texts[1] if len(texts) == 2 else None


def _literal(child: dict[str, Any]) -> str | None:
    value = child.get("value") if child.get("class") == "CONSTANT" else None
    found = value.get("value") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None

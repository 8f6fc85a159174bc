"""The content of a table as one hash: equal for equal rows in any order, different for any other value, type or number of rows."""

from __future__ import annotations

import hashlib

from ducklift.specs import TableName
from ducklift.warehouse.children import family
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_table

SYSTEM = "_ducklift"
SYSTEM_TABLES = ("loads", "watermarks", "schema_changes", "quarantine", "deletions", "gaps", "control")


def content_hash(warehouse: Warehouse, table: TableName) -> str:
    """Return the hash of a table's columns and rows in hex; an absent table has one as well.

    Every row becomes one text in which each value bears its length, so that no two different rows give the same; the md5 sums of the rows
    are added up, which no order changes and a row that stands twice does. Memory stays flat.
    """
    return relation_hash(warehouse, existing_columns(warehouse, table), quote_table(table))


def relation_hash(warehouse: Warehouse, columns: dict[str, str], source: str) -> str:
    """Return the same hash for the rows of any SQL source that has these columns in these types."""
    if not columns:
        return hashlib.sha256(b"no table").hexdigest()
    names = sorted(columns)
    texts = [f"CAST({quote_identifier(name)} AS VARCHAR)" for name in names]
    row = " || ".join(f"coalesce(strlen({text}) || ':' || {text}, '-')" for text in texts)
    parts = warehouse.rows(
        f"SELECT count(*), sum(md5_number_lower(row)), sum(md5_number_upper(row)) FROM (SELECT {row} AS row FROM {source})"
    )[0]
    head = [f"{name} {columns[name]}" for name in names]
    return hashlib.sha256("\n".join([*head, *map(str, parts)]).encode()).hexdigest()


def family_hash(warehouse: Warehouse, table: TableName) -> str:
    """Return the hash of a table with all its child tables; of one without any it is the table's own."""
    own = content_hash(warehouse, table)
    children = [content_hash(warehouse, child) for _, child in family(warehouse, table)]
    return hashlib.sha256("\n".join([own, *children]).encode()).hexdigest() if children else own


def system_hashes(warehouse: Warehouse) -> dict[str, str]:
    """Return the content hashes of the system tables, by their qualified names."""
    return {f"{SYSTEM}.{name}": content_hash(warehouse, TableName(dataset=SYSTEM, table=name)) for name in SYSTEM_TABLES}

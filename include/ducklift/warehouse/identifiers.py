"""The one way to put a name or a value into SQL where it cannot be bound."""

from __future__ import annotations

from ducklift.specs import TableName


def quote_identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    if "\0" in name:
        raise ValueError("an identifier cannot hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """Return `value` as a quoted SQL string, for the statements that take no bound parameters."""
    if "\0" in value:
        raise ValueError("a literal cannot hold a NUL character")
    return "'" + value.replace("'", "''") + "'"


def quote_table(table: TableName) -> str:
    """Return a table's qualified, quoted name."""
    return f"{quote_identifier(table.dataset)}.{quote_identifier(table.table)}"

"""The checks that a pipeline file writes as SQL: one statement that only reads, whose rows are the failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ducklift.errors import CheckFailed, ConfigurationError
from ducklift.warehouse.connect import Warehouse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

_LONGEST_EXAMPLE = 120


def failing_rows(warehouse: Warehouse, sql: str, table: str, examples: int) -> tuple[int, list[str]]:
    """Return how many rows the query gives, and some of them as text.

    Raises `ConfigurationError` for anything but one statement that only reads and fits the tables, `CheckFailed` when it fails on the rows.
    """
    import duckdb

    label = " ".join(sql.split())[:100]
    try:
        relation = _relation(warehouse, sql, table)
        [(count,)] = relation.aggregate("count(*)").fetchall()
        shown = relation.limit(examples).fetchall() if count else []
    except (duckdb.ProgrammingError, duckdb.PermissionException, duckdb.NotSupportedError) as err:
        raise ConfigurationError(f"{table}: check sql {label}: {_reason(err)}") from err
    except (duckdb.DataError, duckdb.IntegrityError) as err:
        raise CheckFailed(table, [f"sql {label}: {_reason(err)}"]) from err
    return count, [", ".join(map(str, row))[:_LONGEST_EXAMPLE] for row in shown]


def _relation(warehouse: Warehouse, sql: str, table: str) -> DuckDBPyRelation:
    import duckdb

    statements = warehouse.connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        # The warehouse's connection reaches no other file in any case; this keeps the check from changing the warehouse itself.
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise ConfigurationError(f"{table}: check sql: write one statement that only reads, such as SELECT; this is {kinds}.")
    return warehouse.connection.sql(statements[0])


def _reason(err: Exception) -> str:
    return " ".join(str(err).partition("\n\nLINE ")[0].split())

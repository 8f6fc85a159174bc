"""Inputs from the warehouse itself: a query, read-only, its values bound."""

from __future__ import annotations

import re
from typing import Any

from ducklift.assets.contexts import InputContext
from ducklift.assets.errors import ValueUnreadable
from ducklift.assets.inputs import partition_values
from ducklift.assets.managers import InputManager, NoConfig, Surroundings, input_manager
from ducklift.assets.tables import chosen_columns, table_as
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.warehouse import open_warehouse

_NAMED = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


class WarehouseInput(InputManager):
    """Loads the rows of a query on the warehouse: `AssetIn(metadata={"query": "from reddit.posts where day = $partition_key"})`.

    `$partition_keys` is a list of them; `parameters` in the metadata adds one's own. With `colons` they are written `:partition_key`, as
    for other databases.
    """

    def __init__(self, settings: Settings, *, colons: bool = False) -> None:
        self.settings, self._colons = settings, colons

    def load_input(self, context: InputContext) -> Any:
        """Return the rows as a table of the wanted type; raises `ValueUnreadable` when DuckDB refuses the query."""
        import duckdb

        query = context.metadata.get("query")
        if not isinstance(query, str):
            raise ConfigurationError(f"{context.parameter or context.key}: write metadata={{'query': 'select …'}}, got {query!r}.")
        if self._colons:
            query = _NAMED.sub(r"$\1", query)
        with open_warehouse(self.settings, read_only=True) as warehouse:
            for table in tables_read(warehouse.connection, query):
                context.lineage.add_table(table)
            try:
                found = warehouse.connection.execute(query, self._values(warehouse.connection, query, context)).to_arrow_table()
            except duckdb.Error as err:
                raise ValueUnreadable(f"query of {context.parameter or context.key}", str(err).splitlines()[0]) from err
        return table_as(chosen_columns(found, context), context.type)

    @staticmethod
    def _values(connection: Any, query: str, context: InputContext) -> dict[str, Any]:
        wanted = set().union(*(statement.named_parameters for statement in connection.extract_statements(query)))
        one = partition_values(context) if len(context.partition_keys) <= 1 else {}
        values = {"partition_keys": list(context.partition_keys), **one, **context.metadata.get("parameters", {})}
        if unknown := sorted(wanted - values.keys()):
            raise ConfigurationError(f"{context.parameter or context.key}: the query wants {', '.join(unknown)}, which nothing gives.")
        return {name: value for name, value in values.items() if name in wanted}


def tables_read(connection: Any, query: str) -> set[str]:
    """Return the tables of ours that a query reads, also through views, as far as DuckDB or the query's own text tells."""
    import duckdb

    try:
        # DuckDB tells only of statements without parameters.
        named = connection.get_table_names(re.sub(r"\$\w+", "NULL", query), qualified=True)
    except duckdb.Error:
        named = _standing_in(connection, query)
    found = {tuple(name.replace('"', "").split(".")[-2:]) for name in named}
    return {".".join(parts) for parts in found if len(parts) == 2 and all(map(_PLAIN.fullmatch, parts))}


def _standing_in(connection: Any, query: str) -> set[str]:
    """Return the tables whose names, with their schema's, stand in a text, and those that the views are made of which do."""
    sql = "SELECT table_schema || '.' || table_name FROM information_schema.tables"
    text = query.replace('"', "").lower()
    standing = [name for (name,) in connection.execute(sql).fetchall() if name.lower() in text]
    return {found for name in standing for found in connection.get_table_names(f"FROM {name}", qualified=True)}


@input_manager(config=NoConfig, name="warehouse")
def warehouse(_config: NoConfig, surroundings: Surroundings) -> WarehouseInput:
    """Return the input manager of the warehouse."""
    return WarehouseInput(surroundings.settings)

"""Inputs from the warehouse itself: a query, read-only, its values bound."""

from __future__ import annotations

from typing import Any

from ducklift.assets.contexts import InputContext
from ducklift.assets.errors import ValueUnreadable
from ducklift.assets.inputs import partition_values
from ducklift.assets.managers import InputManager, NoConfig, Surroundings, input_manager
from ducklift.assets.tables import table_as
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.warehouse import open_warehouse


class WarehouseInput(InputManager):
    """Loads the rows of a query on the warehouse: `AssetIn(metadata={"query": "from reddit.posts where day = $partition_key"})`.

    `$partition_keys` is a list of them; `parameters` in the metadata adds one's own.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load_input(self, context: InputContext) -> Any:
        """Return the rows as a table of the wanted type; raises `ValueUnreadable` when DuckDB refuses the query."""
        import duckdb

        query = context.metadata.get("query")
        if not isinstance(query, str):
            raise ConfigurationError(f"{context.parameter or context.key}: write metadata={{'query': 'select …'}}, got {query!r}.")
        with open_warehouse(self.settings, read_only=True) as warehouse:
            try:
                found = warehouse.connection.execute(query, self._values(warehouse.connection, query, context)).to_arrow_table()
            except duckdb.Error as err:
                raise ValueUnreadable(f"query of {context.parameter or context.key}", str(err).splitlines()[0]) from err
        return table_as(found.select(list(context.columns)) if context.columns else found, context.type)

    @staticmethod
    def _values(connection: Any, query: str, context: InputContext) -> dict[str, Any]:
        wanted = set().union(*(statement.named_parameters for statement in connection.extract_statements(query)))
        one = partition_values(context) if len(context.partition_keys) <= 1 else {}
        values = {"partition_keys": list(context.partition_keys), **one, **context.metadata.get("parameters", {})}
        if unknown := sorted(wanted - values.keys()):
            raise ConfigurationError(f"{context.parameter or context.key}: the query wants {', '.join(unknown)}, which nothing gives.")
        return {name: value for name, value in values.items() if name in wanted}


@input_manager(config=NoConfig, name="warehouse")
def warehouse(_config: NoConfig, surroundings: Surroundings) -> WarehouseInput:
    """Return the input manager of the warehouse."""
    return WarehouseInput(surroundings.settings)

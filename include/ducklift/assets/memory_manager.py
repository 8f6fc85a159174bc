"""Values kept in this process: for tests and for runs that need no storage."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import ValueMissing
from ducklift.assets.keys import asset_key
from ducklift.assets.lineage import Lineage
from ducklift.assets.managers import IOManager, NoConfig, Surroundings, io_manager
from ducklift.assets.serializers import full_name, serializer_for


class MemoryIOManager(IOManager):
    """Keeps the values themselves, the last one of each key and partition.

    A receiver that asks for another type, or for some columns, is given what it would get from a file; everybody else the very value.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[str, str | None], Any] = {}
        self._lineages: dict[tuple[str, str | None], Lineage] = {}

    def handle_output(self, context: OutputContext, value: Any) -> None:
        """Keep the value."""
        self.values[asset_key(context.key), context.partition_key] = value
        self._lineages[asset_key(context.key), context.partition_key] = context.lineage
        context.add_output_metadata({"format": "memory", "type": full_name(type(value))})

    def load_input(self, context: InputContext) -> Any:
        """Return the value itself; raises `ValueMissing`. There are no versions to choose from."""
        place = (asset_key(context.key), context.partition_key)
        if place not in self.values or context.version or context.as_of:
            raise ValueMissing(context.key, (context.partition_key,), context.version)
        value = self.values[place]
        context.lineage.merge(self._lineages[place])
        as_it_is = context.type is None or (isinstance(context.type, type) and isinstance(value, context.type))
        return value if as_it_is and context.columns is None else _as_stored(value, context)

    def partitions(self, key: str) -> list[str | None]:
        """Return the partitions that are kept, in order."""
        return sorted((partition for name, partition in self.values if name == asset_key(key)), key=lambda each: each or "")


def _as_stored(value: Any, context: InputContext) -> Any:
    serializer = serializer_for(value)
    with tempfile.TemporaryDirectory(prefix="ducklift-value-") as folder:
        path = Path(folder) / f"value.{serializer.extension}"
        serializer.dump(value, path)
        return serializer.load(path, serializer.wanted(context.type), context.columns)


@io_manager(config=NoConfig, name="memory")
def memory(_config: NoConfig, _surroundings: Surroundings) -> MemoryIOManager:
    """Return a manager that forgets everything with the process."""
    return MemoryIOManager()

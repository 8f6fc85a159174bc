"""Running asset functions in plain Python, in the order of what they need, with nothing but this process."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ducklift.assets.definitions import AssetFunction
from ducklift.assets.keys import PartitionKey, partition_key
from ducklift.assets.managers import InputManager
from ducklift.assets.memory_manager import MemoryIOManager
from ducklift.assets.storage import Storage
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings


@dataclass(frozen=True)
class Materialization:
    """What a run made: values and what is known about them, by asset."""

    run_id: str
    values: Mapping[str, Any] = field(repr=False)
    metadata: Mapping[str, Mapping[str, Any]]

    def output_for_node(self, name: str) -> Any:
        """Return the value that an asset's function returned; raises KeyError with the names there are."""
        if name not in self.values:
            raise KeyError(f"{name!r} was not made by this run; made were: {', '.join(self.values)}")
        return self.values[name]


def materialize(
    assets: Sequence[AssetFunction],
    *,
    partition_key: PartitionKey | None = None,
    settings: Settings | None = None,
    managers: Mapping[str, InputManager] | None = None,
    selection: Sequence[str] | None = None,
    run_id: str | None = None,
) -> Materialization:
    """Make assets and store each by its manager; an input that is not among them is loaded from where it lies.

    `selection` names those to make, all without it. `managers` are instances by name, ahead of `storage.yaml`. An error of a function ends
    the run; what was stored before it stays.
    """
    run = run_id or uuid.uuid4().hex
    values: dict[str, Any] = {}
    metadata: dict[str, Mapping[str, Any]] = {}
    with Storage(settings, managers) as storage:
        for each in in_order(assets, selection):
            values[each.key], metadata[each.key] = each.run(storage, _text(partition_key), run)
    return Materialization(run, values, metadata)


def materialize_to_memory(
    assets: Sequence[AssetFunction],
    *,
    partition_key: PartitionKey | None = None,
    settings: Settings | None = None,
    managers: Mapping[str, InputManager] | None = None,
    selection: Sequence[str] | None = None,
) -> Materialization:
    """Make assets without storing any: for tests. Input managers serve as they are declared, or as `managers` stand in for them."""
    memory = MemoryIOManager()
    given = dict(managers or {})
    with Storage(settings, given) as declared:
        stored_by = {each.io_manager_key or declared.default for each in assets} | {declared.default}
    everything = {**dict.fromkeys(stored_by, memory), **given}
    return materialize(assets, partition_key=partition_key, settings=settings, managers=everything, selection=selection)


def in_order(assets: Sequence[AssetFunction], selection: Sequence[str] | None = None) -> list[AssetFunction]:
    """Return assets with what each needs before it; raises `ConfigurationError` for twins, circles and names that are not there."""
    by_key = {each.key: each for each in assets}
    if len(by_key) < len(assets):
        raise ConfigurationError("two of the assets have one key; each key is made by one function.")
    if unknown := sorted(set(selection or ()) - by_key.keys()):
        raise ConfigurationError(f"the selection names {', '.join(unknown)}, which are not among the assets: {', '.join(by_key)}.")
    graph = {key: [need for need in each.upstream().values() if need in by_key] for key, each in by_key.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as err:
        raise ConfigurationError(f"assets need each other in a circle: {' → '.join(err.args[1])}.") from err
    return [by_key[key] for key in order if selection is None or key in selection]


def _text(key: PartitionKey | None) -> str | None:
    return partition_key(key)

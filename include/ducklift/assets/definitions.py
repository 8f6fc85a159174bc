"""Assets as plain functions: the parameters name the inputs, the result is the value, and storage is somebody else's business."""

from __future__ import annotations

import builtins
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from importlib import import_module
from typing import Any

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import AssetMisnamed
from ducklift.assets.keys import PartitionKey, asset_key
from ducklift.assets.partitions import Partitions
from ducklift.assets.storage import Storage, input_context
from ducklift.errors import ConfigurationError
from ducklift.specs import TableName

CONTEXT = "context"


@dataclass(frozen=True)
class AssetIn:
    """Where one parameter's value comes from, where it is not the asset of the parameter's name in the same partition.

    `input_manager_key` loads it from elsewhere (an endpoint, a database, a path); `metadata` is for that manager. `partitions` says which
    partitions of the input are wanted: `same`, `all`, `none`, or a function from the own key to a key or a list of keys.
    """

    key: str | None = None
    input_manager_key: str | None = None
    partitions: str | Callable[[str | None], PartitionKey | Sequence[PartitionKey] | None] = "same"
    columns: tuple[str, ...] | None = None
    version: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class AssetFunction:
    """A function that makes an asset. Called, it is that function, so that it runs and is tested as one."""

    def __init__(
        self,
        function: Callable[..., Any],
        key: str,
        ins: Mapping[str, AssetIn],
        io_manager_key: str | None,
        group: str | None,
        metadata: Mapping[str, Any],
        partitions: Partitions | None,
        derived_from: Sequence[str] = (),
    ) -> None:
        self.function, self.key, self.ins = function, asset_key(key), dict(ins)
        self.io_manager_key, self.group, self.metadata, self.partitions = io_manager_key, group, dict(metadata), partitions
        self.derived_from = _tables(self.key, derived_from)
        update_wrapper(self, function)
        self._check_parameters()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<asset {self.key}>"

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Return the function's parameters by name, without `context`."""
        found = inspect.signature(self.function).parameters
        return {name: each for name, each in found.items() if name != CONTEXT}

    @cached_property
    def annotations(self) -> Mapping[str, Any]:
        """Return the types that the parameters are annotated with; those whose names nobody knows are left out."""
        function = inspect.unwrap(self.function)
        names = _Names({**getattr(function, "__globals__", {}), **inspect.getclosurevars(function).nonlocals})
        found = {}
        for name, annotation in getattr(function, "__annotations__", {}).items():
            try:
                found[name] = eval(annotation, {}, names) if isinstance(annotation, str) else annotation  # noqa: S307 — the user's code
            except (NameError, AttributeError, ImportError):
                continue
        return found

    @property
    def managers(self) -> list[str]:
        """Return the names of the managers that the asset and its inputs ask for."""
        named = [self.io_manager_key, *(each.input_manager_key for each in self.ins.values())]
        return [name for name in named if name is not None]

    def input_key(self, parameter: str) -> str:
        """Return the key of the asset that a parameter is for."""
        return asset_key(self.ins[parameter].key or parameter) if parameter in self.ins else parameter

    def upstream(self) -> dict[str, str]:
        """Return the assets that the function needs, by parameter: those without a default, and all that `ins` names."""
        return {
            name: self.input_key(name)
            for name, parameter in self.parameters.items()
            if not self._comes_from_elsewhere(name) and (name in self.ins or parameter.default is inspect.Parameter.empty)
        }

    def run(self, storage: Storage, partition: str | None, run_id: str, log: Any = None) -> tuple[Any, dict[str, Any]]:
        """Load the inputs, call the function, store what it returns; return the value and what is known about it."""
        context = self.output_context(partition, run_id, log)
        inputs = {name: self.load_input(storage, name, context) for name in self.parameters if self._is_loaded(name)}
        if CONTEXT in inspect.signature(self.function).parameters:
            inputs[CONTEXT] = context
        value = self.function(**inputs)
        return value, storage.store(context, value, self.io_manager_key)

    def output_context(self, partition: str | None, run_id: str, log: Any = None) -> OutputContext:
        """Return the context of the value that is about to be made; raises `AssetMisnamed` for a partition that the asset does not have."""
        if self.partitions is None and partition is not None:
            partition = None  # an asset without partitions among others that have them
        if self.partitions is not None:
            if partition is None:
                raise AssetMisnamed(f"{self.key} is partitioned: say which partition, for example {self.partitions.keys()[-1:]}.")
            partition = self.partitions.checked(partition)
        keys = () if partition is None else (partition,)
        more = {} if log is None else {"log": log}
        returned = self.annotations.get("return")
        type_ = returned if isinstance(returned, type) else None
        context = OutputContext(self.key, keys, run_id, type_, self.group, self.metadata, **more)
        for table in self.derived_from:
            context.add_origin(table)
        return context

    def load_input(self, storage: Storage, parameter: str, context: OutputContext) -> Any:
        """Return the value of one parameter."""
        chosen = self.ins.get(parameter, AssetIn())
        annotation = self.annotations.get(parameter)
        partitions, several = self._wanted_partitions(storage, chosen, self.input_key(parameter), context.partition_key)
        known = input_context(
            self.input_key(parameter),
            partitions,
            type=_element_type(annotation) if several else _loadable(annotation),
            version=chosen.version,
            columns=chosen.columns,
            metadata=chosen.metadata,
            run_id=context.run_id,
            parameter=parameter,
            log=context.log,
            lineage=context.lineage,
        )
        return storage.load(known, chosen.input_manager_key, several=several)

    def _wanted_partitions(self, storage: Storage, chosen: AssetIn, key: str, own: str | None) -> tuple[Any, bool]:
        """Return the partitions of an input, and whether a dictionary of them is wanted."""
        if callable(chosen.partitions):
            wanted = chosen.partitions(own)
            return wanted, isinstance(wanted, list | tuple)
        if chosen.partitions == "none":
            return None, False
        if chosen.input_manager_key:
            return own, False
        stored = storage.partitions(key)
        if stored is None:  # its manager cannot tell
            return own, False
        if chosen.partitions == "all":
            return stored, True
        if stored == [None] or (own is None and not stored):
            return None, False
        return (own, False) if own is not None else (stored, True)

    def _comes_from_elsewhere(self, parameter: str) -> bool:
        return parameter in self.ins and self.ins[parameter].input_manager_key is not None

    def _is_loaded(self, parameter: str) -> bool:
        return self._comes_from_elsewhere(parameter) or parameter in self.upstream()

    def _check_parameters(self) -> None:
        for parameter in self.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise ConfigurationError(f"{self.key}: {parameter} cannot be an input; each parameter of an asset is named.")
        if unknown := sorted(set(self.ins) - set(self.parameters)):
            raise ConfigurationError(f"{self.key}: `ins` names {', '.join(unknown)}, which are no parameters of the function.")


# A DAG file imports no such library for an annotation's sake; by these names they are known without an import.
_LIBRARIES = {"pd": "pandas", "pl": "polars", "pa": "pyarrow", "np": "numpy"}


class _Names(dict[str, Any]):
    """The names that an annotation may use: the function's own, built-in ones, and the usual names of table libraries."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        if name in (*_LIBRARIES, *_LIBRARIES.values()):
            return import_module(_LIBRARIES.get(name, name))
        raise NameError(name)


def _loadable(annotation: Any) -> Any:
    """Return what a value is to be loaded as: the annotation, unless it says nothing or several things."""
    origin = typing.get_origin(annotation)
    if annotation in (None, Any, object) or origin is typing.Union or isinstance(annotation, typing.TypeVar):
        return None
    return annotation


def _tables(key: str, names: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(str(TableName.parse(name)) for name in ([names] if isinstance(names, str) else names))
    except ValueError as err:
        raise ConfigurationError(f"{key}: derived_from names no table: {err}") from err


def _element_type(annotation: Any) -> Any:
    """Return the type of one partition's value, from `dict[str, T]`."""
    arguments = typing.get_args(annotation)
    return _loadable(arguments[1]) if typing.get_origin(annotation) is dict and len(arguments) == 2 else None


def asset(
    function: Callable[..., Any] | None = None,
    *,
    key: str | Sequence[str] | None = None,
    ins: Mapping[str, AssetIn] | None = None,
    io_manager_key: str | None = None,
    group: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    partitions: Partitions | None = None,
    derived_from: Sequence[str] = (),
) -> Any:
    """Declare a function as one that makes an asset, named as the function unless `key` says otherwise.

    `derived_from` names the tables of the warehouse whose rows the value holds, where its inputs do not tell: a deletion sweep of such a
    table reaches the value.

    A parameter named `context` is given the `OutputContext`; every other one the asset of its name, or what `ins` says, loaded as the
    type that it is annotated with.
    """

    def declare(made: Callable[..., Any]) -> AssetFunction:
        name = asset_key(key) if key is not None else made.__name__
        return AssetFunction(made, name, ins or {}, io_manager_key, group, metadata or {}, partitions, derived_from)

    return declare if function is None else declare(function)


__all__ = ["CONTEXT", "AssetFunction", "AssetIn", "InputContext", "asset"]

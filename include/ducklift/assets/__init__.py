"""Values in and out of storage: what a task returns is stored, and what it takes is loaded, by managers that the code does not know.

The public names stand here and are imported when they are asked for, so that a DAG file that only declares assets parses fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ducklift.assets.contexts import InputContext, OutputContext
    from ducklift.assets.definitions import AssetFunction, AssetIn, asset
    from ducklift.assets.errors import (
        AssetMisnamed,
        NoSerializer,
        SweptMeanwhile,
        UnknownManager,
        ValueMissing,
        ValueSwept,
        ValueUnreadable,
    )
    from ducklift.assets.file_manager import FileHandle, FileManager
    from ducklift.assets.managers import InputManager, IOManager, Surroundings, input_manager, io_manager
    from ducklift.assets.materializing import Materialization, materialize, materialize_to_memory
    from ducklift.assets.memory_manager import MemoryIOManager
    from ducklift.assets.partitions import MultiPartitions, StaticPartitions, TimePartitions, daily, time_partitions
    from ducklift.assets.path_manager import FilesystemIOManager, PathIOManager
    from ducklift.assets.serializers import Serializer, register_serializer
    from ducklift.assets.storage import Storage
    from ducklift.assets.value_loader import AssetValueLoader
    from ducklift.assets.versions import Version, VersionStore
    from ducklift.specs import Spec

_PLACES = {
    "contexts": ("InputContext", "OutputContext"),
    "definitions": ("AssetFunction", "AssetIn", "asset"),
    "errors": ("AssetMisnamed", "NoSerializer", "SweptMeanwhile", "UnknownManager", "ValueMissing", "ValueSwept", "ValueUnreadable"),
    "file_manager": ("FileHandle", "FileManager"),
    "managers": ("IOManager", "InputManager", "Surroundings", "input_manager", "io_manager"),
    "materializing": ("Materialization", "materialize", "materialize_to_memory"),
    "memory_manager": ("MemoryIOManager",),
    "partitions": ("MultiPartitions", "StaticPartitions", "TimePartitions", "daily", "time_partitions"),
    "path_manager": ("FilesystemIOManager", "PathIOManager"),
    "serializers": ("Serializer", "register_serializer"),
    "storage": ("Storage",),
    "value_loader": ("AssetValueLoader",),
    "versions": ("Version", "VersionStore"),
}
_NAMES = {name: f"ducklift.assets.{module}" for module, names in _PLACES.items() for name in names} | {"Spec": "ducklift.specs"}

__all__ = [
    "AssetFunction", "AssetIn", "AssetMisnamed", "AssetValueLoader", "FileHandle", "FileManager", "FilesystemIOManager", "IOManager",
    "InputContext", "InputManager", "Materialization", "MemoryIOManager", "MultiPartitions", "NoSerializer", "OutputContext",
    "PathIOManager", "Serializer", "Spec", "StaticPartitions", "Storage", "Surroundings", "SweptMeanwhile", "TimePartitions",
    "UnknownManager", "ValueMissing", "ValueSwept", "ValueUnreadable", "Version", "VersionStore", "asset", "daily", "input_manager",
    "io_manager", "materialize", "materialize_to_memory", "register_serializer", "time_partitions",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(import_module(_NAMES[name]), name)

"""Managers by name, as `include/storage.yaml` declares them, made once, closed at the end of a run; storing and loading through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import orjson
from pydantic import Field, ValidationError, field_validator

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import UnknownManager, ValueMissing, ValueSwept
from ducklift.assets.keys import ASSETS, PartitionKey, asset_key, partition_key
from ducklift.assets.managers import InputManager, IOManager, ManagerType, Surroundings, registered_types
from ducklift.assets.routing import RouterConfig, check_backends, size_bytes
from ducklift.assets.versions import read_if_there
from ducklift.documents import Document, Place, read_document
from ducklift.errors import ConfigurationError
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.store import Store
from ducklift.settings import Settings, load_settings
from ducklift.specs import Spec

_BUILT_IN = {
    "filesystem": "ducklift.assets.path_manager",
    "memory": "ducklift.assets.memory_manager",
    "router": "ducklift.assets.routing",
    "duckdb": "ducklift.assets.table_manager",
    "rest": "ducklift.assets.rest_input",
    "sql": "ducklift.assets.inputs",
    "path": "ducklift.assets.inputs",
    "warehouse": "ducklift.assets.warehouse_input",
}
ALWAYS: Mapping[str, Mapping[str, Any]] = {
    "lake": {"type": "filesystem"},
    "memory": {"type": "memory"},
    "warehouse": {"type": "warehouse"},
}


class XComRules(Spec):
    """Which values of XCom go into storage: those larger than a threshold, and all that JSON is not the natural form of."""

    io_manager: str = "lake"
    larger_than: int = Field(default=48 * 1024, ge=0, description="Bytes of JSON, or e.g. '48KiB'.")

    _bytes = field_validator("larger_than", mode="before")(size_bytes)


class Declared(Spec):
    """The content of `storage.yaml`: managers by name, which one serves by default, and modules that register types of one's own."""

    default: str = "lake"
    xcom: XComRules = XComRules()
    modules: tuple[str, ...] = ()
    io_managers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    input_managers: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class AssetRecord:
    """What the lake knows about an asset besides its values: `assets/{key}/_asset.json`."""

    key: str
    io_manager_key: str
    group: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def record_key(key: str) -> str:
    """Return the key of an asset's record."""
    return f"{ASSETS}{asset_key(key)}/_asset.json"


class Storage:
    """The managers of one run. Use as a context manager: what was opened is closed at the end.

    `managers` are instances by name, ahead of those that the file declares: for tests, and for plain Python.
    """

    def __init__(self, settings: Settings | None = None, managers: Mapping[str, InputManager] | None = None) -> None:
        self.settings = settings or load_settings()
        self.file = self.settings.pipelines.parent / "storage.yaml"
        self._given = dict(managers or {})
        self._declared, self._document = declared(self.file)
        for module in self._declared.modules:
            import_module(module)
        self._blocks = {**ALWAYS, **self._declared.input_managers, **self._declared.io_managers}
        self._open: dict[str, InputManager] = {}
        self._stored_by: dict[str, str] = {}
        self._recorded: set[AssetRecordFacts] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.clear()
        self._stack.__exit__(kind, error, trace)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all managers."""
        return tuple(sorted({*self._blocks, *self._given}))

    @property
    def default(self) -> str:
        """Return the name of the manager that serves where none is named."""
        return self._declared.default

    @property
    def xcom(self) -> XComRules:
        """Return which values of XCom go into storage."""
        return self._declared.xcom

    def path_stores(self) -> dict[str, Store]:
        """Return the stores that values with versions lie in, by URL: the lake, and those of the file's managers."""
        from ducklift.assets.path_manager import PathIOManager

        lake = open_lake(self.settings)
        found = {lake.url: lake}
        for manager in map(self.manager, (*self._given, *self._declared.io_managers)):
            if isinstance(manager, PathIOManager):
                found.setdefault(manager.store.url, manager.store)
        return found

    def check(self) -> None:
        """Check every block of the file without opening anything; raises `ConfigurationError` with file and line."""
        check_backends([self.default, self.xcom.io_manager], self.names, str(self.file))
        for name in self._blocks:
            kind, config = self._configured(name)
            if isinstance(config, RouterConfig):
                check_backends(config.backends(), self.names, self._where(name))
            if kind.input_only and name in self._declared.io_managers:
                raise ConfigurationError(f"{self._where(name)}: type {kind.name!r} only loads values; move it to input_managers.")

    def check_names(self, names: Sequence[str]) -> None:
        """Raise `UnknownManager` for the first name that is not declared."""
        check_backends(names, self.names, str(self.file))

    def manager(self, name: str | None = None) -> InputManager:
        """Return a manager by name, opened; raises `UnknownManager`."""
        name = name or self.default
        if name not in self._open:
            made = self._given[name] if name in self._given else self._made(name)
            made.open()
            self._stack.callback(made.close)
            self._open[name] = made
        return self._open[name]

    def io_manager(self, name: str | None = None) -> IOManager:
        """Return a manager that stores and loads; raises `ConfigurationError` for one that only loads."""
        found = self.manager(name)
        if not isinstance(found, IOManager):
            raise ConfigurationError(f"{name!r} only loads values: it cannot be the io_manager_key of an asset.")
        return found

    def store(self, context: OutputContext, value: Any, io_manager_key: str | None = None) -> dict[str, Any]:
        """Store a value and return what is known about it afterwards: path, version, rows, bytes …"""
        name = io_manager_key or self.default
        self.io_manager(name).handle_output(context, value)
        self._stored_by[asset_key(context.key)] = name
        self._record(AssetRecord(asset_key(context.key), name, context.group, context.metadata))
        return dict(context.output_metadata)

    def load(
        self,
        context: InputContext,
        manager_key: str | None = None,
        *,
        missing: Literal["raise", "skip"] = "raise",
        several: bool = False,
    ) -> Any:
        """Load a value; for several partitions (or with `several`) a dictionary by partition key, in the order asked for.

        `missing` says what becomes of partitions that are not stored: `raise` names them all, `skip` leaves them out.
        """
        manager = self.manager(manager_key or self.manager_key_of(context.key))
        if not several and len(context.partition_keys) <= 1:
            return manager.load_input(context)
        found: dict[str | None, Any] = {}
        absent: list[str | None] = []
        swept: ValueSwept | None = None
        for key in context.partition_keys:
            try:
                found[key] = manager.load_input(_of_partition(context, key))
            except ValueMissing as err:
                absent.append(key)
                swept = err if isinstance(err, ValueSwept) else swept
        if absent and missing == "raise":
            raise swept if swept and len(absent) == 1 else ValueMissing(context.key, absent, context.version) from swept
        return found

    def partitions(self, key: str, manager_key: str | None = None) -> list[str | None] | None:
        """Return the partitions that an asset is stored in; None when its manager cannot tell."""
        return self.io_manager(manager_key or self.manager_key_of(key)).partitions(key)

    def manager_key_of(self, key: str) -> str:
        """Return the name of the manager that an asset was stored by, in this run or before; the default one where nothing is known."""
        if key in self._stored_by:
            return self._stored_by[key]
        record = self.record_of(key)
        return record.io_manager_key if record and record.io_manager_key in self.names else self.default

    def record_of(self, key: str) -> AssetRecord | None:
        """Return what the lake knows about an asset, or None."""
        data = read_if_there(open_lake(self.settings), record_key(key))
        return AssetRecord(**orjson.loads(data)) if data else None

    def _record(self, record: AssetRecord) -> None:
        facts = (record.key, record.io_manager_key, record.group, orjson.dumps(dict(record.metadata), default=str))
        if facts in self._recorded or record.io_manager_key in self._given or self._is_memory(record.io_manager_key):
            return
        self._recorded.add(facts)
        lake, data = open_lake(self.settings), _record_bytes(record)
        if lake.read(record_key(record.key)) != data:
            ensure_lake(lake)
            lake.replace(record_key(record.key), data)

    def _is_memory(self, name: str) -> bool:
        return self._blocks.get(name, {}).get("type") == "memory"

    def _made(self, name: str) -> InputManager:
        kind, config = self._configured(name)
        return kind.make(config, Surroundings(self.settings, self.manager, self.names))

    def _configured(self, name: str) -> tuple[ManagerType, Spec]:
        if name not in self._blocks:
            raise UnknownManager(name, self.names, str(self.file))
        block = dict(self._blocks[name])
        kind = manager_type(str(block.pop("type", "")), self._where(name))
        return kind, kind.configured(block, self._where(name))

    def _where(self, name: str) -> str:
        group = "io_managers" if name in self._declared.io_managers else "input_managers"
        line = self._document.line_of((group, name)) if self._document else None
        return f"{self.file}{f':{line}' if line else ''}: {name}"


AssetRecordFacts = tuple[str, str, str | None, bytes]


def _record_bytes(record: AssetRecord) -> bytes:
    facts = {"key": record.key, "io_manager_key": record.io_manager_key, "group": record.group, "metadata": dict(record.metadata)}
    return orjson.dumps(facts, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def _of_partition(context: InputContext, key: str | None) -> InputContext:
    import dataclasses

    return dataclasses.replace(context, partition_keys=() if key is None else (key,))


def manager_type(name: str, where: str) -> ManagerType:
    """Return a manager type by its registered name, or by `module:factory`; raises `ConfigurationError`."""
    if module := _BUILT_IN.get(name):
        import_module(module)
    elif ":" in name:
        module, _, name = name.partition(":")
        try:
            import_module(module)
        except ImportError as err:
            raise ConfigurationError(f"{where}: module {module!r} cannot be imported ({err}).") from err
    found = registered_types().get(name)
    if found is None:
        known = ", ".join(sorted({*_BUILT_IN, *registered_types()}))
        raise ConfigurationError(f"{where}: {name!r} is no type of manager; there are {known}, and module:factory for your own.")
    return found


def declared(file: Path) -> tuple[Declared, Document | None]:
    """Read `storage.yaml`; without the file there are the managers `lake` and `memory`. Raises `ConfigurationError` with file and line."""
    if not file.is_file():
        return Declared(), None
    document = read_document(file)
    try:
        return Declared.model_validate(document.values), document
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        place: Place = tuple(first["loc"])
        message = "is not a known field here" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{'.'.join(map(str, place))}: {message}", file=file, line=document.line_of(place)) from err


def input_context(
    key: str | Sequence[str],
    partitions: PartitionKey | Sequence[PartitionKey] | None = None,
    *,
    type: Any = None,
    version: str | None = None,
    as_of: datetime | None = None,
    columns: Sequence[str] | None = None,
    **more: Any,
) -> InputContext:
    """Return the context of one input, with keys checked and turned into text."""
    several = partitions if isinstance(partitions, list | tuple) else () if partitions is None else (partitions,)
    keys = tuple(map(partition_key, several))
    chosen = tuple(columns) if columns is not None else None
    return InputContext(asset_key(key), keys, type=type, version=version, as_of=as_of, columns=chosen, **more)

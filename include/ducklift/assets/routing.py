"""One manager that sends each value to one of several others: by metadata, group, key, type or size, as a table in YAML says."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import orjson
from pydantic import Field, field_validator, model_validator

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import UnknownManager, ValueMissing
from ducklift.assets.keys import asset_key, partition_prefix
from ducklift.assets.managers import InputManager, IOManager, Surroundings, io_manager
from ducklift.assets.serializers import full_name
from ducklift.assets.versions import read_if_there
from ducklift.errors import ConfigurationError
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.settings import Settings
from ducklift.specs import Spec

_UNITS = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 2**10, "mib": 2**20, "gib": 2**30}
ROUTE = "_route.json"


def size_bytes(text: Any) -> Any:
    """Turn '100MB' or '1 GiB' into bytes; a number is bytes already."""
    if not isinstance(text, str):
        return text
    number = text.strip().rstrip("abgikmABGIKM ")
    unit = text.strip()[len(number) :].strip().lower() or "b"
    if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
        raise ValueError(f"{text!r} is not a size: write for example '100MB' or '1GiB'")
    return int(float(number) * _UNITS[unit])


class Rule(Spec):
    """One row of the table: all of its conditions have to hold. `type` is a class's name, short or full; patterns are globs."""

    to: str
    key: str | None = Field(default=None, description="A glob over the asset's key, e.g. raw/*")
    group: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    type: str | None = Field(default=None, description="A glob over the value's class, e.g. DataFrame or numpy.*")
    larger_than: int | None = Field(default=None, description="In bytes, or e.g. '100MB'; of the value as it is in memory.")

    _bytes = field_validator("larger_than", mode="before")(size_bytes)

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not (self.key or self.group or self.metadata or self.type or self.larger_than is not None):
            raise ValueError("a rule needs a condition: key, group, metadata, type or larger_than; what fits no rule goes to `default`")
        return self

    @property
    def needs_more_than_the_key(self) -> bool:
        """Return whether the rule can be decided only where the value is made: by the value, or by how its asset is declared."""
        return bool(self.type is not None or self.larger_than is not None or self.group or self.metadata)

    def fits(self, context: OutputContext | InputContext, value: Any = None) -> bool:
        """Return whether all conditions hold."""
        if self.key is not None and not fnmatchcase(context.key, self.key):
            return False
        if self.group is not None and context.group != self.group:
            return False
        if any(context.metadata.get(name) != wanted for name, wanted in self.metadata.items()):
            return False
        if self.type is not None and not _named(value, self.type):
            return False
        return self.larger_than is None or size_in_memory(value) > self.larger_than


def _named(value: Any, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for each in type(value).__mro__[:-1] for name in (each.__name__, full_name(each)))


def size_in_memory(value: Any) -> int:
    """Return about how many bytes a value takes in memory, without serializing it: its buffers where it has them."""
    import sys

    for name in ("nbytes", "estimated_size"):
        found = getattr(value, name, None)
        if found is not None:
            return int(found() if callable(found) else found)
    usage = getattr(value, "memory_usage", None)
    if callable(usage):
        total = usage(deep=True)
        return int(total.sum() if hasattr(total, "sum") else total)
    if isinstance(value, dict):
        return sys.getsizeof(value) + sum(size_in_memory(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return sys.getsizeof(value) + sum(map(size_in_memory, value))
    return sys.getsizeof(value)


class RouterConfig(Spec):
    """The table of rules, the first that fits counts, and where everything else goes."""

    rules: tuple[Rule, ...] = ()
    default: str

    def backends(self) -> tuple[str, ...]:
        """Return the names of all managers that a value may go to."""
        return tuple(dict.fromkeys([*(rule.to for rule in self.rules), self.default]))


class RoutingIOManager(IOManager):
    """Sends a value where the first fitting rule says, and finds it there again.

    Where that depended on more than the key, the way it went is noted in the lake next to the value's other versions.
    """

    def __init__(self, config: RouterConfig, surroundings: Surroundings) -> None:
        self.config, self._surroundings = config, surroundings

    def handle_output(self, context: OutputContext, value: Any) -> None:
        """Store the value in the backend that its rule names, and tell which in the metadata."""
        name = next((rule.to for rule in self.config.rules if rule.fits(context, value)), self.config.default)
        self._backend(name).handle_output(context, value)
        context.add_output_metadata({"routed_to": name})
        if any(rule.needs_more_than_the_key for rule in self.config.rules):
            lake = open_lake(self._settings)
            ensure_lake(lake)
            lake.replace(self._note(context.key, context.partition_key), orjson.dumps({"to": name}))

    def load_input(self, context: InputContext) -> Any:
        """Load the value from the backend that it went to; raises `ValueMissing`."""
        return self._backend(self._way(context)).load_input(context)

    def partitions(self, key: str) -> list[str | None] | None:
        """Return the partitions in all backends together, in order."""
        found = [self._backend(name).partitions(key) for name in self.config.backends()]
        return sorted({each for known in found for each in known or ()}, key=lambda each: each or "")

    def backend_of(self, context: InputContext) -> InputManager:
        """Return the manager that holds the value."""
        return self._backend(self._way(context))

    def _way(self, context: InputContext) -> str:
        if any(rule.needs_more_than_the_key for rule in self.config.rules):
            noted = read_if_there(open_lake(self._settings), self._note(context.key, context.partition_key))
            if noted is not None:
                return str(orjson.loads(noted)["to"])
            if any(rule.type is not None or rule.larger_than is not None for rule in self.config.rules):
                raise ValueMissing(context.key, (context.partition_key,))
        return next((rule.to for rule in self.config.rules if rule.fits(context)), self.config.default)

    @property
    def _settings(self) -> Settings:
        return self._surroundings.settings

    def _backend(self, name: str) -> IOManager:
        found = self._surroundings.manager(name)
        if not isinstance(found, IOManager):
            raise ConfigurationError(f"The router sends values to {name!r}, which only loads them.")
        return found

    @staticmethod
    def _note(key: str, partition: str | None) -> str:
        return f"{partition_prefix(asset_key(key), partition)}{ROUTE}"


@io_manager(config=RouterConfig, name="router")
def router(config: RouterConfig, surroundings: Surroundings) -> RoutingIOManager:
    """Return the manager of a table of rules; raises `UnknownManager` for a backend that is not declared."""
    check_backends(config.backends(), surroundings.known, "router")
    return RoutingIOManager(config, surroundings)


def check_backends(wanted: Sequence[str], known: Sequence[str], where: str) -> None:
    """Raise `UnknownManager` for the first name that is not known."""
    for name in wanted:
        if name not in known:
            raise UnknownManager(name, known, where)

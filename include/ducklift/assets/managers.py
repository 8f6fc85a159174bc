"""IO managers and input managers: where a value goes, and where it comes from, apart from the function that makes or takes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.specs import Spec


class InputManager(ABC):
    """Something that values come from. `open` and `close` are called once per run, around all uses."""

    def open(self) -> None:  # noqa: B027 — most managers need no set-up
        """Make connections and the like; called before the first use."""

    def close(self) -> None:  # noqa: B027
        """Give back what `open` took; called at the end of the run, also after an error."""

    @abstractmethod
    def load_input(self, context: InputContext) -> Any:
        """Return the value for one input; for several partitions a dictionary by partition. Raises `ValueMissing`."""


class IOManager(InputManager):
    """Something that values go to and come from: two methods."""

    @abstractmethod
    def handle_output(self, context: OutputContext, value: Any) -> None:
        """Store the value; what is worth telling about it goes to `context.add_output_metadata`."""

    def partitions(self, key: str) -> list[str | None] | None:
        """Return the partitions that an asset is stored in, `[None]` for one without any; None when the manager cannot tell."""
        del key
        return None


@dataclass(frozen=True)
class Surroundings:
    """What a manager is made of besides its own configuration: the installation's settings, and the other managers by name."""

    settings: Settings
    manager: Callable[[str], InputManager] = field(repr=False)
    known: tuple[str, ...] = ()


Making = Callable[..., InputManager]
Made = TypeVar("Made", bound=Making)


@dataclass(frozen=True)
class ManagerType:
    """A kind of manager that `storage.yaml` can name: a configuration, checked when the file is read, and how to make one."""

    name: str
    config: type[Spec]
    make: Making
    input_only: bool = False

    def configured(self, values: Mapping[str, Any], where: str) -> Spec:
        """Return the typed configuration; raises `ConfigurationError` naming the field."""
        try:
            return self.config.model_validate(dict(values))
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            message = "is not a known field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
            raise ConfigurationError(f"{where}: {place or 'the configuration'}: {message}") from err


class NoConfig(Spec):
    """The configuration of a manager that has none."""


_TYPES: dict[str, ManagerType] = {}


def io_manager(config: type[Spec] = NoConfig, name: str | None = None) -> Callable[[Made], Made]:
    """Register a factory of IO managers under its own name: `factory(config, surroundings) -> IOManager`.

    `config` is a pydantic model (a subclass of `ducklift.assets.Spec`), which the block in `storage.yaml` is checked against.
    """
    return _registering(config, name, input_only=False)


def input_manager(config: type[Spec] = NoConfig, name: str | None = None) -> Callable[[Made], Made]:
    """Register a factory of input managers under its own name: `factory(config, surroundings) -> InputManager`.

    A plain function `(config, surroundings, context) -> value` does as well: it is then the whole manager.
    """
    return _registering(config, name, input_only=True)


def _registering(config: type[Spec], name: str | None, *, input_only: bool) -> Callable[[Made], Made]:
    def register(factory: Made) -> Made:
        type_name = name or factory.__name__
        _TYPES[type_name] = ManagerType(type_name, config, _making(factory, input_only), input_only)
        return factory

    return register


def _making(factory: Making, input_only: bool) -> Making:
    import inspect

    wanted = len(inspect.signature(factory).parameters)
    if input_only and wanted == 3:

        def loading(config: Spec, surroundings: Surroundings) -> InputManager:
            return _FunctionInput(factory, config, surroundings)

        return loading
    if wanted != 2:
        raise TypeError(f"{factory.__name__} takes {wanted} parameters; a factory takes (config, surroundings)")
    return factory


class _FunctionInput(InputManager):
    """An input manager that is one function."""

    def __init__(self, function: Callable[..., Any], config: Spec, surroundings: Surroundings) -> None:
        self._function, self._config, self._surroundings = function, config, surroundings

    def load_input(self, context: InputContext) -> Any:
        """Return what the function returns."""
        return self._function(self._config, self._surroundings, context)


def registered_types() -> Mapping[str, ManagerType]:
    """Return the manager types that are registered in this process, by name."""
    return _TYPES

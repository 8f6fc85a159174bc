"""`storage.yaml`: managers by name, one's own by a decorator, routing by a table, and every mistake named with file and line."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
import pytest

from ducklift.assets import (
    InputContext,
    InputManager,
    IOManager,
    OutputContext,
    PathIOManager,
    Spec,
    Storage,
    Surroundings,
    UnknownManager,
    input_manager,
    io_manager,
)
from ducklift.assets.storage import input_context
from ducklift.errors import ConfigurationError


class ShelfConfig(Spec):
    shelf: str
    height: int = 1


class Shelf(IOManager):
    opened: ClassVar[list[str]] = []

    def __init__(self, config: ShelfConfig) -> None:
        self.config, self.things = config, {}

    def open(self) -> None:
        self.opened.append(f"open {self.config.shelf}")

    def close(self) -> None:
        self.opened.append(f"close {self.config.shelf}")

    def handle_output(self, context: OutputContext, value: Any) -> None:
        self.things[context.key] = value
        context.add_output_metadata({"shelf": self.config.shelf})

    def load_input(self, context: InputContext) -> Any:
        return self.things[context.key]


@io_manager(config=ShelfConfig)
def shelf(config: ShelfConfig, _surroundings: Surroundings) -> Shelf:
    return Shelf(config)


@input_manager(config=ShelfConfig)
def constant(config: ShelfConfig, _surroundings: Surroundings, context: InputContext) -> str:
    return f"{config.shelf} {context.key}"


class Shout(PathIOManager):
    extension = "txt"

    def dump_to_path(self, context, value, path):
        path.write_text(value.upper())

    def load_from_path(self, context, path):
        return path.read_text()


def test_a_manager_of_ones_own_is_opened_once_and_closed_at_the_end(settings, declare):
    declare("io_managers:\n  mine: {type: shelf, shelf: top}\n")
    Shelf.opened.clear()
    with Storage(settings) as storage:
        facts = storage.store(OutputContext("a", (), "run"), 1, "mine")
        assert storage.load(input_context("a"), "mine") == 1
    assert Shelf.opened == ["open top", "close top"]
    assert facts["shelf"] == "top"


def test_one_function_is_an_input_manager(settings, declare):
    declare("input_managers:\n  fixed: {type: constant, shelf: low}\n")
    with Storage(settings) as storage:
        assert storage.load(input_context("a"), "fixed") == "low a"


def test_a_path_manager_of_ones_own_is_two_methods_and_has_versions(settings):
    from ducklift.assets.path_manager import open_store

    with Storage(settings, {"shout": Shout(open_store(settings, None), settings)}) as storage:
        storage.store(OutputContext("a", (), "run"), "quiet", "shout")
        assert storage.load(input_context("a"), "shout") == "QUIET"


def test_it_is_closed_after_an_error_too(settings, declare):
    declare("io_managers:\n  mine: {type: shelf, shelf: top}\n")
    Shelf.opened.clear()
    with pytest.raises(KeyError), Storage(settings) as storage:
        storage.load(input_context("never/stored"), "mine")
    assert Shelf.opened[-1] == "close top"


RULES = """
default: routed
io_managers:
  local: {type: filesystem, url: "memory://local-%s"}
  far: {type: filesystem, url: "memory://far-%s"}
  routed:
    type: router
    default: far
    rules:
      - {key: "raw/*", to: local}
      - {group: drafts, to: local}
      - {metadata: {storage: local}, to: local}
      - {type: "DataFrame", larger_than: 1kB, to: local}
"""


@pytest.mark.parametrize(
    ("context", "value", "to"),
    [
        (OutputContext("raw/a"), 1, "local"),
        (OutputContext("processed/a"), 1, "far"),
        (OutputContext("a", group="drafts"), 1, "local"),
        (OutputContext("a", metadata={"storage": "local"}), 1, "local"),
        (OutputContext("a"), pd.DataFrame({"n": range(1000)}), "local"),
        (OutputContext("a"), pd.DataFrame({"n": [1]}), "far"),
    ],
    ids=["key", "default", "group", "metadata", "type and size", "too small"],
)
def test_a_value_goes_where_the_first_fitting_rule_sends_it_and_is_found_there(settings, declare, context, value, to):
    declare(RULES % (id(context), id(context)))
    with Storage(settings) as storage:
        assert storage.store(context, value)["routed_to"] == to
        asked = input_context(context.key, metadata=context.metadata, group=context.group)
        assert storage.load(asked) is not None
        assert storage.manager(to).load_input(asked) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("io_managers:\n  a: {type: nonsense}\n", r"storage.yaml:2: a: 'nonsense' is no type"),
        ("io_managers:\n  a: {type: filesystem, uri: x}\n", r"storage.yaml:2: a: uri: is not a known field"),
        ("io_managers:\n  a: {type: router, default: lake, rules: [{key: x, to: gone}]}\n", r"storage.yaml:2: a names 'gone'"),
        ("io_managers:\n  a: {type: router, default: lake, rules: [{to: lake}]}\n", r"a rule needs a condition"),
        ("default: gone\n", r"storage.yaml names 'gone'"),
        ("defualt: lake\n", r"storage.yaml:1: defualt"),
        ("io_managers:\n  a: {type: constant, shelf: x}\n", r"only loads values; move it to input_managers"),
        ("xcom: {io_manager: gone}\n", r"storage.yaml names 'gone'"),
    ],
)
def test_a_mistake_in_the_file_is_named_when_it_is_checked(settings, declare, text, said):
    declare(text)
    with pytest.raises(ConfigurationError, match=said), Storage(settings) as storage:
        storage.check()


def test_a_name_that_is_not_declared_is_answered_with_those_that_are(settings):
    with Storage(settings) as storage, pytest.raises(UnknownManager, match=r"'gone'.*lake, memory"):
        storage.manager("gone")


def test_a_manager_that_only_loads_cannot_store(settings, declare):
    declare("input_managers:\n  fixed: {type: constant, shelf: low}\n")
    with Storage(settings) as storage, pytest.raises(ConfigurationError, match="only loads"):
        storage.store(OutputContext("a"), 1, "fixed")
    assert issubclass(Shelf, InputManager)

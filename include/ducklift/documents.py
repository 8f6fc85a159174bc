"""YAML documents read as hostile input: size and depth limited, no aliases, no duplicate keys, and every value's line known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ducklift.errors import ConfigurationError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed file and the line of each key in it."""

    file: Path
    values: dict[str, Any]
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """Return the line of `place`, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_document(file: Path) -> Document:
    """Read a YAML file whose top is a mapping; raises `ConfigurationError` with file and line on anything else."""
    if file.exists() and not file.is_file():
        # A pipe would be waited for without end.
        raise ConfigurationError("is no file", file=file)
    try:
        raw = file.read_bytes()
    except OSError as err:
        raise ConfigurationError(f"cannot be read: {err.strerror}", file=file) from err
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(f"is {len(raw)} bytes long; a pipeline file has at most {MAX_BYTES}", file=file)
    try:
        text = raw.decode("utf-8")
        _refuse_bombs(text, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as err:
        raise ConfigurationError(f"is not UTF-8 at byte {err.start}", file=file) from err
    except yaml.YAMLError as err:
        raise ConfigurationError(f"is not valid YAML: {_problem(err)}", file=file, line=_line(err)) from err
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError("holds no mapping; start with a line such as 'name: reddit'", file=file, line=1)
    reader = _Reader(file)
    return Document(file, reader.mapping(node, ()), reader.lines)


def _refuse_bombs(text: str, file: Path) -> None:
    # An alias makes a small file expand without end, and no pipeline needs one. Composing is recursive, so depth is counted before it.
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigurationError("uses a YAML anchor or alias; write the value out", file=file, line=_mark_line(event))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigurationError(f"is nested deeper than {MAX_DEPTH} levels", file=file, line=_mark_line(event))


def _mark_line(event: yaml.Event) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None


def _problem(err: yaml.YAMLError) -> str:
    return str(getattr(err, "problem", None) or err).splitlines()[0]


def _line(err: yaml.YAMLError) -> int | None:
    mark = getattr(err, "problem_mark", None)
    return mark.line + 1 if mark else None


class _Reader:
    """Builds plain values from nodes and remembers where each stood."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[Place, int] = {}
        self._scalars = yaml.SafeLoader("")

    def value(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as err:
            raise ConfigurationError(f"cannot read this value: {err}", file=self.file, line=node.start_mark.line + 1) from err

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise ConfigurationError("a key must be plain text", file=self.file, line=line)
            if key in found:
                raise ConfigurationError(f"the key {key!r} stands twice", file=self.file, line=line)
            self.lines[(*place, key)] = line
            found[key] = self.value(value_node, (*place, key))
        return found

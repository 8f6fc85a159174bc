"""Placeholders in paths, parameters, headers and bodies: `{resources.issues.number}`, `{parent.number}`, `{incremental.start_value}`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any
from urllib.parse import quote

from ducklift.sources.json_paths import selector

INCREMENTAL = ("start_value", "end_value")
# Stands for a value that there is none of; a parameter or key that is nothing but this is left out.
ABSENT: Any = object()


@dataclass(frozen=True)
class Placeholder:
    """What stands between braces: a field of the parent's record (`resource` names it, empty for `parent`), or a bound of the reading."""

    resource: str | None
    field: str

    @classmethod
    def parse(cls, text: str) -> Placeholder:
        """Take a placeholder apart; raises ValueError that shows the known forms."""
        kind, _, rest = text.partition(".")
        if kind == "incremental" and rest in INCREMENTAL:
            return cls(None, rest)
        resource, _, name = ("", "", rest) if kind == "parent" else rest.partition(".") if kind == "resources" else ("", "", "")
        if not name or (kind == "resources" and not resource):
            known = "{resources.<name>.<field>}, {parent.<field>}, {incremental.start_value} or {incremental.end_value}"
            raise ValueError(f"{{{text}}} is not a placeholder: write {known}; a brace that is meant as one is doubled")
        selector(name)
        return cls(resource, name)


Lookup = Callable[[Placeholder], Any]


def placeholders(value: Any) -> Iterator[Placeholder]:
    """Yield all placeholders in a text, or in the texts of a list or mapping; raises ValueError on anything else between braces."""
    if isinstance(value, str):
        yield from (each for each in _parts(value) if isinstance(each, Placeholder))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from placeholders(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from placeholders(each)


def filled(value: Any, lookup: Lookup) -> Any:
    """Return `value` with placeholders replaced. A text that is one placeholder becomes the value itself, of its own type.

    Raises ValueError when a longer text has a placeholder without a value.
    """
    if isinstance(value, str):
        return _filled_text(value, lookup)
    if isinstance(value, Mapping):
        made = {key: filled(each, lookup) for key, each in value.items()}
        return {key: each for key, each in made.items() if each is not ABSENT}
    if isinstance(value, list | tuple):
        return [each for each in (filled(each, lookup) for each in value) if each is not ABSENT]
    return value


def filled_path(path: str, lookup: Lookup) -> str:
    """Return a path with its placeholders replaced, each by one segment at most: no value can lead to another place."""
    made = []
    for part in _parts(path):
        if isinstance(part, str):
            made.append(part)
            continue
        value = lookup(part)
        text = "" if value is ABSENT or value is None else str(value)
        if text in ("", ".", ".."):
            raise ValueError(f"the path {path!r} needs {part.field!r}, but its value is {text!r}")
        made.append(quote(text, safe=""))
    return "".join(made)


def _filled_text(text: str, lookup: Lookup) -> Any:
    parts = list(_parts(text))
    if len(parts) == 1 and isinstance(parts[0], Placeholder):
        return lookup(parts[0])
    made = []
    for part in parts:
        value = part if isinstance(part, str) else lookup(part)
        if value is ABSENT or value is None:
            raise ValueError(f"{text!r} has no value for {part.field!r}" if isinstance(part, Placeholder) else text)
        made.append(str(value))
    return "".join(made)


def _parts(text: str) -> Iterator[str | Placeholder]:
    if "{" not in text and "}" not in text:
        yield text
        return
    # Only taken apart, never formatted: `format` would follow attributes.
    for literal, name, spec, conversion in Formatter().parse(text):
        if literal:
            yield literal
        if name is not None:
            if spec or conversion:
                raise ValueError(f"{text!r}: a placeholder takes no format")
            yield Placeholder.parse(name)

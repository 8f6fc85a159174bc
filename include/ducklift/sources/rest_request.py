"""One request to an API and its answer, as plain values; paginators turn the one into the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ducklift.sources.json_paths import placed


@dataclass(frozen=True)
class Ask:
    """A request without its credentials, which are added when it is sent. `url` may have a query of its own, as next links do."""

    url: str
    method: str = "GET"
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None

    def with_value(self, name: str, body_path: str | None, value: Any) -> Ask:
        """Return the request with a value as a parameter, or at a path inside the body."""
        if body_path:
            return replace(self, body=placed(self.body, body_path, value))
        return replace(self, params={**self.params, name: value})

    def at(self, url: str) -> Ask:
        """Return the request for a link of the API's own, which holds all parameters already."""
        return replace(self, url=url, params={})


@dataclass(frozen=True)
class Answer:
    """What came: the parsed document, the headers, and where from. One that a response action leaves out has no document."""

    document: Any
    headers: Mapping[str, str]
    url: str
    size_bytes: int
    ignored: bool = False


@dataclass(frozen=True)
class Page:
    """An answer and the records that were found in it."""

    answer: Answer
    records: list[dict[str, Any]]

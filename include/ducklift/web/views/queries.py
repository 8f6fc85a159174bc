"""What a page is asked for by its address: parsed without ever failing, and written back so that an address can be shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args
from urllib.parse import urlencode

from ducklift.web.views.states import TableState

PAGE_ROWS = 100
LONGEST_SEARCH = 200
MOST_PAGES = 100_000

Sort = Literal["state", "name", "rows", "change", "freshness", "lag", "bytes", "loaded", "quarantined"]
SORTS: tuple[str, ...] = get_args(Sort)


@dataclass(frozen=True, slots=True)
class Query(ABC):
    """Base of all queries: `of` takes what is known from hostile parameters, `text` gives back what is not a default."""

    @classmethod
    @abstractmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Return the query that an address's parameters ask for; what makes no sense is as if it were absent."""

    def text(self) -> str:
        """Return the query string, without its question mark; defaults are left out, so that it is empty for the plain page."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {entry.name: entry.default for entry in fields(self)}
        return urlencode({name: value for name, value in values.items() if value != defaults[name]})

    def having(self, **changes: Any) -> Self:
        """Return the same query with something else asked; the first page, unless `page` is among it."""
        return replace(self, **({"page": 1} | changes if any(entry.name == "page" for entry in fields(self)) else changes))


@dataclass(frozen=True, slots=True)
class OverviewQuery(Query):
    """`search` is looked for in table, pipeline and stream names; `state` is one of the states' words; `descending` turns the order.

    Each sort begins with what is of interest: the worst state, the most rows, the stalest table; names begin with a.
    """

    search: str = ""
    state: str = ""
    dataset: str = ""
    pipeline: str = ""
    sort: Sort = "state"
    descending: bool = False
    page: int = 1

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Return the query that an address's parameters ask for; what makes no sense is as if it were absent."""
        sort: Any = values.get("sort", "state")
        state = values.get("state", "")
        return cls(
            search=_words(values, "search"),
            state=state if state in set(TableState) else "",
            dataset=_words(values, "dataset"),
            pipeline=_words(values, "pipeline"),
            sort=sort if sort in SORTS else "state",
            descending=values.get("descending", "") in ("True", "true", "1"),
            page=_page(values, "page"),
        )


@dataclass(frozen=True, slots=True)
class TableQuery(Query):
    """`page` is of the load timeline, 50 loads each, newest first; `columns_page` of the columns, 100 each."""

    page: int = 1
    columns_page: int = 1
    search: str = ""
    """Looked for in the names of columns."""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Return the query that an address's parameters ask for; what makes no sense is as if it were absent."""
        return cls(page=_page(values, "page"), columns_page=_page(values, "columns_page"), search=_words(values, "search"))


@dataclass(frozen=True, slots=True)
class LoadQuery(Query):
    """`page` is of the files, 100 each."""

    page: int = 1

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Return the query that an address's parameters ask for; what makes no sense is as if it were absent."""
        return cls(page=_page(values, "page"))


@dataclass(frozen=True, slots=True)
class LakeQuery(Query):
    """`survey` asks for a new look at all objects when the last one is no longer new; it is done in the background."""

    survey: bool = False

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Return the query that an address's parameters ask for; what makes no sense is as if it were absent."""
        return cls(survey=values.get("survey", "") in ("True", "true", "1"))


@dataclass(frozen=True, slots=True)
class Pages:
    """Which part of a longer list is shown; the first page is 1. `total` is the whole list's length."""

    page: int
    pages: int
    total: int
    first: int
    """The place in the list of the first row that is shown, from 1; 0 for an empty list."""

    @classmethod
    def of(cls, page: int, total: int, size: int) -> Pages:
        """Return the page that is nearest to the one asked for."""
        pages = max(-(-total // size), 1)
        page = min(max(page, 1), pages)
        return cls(page, pages, total, (page - 1) * size + 1 if total else 0)

    @property
    def start(self) -> int:
        """Return the index of the first row that is shown."""
        return max(self.first - 1, 0)


def _words(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "").strip()[:LONGEST_SEARCH]


def _page(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "")
    return min(max(int(text), 1), MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 7 else 1

"""View models with every field filled, whatever fields they have: a text in each text, and a reader that gives them."""

from __future__ import annotations

import dataclasses
import itertools
import types
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote

from ducklift.web.reader import Download
from ducklift.web.views.lakes import LakeView
from ducklift.web.views.loads import LoadView
from ducklift.web.views.overview import OverviewView
from ducklift.web.views.queries import LakeQuery, LoadQuery, OverviewQuery, Query, TableQuery
from ducklift.web.views.tables import TableView

HARMLESS = "text"
# What a browser could take for an element, an attribute, a script or a style; what turns text around; a long one; a formula.
HOSTILE = (
    "</td><script>alert(1)</script>"
    "\"' onmouseover=alert(2) x='<img src=x onerror=alert(3)>"
    "<svg onload=alert(4)>{{7*7}}${7*7}&lt;b&gt;javascript:alert(5)"
    "\u202egnp.exe\u2066\x00\x1b[31m=HYPERLINK(1)\n\r" + "x" * 10_000
)
MOMENT = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class Filler:
    """Makes instances of the view models: tuples of two, every state in its turn, `text` wherever a text may come from outside."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._turns: dict[Any, Any] = {}

    def view(self, cls: type, **given: Any) -> Any:
        """Return an instance whose fields are all filled, but those that are given."""
        hints = get_type_hints(cls)
        names = [field.name for field in dataclasses.fields(cls) if field.name not in given]
        return cls(**{name: self.value(name, hints[name]) for name in names}, **given)

    def value(self, name: str, hint: Any) -> Any:
        """Return a value for a field of this type."""
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self.value(name, arguments[0])
        if origin is Literal:
            return self._next(hint, arguments)
        if origin is tuple:
            inner = arguments[:1] * 2 if arguments[-1] is Ellipsis else arguments
            return tuple(self.value(name, one) for one in inner)
        if dataclasses.is_dataclass(hint):
            return self.view(hint)
        return self._plain(name, hint)

    def _plain(self, name: str, hint: type) -> Any:
        if issubclass(hint, Enum):
            return self._next(hint, list(hint))
        if hint is str:
            return self._text(name)
        if hint is bool:
            return self._next(bool, (True, False))
        if hint is datetime:
            return MOMENT - timedelta(hours=self._next(datetime, range(40)))
        if name in ("page", "pages"):
            return 2
        return {int: 12_345, float: 0.5, date: MOMENT.date()}[hint]

    def _text(self, name: str) -> str:
        # An address is promised to be quoted already; `tables` begins the ones that are routes.
        if name == "chart":
            return f"charts/{quote(self.text, safe='')}/v1.png"
        return f"tables/{quote(self.text, safe='')}" if name.endswith("path") else self.text

    def _next(self, key: Any, choices: Any) -> Any:
        return next(self._turns.setdefault(key, itertools.cycle(choices)))


class FilledReader:
    """A reader whose every answer is filled with one text."""

    def __init__(self, text: str = HARMLESS) -> None:
        self.text = text

    def seen_by(self, _may_read: Any) -> FilledReader:
        return self

    def _view(self, cls: type, query: Query, **given: Any) -> Any:
        return Filler(self.text).view(cls, query=query, **given)

    def overview(self, query: OverviewQuery) -> OverviewView:
        return self._view(OverviewView, query, empty=False)

    def table(self, _name: str, query: TableQuery) -> TableView:
        return self._view(TableView, query)

    def load(self, _name: str, _load_id: str, query: LoadQuery) -> LoadView:
        return self._view(LoadView, query)

    def lake(self, query: LakeQuery) -> LakeView:
        return self._view(LakeView, query)

    def manifest(self, _name: str, _load_id: str) -> bytes:
        return b"{}"

    def file(self, _name: str, _load_id: str, _number: int) -> Download:
        return Download("a.jsonl", 3, iter([b"abc"]))

    def chart(self, _key: str, _version: str, _partition: str | None) -> bytes:
        return PNG


# One transparent pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000200000500017a5eab3f0000000049454e44ae426082"
)

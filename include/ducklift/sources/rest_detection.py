"""What the first answer of an API tells about its records and its pages, where nobody has said it. A guess is never made in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ducklift.sources.json_paths import selector
from ducklift.sources.rest_paginator_config import HeaderLink, JsonLink, Paginator, SinglePage
from ducklift.sources.rest_paginators import header_links
from ducklift.sources.rest_request import Answer

_RECORD_KEYS = ("data", "items", "results", "entries", "records", "rows", "entities", "payload", "content", "objects", "values", "value")
_LINK_PATHS = (
    "next", "links.next", "links.next.href", "_links.next.href", "_links.next", "paging.next", "pagination.next", "meta.next",
    "meta.pagination.links.next", "next_url", "next_link", "nextLink", "next_page_url", "pagination.next_url", "$['@odata.nextLink']",
)  # fmt: skip
_CURSOR_NAMES = frozenset(
    {"next", "cursor", "nextcursor", "endcursor", "nextpagetoken", "nexttoken", "continuationtoken", "nextpage", "scrollid"}
)
_MORE_NAMES = frozenset({"hasmore", "hasnext", "hasnextpage", "moreitems"})
_PAGES_NAMES = frozenset({"totalpages", "pagecount", "lastpage"})
_TOTAL_NAMES = frozenset({"total", "totalcount", "totalitems", "totalrecords", "totalresults", "count"})


class Undetected(Exception):
    """The answer does not say clearly enough how it is to be read; the message says what to write."""


def detected_selector(document: Any) -> str:
    """Return where the records stand: `$` for a list or a single object; raises `Undetected` when several lists could be meant."""
    if not isinstance(document, Mapping):
        return "$"
    lists = dict(_lists(document))
    known = [path for path in lists if path.rpartition(".")[2].lower() in _RECORD_KEYS]
    if len(known) == 1 or len(lists) == 1:
        return next(iter(known or lists))
    if not lists:
        if any(document.get(name) for name in ("error", "errors")):
            raise Undetected("the answer is one object that tells of an error. Name data_selector, or what to do under response_actions.")
        # An empty listing of some APIs.
        nothing = [key for key, value in document.items() if value is None and key.lower() in _RECORD_KEYS]
        return nothing[0] if len(nothing) == 1 else "$"
    raise Undetected(f"several lists in the answer could be the records: {', '.join(known or lists)}. Name one as data_selector.")


def detected_paginator(answer: Answer, records: list[Any]) -> Paginator:
    """Return the paginator that the first answer asks for; raises `Undetected` when it seems to have other pages in a way of its own."""
    if "next" in header_links(answer.headers.get("link", "")):
        return HeaderLink(type="header_link")
    if "link" in answer.headers and header_links(answer.headers["link"]).keys() & {"prev", "first", "last"}:
        return HeaderLink(type="header_link")
    document = answer.document
    if not isinstance(document, Mapping) or records == [document]:
        return SinglePage(type="single_page")
    for path in _LINK_PATHS:
        found = selector(path).first(document)
        if isinstance(found, str) and found.startswith(("http://", "https://", "/", "?")):
            return JsonLink(type="json_link", next_url_path=path)
    if hint := next(_hints_of_more(document, len(records)), None):
        raise Undetected(f"the answer seems to have more pages ({hint}), in a way that is not detected: name a paginator, or single_page")
    return SinglePage(type="single_page")


def _lists(document: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    for key, value in document.items():
        path = f"{prefix}.{key}" if prefix else key
        if not key.isidentifier():
            path = f"{prefix or '$'}['{key}']" if "'" not in key else ""
        if path and isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            yield path, value
        elif path and isinstance(value, Mapping) and depth < 2:
            yield from _lists(value, path, depth + 1)


def _hints_of_more(document: Mapping[str, Any], records: int) -> Iterator[str]:
    for key, value in _scalars(document):
        plain = key.replace("_", "").replace("-", "").lower()
        counted = isinstance(value, int) and not isinstance(value, bool)
        if (plain in _MORE_NAMES and value is True) or (
            counted and ((plain in _PAGES_NAMES and value > 1) or (plain in _TOTAL_NAMES and value > records))
        ):
            yield f"{key}: {str(value).lower()}"
        elif plain in _CURSOR_NAMES and isinstance(value, str | int) and value and value is not True:
            yield key


def _scalars(document: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping) and depth < 2:
            yield from _scalars(value, depth + 1)
        elif not isinstance(value, list | Mapping):
            yield key, value

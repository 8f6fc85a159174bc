"""From one page to the next. A listing that ends without reason is `Unsound`: a reading never ends early in silence."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import orjson

from ducklift.sources.json_paths import selector
from ducklift.sources.rest_paginator_config import Cursor, HeaderCursor, HeaderLink, JsonLink, Offset, PageNumber, Paginator
from ducklift.sources.rest_request import Ask, Page

# So many pages without a record, each with a link to another, are taken for one that leads in circles.
_MOST_EMPTY_PAGES = 100
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


class Unsound(Exception):
    """The pages of a listing contradict each other, or end without reason."""


class Pager(ABC):
    """Walks one listing. `stopped_because` is None until the last page was seen; `capped` says that the configuration ended it."""

    def __init__(self) -> None:
        self.stopped_because: str | None = None
        self.capped = False

    def first(self, ask: Ask) -> Ask:
        """Return the request of the first page."""
        return ask

    @abstractmethod
    def following(self, ask: Ask, page: Page) -> Ask | None:
        """Return the request of the page after `page`, which was the answer to `ask`; None after the last. Raises `Unsound`."""

    def _end(self, why: str, *, capped: bool = False) -> Ask | None:
        self.stopped_because, self.capped = why, capped
        return None


class OnePage(Pager):
    """There is no other page."""

    def following(self, ask: Ask, page: Page) -> Ask | None:
        """Return None."""
        del ask, page
        return self._end("single page")


class _Chain(Pager):
    """Each page says what comes next: a link or a cursor, never the same one twice."""

    def __init__(self, stop_after_empty_page: bool = False) -> None:
        super().__init__()
        self._seen: set[str] = set()
        self._empty_pages = 0
        self._stop_after_empty_page = stop_after_empty_page

    def _another(self, reference: str, page: Page) -> bool:
        """Note a reference to the next page; False when an empty page is the end. Raises `Unsound` when it was there before."""
        self._empty_pages = 0 if page.records else self._empty_pages + 1
        if self._stop_after_empty_page and not page.records:
            self._end("empty page")
            return False
        if reference in self._seen:
            raise Unsound("a page leads back to one that was read before" + ("" if page.records else ", and has no records"))
        if self._empty_pages > _MOST_EMPTY_PAGES:
            raise Unsound(f"{_MOST_EMPTY_PAGES} pages in a row have no records, but each leads to another")
        self._seen.add(reference)
        return True


class Links(_Chain):
    """The next page's URL stands in the answer or in its `Link` header; it has to stay on the origin of the request."""

    def __init__(self, config: JsonLink | HeaderLink) -> None:
        super().__init__()
        self._config = config

    def following(self, ask: Ask, page: Page) -> Ask | None:
        """Return the request for the link."""
        link = self._link(page)
        if link in (None, "", False):
            return self._end("last link")
        if not isinstance(link, str):
            raise Unsound(f"the link to the next page is a {type(link).__name__}, not a URL")
        self._seen.add(page.answer.url)
        url = on_the_origin(ask.url, page.answer.url, link)
        return ask.at(url) if self._another(url, page) else None

    def _link(self, page: Page) -> Any:
        if isinstance(self._config, JsonLink):
            return selector(self._config.next_url_path).first(page.answer.document)
        return header_links(page.answer.headers.get("link", "")).get(self._config.links_next_key)


class Cursors(_Chain):
    """The next page's cursor stands in the answer or in a header."""

    def __init__(self, config: Cursor | HeaderCursor) -> None:
        super().__init__(isinstance(config, Cursor) and config.stop_after_empty_page)
        self._config = config
        self._more = selector(config.has_more_path) if isinstance(config, Cursor) and config.has_more_path else None

    def following(self, ask: Ask, page: Page) -> Ask | None:
        """Return the request with the cursor in it."""
        config, cursor = self._config, self._cursor(page)
        more = _has_more(self._more, page) if self._more else None
        if more is False:
            return self._end("no more")
        if cursor in (None, "", False):
            if more:
                raise Unsound("the answer says that there is more, but gives no cursor")
            return self._end("last cursor")
        if not isinstance(cursor, str | int | float):
            raise Unsound(f"the cursor is a {type(cursor).__name__}; look at cursor_path")
        if not self._another(str(cursor), page):
            return None
        if isinstance(config, HeaderCursor):
            return ask.with_value(config.cursor_param, None, cursor)
        return ask.with_value(config.cursor_param or "cursor", config.cursor_body_path, cursor)

    def _cursor(self, page: Page) -> Any:
        if isinstance(self._config, HeaderCursor):
            return page.answer.headers.get(self._config.cursor_key.lower())
        return selector(self._config.cursor_path).first(page.answer.document)


class Counting(Pager):
    """Pages that are asked for by a number: of the page, or of its first record."""

    def __init__(self, config: Offset | PageNumber) -> None:
        super().__init__()
        self._config = config
        self._by_record = isinstance(config, Offset)
        self._step = config.limit if isinstance(config, Offset) else 1
        self._base = 0 if isinstance(config, Offset) else config.base_page
        self._at = config.offset if isinstance(config, Offset) else config.base_page if config.page is None else config.page
        self._most = config.maximum_offset if isinstance(config, Offset) else config.maximum_page
        self._total_path = selector(config.total_path) if config.total_path else None
        self._more = selector(config.has_more_path) if config.has_more_path else None
        self._begun_at, self._records, self._pages = self._at, 0, 0
        self._was_short = False
        self._total: int | None = None
        self._last_seen: tuple[int, bytes, bytes] | None = None

    def first(self, ask: Ask) -> Ask:
        """Return the request of the first page."""
        if isinstance(self._config, Offset):
            ask = ask.with_value(self._config.limit_param, self._config.limit_body_path, self._config.limit)
        return self._numbered(ask)

    def following(self, ask: Ask, page: Page) -> Ask | None:
        """Return the request of the next number."""
        if page.records:
            self._refuse_odd_pages(page)
        self._records += len(page.records)
        self._pages += bool(page.records)
        self._note_total(page)
        more = _has_more(self._more, page) if self._more else None
        # What the page says of itself goes before what is asked next.
        if more is False or (not page.records and self._config.stop_after_empty_page and not more):
            return self._ended("no more" if more is False else "empty page")
        if not page.records and more:
            raise Unsound("a page has no records, but says that there are more")
        self._at += self._step
        if self._total is not None and self._at >= self._total + self._base:
            return self._ended("total reached")
        if self._most is not None and self._at >= self._most:
            return self._end("maximum reached", capped=True)
        return self._numbered(ask)

    def _numbered(self, ask: Ask) -> Ask:
        config = self._config
        if isinstance(config, Offset):
            return ask.with_value(config.offset_param, config.offset_body_path, self._at)
        return ask.with_value(config.page_param, config.page_body_path, self._at)

    def _note_total(self, page: Page) -> None:
        if self._total_path is None:
            return
        found = self._total_path.first(page.answer.document)
        try:
            total = int(str(found))
        except ValueError:
            raise Unsound(f"the total ({self._config.total_path}) is not a number in the answer") from None
        if self._by_record and self._total is not None and total < self._total:
            # Records behind a deleted one move up by one place, past the offset that is asked for next.
            raise Unsound(f"the listing shrank from {self._total} to {total} records while it was read by offset; read it again")
        self._total = total

    def _ended(self, why: str) -> Ask | None:
        """End the listing; raises `Unsound` when less came than the API said there is."""
        found = self._begun_at + (self._records if self._by_record else self._pages - self._base)
        nothing_at_all = self._records == 0 and self._total == 1 and not self._by_record  # one page, and that is empty
        if self._total is not None and found < self._total and not nothing_at_all:
            unit = "records" if self._by_record else "pages"
            raise Unsound(f"the listing ended after {found} {unit}, but the API tells of {self._total}")
        return self._end(why)

    def _refuse_odd_pages(self, page: Page) -> None:
        """Raise `Unsound` for a page that was there just before, or that follows one that should have been the last."""
        config = self._config
        seen = (len(page.records), _bytes(page.records[0]), _bytes(page.records[-1]))
        if seen == self._last_seen:
            name = config.offset_param if isinstance(config, Offset) else config.page_param
            raise Unsound(
                f"two pages in a row are the same: does the API know the parameter {name!r}, and does it count from {self._base}?"
            )
        if self._was_short:
            raise Unsound(
                f"a page had fewer than {self._step} records, but others follow it: the API's own limit is lower, and records between them "
                "were not read. Lower limit; or write short_pages: true where the API leaves records out of a page"
            )
        self._last_seen = seen
        self._was_short = isinstance(config, Offset) and not config.short_pages and len(page.records) < config.limit


def pager_for(config: Paginator) -> Pager:
    """Return a pager at the beginning of a listing."""
    if isinstance(config, JsonLink | HeaderLink):
        return Links(config)
    if isinstance(config, Cursor | HeaderCursor):
        return Cursors(config)
    if isinstance(config, Offset | PageNumber):
        return Counting(config)
    return OnePage()


def header_links(text: str) -> dict[str, str]:
    """Return the links of a `Link` header (RFC 8288) by relation."""
    found: dict[str, str] = {}
    for match in _LINK.finditer(text):
        relation = _RELATION.search(match[2])
        if relation:
            for name in (relation[1] or relation[2] or "").split():
                found.setdefault(name, match[1])
    return found


def on_the_origin(home: str, page_url: str, link: str) -> str:
    """Return a page's link as a URL; raises `Unsound` when it leads to another origin than `home`.

    An API behind a proxy that ends TLS writes http:// into its links; on the same host that means the https it was asked by.
    """
    try:
        here, there = urlsplit(home), urlsplit(urljoin(page_url, link))
        if (here.scheme, there.scheme) == ("https", "http") and here.hostname == there.hostname and there.port in (None, 80, here.port):
            there = there._replace(scheme="https", netloc=here.netloc)
        same = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port) and not there.username
    except ValueError:
        raise Unsound("the link to the next page is not a URL") from None
    if not same:
        raise Unsound(f"the link to the next page leads to another origin, {there.scheme}://{there.hostname}")
    return urlunsplit(there._replace(fragment=""))


def _has_more(path: Any, page: Page) -> bool:
    value = path.first(page.answer.document)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if not isinstance(value, bool):
        raise Unsound("has_more_path does not lead to true or false in the answer")
    return value


def _bytes(record: Any) -> bytes:
    return orjson.dumps(record, default=str)

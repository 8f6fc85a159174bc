"""One reading of one stream: the pages of its resource, or those of every record of its parent, as batches of records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from ducklift.errors import ConfigurationError, ExtractionIncomplete, ReadingLimit, StreamRefused
from ducklift.settings import Settings
from ducklift.sources.base import ReadReport, Record, SliceRequest
from ducklift.sources.json_paths import selector
from ducklift.sources.rest_client import RestClient
from ducklift.sources.rest_config import Endpoint, Resource
from ducklift.sources.rest_detection import Undetected, detected_paginator, detected_selector
from ducklift.sources.rest_paginator_config import Auto, Paginator, SinglePage
from ducklift.sources.rest_paginators import Pager, Unsound, pager_for
from ducklift.sources.rest_request import Answer, Ask, Page
from ducklift.sources.rest_templates import Placeholder, filled, filled_path, placeholders
from ducklift.sources.rest_window import Window

if TYPE_CHECKING:
    from ducklift.sources.rest_api import RestApiSource

# Small pages, as of child resources, are handed on together.
_ENOUGH_RECORDS = 1_000
_ENOUGH_BYTES = 8 * 2**20


class Reading:
    """Reads one stream once. Use as a context manager: it holds connections."""

    def __init__(self, source: RestApiSource, request: SliceRequest, settings: Settings, report: ReadReport) -> None:
        self._source, self._request, self._report = source, request, report
        self._family = source.family(request.stream)
        # The bounds are for the innermost resource that knows how to be asked for them.
        self._bounded = next((each.name for each in reversed(self._family) if each.endpoint.incremental), None)
        incremental = next((each.endpoint.incremental for each in self._family if each.name == self._bounded), None)
        self._window = Window(request, incremental)
        # In a parent's own records the cursor has the name from which `include_from_parent` makes the child's.
        is_parents = self._bounded != request.stream
        self._cursor_field = (request.cursor or "").removeprefix(f"_{self._bounded}_" if is_parents else "")
        auths = [self._auth(each.endpoint) for each in self._family]
        self._client = RestClient(request.stream, source.client, auths, settings, source.patience, self._count_retry)
        self._selectors: dict[str, str] = {}
        self._pages = self._records = self._ignored = 0
        self._stops: dict[str, int] = {}
        self._whole = True
        self._started = time.monotonic()

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def batches(self) -> Iterator[list[Record]]:
        """Yield all records; raises the errors of `RestApiSource.read`."""
        self._tell()
        gathered: list[Record] = []
        size = 0
        try:
            for records, size_bytes in self._pages_of(len(self._family) - 1):
                wanted = self._window.inside(records)
                gathered += wanted
                size += size_bytes
                self._records += len(wanted)
                self._tell()
                if len(gathered) >= _ENOUGH_RECORDS or size >= _ENOUGH_BYTES:
                    yield gathered
                    gathered, size = [], 0
        except Unsound as err:
            raise ExtractionIncomplete(f"{self._request.stream}: {err}.") from None
        except Undetected as err:
            raise ConfigurationError(f"{self._request.stream}: {err}") from None
        if gathered:
            yield gathered
        self._tell()
        self._report.ordered_and_complete = self._whole

    def _pages_of(self, level: int) -> Iterator[tuple[list[Record], int]]:
        """Yield the pages of a resource of the family: for a child, those of each record of its parent in turn."""
        resource = self._family[level]
        if level == 0:
            yield from self._listing(resource, {})
            return
        for parents, _ in self._pages_of(level - 1):
            for parent in parents:
                for records, size in self._listing(resource, parent):
                    self._include(resource, parent, records)
                    yield records, size

    def _listing(self, resource: Resource, parent: Record) -> Iterator[tuple[list[Record], int]]:
        endpoint, bounded = resource.endpoint, resource.name == self._bounded
        ask: Ask | None = self._first_ask(resource, parent)
        pager: Pager | None = None
        while ask is not None:
            self._refuse_beyond_limits()
            if pager is None and (paginator := self._paginator(resource)) is not None:
                pager = pager_for(paginator)
                ask = pager.first(ask)
            answer = self._client.ask(ask, self._auth(endpoint), endpoint.response_actions)
            self._pages += 1
            if answer.ignored:
                self._ignored += 1
                self._note_stop("ignored answer", capped=False)
                return
            records = self._records_of(resource, answer)
            if pager is None:
                pager = pager_for(detected_paginator(answer, records))  # anew for each listing: a short one shows nothing
            over = bounded and self._window.ends_before(records, self._cursor_field)
            page = Page(answer, records)
            ask = None if over else pager.following(ask, page)
            yield records, answer.size_bytes
            if ask is None:
                self._note_stop("reached the start" if over else pager.stopped_because or "", capped=pager.capped)

    def _first_ask(self, resource: Resource, parent: Record) -> Ask:
        endpoint, bounded = resource.endpoint, resource.name == self._bounded

        def lookup(placeholder: Placeholder) -> Any:
            if placeholder.resource is None:
                return self._window.value(placeholder.field)
            found = selector(placeholder.field).values(parent)
            if not found:
                reason = f"a record of {resource.parent_name} has no field {placeholder.field!r}, which the request needs"
                raise StreamRefused(self._request.stream, reason, "Name another field in the placeholder.")
            return found[0]

        try:
            own = self._client.plain({**self._source.client.headers, **endpoint.headers})
            form = self._client.plain(endpoint.data or {})
            return Ask(
                url=urljoin(self._source.client.base_url, filled_path(resource.path, lookup).lstrip("/")),
                method=endpoint.method,
                params={**filled(self._client.plain(endpoint.params), lookup), **(self._window.params() if bounded else {})},
                headers={name: str(value) for name, value in filled(own, lookup).items()},
                body=None if endpoint.body is None else filled(endpoint.body, lookup),
                form=None if endpoint.data is None else {name: str(value) for name, value in filled(form, lookup).items()},
            )
        except ValueError as err:
            raise StreamRefused(self._request.stream, str(err), "Give incremental an initial value, or another placeholder.") from None

    def _auth(self, endpoint: Endpoint) -> Any:
        return endpoint.auth or self._source.client.auth

    def _paginator(self, resource: Resource) -> Paginator | None:
        """Return the paginator as far as it is known before the first answer."""
        chosen = resource.endpoint.paginator
        if chosen is None and _is_single_entity(resource):
            return SinglePage(type="single_page")
        chosen = chosen or self._source.client.paginator
        return None if isinstance(chosen, Auto) else chosen

    def _records_of(self, resource: Resource, answer: Answer) -> list[Record]:
        endpoint = resource.endpoint
        path = endpoint.data_selector or ("$" if _is_single_entity(resource) else self._detected(resource.name, answer.document))
        found = selector(path).values(answer.document)
        if not found and answer.document != [] and not endpoint.data_may_be_absent:
            raise Unsound(
                f"an answer has nothing at {path!r}, where the records should be. Where the API leaves that out of an empty page, write "
                "data_may_be_absent: true"
            )
        records = _flat(found)
        if strange := next((type(each).__name__ for each in records if not isinstance(each, dict)), None):
            advice = "Let data_selector lead to a list of objects, or to one object."
            raise StreamRefused(self._request.stream, f"{path!r} leads to a {strange}, which is no record", advice)
        return records

    def _detected(self, name: str, document: Any) -> str:
        """Return where the records stand by the first answer; a lone object says so for itself only."""
        known = self._selectors.get(name)
        if known is None or (known == "$" and not isinstance(document, list)):
            path = self._selectors.setdefault(name, detected_selector(document))
            if path != detected_selector(document):
                raise Undetected(f"the records of {name} stand in one place in one answer and elsewhere in another: name data_selector.")
        return self._selectors[name]

    def _include(self, resource: Resource, parent: Record, records: list[Record]) -> None:
        """Put the wanted fields of the parent's record into each record, as `_<parent>_<field>`."""
        for field in resource.include_from_parent:
            name = f"_{resource.parent_name}_{field}"
            if field not in parent:
                reason = f"a record of {resource.parent_name} has no field {field!r}, which include_from_parent names"
                raise StreamRefused(self._request.stream, reason, "Name a field that all of them have.")
            for record in records:
                if name in record:
                    raise StreamRefused(
                        self._request.stream, f"a record has a field {name!r} of its own", "Leave it out of include_from_parent."
                    )
                record[name] = parent[field]

    def _refuse_beyond_limits(self) -> None:
        limits = self._source.client.limits
        if self._pages >= limits.pages:
            raise ReadingLimit(self._request.stream, f"{limits.pages} pages were read, and there are more", "Raise limits.pages.")
        if limits.time_s is not None and time.monotonic() - self._started > limits.time_s:
            raise ReadingLimit(self._request.stream, f"{limits.time_s} s have passed, and there is more", "Raise limits.time.")

    def _note_stop(self, why: str, *, capped: bool) -> None:
        self._stops[why] = self._stops.get(why, 0) + 1
        self._whole = self._whole and not capped

    def _count_retry(self) -> None:
        self._report.retries += 1

    def _tell(self) -> None:
        """Say in the report what was asked and how it went; nothing secret is in it."""
        resource, request = self._family[-1], self._request
        self._report.request = {
            "base_url": self._source.client.base_url,
            "path": resource.path,
            "method": resource.endpoint.method,
            "parents": [each.name for each in self._family[:-1]],
            "bounded": self._bounded,
            "from": request.cursor_from,
            "to": request.cursor_to,
            "pages": self._pages,
            "requests": self._client.requests,
            "records": self._records,
            "ignored_answers": self._ignored,
            "outside_the_bounds": self._window.outside,
            "stopped_because": dict(self._stops),
        }


def _is_single_entity(resource: Resource) -> bool:
    """Tell whether the path ends in a parent's field: such a request is for one thing, not for a listing."""
    last = resource.path.rstrip("/").rpartition("/")[2]
    return resource.endpoint.paginator is None and any(each.resource is not None for each in placeholders(last))


def _flat(found: list[Any]) -> list[Any]:
    """Return what a selector found as records: a list's members, a lone object as the one record, null as none."""
    if len(found) == 1:
        return found[0] if isinstance(found[0], list) else [] if found[0] is None else [found[0]]
    return found

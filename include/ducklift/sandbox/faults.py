"""Scripted faults of the local Reddit API: what goes wrong, with which request, how often.

A script is a list of `Fault`s. Every request is offered to them in order; the first that matches and is not spent decides the
answer. Kinds, and what each does:

| kind | what the client meets |
| --- | --- |
| `status` | the given `status`, with `retry_after` as the Retry-After header's literal text when set |
| `reset_before_body` | a TCP reset (RST) before the first byte of the answer |
| `reset_in_body` | a TCP reset after half of the body |
| `hang` | silence for `seconds`, then the normal answer |
| `malformed_json` | status 200 and half a JSON document, with a Content-Length that fits |
| `empty_body` | status 200 and no body |
| `empty_page` | a listing without items whose cursor points on |
| `nothing_found` | a listing without items and without a cursor |
| `others_found` | a listing with items that were not asked for (only from `info`) |
| `all_gone` | the normal page; every post looks as if it had been taken down |
| `stuck_cursor` | the page asked for, whose cursor is the one that was sent (only with a cursor) |
| `repeated_page` | the page before once more, whose cursor is the one that was sent (only with a cursor) |
| `shifted_page` | a page that starts `shift` items too early, as when items moved down meanwhile (only with a cursor) |
| `null_author` | the normal page; every third author is null |
| `missing_fields` | the normal page; every third post has `id`, `name` and `created_utc` alone |
| `lone_surrogate` | the normal page; the first title holds half of a surrogate pair |
| `headers` | the normal answer with `headers` laid over it; a value of None takes a header away |
| `token_error` | status 200 and `{"error": "invalid_grant"}`, as the token endpoint says it |
| `token_expired` | every bearer token issued so far stops working, at this request: 401 |
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Endpoint = Literal["token", "listing", "info", "about", "user", "search", "comments", "morechildren", "any"]
FaultKind = Literal[
    "status",
    "reset_before_body",
    "reset_in_body",
    "hang",
    "malformed_json",
    "empty_body",
    "empty_page",
    "nothing_found",
    "others_found",
    "all_gone",
    "stuck_cursor",
    "repeated_page",
    "shifted_page",
    "null_author",
    "missing_fields",
    "lone_surrogate",
    "headers",
    "token_error",
    "token_expired",
]

NEED_A_CURSOR: frozenset[FaultKind] = frozenset({"stuck_cursor", "repeated_page", "shifted_page"})


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong; see the module's table for the kinds.

    It concerns requests to `endpoint` (of `subreddit`, when set), lets the first `after` of them pass, then strikes `times`
    times (None: for ever).
    """

    kind: FaultKind
    endpoint: Endpoint = "listing"
    subreddit: str | None = None
    times: int | None = 1
    after: int = 0
    status: int = 500
    retry_after: str | None = None
    seconds: float = 0.0
    shift: int = 10
    headers: Mapping[str, str | None] = field(default_factory=dict)

    def matches(self, endpoint: str, subreddit: str | None, has_cursor: bool) -> bool:
        """Tell whether this fault concerns such a request, spent or not."""
        if self.kind in NEED_A_CURSOR and not has_cursor:
            return False
        if self.subreddit is not None and self.subreddit.lower() != (subreddit or "").lower():
            return False
        return self.endpoint in ("any", endpoint)


class FaultScript:
    """The faults in force, each with a count of the requests it has met."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._met: list[int] = []

    def replace(self, faults: Sequence[Fault]) -> None:
        """Put these faults in force, from their beginning; an empty script ends all faults."""
        with self._lock:
            self._faults = list(faults)
            self._met = [0] * len(self._faults)

    def take(self, endpoint: str, subreddit: str | None, has_cursor: bool) -> Fault | None:
        """Return the fault that strikes this request, and count the request for every fault that it concerns."""
        struck: Fault | None = None
        with self._lock:
            for position, fault in enumerate(self._faults):
                if not fault.matches(endpoint, subreddit, has_cursor):
                    continue
                turn = self._met[position] - fault.after
                if turn < 0:
                    self._met[position] += 1
                elif struck is None and (fault.times is None or turn < fault.times):
                    self._met[position] += 1
                    struck = fault
        return struck

"""Pages of listings through PRAW, with all the patience in one place: tenacity repeats, prawcore does not."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ducklift.errors import ConfigurationError, ExtractionIncomplete, Retryable, SourceThrottled, SourceUnavailable, Terminal
from ducklift.sources.base import Record
from ducklift.sources.reddit_answers import KEYS_ADVICE, ErrorAnswer, Fault, error_of
from ducklift.sources.reddit_credentials import RedditCredentials

if TYPE_CHECKING:
    import praw
    from tenacity import RetryCallState

log = logging.getLogger("ducklift.sources.reddit")

Parsed = TypeVar("Parsed")

# A refused token is asked for once more only: wrong keys stay wrong, and Reddit counts the attempts.
_TOKEN_ATTEMPTS = 2


@dataclass(frozen=True)
class Patience:
    """How long to put up with a source that fails. All times in seconds."""

    attempts: int = 5
    first_wait_s: float = 1.0
    longest_backoff_s: float = 60.0
    # A server that asks for more than this is asked again by the next run, not by a task that holds its slot meanwhile.
    longest_wait_s: float = 120.0
    # All waits of one reading together.
    budget_s: float = 600.0
    timeout_s: float = 30.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


@dataclass(frozen=True)
class ListingPage:
    """One page: the posts as Reddit gave them, and the cursor of the next page, None on the last."""

    records: list[Record]
    after: str | None


class RedditClient:
    """Asks Reddit for pages. Use as a context manager, by one thread; `on_retry` is called before each repetition."""

    def __init__(self, credentials: RedditCredentials, patience: Patience, on_retry: Callable[[], None]) -> None:
        import requests

        self._credentials, self._patience, self._on_retry = credentials, patience, on_retry
        self._http = requests.Session()
        self._connected: praw.Reddit | None = None
        self._waited_s = 0.0

    def __enter__(self) -> RedditClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def page(self, stream: str, path: str, params: Mapping[str, str | int]) -> ListingPage:
        """Return one page of a listing; see `ask` for the errors."""
        return self.ask(stream, path, params, parse_listing)

    def ask(self, stream: str, path: str, params: Mapping[str, str | int], parse: Callable[[Any], Parsed]) -> Parsed:
        """Return what `parse` makes of one answer, asking again within the patience; it raises `Fault` for what makes no sense.

        Raises `StreamRefused`, `ConfigurationError` (the keys), `SourceThrottled`, `SourceUnavailable`, or `ExtractionIncomplete` when what
        came made no sense until the end.
        """
        from tenacity import Retrying, retry_if_exception_type

        repeating = Retrying(
            retry=retry_if_exception_type(Fault),
            wait=self._wait_s,
            stop=self._is_enough,
            before_sleep=lambda state: self._note(stream, state),
            sleep=self._patience.sleep,
            reraise=True,
        )
        try:
            found: Parsed = repeating(self._ask_once, stream, path, params, parse)
            return found
        except Fault as fault:
            # Not chained: a fault's own causes may hold the request and its keys.
            raise self._last_word(stream, fault) from None

    def _ask_once(self, stream: str, path: str, params: Mapping[str, str | int], parse: Callable[[Any], Parsed]) -> Parsed:
        from prawcore.exceptions import OAuthException, PrawcoreException

        reddit = self._connected = self._connected or self._connect()
        try:
            document = reddit.request(method="GET", path=path, params=dict(params))
        except ErrorAnswer as answer:
            if answer.status == 401:
                self._connected = None  # a new connection asks for a new token
            raise error_of(answer, stream) from None
        except OAuthException:
            raise Fault("token", "the token endpoint refuses the keys") from None
        except (PrawcoreException, ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            # The token's and the page's documents are taken apart inside prawcore, which trusts their shape.
            raise Fault("malformed", f"an answer that makes no sense ({type(err).__name__})") from None
        return parse(document)

    def _connect(self) -> praw.Reddit:
        """Return a PRAW instance on which no praw.ini and no `praw_*` variable that is not ours to read has an influence."""
        from configparser import Error

        import praw

        from ducklift.sources.reddit_requestor import OneAttemptRequestor

        who = self._credentials
        try:
            return praw.Reddit(
                site_name="DEFAULT",
                requestor_class=OneAttemptRequestor,
                requestor_kwargs={"session": self._http, "timeout": self._patience.timeout_s},
                client_id=who.client_id,
                client_secret=who.client_secret,
                user_agent=who.user_agent,
                username=who.username,
                password=who.password,
                refresh_token=who.refresh_token,
                redirect_uri=None,
                reddit_url=who.reddit_url,
                oauth_url=who.oauth_url,
                check_for_updates=False,
                check_for_async=False,
                ratelimit_seconds=0,
                timeout=16,
                window_size=600,
            )
        except Error as err:
            raise ConfigurationError(f"A praw.ini here or in the home folder is damaged ({type(err).__name__}). Remove it.") from None

    def _wait_s(self, state: RetryCallState) -> float:
        fault = _fault_of(state)
        jitter_s = random.uniform(0, self._patience.first_wait_s)  # noqa: S311 - spreads clients, guards nothing
        if fault.wait_s is not None:
            return fault.wait_s + jitter_s
        backoff_s: float = self._patience.first_wait_s * 2 ** (state.attempt_number - 1)
        return min(backoff_s, self._patience.longest_backoff_s) + jitter_s

    def _is_enough(self, state: RetryCallState) -> bool:
        fault, patience = _fault_of(state), self._patience
        return (
            state.attempt_number >= (min(_TOKEN_ATTEMPTS, patience.attempts) if fault.kind == "token" else patience.attempts)
            or (fault.wait_s or 0) > patience.longest_wait_s
            or self._waited_s + state.upcoming_sleep > patience.budget_s
        )

    def _note(self, stream: str, state: RetryCallState) -> None:
        self._waited_s += state.upcoming_sleep
        self._on_retry()
        log.warning("%s: %s; attempt %s failed, the next in %.1f s", stream, _fault_of(state), state.attempt_number, state.upcoming_sleep)

    def _last_word(self, stream: str, fault: Fault) -> Retryable | Terminal:
        if fault.kind == "token":
            return ConfigurationError(f"Reddit does not accept the credentials: {fault}. {KEYS_ADVICE}")
        if fault.kind == "throttled":
            asked = "" if fault.wait_s is None else f" and asks to wait for {fault.wait_s:.0f} s"
            return SourceThrottled(f"{stream}: Reddit throttles ({fault}){asked}. Try again later.", fault.wait_s)
        if fault.kind == "malformed":
            return ExtractionIncomplete(f"{stream}: Reddit's answer was no listing, and still was not after its retries: {fault}.")
        return SourceUnavailable(f"{stream}: Reddit does not answer, and still did not after its retries: {fault}. Try again later.")


def _fault_of(state: RetryCallState) -> Fault:
    fault = state.outcome.exception() if state.outcome else None
    return fault if isinstance(fault, Fault) else Fault("unavailable", "no answer")


def parse_listing(document: Any) -> ListingPage:
    """Take a page apart without touching its posts; raises `Fault` when it is not a whole listing."""
    if not isinstance(document, dict):
        raise Fault("malformed", "an empty answer" if document in (None, "") else "an answer that is no JSON object")
    data = document.get("data")
    if document.get("kind") != "Listing" or not isinstance(data, dict):
        raise Fault("malformed", "an answer of another kind than Listing")
    children, after = data.get("children"), data.get("after", "")
    if not isinstance(children, list) or not (after is None or (isinstance(after, str) and after)):
        raise Fault("malformed", "a listing without its items or its cursor")
    records = [child.get("data") if isinstance(child, dict) else None for child in children]
    whole = [record for record in records if isinstance(record, dict)]
    if len(whole) != len(records):
        raise Fault("malformed", "a listing with an item that is no object")
    return ListingPage(whole, after)

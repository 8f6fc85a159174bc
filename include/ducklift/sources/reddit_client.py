"""Pages of listings through PRAW, with all the patience in one place: tenacity repeats, prawcore does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ducklift.errors import ConfigurationError, Retryable, Terminal
from ducklift.sources.base import Record
from ducklift.sources.patience import Patience as Patience, Repeating
from ducklift.sources.reddit_answers import KEYS_ADVICE, ErrorAnswer, Fault, error_of
from ducklift.sources.reddit_credentials import RedditCredentials

if TYPE_CHECKING:
    import praw

Parsed = TypeVar("Parsed")

# A refused token is asked for once more only: wrong keys stay wrong, and Reddit counts the attempts.
_TOKEN_ATTEMPTS = 2


@dataclass(frozen=True)
class ListingPage:
    """One page: the posts as Reddit gave them, and the cursor of the next page, None on the last."""

    records: list[Record]
    after: str | None


class RedditClient:
    """Asks Reddit for pages. Use as a context manager, by one thread; `on_retry` is called before each repetition."""

    def __init__(self, credentials: RedditCredentials, patience: Patience, on_retry: Callable[[], None]) -> None:
        import requests

        self._credentials, self._patience = credentials, patience
        self._repeating = _Repeating("Reddit", patience, on_retry)
        self._http = requests.Session()
        self._connected: praw.Reddit | None = None

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
        return self._repeating(stream, lambda: self._ask_once(stream, path, params, parse))

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


class _Repeating(Repeating):
    """What asking Reddit again knows besides: tokens that are refused."""

    def attempts_for(self, fault: Fault) -> int:
        """Return how often to ask; for a token at most twice."""
        return min(_TOKEN_ATTEMPTS, self._patience.attempts) if fault.kind == "token" else self._patience.attempts

    def last_word(self, stream: str, fault: Fault) -> Retryable | Terminal:
        """Return the error of a fault that asking again did not mend."""
        if fault.kind == "token":
            return ConfigurationError(f"Reddit does not accept the credentials: {fault}. {KEYS_ADVICE}")
        return super().last_word(stream, fault)


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

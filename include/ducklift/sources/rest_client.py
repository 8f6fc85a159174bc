"""Asks an API patiently, and judges what it answers: worth asking again, refused for good, or a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ducklift.errors import ConfigurationError, StreamRefused
from ducklift.settings import Settings
from ducklift.sources.json_answers import NoJson, parsed
from ducklift.sources.patience import Fault, Patience, Repeating
from ducklift.sources.rest_auth import AnyAuth, Credentials
from ducklift.sources.rest_auth_config import ClientCredentialsAuth
from ducklift.sources.rest_config import Client, ResponseAction
from ducklift.sources.rest_guard import AddressRefused
from ducklift.sources.rest_request import Answer, Ask
from ducklift.sources.rest_wire import Received, Wire
from ducklift.sources.retry_after import number, wait_asked_for_s
from ducklift.sources.secret_refs import Hidden, SecretRef

# 520 to 527 are the statuses with which Cloudflare says that it could not reach the API.
_TRANSIENT_STATUSES = frozenset({408, 425, 500, 502, 503, 504, *range(520, 528)})
_REASONS = ("message", "error_description", "error", "detail", "title")
_LONGEST_REASON = 200


class RestClient:
    """One client for one reading of a stream. Use as a context manager, by one thread; `on_retry` is called before each repetition."""

    def __init__(
        self,
        stream: str,
        client: Client,
        auths: list[AnyAuth | None],
        settings: Settings,
        patience: Patience,
        on_retry: Callable[[], None],
    ) -> None:
        self.hidden = Hidden()
        self._stream, self._settings = stream, settings
        told = client.retries
        patience = replace(patience, attempts=told.attempts, longest_wait_s=told.longest_wait_s, budget_s=told.budget_s)
        self._repeating = Repeating("the API", patience, on_retry)
        token_urls = [auth.access_token_url for auth in auths if isinstance(auth, ClientCredentialsAuth)]
        self._wire = Wire(
            stream, client, patience.sleep, {urlsplit(url).hostname or "" for url in (client.base_url, *token_urls)}, settings.environment
        )
        self._credentials: list[tuple[AnyAuth | None, Credentials]] = []

    def __enter__(self) -> RestClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    @property
    def requests(self) -> int:
        """Return how many requests were sent."""
        return self._wire.requests

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return headers or parameters with the secrets among them put in; from now on no text of this client shows those."""
        return {name: self._found(value) if isinstance(value, SecretRef) else value for name, value in values.items()}

    def ask(self, ask: Ask, auth: AnyAuth | None, actions: tuple[ResponseAction, ...] = ()) -> Answer:
        """Return the answer to one request, asking again within the limits of the patience.

        Raises `StreamRefused`, `ConfigurationError` (credentials, or an address that may not be asked), `ReadingLimit`, `SourceThrottled`,
        `SourceUnavailable`, or `ExtractionIncomplete` when what came was no JSON until the end.
        """
        try:
            credentials = self._credentials_of(auth)
            return self._repeating(self._stream, lambda: self._judged(ask, credentials, actions))
        except AddressRefused as err:
            raise ConfigurationError(f"{self._stream}: a place that may not be asked: {err}.") from None

    def _found(self, ref: SecretRef) -> str:
        secret = ref.find(self._settings)
        self.hidden.add(secret)
        return secret

    def _credentials_of(self, auth: AnyAuth | None) -> Credentials:
        for known, credentials in self._credentials:
            if known == auth:
                return credentials
        made = Credentials(auth, self._settings, self.hidden, self._token)
        self._credentials.append((auth, made))
        return made

    def _judged(self, ask: Ask, credentials: Credentials, actions: tuple[ResponseAction, ...]) -> Answer:
        received = self._wire.send(ask, credentials)
        place = self.hidden.out_of(f"{ask.method} {urlsplit(received.url).path}")
        action = _action_for(received, actions)
        if action == "ignore":
            return Answer(None, received.headers, received.url, len(received.body), ignored=True)
        if action is None and 200 <= received.status < 300:
            credentials.accepted()
            return self._document(received, place)
        raise self._error(received, place, credentials, action)

    def _document(self, received: Received, place: str) -> Answer:
        if received.status in (204, 205):
            return Answer([], received.headers, received.url, 0)
        try:
            document = parsed(received.body, received.charset)
        except NoJson as err:
            kind = received.headers.get("content-type", "no content type")[:60]
            raise Fault("malformed", f"{err} from {place} ({self.hidden.out_of(kind)})") from None
        return Answer(document, received.headers, received.url, len(received.body))

    def _error(self, received: Received, place: str, credentials: Credentials, action: str | None) -> Exception:
        status, wait_s = received.status, wait_asked_for_s(received.headers)
        what = f"HTTP {status} from {place}{self._reason(received)}"
        if action == "fail":
            return StreamRefused(self._stream, what, "A response action of the pipeline file makes this a failure.")
        if status == 429 or (status == 403 and (wait_s or 0) > 0 and _is_quota(received.headers)):
            return Fault("throttled", what, wait_s)
        if action == "retry" or status in _TRANSIENT_STATUSES:
            return Fault("unavailable", what, wait_s)
        if status == 401:
            if credentials.renewable():
                return Fault("unavailable", f"{what}: the token is not accepted (any more)")
            return ConfigurationError(
                f"{self._stream}: the API does not accept the credentials: {what}. They come from {credentials.places}."
            )
        return StreamRefused(self._stream, what, _ADVICE.get(status, _ANY_ADVICE))

    def _reason(self, received: Received) -> str:
        """Return what the API says about its refusal, as far as it is short and plain, without any secret."""
        try:
            document = parsed(received.body[:100_000])
        except NoJson:
            return ""
        said = next((document[name] for name in _REASONS if isinstance(document.get(name), str)), "") if isinstance(document, dict) else ""
        plain = " ".join(self.hidden.out_of(said).split())[:_LONGEST_REASON]
        return f" ({plain})" if plain and plain.isprintable() else ""

    def _token(self, auth: ClientCredentialsAuth, form: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
        """Ask for a token, once; called on the way to a request, whose repetitions are this one's as well."""
        received = self._wire.send_elsewhere(Ask(auth.access_token_url, "POST", headers=headers, form=form))
        status, wait_s = received.status, wait_asked_for_s(received.headers)
        what = f"HTTP {status} from the token endpoint{self._reason(received)}"
        if status == 429:
            raise Fault("throttled", what, wait_s)
        if status in _TRANSIENT_STATUSES:
            raise Fault("unavailable", what, wait_s)
        if status != 200:
            raise ConfigurationError(f"{self._stream}: no token for these credentials: {what}. They come from {auth.client_secret.places}.")
        try:
            document = parsed(received.body, received.charset)
        except NoJson as err:
            raise Fault("malformed", f"{err} from the token endpoint") from None
        return document if isinstance(document, dict) else {}


_ANY_ADVICE = "Check path and params of the endpoint, or say under response_actions what such an answer means."
_ADVICE = {
    403: "The credentials do not allow this: check their rights, or auth in the pipeline file.",
    404: "Check base_url and path; where a missing thing is no fault, write response_actions: [{status_code: 404, action: ignore}].",
}


def _action_for(received: Received, actions: tuple[ResponseAction, ...]) -> str | None:
    for each in actions:
        if each.status_code in (None, received.status) and (each.content is None or each.content.encode() in received.body):
            return each.action
    return None


def _is_quota(headers: Mapping[str, str]) -> bool:
    return "retry-after" in headers or number(headers.get("x-ratelimit-remaining", "")) == 0

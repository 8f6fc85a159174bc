"""Credentials put on a request: found when a reading starts, kept out of every text, renewed when they are tokens."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.sources.rest_auth_config import ApiKeyAuth, BasicAuth, BearerAuth, ClientCredentialsAuth
from ducklift.sources.secret_refs import Hidden, SecretRef

if TYPE_CHECKING:
    import httpx

# A token is renewed this long before it expires.
_EARLY_S = 30
AskToken = Callable[["ClientCredentialsAuth", dict[str, str], dict[str, str]], dict[str, object]]
AnyAuth = BearerAuth | BasicAuth | ApiKeyAuth | ClientCredentialsAuth


class Credentials:
    """The credentials of one `auth:`. `ask_token` sends a token request and returns the parsed answer."""

    def __init__(self, auth: AnyAuth | None, settings: Settings, hidden: Hidden, ask_token: AskToken) -> None:
        self._auth, self._settings, self._hidden, self._ask_token = auth, settings, hidden, ask_token
        self._header: tuple[str, str] | None = None
        self._query: tuple[str, str] | None = None
        self._expires_at: float | None = None
        self._refused_tokens = 0
        if auth is not None and not isinstance(auth, ClientCredentialsAuth):
            self._find(auth)

    @property
    def places(self) -> str:
        """Return where the secret is looked for, for messages."""
        auth = self._auth
        ref = (
            auth.token if isinstance(auth, BearerAuth) else auth.password if isinstance(auth, BasicAuth)
            else auth.api_key if isinstance(auth, ApiKeyAuth) else auth.client_secret if auth is not None else None
        )  # fmt: skip
        return ref.places if ref is not None else "nowhere: the pipeline file has no auth"

    def put_on(self, request: httpx.Request) -> None:
        """Add the credentials to a request that goes to the API itself."""
        if isinstance(self._auth, ClientCredentialsAuth) and (self._expires_at is None or time.monotonic() >= self._expires_at):
            self._renew(self._auth)
        if self._header is not None:
            request.headers[self._header[0]] = self._header[1]
        if self._query is not None:
            request.url = request.url.copy_set_param(*self._query)

    def accepted(self) -> None:
        """Note that the API took the credentials."""
        self._refused_tokens = 0

    def renewable(self) -> bool:
        """Drop a token that was refused, so that the next request asks for another; False when the last one was refused just so."""
        if self._expires_at is None:
            return False
        self._expires_at = None
        self._refused_tokens += 1
        return self._refused_tokens == 1

    def _find(self, auth: BearerAuth | BasicAuth | ApiKeyAuth) -> None:
        if isinstance(auth, BearerAuth):
            self._header = ("Authorization", f"Bearer {self._secret(auth.token)}")
        elif isinstance(auth, BasicAuth):
            username, password = self._plain(auth.username), self._secret(auth.password)
            self._hidden.add_pair(username, password)
            self._header = ("Authorization", _basic(username, password))
        elif auth.location == "header":
            self._header = (auth.name, self._secret(auth.api_key))
        else:
            self._query = (auth.name, self._secret(auth.api_key))

    def _renew(self, auth: ClientCredentialsAuth) -> None:
        client_id, secret = self._plain(auth.client_id), self._secret(auth.client_secret)
        self._hidden.add_pair(client_id, secret)
        more = {name: self._plain(value) for name, value in auth.access_token_request_data.items()}
        form = {"grant_type": "client_credentials", **more}
        headers: dict[str, str] = {}
        if auth.credentials_in == "header":
            headers["Authorization"] = _basic(client_id, secret)
        else:
            form |= {"client_id": client_id, "client_secret": secret}
        answer = self._ask_token(auth, form, headers)
        token, lifetime_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or not token.isprintable():
            raise ConfigurationError(f"{auth.access_token_url} answered without an access_token. Check the client's rights there.")
        self._hidden.add(token)
        self._settings.on_secret(token)
        self._header = ("Authorization", f"Bearer {token}")
        self._expires_at = time.monotonic() + max(_seconds(lifetime_s) or auth.default_token_expiration_s, 2 * _EARLY_S) - _EARLY_S

    def _secret(self, ref: SecretRef) -> str:
        secret = ref.find(self._settings)
        self._hidden.add(secret)
        if not secret.isascii():
            raise ConfigurationError(f"The secret in {ref.places} holds characters other than ASCII; copy it again.")
        return secret

    def _plain(self, value: str | SecretRef) -> str:
        return value if isinstance(value, str) else self._secret(value)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _seconds(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None

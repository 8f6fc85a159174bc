"""Who asks Reddit, and where: keys from the connection `reddit_default` or the environment, endpoints from PRAW's own variables."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from ducklift import __version__
from ducklift.errors import ConfigurationError, CredentialsMissing
from ducklift.settings import Settings

CONNECTION = "reddit_default"
_USER_AGENT = re.compile(r"[^\s:]+:[!-9;-~]+:[!-~]+ \(by /?u/[A-Za-z0-9_-]{2,30}\)")
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class RedditCredentials:
    """All that PRAW needs to connect. Secrets stay out of its text form."""

    client_id: str
    client_secret: str = field(repr=False)
    user_agent: str
    reddit_url: str = "https://www.reddit.com"
    oauth_url: str = "https://oauth.reddit.com"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)


def find_credentials(settings: Settings) -> RedditCredentials:
    """Return the credentials of the first place that has any.

    Raises `CredentialsMissing`, naming each place, when none has or the first one has only half of them, and `ConfigurationError` when a
    value is not usable.
    """
    environment = settings.environment
    connection = settings.connections(CONNECTION)
    extra = connection.extra if connection else {}
    places: list[tuple[str, str | None, str | None]] = [
        ("REDDIT_CLIENT_ID and REDDIT_CLIENT_SECRET", environment.get("REDDIT_CLIENT_ID"), environment.get("REDDIT_CLIENT_SECRET")),
        ("praw_client_id and praw_client_secret", environment.get("praw_client_id"), environment.get("praw_client_secret")),
    ]
    connection_place = f"the Airflow connection {CONNECTION!r} (login and password)"
    places.insert(0, (connection_place, connection.login if connection else None, connection.password if connection else None))
    client_id, client_secret = _first_pair(places)
    named = extra.get("user_agent") or environment.get("REDDIT_USER_AGENT") or environment.get("praw_user_agent")
    return RedditCredentials(
        client_id=client_id,
        client_secret=client_secret,
        user_agent=_user_agent(named, environment),
        reddit_url=_endpoint(environment, "praw_reddit_url", RedditCredentials.reddit_url),
        oauth_url=_endpoint(environment, "praw_oauth_url", RedditCredentials.oauth_url),
        username=environment.get("praw_username") or None,
        password=environment.get("praw_password") or None,
        refresh_token=environment.get("praw_refresh_token") or None,
    )


def _first_pair(places: list[tuple[str, str | None, str | None]]) -> tuple[str, str]:
    for place, *values in places:
        client_id, client_secret = ((value or "").strip() for value in values)
        if not client_id and not client_secret:
            continue
        if not client_id or not client_secret:
            raise CredentialsMissing(f"Half of Reddit's credentials was found in {place}: the {_lacking(client_id)} is missing. Set both.")
        if not _PRINTABLE.fullmatch(client_id + client_secret):
            raise ConfigurationError(f"The Reddit credentials in {place} hold spaces or characters other than ASCII; copy them again.")
        return client_id, client_secret
    raise CredentialsMissing(
        f"No Reddit credentials were found. Looked in: {'; '.join(place for place, *_ in places)}. "
        "Reddit grants new API keys by approval only, and refuses many. Without a key, try the sandbox, which needs none: "
        "`make run` shows the whole flow, and `ducklift sandbox` prints an environment to export."
    )


def _lacking(client_id: str) -> str:
    return "client secret" if client_id else "client id"


def _user_agent(named: object, environment: Mapping[str, str]) -> str:
    """Return the user agent that was set, or one of the form that Reddit's API rules ask for; Reddit throttles others."""
    if not named:
        by = environment.get("praw_username") or "ducklift"
        return f"{platform.system().lower() or 'python'}:ducklift:{__version__} (by /u/{by})"
    if not isinstance(named, str) or not _USER_AGENT.fullmatch(named.strip()):
        raise ConfigurationError(
            f"The Reddit user agent {str(named)[:100]!r} is not of the form that Reddit asks for, and throttles others: "
            "<platform>:<app id>:<version> (by /u/<your Reddit name>), for example 'linux:my-pipeline:1.0 (by /u/somebody)'. "
            f"It stands in REDDIT_USER_AGENT, or in 'user_agent' of the extra of connection {CONNECTION!r}."
        )
    return named.strip()


def _endpoint(environment: Mapping[str, str], variable: str, default: str) -> str:
    url = environment.get(variable, "").strip().rstrip("/")
    if not url:
        return default
    try:
        parts = urlsplit(url)
        near = is_loopback(url) or parts.hostname == environment.get("DUCKLIFT_SANDBOX_HOST")
        usable = bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and near))
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{variable} must be a plain https:// URL (http:// on loopback only, or of the host DUCKLIFT_SANDBOX_HOST), "
            "for the keys are sent there."
        )
    return url


def is_loopback(url: str) -> bool:
    """Tell whether the URL's host is this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

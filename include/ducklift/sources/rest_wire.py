"""One request on the wire: paced, with limits on time and size, redirects followed by hand, and no secret in what is raised."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from ducklift import __version__
from ducklift.errors import ConfigurationError, ReadingLimit, StreamRefused
from ducklift.sources.patience import Fault
from ducklift.sources.rest_auth import Credentials
from ducklift.sources.rest_config import Client, RateLimit
from ducklift.sources.rest_guard import AddressRefused, refuse_url
from ducklift.sources.rest_request import Ask

if TYPE_CHECKING:
    import httpx

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_CONNECT_S = 10.0
_WHOLE_ANSWER = 10  # times the time-out, which is for each wait: a server that drips must not hold a task for ever
_MB = 2**20


@dataclass(frozen=True)
class Received:
    """A whole answer, as bytes."""

    status: int
    headers: Mapping[str, str]
    charset: str | None
    body: bytes
    url: str


class Pace:
    """Holds requests back, so that no stretch of the limit's length has more of them than it says."""

    def __init__(self, limit: RateLimit | None, sleep: Callable[[float], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._sleep, self._clock = limit, sleep, clock
        self._sent: deque[float] = deque(maxlen=limit.requests if limit else 1)

    def wait(self) -> None:
        """Return when the next request may be sent."""
        if self._limit is None:
            return
        now = self._clock()
        if len(self._sent) == self._limit.requests:
            wait_s = self._sent[0] + self._limit.per_s - now
            if wait_s > 0:
                self._sleep(wait_s)
                now += wait_s
        self._sent.append(now)


class Wire:
    """Sends requests, one after the other. What it raises is a `Fault` that asking again may mend, `AddressRefused`, or a public error."""

    def __init__(
        self, stream: str, client: Client, sleep: Callable[[float], None], trusted: set[str], environment: Mapping[str, str]
    ) -> None:
        from ducklift.sources.rest_transport import GuardedTransport

        self.requests = 0
        self._stream, self._client = stream, client
        self._pace = Pace(client.rate_limit, sleep)
        self._home = origin(client.base_url)
        self._transport = GuardedTransport(trusted, environment)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def send(self, ask: Ask, credentials: Credentials) -> Received:
        """Return the API's answer. Credentials and configured headers go to its own origin alone, wherever a redirect leads."""
        url = ask.url
        for _ in range(_MOST_REDIRECTS + 1):
            at_home = origin(url) == self._home
            request = self._request(ask, url, ask.headers if at_home else {})
            if at_home:
                credentials.put_on(request)
            received = self._exchange(request)
            target = received.headers.get("location")
            if received.status not in REDIRECTS or not target:
                return received
            url = self._followed(ask, received, target, request)
        raise StreamRefused(self._stream, f"the API redirects more than {_MOST_REDIRECTS} times", "Check base_url and path.")

    def send_elsewhere(self, ask: Ask) -> Received:
        """Return the answer of another place that the pipeline file names, such as one that gives out tokens. Follows no redirect."""
        return self._exchange(self._request(ask, ask.url, ask.headers))

    def _followed(self, ask: Ask, received: Received, target: str, request: httpx.Request) -> str:
        import httpx

        try:
            url = str(request.url.join(target))
        except httpx.InvalidURL:
            raise StreamRefused(self._stream, "the API redirects to what is no URL", "Check base_url and path.") from None
        refuse_url(url)
        if ask.method != "GET" and (received.status not in (307, 308) or origin(url) != self._home):
            raise StreamRefused(self._stream, f"the API redirects a {ask.method} to {urlsplit(url).hostname}", "Check base_url and path.")
        return url

    def _request(self, ask: Ask, url: str, headers: Mapping[str, str]) -> httpx.Request:
        import httpx

        refuse_url(url)
        told = {"accept": "application/json", "user-agent": f"ducklift/{__version__}", "accept-encoding": "gzip, deflate"}
        wait_s = float(self._client.timeout_s)
        timeouts = {"connect": min(_CONNECT_S, wait_s), "read": wait_s, "write": wait_s, "pool": wait_s}
        try:
            return httpx.Request(
                ask.method,
                url,
                params=_query(ask.params) if url == ask.url else None,
                headers={**told, **{name.lower(): value for name, value in headers.items()}},
                json=ask.body,
                data=ask.form,
                extensions={"timeout": timeouts},
            )
        except (httpx.InvalidURL, ValueError, TypeError) as err:
            raise ConfigurationError(
                f"{self._stream}: the request cannot be written ({type(err).__name__}); check path and headers"
            ) from None

    def _exchange(self, request: httpx.Request) -> Received:
        self._pace.wait()
        self.requests += 1
        with self._faults_named():
            response = self._transport.handle_request(request)
            try:
                body = self._body(response)
            finally:
                response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Received(response.status_code, headers, response.charset_encoding, body, str(request.url))

    def _body(self, response: httpx.Response) -> bytes:
        limit_mb, until = self._client.limits.answer_mb, time.monotonic() + _WHOLE_ANSWER * self._client.timeout_s
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > limit_mb * _MB:
                raise ReadingLimit(
                    self._stream, f"an answer is larger than {limit_mb} MB", "Ask for smaller pages, or raise limits.answer_mb."
                )
            if time.monotonic() > until:
                raise Fault("unavailable", "an answer that does not end in time")
        return bytes(body)

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        import httpcore
        import httpx

        # Nothing is chained: these errors hold the request, and the request holds the keys.
        try:
            yield
        except httpcore.TimeoutException:
            raise Fault("unavailable", "no answer in time") from None
        except httpcore.LocalProtocolError:
            raise ConfigurationError(f"{self._stream}: a header of the request is not one that HTTP allows") from None
        except httpcore.ConnectError as err:
            if "CERTIFICATE_VERIFY_FAILED" in str(err):
                raise ConfigurationError(f"{self._stream}: the server's certificate is not valid for this host.") from None
            raise Fault("unavailable", "the connection failed") from None
        except httpcore.ProxyError as err:
            raise Fault("unavailable", f"the proxy of the environment refuses ({' '.join(str(err).split())[:60]})") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as err:
            raise Fault("unavailable", f"the connection broke ({type(err).__name__})") from None
        except httpx.DecodingError:
            raise Fault("malformed", "an answer whose compression is broken") from None


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL; raises `AddressRefused` when it is none."""
    try:
        parts: SplitResult = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        raise AddressRefused("it is not a URL") from None


def _query(params: Mapping[str, Any]) -> dict[str, Any] | None:
    # None and not an empty one, which would take away the query that a link brings along.
    return {name: value for name, value in params.items() if value is not None} or None

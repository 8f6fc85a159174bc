"""The way out: connections to checked addresses alone. Imported by `rest_client` when it connects, for it imports `httpx`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from ducklift.sources.rest_guard import AddressRefused, is_loopback, proxy_for, refuse_address

Resolve = Callable[[str, int], Iterable[str]]


def resolved(host: str, port: int) -> Iterable[str]:
    """Return the addresses of a name, in the system's order."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedTransport(httpx.BaseTransport):
    """Sends one request and follows nothing; hosts besides the `trusted` ones (the pipeline file's own) must have public addresses.

    A proxy that the environment names is used, as other programs do. There is no `httpx.Client` around it, for that writes each URL, and
    so a key in it, into the log.
    """

    def __init__(self, trusted: Iterable[str], environment: Mapping[str, str], resolve: Resolve = resolved) -> None:
        self._environment, self._tls = environment, httpx.create_ssl_context()
        backend = _Guarded({host.lower() for host in trusted}, resolve)
        direct = httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend, max_connections=4)
        self._pools: dict[str | None, httpcore.ConnectionPool] = {None: direct}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer with its body still to be read; raises `AddressRefused` and httpcore's errors."""
        url = request.url
        place = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        content: Any = request.stream
        sent = httpcore.Request(request.method, place, headers=request.headers.raw, content=content, extensions=request.extensions)
        got = self._pool_for(url.host).handle_request(sent)
        return httpx.Response(got.status, headers=got.headers, stream=_Body(got.stream), request=request)

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def _pool_for(self, host: str) -> httpcore.ConnectionPool:
        # A proxy resolves names itself: what it may reach is for its own rules to say.
        proxy = proxy_for(host, self._environment)
        if proxy is not None and proxy not in self._pools:
            self._pools[proxy] = self._through(proxy)
        return self._pools[proxy]

    def _through(self, proxy: str) -> httpcore.ConnectionPool:
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            place = httpcore.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=b"/")
        except ValueError:
            raise AddressRefused("the environment's proxy is not a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AddressRefused("the environment's proxy is not an http or https URL with a host")
        login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return httpcore.HTTPProxy(place, proxy_auth=login, ssl_context=self._tls, max_connections=4)


class _Guarded(httpcore.SyncBackend):
    """Resolves a name once, checks what comes out and connects to that very address: a second look-up cannot lead elsewhere."""

    def __init__(self, trusted: set[str], resolve: Resolve) -> None:
        self._trusted, self._resolve = trusted, resolve
        self._at_home = all(map(is_loopback, trusted))

    def connect_tcp(self, host: str, port: int, *rest: Any, **options: Any) -> httpcore.NetworkStream:
        only_public = host.lower() not in self._trusted and not (is_loopback(host) and self._at_home)
        try:
            *others, last = self._resolve(host, port)
        except (OSError, ValueError, UnicodeError) as err:
            raise httpcore.ConnectError(f"the name cannot be resolved ({type(err).__name__})") from None
        for each in (*others, last):
            refuse_address(ip_address(each.partition("%")[0]), host, only_public=only_public)
        for each in others:
            try:
                return super().connect_tcp(each, port, *rest, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return super().connect_tcp(last, port, *rest, **options)


class _Body(httpx.SyncByteStream):
    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts

    def close(self) -> None:
        self._parts.close()

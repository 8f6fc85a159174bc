"""The way out: connections to checked addresses alone. Imported by `rest_client` when it connects, for it imports `httpx`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from ducklift.sources.rest_guard import is_loopback, refuse_address

Resolve = Callable[[str, int], Iterable[str]]


def resolved(host: str, port: int) -> Iterable[str]:
    """Return the addresses of a name, in the system's order."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedTransport(httpx.BaseTransport):
    """Sends one request and follows nothing; hosts besides the `trusted` ones (the pipeline file's own) must have public addresses.

    Used without `httpx.Client`, which would write each URL, and so a key in it, into the log.
    """

    def __init__(self, trusted: Iterable[str], resolve: Resolve = resolved) -> None:
        backend = _Guarded({host.lower() for host in trusted}, resolve)
        self._pool = httpcore.ConnectionPool(ssl_context=httpx.create_ssl_context(), network_backend=backend, max_connections=4)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer with its body still to be read; raises `AddressRefused` and httpcore's errors."""
        url = request.url
        place = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        content: Any = request.stream
        sent = httpcore.Request(request.method, place, headers=request.headers.raw, content=content, extensions=request.extensions)
        got = self._pool.handle_request(sent)
        return httpx.Response(got.status, headers=got.headers, stream=_Body(got.stream), request=request)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


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

"""A scripted-fault S3 proxy on loopback: it passes requests on to a real endpoint, except those that its script says to spoil."""

from __future__ import annotations

import http.client
import os
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ERROR_BODY = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>scripted</Message><RequestId>1</RequestId></Error>'
ALWAYS = 10**9


@dataclass
class Fault:
    """What to do to requests of `method` whose path and query match `pattern`, from the `nth` such request on, `times` times.

    `action` is one of `status` (answer `status` with the S3 error `code`; the request never arrives), `reset` (the connection is cut before
    the request arrives), `reset_halfway` (after half of its body), `lose_reply` (it is carried out, then the connection is cut), `hang`
    (never answer), `false_200` (answer 200, with an error body when there is a `code`; nothing is done), `cut_reply` (carry it out, send
    half the reply).
    """

    action: str
    method: str = ".*"
    pattern: str = ".*"
    nth: int = 1
    times: int = ALWAYS
    status: int = 503
    code: str = "SlowDown"
    seen: int = 0
    met: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Count a request and return whether it is to be spoilt."""
        if not (re.fullmatch(self.method, method) and re.search(self.pattern, path)):
            return False
        self.seen += 1
        spoilt = self.nth <= self.seen < self.nth + self.times
        self.met += spoilt
        return spoilt


@dataclass
class Script:
    """The faults to come, the requests that were made, as `METHOD path?query`, and how many bytes of bodies went back, by path."""

    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    fetched: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            return next((fault for fault in self.faults if fault.hits(method, path)), None)

    def count(self, path: str, size_bytes: int) -> None:
        with self._lock:
            self.fetched[path.partition("?")[0]] += size_bytes

    @contextmanager
    def spoiling(self, *faults: Fault) -> Iterator[None]:
        """Spoil requests by these faults for as long as the body runs; the list of requests starts anew."""
        self.faults, self.requests = list(faults), []
        try:
            yield
        finally:
            self.faults = []


class S3Proxy:
    """A proxy in front of `upstream`; use as a context manager."""

    def __init__(self, upstream: str) -> None:
        self.script = Script()
        self.closing = threading.Event()
        address = urlsplit(upstream)
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": (address.hostname, address.port)})
        self._server = _Server(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> S3Proxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: S3Proxy
    upstream: tuple[str, int]

    def handle_request(self) -> None:
        fault = self.proxy.script.fault_for(self.command, self.path)
        action = fault.action if fault else "pass"
        if action == "reset":
            return self._cut()
        if action == "reset_halfway":
            self._body(half=True)
            return self._cut()
        body = self._body()
        if fault and action == "status":
            return self._answer(fault.status, [], ERROR_BODY.format(code=fault.code).encode())
        if fault and action == "false_200":
            return self._answer(200, [("ETag", '"0"')], ERROR_BODY.format(code=fault.code).encode() if fault.code else b"")
        if action == "hang":
            self.proxy.closing.wait(60)
            return self._cut()
        status, headers, reply = self._passed_on(body)
        if action == "lose_reply":
            return self._cut()
        if action == "cut_reply":
            self._answer(status, headers, reply, len(reply) // 2)
            return self._cut()
        self._answer(status, headers, reply)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_request  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self, half: bool = False) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            found = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(length // 2 if half else length)

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(*self.upstream, timeout=30)
        try:
            dropped = ("transfer-encoding", "content-length", "connection", "expect")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            upstream.request(self.command, self.path, body=body, headers={**headers, "Content-Length": str(len(body))})
            reply = upstream.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut_at: int | None = None) -> None:
        self.send_response(status)
        kept = [(name, value) for name, value in headers if name.lower() not in ("connection", "transfer-encoding", "date", "server")]
        if not any(name.lower() == "content-length" for name, _ in kept):
            kept.append(("Content-Length", str(len(body))))
        for name, value in kept:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.proxy.script.count(self.path, len(body))
            self.wfile.write(body if cut_at is None else body[:cut_at])

    def _cut(self) -> None:
        # Linger 0 and a close of the descriptor itself make a true reset; a plain close would say goodbye.
        self.wfile.flush()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

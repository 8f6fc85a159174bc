"""HTTP on loopback for the local Reddit API, in threads of this process.

On the standard library's server and not on an ASGI one: a scripted fault must be able to reset the bare connection in the middle
of an answer, and starting it costs a millisecond.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ducklift.sandbox.reddit_api import Answer, RedditApi, Request
from ducklift.sandbox.s3 import HOST, port_taken

LARGEST_BODY = 1_000_000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class RedditServer(ThreadingHTTPServer):
    """Serves a `RedditApi`, on 127.0.0.1 unless `host` says otherwise; `start` and `stop` it. `port` 0 takes a free one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, api: RedditApi, port: int = 0, host: str = HOST) -> None:
        self.api = api
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        try:
            super().__init__((host, port), _Handler)
        except OSError as err:
            raise port_taken(port, err) from err
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox-reddit", daemon=True)

    @property
    def url(self) -> str:
        """Return the URL that serves both as `reddit_url` and as `oauth_url`."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def start(self) -> None:
        """Serve from now on, in threads of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every open connection, and wait for their threads."""
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            open_connections = list(self._connections.items())
        for connection, _ in open_connections:
            _shut(connection)
        for _, thread in open_connections:
            thread.join(5)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, known to `stop` while it lasts."""
        with self._lock:
            self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong with a request, unless its client merely went away."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: RedditServer
    protocol_version = "HTTP/1.1"
    server_version = "ducklift-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815 - the standard library calls them so

    def _serve(self) -> None:
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY or "transfer-encoding" in self.headers:
            return self.send_error(HTTPStatus.LENGTH_REQUIRED)
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.api.respond(Request(self.command, address.path, query, headers, self.rfile.read(int(length))))
        if answer.delay_s and self.server.stopping.wait(answer.delay_s):
            self.close_connection = True
            return None
        return self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.send_header("cache-control", "no-store")
        if self.close_connection:
            # Unannounced, a client's pool would send its next request into the closing connection.
            self.send_header("connection", "close")
        if answer.reset_after_bytes is not None:
            return self._reset(answer.body[: answer.reset_after_bytes])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        return None

    def _reset(self, sent_first: bytes) -> None:
        """Send the head and that much of the body, or nothing at all, then break the connection with a TCP reset."""
        self.close_connection = True
        if sent_first:
            self.end_headers()
            self.wfile.write(sent_first)
            self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        # Not `close`: the reader shares the descriptor, and the server would first end the connection in good order.
        os.close(self.connection.detach())

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin an answer, which says that it comes from the sandbox."""
        super().send_response(code, message)
        self.send_header("x-ducklift-sandbox", "true")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the tests ask `requests`."""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # its client was quicker

"""A relay in front of a server on this machine that counts what is fetched through it."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit


class CountingRelay:
    """Passes connections on to `upstream`; use as a context manager. `fetched_bytes` are the server's answers, headers included."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.fetched_bytes = self.requests = 0

    @property
    def url(self) -> str:
        """Return the relay's URL."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> CountingRelay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def taken(self) -> tuple[int, int]:
        """Return bytes and requests since the last call."""
        with self._lock:
            found, self.fetched_bytes, self.requests = (self.fetched_bytes, self.requests), 0, 0
        return found

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            for source, target, back in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=(source, target, back), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                with self._lock:
                    self.fetched_bytes += len(data) if back else 0
                    # A request's head comes in one piece from every client that is measured here.
                    self.requests += not back and data.startswith((b"GET ", b"HEAD "))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

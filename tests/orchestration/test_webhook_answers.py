"""Webhooks that send one elsewhere, and connections whose address or token is no good."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from ducklift.errors import SourceUnavailable
from ducklift.orchestration.webhook import WebhookNotifier


class Elsewhere(ThreadingHTTPServer):
    """A webhook on loopback that redirects to a page of another name, and keeps who came there."""

    def __init__(self) -> None:
        self.came: list[Any] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{server.server_port}/login")
                self.end_headers()

            def do_GET(self) -> None:
                server.came.append(self.headers["Authorization"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def tell() -> None:
    WebhookNotifier().notify({"dag_run": {"dag_id": "reddit", "run_id": "one"}})


def test_a_redirection_is_a_failure_and_takes_the_token_nowhere(elsewhere, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_DUCKLIFT_WEBHOOK", f"http://:hunter2@127.0.0.1:{elsewhere.server_port}/http")

    with pytest.raises(SourceUnavailable, match="302"):
        tell()

    assert elsewhere.came == []


@pytest.mark.parametrize(
    "connection",
    [
        '{"host": "http://127.0.0.1:9/services/hunter2 B"}',
        '{"host": "http://127.0.0.1:hunter2/"}',
        '{"host": "http://127.0.0.1:9/", "password": "hunter2\\nX: y"}',
        '{"host": "http://127.0.0.1:9/", "password": "hunter2\\u20ac"}',
    ],
    ids=["space", "port", "newline", "euro"],
)
def test_an_address_or_a_token_that_cannot_be_sent_is_told_without_showing_it(monkeypatch, connection):
    monkeypatch.setenv("AIRFLOW_CONN_DUCKLIFT_WEBHOOK", connection)

    with pytest.raises(SourceUnavailable, match="'ducklift_webhook' did not take the message") as caught:
        tell()

    assert "hunter2" not in str(caught.value)

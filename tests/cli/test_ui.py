from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest


@pytest.fixture
def shown(project) -> Iterator[Any]:
    """A running `ducklift ui` on a free port, and the address that it printed."""
    environment = {**os.environ, "DUCKLIFT_LAKE_URL": (project / "lake").as_uri(), "DUCKLIFT_PIPELINES": str(project)}
    command = [sys.executable, "-c", "from ducklift.cli import main; main()", "ui", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environment, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            head = "".join(process.stdout.readline() for _ in range(3))
            yield process, json.loads(head)["url"]
        finally:
            process.kill()


def test_the_page_is_shown_on_loopback_to_who_has_the_printed_address(shown):
    process, address = shown

    with httpx.Client(follow_redirects=True, trust_env=False, timeout=60) as browser:
        page = browser.get(address)
        without = httpx.get(address.partition("?")[0], trust_env=False)
        elsewhere = browser.get(address.partition("?")[0], headers={"host": "evil.test"})
    process.send_signal(signal.SIGINT)

    assert address.startswith("http://127.0.0.1:")
    assert (page.status_code, without.status_code, elsewhere.status_code) == (200, 401, 421)
    assert page.headers["content-type"].startswith("text/html")
    assert "token" not in str(page.url)
    assert "server" not in page.headers
    # Ctrl-C is how it ends, and no log tells the token.
    assert process.wait(30) == 0
    assert process.stdout.read() == ""


def test_a_port_in_use_is_one_line_with_the_way_out(ducklift):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = ducklift("ui", "--port", str(taken.getsockname()[1]))

    assert answer.exit_code == 2
    assert "ducklift ui --port 0" in answer.stderr

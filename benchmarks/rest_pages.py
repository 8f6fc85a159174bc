"""What reading a REST API costs beside a bare loop over httpx: the same pages from the same server, records counted and let go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

from benchmarks.rows import BATCH, dicts

_PAGE = BATCH // 10


class _Pages(BaseHTTPRequestHandler):
    """Gives out pages of a hundred records, with a link to the next, from memory: the client is what is measured."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    bodies: tuple[bytes, ...] = ()
    rows = 0

    def do_GET(self) -> None:
        at = int(parse_qs(urlsplit(self.path).query).get("page", ["0"])[0])
        following = f'"http://{self.headers["host"]}/rows?page={at + 1}"' if (at + 1) * _PAGE < self.rows else "null"
        body = b'{"results":' + self.bodies[at % len(self.bodies)] + b',"next":' + following.encode() + b"}"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def serve(rows: int) -> None:
    """Serve until killed; the port stands on the first line of standard output."""
    records = next(dicts(BATCH))
    _Pages.rows = rows
    _Pages.bodies = tuple(orjson.dumps(records[start : start + _PAGE]) for start in range(0, BATCH, _PAGE))
    server = HTTPServer(("127.0.0.1", 0), _Pages)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def server(rows: int) -> Iterator[str]:
    """Run the server in a process that is never waited for, so that its time is not counted with its parent's."""
    command = [sys.executable, "-c", f"from benchmarks.rest_pages import serve; serve({rows})"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()


def prepare(folder: Path, rows: int) -> None:
    """Prepare nothing: the server makes its pages."""
    del folder, rows


def ours(folder: Path, rows: int) -> None:
    """Read with the source `rest_api`."""
    from datetime import UTC, datetime

    from ducklift.settings import load_settings
    from ducklift.sources.base import ReadReport, SliceRequest
    from ducklift.sources.rest_api import RestApiSource

    with server(rows) as url:
        source = RestApiSource.model_validate({"client": {"base_url": url}, "resources": ["rows"]})
        now, report = datetime.now(UTC), ReadReport()
        found = sum(len(batch) for batch in source.read(SliceRequest("rows", now, now), load_settings({}, folder), report))
    assert (found, report.ordered_and_complete) == (rows, True), (found, report)


def floor(folder: Path, rows: int) -> None:
    """Read with a loop over httpx and the quickest JSON parser there is."""
    import httpx

    del folder
    found = 0
    with server(rows) as url, httpx.Client(trust_env=False) as client:
        following: str | None = f"{url}/rows"
        while following:
            page = orjson.loads(client.get(following).content)
            found += len(page["results"])
            following = page["next"]
    assert found == rows, found

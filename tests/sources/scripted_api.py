"""An API on loopback that does what a test tells it: each kind of pagination over given records, and answers scripted before them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.requests import Request
from starlette.responses import Response

Record = dict[str, Any]
SECRET = "s3cret/of+the=test"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True)
class Says:
    """An answer; `cut_after` ends the connection after so many bytes of the body."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut_after: int | None = None

    @property
    def body(self) -> bytes:
        return json.dumps(self.document).encode() if self.raw is None else self.raw


Handler = Callable[[Asked], Says]


def birds(count: int, first: int = 0) -> list[Record]:
    """Return records with ids from 1 on, each a minute later than the one before."""
    names = ("wren", "robin", "heron")
    return [
        {"id": n + 1, "bird": names[n % 3], "seen": 1_767_225_600 + 60 * n, "place": {"pond": n % 2 == 0}}
        for n in range(first, first + count)
    ]


class ScriptedApi:
    """Answers by handler; what was scripted for a path comes first."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[Asked] = []
        self._handlers: dict[str, Handler] = {}
        self._scripts: dict[str, list[Says]] = {}

    def on(self, path: str, handler: Handler | Any) -> None:
        """Answer a path by a function, or always with one document."""
        self._handlers[path] = handler if callable(handler) else lambda _: handler if isinstance(handler, Says) else Says(handler)

    def script(self, path: str, *answers: Says) -> None:
        """Give these answers first, one a request."""
        self._scripts[path] = list(answers)

    def reset(self) -> None:
        self.asked.clear()
        self._handlers.clear()
        self._scripts.clear()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        query = dict(request.query_params)
        asked = Asked(request.method, scope["path"], query, dict(request.headers), await request.body())
        self.asked.append(asked)
        scripted = self._scripts.get(asked.path)
        handler = self._handlers.get(asked.path, lambda _: Says({"message": "there is no such thing"}, 404))
        says = scripted.pop(0) if scripted else handler(asked)
        if says.cut_after is not None:
            await _cut(says, send)
            return
        headers = {"content-type": "application/json", **says.headers}
        await Response(says.body, says.status, headers)(scope, receive, send)


async def _cut(says: Says, send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(says.body)).encode())]
    await send({"type": "http.response.start", "status": says.status, "headers": headers})
    await send({"type": "http.response.body", "body": says.body[: says.cut_after], "more_body": True})
    raise ConnectionResetError("scripted")


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """Serve a scripted API on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = ScriptedApi(listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(api, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield api
        server.should_exit = True
        thread.join(10)


def header_link(records: Sequence[Record], size: int = 10) -> Handler:
    """Give out pages by links in the header."""

    def answer(asked: Asked) -> Says:
        at = int(asked.query.get("after", 0))
        more = f'<{asked.path}?after={at + size}>; rel="next"' if at + size < len(records) else '<x>; rel="first"'
        return Says(records[at : at + size], headers={"link": more})

    return answer


def json_link(records: Sequence[Record], size: int = 10, path: str = "next") -> Handler:
    """Give out pages by links in the answer."""

    def answer(asked: Asked) -> Says:
        at = int(asked.query.get("after", 0))
        link = f"http://{asked.headers['host']}{asked.path}?after={at + size}" if at + size < len(records) else None
        return Says({"results": records[at : at + size], path: link})

    return answer


def cursor(records: Sequence[Record], size: int = 10) -> Handler:
    """Give out pages by a cursor, taken from the query or the body."""

    def answer(asked: Asked) -> Says:
        given = asked.document.get("page", {}).get("after") if asked.method == "POST" else asked.query.get("cursor")
        at = int(str(given or "c0")[1:])
        following = f"c{at + size}" if at + size < len(records) else None
        page = {"data": records[at : at + size], "meta": {"next": following, "more": following is not None}}
        return Says(page, headers={"x-next": following} if following else {})

    return answer


def offset(records: Sequence[Record], largest: int = 100) -> Handler:
    """Give out pages by offset and limit."""

    def answer(asked: Asked) -> Says:
        at, limit = int(asked.query["offset"]), min(int(asked.query["limit"]), largest)
        return Says({"items": records[at : at + limit], "total": len(records), "more": at + limit < len(records)})

    return answer


def page_number(records: Sequence[Record], size: int = 10, base: int = 1) -> Handler:
    """Give out pages by number."""

    def answer(asked: Asked) -> Says:
        at = (int(asked.query.get("page", base)) - base) * size
        return Says({"items": records[at : at + size], "pages": -(-len(records) // size)})

    return answer

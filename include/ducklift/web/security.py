"""What stands in front of every route of the page: who may look, from where a change may come, and what a browser may do with an answer.

It is a middleware, so that a route that is added later cannot be forgotten. Whatever goes wrong in it ends in a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

ACTION_HEADER = "x-ducklift-action"
MOST_BYTES = 64 * 1024
READING = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Scripts and styles are asked for again each time, and answered with 304 while they are the same.
STATIC = "/static/"
STORED, NOT_STORED = "private, no-cache", "no-store"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Visitor:
    """Somebody who may look at the page, and at which pipelines.

    Both questions take a pipeline's name, or an empty one for what belongs to no pipeline: then it takes the right to all of them. They may
    ask a database: not on the event loop.
    """

    name: str
    may_read: Callable[[str], bool]
    may_run: Callable[[str], bool]


Authorize = Callable[["Request"], Awaitable[Visitor]]


class Refused(Exception):
    """This request is not answered. `status` is the HTTP status, `reason` is shown."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


class NotLoggedIn(Refused):
    """Nobody has logged in."""

    def __init__(self, reason: str = "Log in first, then open this page again.") -> None:
        super().__init__(401, reason)


class NotAllowed(Refused):
    """Who asks is known, and may not."""

    def __init__(self, reason: str) -> None:
        super().__init__(403, reason)


class Guard:
    """The middleware: every HTTP answer of the app passes here, refusals and failures too. There are no websockets."""

    def __init__(self, app: AsgiApp, authorize: Authorize, trusted_origins: Collection[str] = ()) -> None:
        self.app, self.authorize, self.trusted_origins = app, authorize, frozenset(trusted_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on to the app with its visitor in `request.state.visitor`."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, SecuredSend(scope, send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: SecuredSend) -> None:
        from starlette.requests import Request

        try:
            if (refusal := await self._refusal(Request(scope, receive))) is not None:
                await refusal(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        except Exception:
            log.exception("The Lake page failed at %r", scope["path"])
            if send.started:
                raise
            await plain("Something went wrong here; the server's log says what.", 500)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        try:
            visitor = await self.authorize(request)
            if not isinstance(visitor, Visitor):
                raise NotAllowed("Nobody can say who you are.")
            check_change(request, self.trusted_origins)
        except Refused as err:
            return plain(err.reason, err.status)
        except Exception:
            log.exception("Whether somebody may see the Lake page could not be found out")
            return plain("Whether you may see this page could not be found out; the server's log says why.", 403)
        request.state.visitor = visitor
        return None


class SecuredSend:
    """Sends an answer with the headers of all answers; a policy of the answer's own is enforced as well, never instead."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.send, self.started = send, False
        # A mounted app's path begins with where it is mounted.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        self.kept = STORED if path.startswith(STATIC) else NOT_STORED

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send one message of the answer."""
        if message["type"] == "http.response.start":
            self.started = True
            own = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"cache-control"]
            kept = self.kept if message["status"] < 400 else NOT_STORED
            added = {**HEADERS, "cache-control": kept}
            message = {**message, "headers": [*own, *((name.encode(), value.encode()) for name, value in added.items())]}
        await self.send(message)


def plain(text: str, status: int) -> Response:
    """Return a refusal or failure as plain text."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text + "\n", status)


def check_change(request: Request, trusted_origins: Collection[str]) -> None:
    """Raise `Refused` for a request that changes something, unless the page's own script has sent it.

    A form of another site can send a cookie along, but neither JSON nor a header of its own; and a browser says where a request comes from.
    """
    if request.method in READING:
        return
    if request.method != "POST":
        raise Refused(405, "This page answers to GET and POST alone.")
    if not is_own_origin(request, trusted_origins):
        raise NotAllowed("This did not come from the page itself: its Origin is another one, or missing.")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise NotAllowed("This did not come from the page itself.")
    if ACTION_HEADER not in request.headers:
        raise NotAllowed(f"The header {ACTION_HEADER} is missing.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "Send JSON.")
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise Refused(411, "Say how long the content is.")
    if int(length) > MOST_BYTES:
        raise Refused(413, f"At most {MOST_BYTES} bytes.")


def is_own_origin(request: Request, trusted_origins: Collection[str]) -> bool:
    """Return whether a request's Origin is the host that it was sent to, or one that this installation is known by."""
    origins, hosts = request.headers.getlist("origin"), request.headers.getlist("host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    origin = urlsplit(origins[0])
    if origin.scheme not in ("http", "https") or not origin.netloc:
        return False
    return origins[0] in trusted_origins or origin.netloc.lower() == hosts[0].lower()

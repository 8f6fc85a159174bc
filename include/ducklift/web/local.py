"""The page without Airflow, for one person on this machine: an address that works once, then a cookie."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from ducklift.web.app import create_app
from ducklift.web.security import AsgiApp, NotLoggedIn, Receive, Scope, SecuredSend, Send, Visitor, plain

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from ducklift.web.reader import LakeReader

HOST = "127.0.0.1"
TOKEN = "token"  # noqa: S105 — the parameter's name
OWNER = Visitor("you", may_read=lambda _pipeline: True, may_run=lambda _pipeline: False)


class LocalPage:
    """The page on one port of the loopback interface.

    A site that points its own name at this address (DNS rebinding) is refused by the Host header; another user of this machine lacks the
    token. There are no actions: those are Airflow's to carry out.
    """

    def __init__(self, port: int, open_reader: Callable[[], LakeReader]) -> None:
        self.port, self.cookie = port, f"ducklift_{port}"
        self._token: str | None = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._hosts = {f"{host}:{port}" for host in (HOST, "localhost")} | ({HOST, "localhost"} if port == 80 else set())
        self._app: AsgiApp = create_app(self._authorize, open_reader)

    @property
    def address(self) -> str:
        """Return the address that lets one browser in, once."""
        return f"http://{HOST}:{self.port}/?{TOKEN}={self._token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (answer := self._before_the_page(scope)) is not None:
            await answer(scope, receive, SecuredSend(scope, send))
        else:
            await self._app(scope, receive, send)

    def _before_the_page(self, scope: Scope) -> Response | None:
        from starlette.requests import Request

        request = Request(scope)
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return plain(f"This page answers at http://{HOST}:{self.port}/ alone.", 421)
        if scope["path"] == "/" and request.method == "GET" and TOKEN in request.query_params:
            return self._let_in(request)
        return None

    def _let_in(self, request: Request) -> Response:
        from starlette.responses import RedirectResponse

        # Without its token the address is fit for the browser's history.
        answer = RedirectResponse("./", 303)
        if self._knows(request):
            return answer
        if self._token is None or not _same(request.query_params[TOKEN], self._token):
            return plain("This address works once. Call ducklift ui again for another one.", 401)
        self._token = None
        answer.set_cookie(self.cookie, self._session, path="/", httponly=True, samesite="strict")
        return answer

    def _knows(self, request: Request) -> bool:
        return _same(request.cookies.get(self.cookie, ""), self._session)

    async def _authorize(self, request: Request) -> Visitor:
        if not self._knows(request):
            raise NotLoggedIn("Open the address that ducklift ui has printed.")
        return OWNER


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())

"""The pages' routes. An endpoint is a plain function, so that it runs in a thread: a slow bucket keeps nobody else waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


def routes() -> list[BaseRoute]:
    """Return the routes, for `ducklift.web.app.create_app`."""
    from starlette.routing import Route

    return [Route("/", overview, methods=["GET"], name="overview")]


def overview(request: Request) -> Response:
    """Show who looks."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(f"The lake, as {request.state.visitor.name} may see it.\n")

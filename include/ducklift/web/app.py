"""The page as an ASGI app: its routes, its static files, and the guard in front of all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.web.security import Authorize, Guard

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC_FILES = Path(__file__).with_name("static")


def create_app(authorize: Authorize, open_reader: Callable[[], Any], *, trusted_origins: Collection[str] = ()) -> FastAPI:
    """Return the page; nothing of it is answered unless `authorize` returns a `Visitor` for the request.

    `open_reader` is called in a thread when a page is read for the first time, and gives what reads the lake. `trusted_origins` are the
    origins of this installation that a request's Host header may not tell, as behind a proxy. Works below any path.
    """
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from ducklift.web import pages

    # Its own documentation would be open to whoever may look, and tell of every route.
    app = FastAPI(title="Lake", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, authorize=authorize, trusted_origins=trusted_origins)
    app.state.open_reader = open_reader
    app.router.routes.extend(pages.routes())
    app.mount("/static", StaticFiles(directory=STATIC_FILES, check_dir=False), name="static")
    return app

"""The page as an ASGI app: its routes, its static files, and the guard in front of all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ducklift.errors import DuckliftError
from ducklift.web.access import OpenedOnce
from ducklift.web.security import Authorize, Guard, plain

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    from ducklift.web.actions import Orchestrator
    from ducklift.web.reader import LakeReader

STATIC_FILES = Path(__file__).with_name("static")


def create_app(
    authorize: Authorize,
    open_reader: Callable[[], LakeReader],
    *,
    orchestrator: Orchestrator | None = None,
    airflow_root: str | None = None,
    trusted_origins: Collection[str] = (),
) -> FastAPI:
    """Return the page; nothing of it is answered unless `authorize` returns a `Visitor` for the request.

    `open_reader` is called once, in a thread, when the lake is first asked for. Without an `orchestrator` there are no actions.
    `airflow_root` is the path below which Airflow's own pages lie, such as `/`; None without Airflow. `trusted_origins` are the origins of
    this installation that a request's Host header may not tell, as behind a proxy. The app works below any path.
    """
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from ducklift.web import actions, dag_tab, pages

    # Its own documentation would be open to whoever may look, and tell of every route.
    app = FastAPI(title="Lake", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, authorize=authorize, trusted_origins=trusted_origins)
    app.state.reader = OpenedOnce(open_reader)
    app.state.airflow_root = airflow_root
    app.state.orchestrator = orchestrator
    app.add_exception_handler(DuckliftError, tell_error)
    app.router.routes.extend([*pages.routes(), *dag_tab.routes(), *(actions.routes() if orchestrator is not None else ())])
    app.mount("/static", StaticFiles(directory=STATIC_FILES), name="static")
    return app


def tell_error(_request: Request, err: Exception) -> Response:
    """Answer with what is wrong with the lake or the settings, in the error's own words, which name the cause and the fix."""
    return plain(str(err), 503)

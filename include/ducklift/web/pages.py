"""The pages' routes. An endpoint is a plain function, so that it runs in a thread: a slow bucket keeps nobody else waiting."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from ducklift.errors import DuckliftError, Retryable
from ducklift.web.access import reader_of
from ducklift.web.csv_tables import files_sheet, lake_sheet, table_sheet, tables_sheet
from ducklift.web.rendering import page
from ducklift.web.sheets import Sheet, lines
from ducklift.web.views.places import table_path
from ducklift.web.views.queries import LakeQuery, LoadQuery, OverviewQuery, TableQuery
from ducklift.web.views.tables import TableView

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    Endpoint = Callable[[Request], Response]

TABS = ("loads", "columns", "preview", "quarantine", "lineage", "outputs")
_UNFIT_FOR_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_FOR_EVER = {"content-security-policy": "default-src 'none'; sandbox"}


def routes() -> list[BaseRoute]:
    """Return the routes, for `ducklift.web.app.create_app`."""
    from starlette.routing import Route

    endpoints: dict[str, Endpoint] = {
        "/": overview,
        "/lake": lake,
        "/tables/{name}": table,
        "/tables/{name}/{tab}": table,
        "/tables/{name}/loads/{load_id}": load,
        "/tables/{name}/loads/{load_id}/manifest.json": manifest,
        "/tables/{name}/loads/{load_id}/files/{number}": file,
        "/charts/{key:path}/{version}.png": chart,
    }
    return [Route(path, _telling_problems(endpoint), methods=["GET"]) for path, endpoint in endpoints.items()]


def overview(request: Request) -> Response:
    """Show whether the lake is healthy and what is in it."""
    reader, query = reader_of(request), OverviewQuery.of(request.query_params)
    if wants_csv(request):
        return download(tables_sheet(reader, query.having(page=1), reader.overview(query.having(page=1))))
    return page(request, "overview.html", place="overview", view=reader.overview(query))


def table(request: Request) -> Response:
    """Show one table, or one of its tabs."""
    name, tab = request.path_params["name"], request.path_params.get("tab", TABS[0])
    reader, query = reader_of(request), TableQuery.of(request.query_params)
    as_csv = wants_csv(request)
    if as_csv:
        query = query.having(page=1, columns_page=1)
    view = reader.table(name, query) if tab in TABS else None
    if view is None:
        return missing(request, f"There is no table {name}" if tab in TABS else f"Nothing of {name} is called {tab}")
    if as_csv and tab != "outputs":
        return download(table_sheet(reader, name, tab, query, view))
    return page(request, "table.html", place="table", view=view, tab=tab, tabs=_tabs(view))


def _tabs(view: TableView) -> list[tuple[str, str, int | None]]:
    outputs = len(view.assets) + (view.curated is not None)
    return [
        ("loads", "Loads", view.pages.total),
        ("columns", "Columns", view.column_pages.total),
        ("preview", "Preview", None),
        ("quarantine", "Quarantine", view.quarantine.rows),
        ("lineage", "Lineage", None),
        ("outputs", "Outputs", outputs),
    ]


def load(request: Request) -> Response:
    """Show one load."""
    name, load_id = request.path_params["name"], request.path_params["load_id"]
    reader, query = reader_of(request), LoadQuery.of(request.query_params)
    as_csv = wants_csv(request)
    view = reader.load(name, load_id, query.having(page=1) if as_csv else query)
    if view is None:
        return missing(request, f"There is no load {load_id} of {name}")
    if as_csv:
        return download(files_sheet(reader, name, query, view))
    return page(request, "load.html", place="load", view=view, table_path=table_path(name))


def lake(request: Request) -> Response:
    """Show what lies in the lake, and what could go."""
    view = reader_of(request).lake(LakeQuery.of(request.query_params))
    if wants_csv(request):
        return download(lake_sheet(view, request.query_params.get("what", "")))
    return page(request, "lake.html", place="lake", view=view)


def manifest(request: Request) -> Response:
    """Give a load's manifest as it lies in the lake."""
    from starlette.responses import Response

    name, load_id = request.path_params["name"], request.path_params["load_id"]
    data = reader_of(request).manifest(name, load_id)
    if data is None:
        return missing(request, f"Load {load_id} of {name} has no manifest")
    return Response(data, media_type="application/json", headers=_FOR_EVER | _attachment(f"{load_id}.json"))


def file(request: Request) -> Response:
    """Give a raw file as it lies in the lake, always as a download: nobody knows what is in it."""
    from starlette.responses import StreamingResponse

    name, load_id, number = (request.path_params[part] for part in ("name", "load_id", "number"))
    # What is longer is no file of any manifest, and Python refuses to make a number of thousands of digits.
    found = reader_of(request).file(name, load_id, int(number)) if re.fullmatch("[0-9]{1,9}", number) else None
    if found is None:
        return missing(request, f"Load {load_id} of {name} has no file {number} in the lake")
    headers = _FOR_EVER | _attachment(found.name) | {"content-length": str(found.size_bytes)}
    return StreamingResponse(found.chunks, media_type="application/octet-stream", headers=headers)


def chart(request: Request) -> Response:
    """Give a stored picture."""
    from starlette.responses import Response

    key, version = request.path_params["key"], request.path_params["version"]
    data = reader_of(request).chart(key, version, request.query_params.get("partition"))
    if data is None:
        return missing(request, f"There is no picture {key} of version {version}")
    return Response(data, media_type="image/png", headers=_FOR_EVER)


def wants_csv(request: Request) -> bool:
    """Return whether a page is asked for as CSV, by its address or by what the client accepts."""
    accepted = [kind.partition(";")[0].strip() for kind in request.headers.get("accept", "").split(",")]
    return request.query_params.get("format") == "csv" or ("text/csv" in accepted and "text/html" not in accepted)


def download(sheet: Sheet) -> Response:
    """Return a sheet as a CSV file."""
    from starlette.responses import StreamingResponse

    headers = {"vary": "Accept"} | _attachment(f"{sheet.name}.csv")
    return StreamingResponse(lines(sheet), media_type="text/csv; charset=utf-8", headers=headers)


def missing(request: Request, what: str) -> Response:
    """Return a page that says what is not there, or not for who looks."""
    cause = "It was never there, it is gone, or it belongs to a pipeline that you may not see."
    fix = "Look for it among the tables; who may see which pipeline is set by the roles of Airflow."
    return page(request, "problem.html", 404, place="", what=what, cause=cause, fix=fix)


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{_UNFIT_FOR_A_NAME.sub("_", name)[:200]}"'}


def _telling_problems(endpoint: Endpoint) -> Endpoint:
    @wraps(endpoint)
    def told(request: Request) -> Response:
        try:
            return endpoint(request)
        except DuckliftError as err:
            waiting = isinstance(err, Retryable)
            fix = (
                "Wait a moment, then open this page again." if waiting else "Mend what the cause names; `ducklift doctor` tries every part."
            )
            problem = {"what": "The lake cannot be read", "cause": str(err), "fix": fix}
            return page(request, "problem.html", 503 if waiting else 500, place="", **problem)

    return told

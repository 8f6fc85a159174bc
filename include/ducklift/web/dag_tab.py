"""What the tab of a DAG shows: the tables of its pipeline. Airflow may show it in a frame without scripts, so it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ducklift.web.access import reader_of
from ducklift.web.rendering import page
from ducklift.web.views.queries import OverviewQuery

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


def routes() -> list[BaseRoute]:
    """Return the tab's route."""
    from starlette.routing import Route

    return [Route("/dags/{dag_id}", dag, methods=["GET"])]


def dag(request: Request) -> Response:
    """Show the tables that a DAG's pipeline loads; a DAG that is no pipeline has none."""
    dag_id = request.path_params["dag_id"]
    view = reader_of(request).overview(OverviewQuery(pipeline=dag_id))
    return page(request, "dag.html", dag_id=dag_id, view=view)

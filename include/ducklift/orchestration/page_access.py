"""Who may see and do what on the Lake page: Airflow's own logins and permissions, asked anew for each request."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from ducklift.web.security import NotAllowed, NotLoggedIn, Visitor

if TYPE_CHECKING:
    from starlette.requests import Request


async def authorize(request: Request) -> Visitor:
    """Return who has logged in to Airflow, if they may see plugins' pages; raises `NotLoggedIn` or `NotAllowed`."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
    from fastapi import HTTPException
    from starlette.concurrency import run_in_threadpool

    try:
        user = await get_user(request, None, await bearer_scheme(request))
    except HTTPException as err:
        if err.status_code == 401:
            raise NotLoggedIn("Log in to Airflow first, then open this page again.") from None
        raise NotAllowed("Airflow does not accept this login. Log out and in again.") from None
    if not await run_in_threadpool(get_auth_manager().is_authorized_view, access_view=AccessView.PLUGINS, user=user):
        raise NotAllowed("Your role in Airflow may not see plugins' pages. Ask for permission to read Plugins.")
    return visitor_for(user)


def visitor_for(user: Any) -> Visitor:
    """Return a logged-in person with their permissions on the pipelines' DAGs; each is asked for once per request at most."""

    @cache
    def may_read(pipeline: str) -> bool:
        return _may(user, "GET", pipeline)

    @cache
    def may_run(pipeline: str) -> bool:
        return may_read(pipeline) and _may(user, "POST", pipeline)

    return Visitor(str(user.get_name()), may_read, may_run)


def _may(user: Any, method: Literal["GET", "POST"], dag_id: str) -> bool:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    # Airflow's API asks for the same when it triggers a run. Without an id it is about all DAGs.
    entity = DagAccessEntity.RUN if method == "POST" else None
    details = DagDetails(id=dag_id, team_name=_team_of(dag_id)) if dag_id else None
    return bool(get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user))


def _team_of(dag_id: str) -> str | None:
    from airflow.models.dag import DagModel

    # A query for each DAG, which only installations with teams have to pay for.
    return DagModel.get_team_name(dag_id) if _has_teams() else None


@cache
def _has_teams() -> bool:
    from airflow.configuration import conf

    return bool(conf.getboolean("core", "multi_team"))

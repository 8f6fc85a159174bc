"""Runs that the Lake page starts: by Airflow's public REST API, with the credentials of who asked, so that its audit log names them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ducklift.web.actions import Started
from ducklift.web.security import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

AIRFLOW = "ducklift.airflow"
NOTE = "Started on the Lake page."
TIMEOUT_S = 60.0


class BesideAirflow:
    """Lets an app that Airflow mounts know the app that it is mounted in."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Hand a request on, with Airflow's own app in its scope."""
        await self.app({**scope, AIRFLOW: scope.get("app")}, receive, send)


class AirflowRuns:
    """The orchestrator behind the page's actions.

    Requests go to Airflow's app within this process: no proxy, certificate or address can come between, and credentials leave it never.
    Everything else is as over the network: authentication, permission, validation and the audit log.
    """

    async def start(self, request: Request, dag_id: str, conf: Mapping[str, Any]) -> Started:
        """Start a run of a DAG with these parameters; a paused one's run waits."""
        dag = await self._ask(request, "GET", f"dags/{quote(dag_id, safe='')}")
        content = {"logical_date": None, "conf": dict(conf), "note": NOTE}
        run = await self._ask(request, "POST", f"dags/{quote(dag_id, safe='')}/dagRuns", content)
        run_id = str(run["dag_run_id"])
        return Started(dag_id, run_id, f"dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}", bool(dag["is_paused"]))

    async def form(self, request: Request, dag_id: str) -> Mapping[str, Any]:
        """Return the fields of a DAG's trigger form."""
        found = await self._ask(request, "GET", f"dags/{quote(dag_id, safe='')}/details")
        return dict(found["params"] or {})

    async def parameters_of(self, request: Request, dag_id: str, run_id: str) -> Mapping[str, Any]:
        """Return what a run was started with; empty where Airflow has forgotten it."""
        try:
            found = await self._ask(request, "GET", f"dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}")
        except Refused as err:
            if err.status == 404:
                return {}
            raise
        return dict(found["conf"] or {})

    async def _ask(self, request: Request, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        import httpx

        transport = httpx.ASGITransport(app=request.scope[AIRFLOW], raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow.invalid", timeout=TIMEOUT_S) as client:
            answer = await client.request(method, f"/api/v2/{path}", headers=credentials_of(request), json=content)
        if answer.is_success:
            return answer.json()
        raise Refused(answer.status_code if answer.status_code in (400, 401, 403, 404, 409, 422) else 502, _reason(answer))


def credentials_of(request: Request) -> dict[str, str]:
    """Return the headers by which Airflow knows who sent a request: its token, or the cookie of its login, and nothing else."""
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN

    headers = {}
    if authorization := request.headers.get("authorization"):
        headers["authorization"] = authorization
    if token := request.cookies.get(COOKIE_NAME_JWT_TOKEN):
        headers["cookie"] = f"{COOKIE_NAME_JWT_TOKEN}={token}"
    return headers


def _reason(answer: Any) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"Airflow answered {answer.status_code}; its API server's log says why."
    # What follows a refused parameter is the whole schema.
    text = detail.partition("\n")[0] if isinstance(detail, str) else str(detail)
    return f"Airflow: {text[:1000]}"

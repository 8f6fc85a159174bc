"""What a person can have done from the page: runs of a pipeline's DAG, started by the orchestrator's own API in that person's name.

Nothing here deletes anything. The guard has seen to it that a request comes from the page itself; here it is checked whether this person
may run that pipeline, and what is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from ducklift.errors import DuckliftError
from ducklift.lake.manifest import read_manifest
from ducklift.repeating import AGAIN, LOAD_PATTERN, OF_LOAD, Again, Task
from ducklift.specs import TableName
from ducklift.web.access import reader_of, visitor_of
from ducklift.web.security import NotAllowed, Refused
from ducklift.web.views.queries import LoadQuery, OverviewQuery

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

REPEATING: dict[str, Task] = {"load": "load", "reextract": "reextract", "quarantine": "quarantine"}


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was asked for. `run_path` is its page below Airflow's root; a paused DAG's run waits until it is no longer paused."""

    dag_id: str
    run_id: str
    run_path: str
    paused: bool


class Orchestrator(Protocol):
    """Starts runs with the credentials of a request; whoever sent it may do there what they may do there, and no more.

    Each raises `Refused` with the orchestrator's own words where it does not do what it is asked.
    """

    async def start(self, request: Request, dag_id: str, conf: Mapping[str, Any]) -> Started:
        """Start a run of a pipeline's DAG with these parameters."""
        ...

    async def form(self, request: Request, dag_id: str) -> Mapping[str, Any]:
        """Return the fields of the DAG's trigger form, by name: each with `value`, `description` and `schema`."""
        ...

    async def parameters_of(self, request: Request, dag_id: str, run_id: str) -> Mapping[str, Any]:
        """Return what a run was started with; empty where nobody remembers the run."""
        ...


class RunAsked(BaseModel):
    """Run a pipeline now, with the form's defaults or with these parameters."""

    model_config = ConfigDict(extra="forbid", strict=True)
    pipeline: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}$")]
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)

    @field_validator("parameters")
    @classmethod
    def _fit_for_json(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(value, allow_nan=False)
        return value


class LoadAsked(BaseModel):
    """Do something again with one load."""

    model_config = ConfigDict(extra="forbid", strict=True)
    table: str
    load_id: str


Asked = TypeVar("Asked", bound=BaseModel)


def routes() -> list[BaseRoute]:
    """Return the actions' routes; all but the form are POST."""
    from starlette.routing import Route

    repeating = [Route(f"/actions/{name}", answering(_repeats(task)), methods=["POST"]) for name, task in REPEATING.items()]
    return [
        Route("/actions/run", answering(run), methods=["POST"], name="run"),
        *repeating,
        Route("/actions/form/{pipeline}", answering(form), methods=["GET"], name="form"),
    ]


def answering(action: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return the action as an endpoint whose refusals are JSON."""

    async def answer(request: Request) -> Response:
        from starlette.responses import JSONResponse

        try:
            return await action(request)
        except Refused as err:
            return JSONResponse({"error": err.reason}, err.status)
        except DuckliftError as err:
            return JSONResponse({"error": str(err)}, 503)

    return answer


async def run(request: Request) -> Response:
    """Start a run of a pipeline's DAG."""
    asked = _parsed(RunAsked, await request.body())
    await _check_may_run(request, asked.pipeline)
    return _told(await orchestrator_of(request).start(request, asked.pipeline, asked.parameters))


async def form(request: Request) -> Response:
    """Return the trigger form of a pipeline's DAG."""
    from starlette.responses import JSONResponse

    pipeline = request.path_params["pipeline"]
    await _check_may_run(request, pipeline)
    return JSONResponse({"fields": await orchestrator_of(request).form(request, pipeline)})


def _repeats(task: Task) -> Callable[[Request], Awaitable[Response]]:
    async def repeat(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        asked = _parsed(LoadAsked, await request.body())
        again = _again(task, asked)
        pipeline, facts = await run_in_threadpool(_origin_of, request, again)
        await _check_may_run(request, pipeline)
        earlier = await _parameters_of(request, pipeline, facts) if task == "reextract" else {}
        return _told(await orchestrator_of(request).start(request, pipeline, {**earlier, **again.params()}))

    return repeat


def orchestrator_of(request: Request) -> Orchestrator:
    """Return what starts runs; the routes exist only where there is such a thing."""
    found: Orchestrator = request.app.state.orchestrator
    return found


def _parsed(kind: type[Asked], body: bytes) -> Asked:
    try:
        return kind.model_validate_json(body)
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Refused(422, f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from None


def _again(task: Task, asked: LoadAsked) -> Again:
    if not re.fullmatch(LOAD_PATTERN, f"{asked.table}/{asked.load_id}"):
        raise Refused(422, "table and load_id name no load.")
    return Again(task, TableName.parse(asked.table), asked.load_id)


def _origin_of(request: Request, again: Again) -> tuple[str, Mapping[str, Any]]:
    """Return the load's pipeline, and what is known of the DAG's run that made it.

    The reader knows nothing of loads that this person may not see: they are told that there is none.
    """
    reader = reader_of(request)
    if (data := reader.manifest(str(again.table), again.load_id)) is not None:
        manifest = read_manifest(data, again.load_id)
        return manifest.pipeline, manifest.airflow
    view = reader.load(str(again.table), again.load_id, LoadQuery())
    if view is not None and view.load.pipeline is not None:
        place = view.load.airflow
        return view.load.pipeline, {"dag_id": place.dag_id, "run_id": place.run_id} if place else {}
    if reader.overview(OverviewQuery()).read.at is None:
        raise Refused(503, "The lake is still being read. Try again in a moment.")
    raise Refused(404, f"There is no load {again.load_id} of {again.table} that you may see.")


async def _parameters_of(request: Request, pipeline: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return by what the load's own run was started: a slice of another listing or file is read again by the same choices."""
    if facts.get("dag_id") != pipeline or not isinstance(facts.get("run_id"), str):
        return {}
    found = await orchestrator_of(request).parameters_of(request, pipeline, facts["run_id"])
    return {name: value for name, value in found.items() if name not in (AGAIN, OF_LOAD)}


async def _check_may_run(request: Request, pipeline: str) -> None:
    from starlette.concurrency import run_in_threadpool

    if not await run_in_threadpool(visitor_of(request).may_run, pipeline):
        raise NotAllowed(f"You may not start runs of {pipeline}. Ask for permission to trigger that DAG.")


def _told(started: Started) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(asdict(started), 202)

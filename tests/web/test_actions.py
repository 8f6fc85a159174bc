"""What is asked of the orchestrator, of which there is a stand-in here; tests/orchestration/test_lake_page.py asks Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient
from visitors import anybody, reader

from ducklift.web.actions import Started
from ducklift.web.app import create_app
from ducklift.web.security import Refused
from ducklift.web.views.places import AirflowPlace

HOST = "http://lake.test"
OWN = {"origin": HOST, "x-ducklift-action": "1"}
LOAD = {"table": "reddit.posts", "load_id": "20260101T000000Z-abcdef01"}
NAMED = "reddit.posts/20260101T000000Z-abcdef01"


class Runs:
    """Notes what it is asked to start."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Mapping[str, Any]]] = []
        self.remembered: dict[str, Any] = {}

    async def start(self, request: Any, dag_id: str, conf: Mapping[str, Any]) -> Started:
        del request
        if conf.get("subreddits") == ["evil"]:
            raise Refused(400, "Airflow: Invalid input for param subreddits")
        self.started.append((dag_id, conf))
        return Started(dag_id, "manual__1", f"dags/{dag_id}/runs/manual__1", paused=False)

    async def form(self, request: Any, dag_id: str) -> Mapping[str, Any]:
        del request
        return {"subreddits": {"value": ["python"], "description": dag_id, "schema": {"type": "array"}}}

    async def parameters_of(self, request: Any, dag_id: str, run_id: str) -> Mapping[str, Any]:
        del request, dag_id, run_id
        return self.remembered


class OneLoad:
    """A lake with one load, of pipeline `reddit`."""

    def seen_by(self, may_read: Any) -> Any:
        return self if may_read("reddit") else NoLoad()

    def manifest(self, _table: str, _load_id: str) -> None:
        return None

    def overview(self, _query: Any) -> Any:
        return SimpleNamespace(read=SimpleNamespace(at=datetime(2026, 1, 1, tzinfo=UTC)))

    def load(self, table: str, load_id: str, _query: Any) -> Any:
        known = {"table": table, "load_id": load_id} == LOAD
        row = SimpleNamespace(pipeline="reddit", airflow=AirflowPlace("reddit", "manual__0", None, None, None))
        return SimpleNamespace(load=row) if known else None


class NoLoad(OneLoad):
    """The same for who may not see it."""

    def load(self, _table: str, _load_id: str, _query: Any) -> Any:
        return None


class BeingRead(NoLoad):
    """A lake of which nothing is known yet."""

    def overview(self, _query: Any) -> Any:
        return SimpleNamespace(read=SimpleNamespace(at=None))

    def seen_by(self, _may_read: Any) -> Any:
        return self


def client_of(authorize: Any, runs: Runs) -> TestClient:
    return TestClient(create_app(authorize, OneLoad, orchestrator=runs), base_url=HOST)


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def page(runs) -> TestClient:
    return client_of(anybody, runs)


def post(page: TestClient, action: str, content: Any) -> Any:
    return page.post(f"/actions/{action}", headers=OWN, json=content)


def test_a_run_is_started_with_defaults_or_with_parameters(page, runs):
    answer = post(page, "run", {"pipeline": "reddit"})
    post(page, "run", {"pipeline": "reddit", "parameters": {"limit": 5}})

    assert answer.status_code == 202
    assert answer.json() == {"dag_id": "reddit", "run_id": "manual__1", "run_path": "dags/reddit/runs/manual__1", "paused": False}
    assert runs.started == [("reddit", {}), ("reddit", {"limit": 5})]


@pytest.mark.parametrize("action", ["load", "reextract", "quarantine"])
def test_something_is_done_again_by_the_dag_of_the_load_s_pipeline(page, runs, action):
    assert post(page, action, LOAD).status_code == 202
    assert runs.started == [("reddit", {"again": action, "of_load": NAMED})]


def test_a_slice_is_read_again_by_the_choices_of_its_own_run_and_what_that_one_did_again_is_left_out(page, runs):
    runs.remembered = {"listing": "top", "again": "reextract", "of_load": "reddit.posts/20250101T000000Z-abcdef01"}

    post(page, "reextract", LOAD)
    post(page, "load", LOAD)

    assert runs.started == [
        ("reddit", {"listing": "top", "again": "reextract", "of_load": NAMED}),
        ("reddit", {"again": "load", "of_load": NAMED}),
    ]


def test_who_may_look_and_not_run_starts_nothing_and_sees_no_form(runs):
    page = client_of(reader, runs)

    answers = [post(page, "run", {"pipeline": "reddit"}), *(post(page, action, LOAD) for action in ("load", "reextract", "quarantine"))]
    answers.append(page.get("/actions/form/reddit"))

    assert [answer.status_code for answer in answers] == [403] * 5
    assert "permission to trigger" in answers[0].json()["error"]
    assert runs.started == []


def test_a_load_that_one_may_not_see_is_one_that_is_not_there(runs):
    from ducklift.web.security import Visitor

    async def stranger(_request: Any) -> Visitor:
        return Visitor("sven", may_read=lambda pipeline: pipeline == "other", may_run=lambda _pipeline: True)

    answers = [post(client_of(stranger, runs), "load", LOAD), post(client_of(anybody, runs), "load", {**LOAD, "table": "reddit.comments"})]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert runs.started == []


def test_the_orchestrator_s_refusal_is_told(page):
    answer = post(page, "run", {"pipeline": "reddit", "parameters": {"subreddits": ["evil"]}})

    assert (answer.status_code, answer.json()) == (400, {"error": "Airflow: Invalid input for param subreddits"})


def test_the_trigger_form_is_told(page):
    assert page.get("/actions/form/reddit").json()["fields"]["subreddits"]["value"] == ["python"]


def test_while_the_lake_is_read_for_the_first_time_no_load_is_said_to_be_missing(runs):
    page = TestClient(create_app(anybody, BeingRead, orchestrator=runs), base_url=HOST)

    assert post(page, "load", LOAD).status_code == 503


@pytest.mark.parametrize(
    ("action", "content"),
    [
        ("run", {}),
        ("run", {"pipeline": "../reddit"}),
        ("run", {"pipeline": "a/b"}),
        ("run", {"pipeline": ""}),
        ("run", {"pipeline": ".."}),
        ("run", {"pipeline": 5}),
        ("run", {"pipeline": "reddit", "parameters": []}),
        ("run", {"pipeline": "reddit", "dag_id": "other"}),
        ("run", [1]),
        ("load", {**LOAD, "load_id": "../x"}),
        ("load", {**LOAD, "load_id": "{{ 7 * 7 }}"}),
        ("load", {**LOAD, "table": "reddit.posts/x"}),
        ("load", {**LOAD, "table": "Reddit.posts"}),
        ("load", {"table": "reddit.posts"}),
        ("load", {**LOAD, "run_id": "x"}),
        ("reextract", {**LOAD, "load_id": LOAD["load_id"] + "\n"}),
        ("quarantine", {**LOAD, "load_id": None}),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(page, runs, action, content):
    answer = post(page, action, content)

    assert answer.status_code == 422
    assert answer.json()["error"]
    assert runs.started == []


def test_what_is_no_json_is_refused(page, runs):
    headers = {**OWN, "content-type": "application/json"}

    assert page.post("/actions/run", headers=headers, content=b"{pipeline: reddit").status_code == 422
    assert page.post("/actions/run", headers=headers, content=b"\xff\xfe").status_code == 422
    infinite = b'{"pipeline": "reddit", "parameters": {"limit": 1e999}}'  # JSON has no way to hand that on
    assert page.post("/actions/run", headers=headers, content=infinite).status_code == 422
    assert runs.started == []


@pytest.mark.parametrize("action", ["run", "load", "reextract", "quarantine"])
def test_actions_do_not_answer_to_a_link(page, action):
    assert page.get(f"/actions/{action}").status_code == 405


def test_without_an_orchestrator_there_are_no_actions():
    page = TestClient(create_app(anybody, OneLoad), base_url=HOST)

    assert post(page, "run", {"pipeline": "reddit"}).status_code == 404

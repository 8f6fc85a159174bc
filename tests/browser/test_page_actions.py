"""What a person has done from the page: the buttons, the form of parameters, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from filled_views import FilledReader
from visitors import READER

from ducklift.web.actions import Started
from ducklift.web.security import Refused
from ducklift.web.views.states import LoadState

pytestmark = pytest.mark.needs_program("chromium")

FORM = {
    "subreddits": {"value": ["python"], "description": "<b>One</b> a line", "schema": {"type": "array", "items": {"type": "string"}}},
    "listing": {"value": "new", "description": None, "schema": {"type": "string", "enum": ["new", "top"]}},
    "limit": {"value": None, "description": None, "schema": {"type": ["integer", "null"]}},
    "full": {"value": False, "description": None, "schema": {"type": "boolean"}},
    "note": {"value": "as it was", "description": None, "schema": {"type": "string"}},
    "filter": {"value": None, "description": None, "schema": {"type": ["object", "null"]}},
}


class Runs:
    """Notes what it is asked to start, and refuses one thing."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Mapping[str, Any]]] = []

    async def start(self, _request: Any, dag_id: str, conf: Mapping[str, Any]) -> Started:
        if conf.get("limit") == 13:
            raise Refused(400, "Airflow: <i>13</i> is no limit")
        self.started.append((dag_id, conf))
        return Started(dag_id, "manual__1", f"dags/{dag_id}/runs/manual__1", paused=False)

    async def form(self, _request: Any, _dag_id: str) -> Mapping[str, Any]:
        return FORM

    async def parameters_of(self, _request: Any, _dag_id: str, _run_id: str) -> Mapping[str, Any]:
        return {}


class Posts(FilledReader):
    """A table of pipeline `reddit`, and a load of it with records in quarantine."""

    def table(self, name, query):
        view = super().table(name, query)
        return replace(view, table=replace(view.table, pipelines=("reddit",)))

    def load(self, name, load_id, query):
        view = super().load(name, load_id, query)
        row = replace(view.load, table="reddit.posts", load_id="20260101T000000Z-abcdef01", pipeline="reddit", state=LoadState.LOADED)
        return replace(view, load=replace(row, superseded_by=None, pending=True, error=None))

    def manifest(self, _name, _load_id):
        return None


@pytest.fixture
def runs() -> Runs:
    return Runs()


def test_a_run_is_started_and_linked(serve, open_page, runs):
    page = open_page().page
    page.goto(serve(Posts(), orchestrator=runs, airflow_root="/air/") + "/tables/a.b")

    page.click("button:has-text('Run now')")

    page.wait_for_selector(".outcome a")
    assert page.locator(".outcome").inner_text() == "Started manual__1."
    assert page.locator(".outcome a").get_attribute("href") == "/air/dags/reddit/runs/manual__1"
    assert runs.started == [("reddit", {})]
    page.evaluate("document.querySelector('h1').dataset.old = 1")
    page.click("text=Refresh")
    page.wait_for_selector("h1:not([data-old])")
    assert page.locator(".outcome").inner_text() == "Started manual__1."


def test_the_form_is_reached_by_keyboard_sends_what_was_changed_and_nothing_else(serve, open_page, runs, axe):
    page = open_page().page
    page.goto(serve(Posts(), orchestrator=runs) + "/tables/a.b")
    page.focus("[data-form]")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.evaluate(axe)

    assert page.evaluate("axe.run('dialog')")["violations"] == []
    page.fill("[name=subreddits]", "python\n rust \n")
    page.select_option("[name=listing]", label="top")
    page.fill("[name=limit]", "7")
    page.check("[name=full]")
    page.fill("[name=filter]", "{")
    page.click("dialog button[type=submit]")
    assert page.locator("dialog[open]").is_visible()
    page.fill("[name=filter]", '{"a": 1}')
    page.click("dialog button[type=submit]")

    page.wait_for_selector("text=Started manual__1")
    assert page.locator("dialog").count() == 0
    assert runs.started == [("reddit", {"subreddits": ["python", "rust"], "listing": "top", "limit": 7, "full": True, "filter": {"a": 1}})]


def test_a_refusal_is_told_in_its_own_words_and_who_cancels_starts_nothing(serve, open_page, runs):
    watched = open_page()
    page = watched.page
    page.goto(serve(Posts(), orchestrator=runs) + "/tables/a.b")

    for key in ("Cancel", "Escape"):
        page.click("[data-form]")
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape") if key == "Escape" else page.click("dialog >> text=Cancel")
        page.wait_for_selector("dialog", state="detached")
    page.click("[data-form]")
    page.fill("[name=limit]", "13")
    page.click("dialog button[type=submit]")

    page.wait_for_selector(".outcome.failed")
    assert page.locator(".outcome").inner_text() == "Airflow: <i>13</i> is no limit"
    assert runs.started == []
    watched.wrong.clear()  # Chromium tells of every answer that is a refusal


@pytest.mark.parametrize(
    ("label", "task"), [("Load its package", "load"), ("Extract again", "reextract"), ("Retry quarantine", "quarantine")]
)
def test_something_is_done_again_with_a_load_after_it_was_explained(serve, open_page, runs, label, task):
    page = open_page().page
    page.goto(serve(Posts(), orchestrator=runs) + "/tables/a.b/loads/l1")

    page.click(f"button:has-text('{label}')")
    assert runs.started == []
    page.click(f"dialog button:has-text('{label}')")

    page.wait_for_selector("text=Started manual__1")
    assert [(dag, list(conf.values())) for dag, conf in runs.started] == [("reddit", [task, "reddit.posts/20260101T000000Z-abcdef01"])]


def test_who_may_only_look_and_who_has_no_airflow_see_no_button(serve, open_page, runs):
    async def may_only_look(_request: Any) -> Any:
        return READER

    page = open_page().page
    for root in (serve(Posts(), orchestrator=runs, authorize=may_only_look), serve(Posts())):
        for path in ("/tables/a.b", "/tables/a.b/loads/l1"):
            page.goto(root + path)
            assert page.locator("[data-action], [data-form]").count() == 0

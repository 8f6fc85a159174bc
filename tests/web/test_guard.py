from __future__ import annotations

import asyncio
import inspect
import re
import threading
from typing import Any

import httpx
import pytest
from filled_views import HARMLESS, FilledReader
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from visitors import anybody, broken, careless, nobody
from web_routes import requests_of

from ducklift.web.app import create_app
from ducklift.web.security import ACTION_HEADER, MOST_BYTES

HOST = "http://lake.test"
OWN = {"origin": HOST, ACTION_HEADER: "1", "content-type": "application/json"}


def no_lake() -> Any:
    raise AssertionError("the lake was opened for somebody who may not see it")


def client_of(authorize: Any, **options: Any) -> TestClient:
    return TestClient(create_app(authorize, no_lake, **options), base_url=HOST, follow_redirects=False, raise_server_exceptions=False)


def with_route(authorize: Any, endpoint: Any, **options: Any) -> TestClient:
    """A page with one more route, `/probe`, which tells whether a request got through to it."""
    client = client_of(authorize, **options)
    client.app.router.routes.insert(0, Route("/probe", endpoint, methods=["GET", "POST", "PUT"]))
    return client


def reached(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("reached")


def fails(_request: Any) -> PlainTextResponse:
    raise ValueError("secret of the lake")


def hardened(headers: Any) -> bool:
    policies = headers.get_list("content-security-policy")
    assert policies
    assert all("unsafe" not in policy for policy in policies)
    assert "default-src 'none'" in policies[-1]
    assert "frame-ancestors 'self'" in policies[-1]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    return True


@pytest.mark.parametrize(("authorize", "status"), [(nobody, 401), (broken, 403), (careless, 403)])
def test_every_route_is_closed_to_who_is_not_logged_in_or_cannot_be_known(authorize, status):
    client = client_of(authorize)

    for method, path in requests_of(client.app):
        answer = client.request(method, path, headers=OWN)

        assert (method, path, answer.status_code) == (method, path, status)
        assert hardened(answer.headers)
        assert answer.headers["cache-control"] == "no-store"
        assert "hunter2" not in answer.text


def test_a_route_that_is_added_later_is_closed_as_well():
    assert with_route(nobody, reached).get("/probe").status_code == 401
    assert with_route(anybody, reached).get("/probe").text == "reached"


def test_authorisation_has_no_default():
    assert inspect.signature(create_app).parameters["authorize"].default is inspect.Parameter.empty


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_the_app_s_own_documentation_is_off(path):
    assert client_of(anybody).get(path).status_code == 404


def test_no_page_works_on_the_event_loop():
    """What is read of a bucket takes its time in a thread; only what awaits the orchestrator may be a coroutine."""
    app = create_app(anybody, no_lake)

    assert [route.path for route in app.routes if isinstance(route, Route) and is_coroutine(route) and "/actions/" not in route.path] == []


def is_coroutine(route: Route) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(route.endpoint))


def test_failures_and_unknown_pages_carry_the_headers_and_tell_nothing(caplog):
    client = with_route(anybody, fails)

    failed, unknown = client.get("/probe"), client.get("/no-such-page")

    assert (failed.status_code, unknown.status_code) == (500, 404)
    assert hardened(failed.headers)
    assert hardened(unknown.headers)
    assert "secret of the lake" not in failed.text
    assert "secret of the lake" in caplog.text


def test_a_page_may_add_a_policy_of_its_own_but_not_loosen_the_common_one():
    loose = {"content-security-policy": "script-src 'unsafe-inline' *", "cache-control": "public"}
    answer = with_route(anybody, lambda _request: PlainTextResponse("x", headers=loose)).get("/probe")

    # A browser enforces each of several policies.
    assert "script-src 'self'" in answer.headers.get_list("content-security-policy")[1]
    assert answer.headers.get_list("cache-control") == ["no-store"]


def test_what_the_page_itself_sends_gets_through():
    assert with_route(anybody, reached).post("/probe", headers=OWN, json={}).text == "reached"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://lake.test.evil.test"}, 403),
        ({"origin": "file://lake.test"}, 403),
        ({"origin": "http://user@lake.test"}, 403),
        ({"origin": None}, 403),
        ({ACTION_HEADER: None}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "text/plain;application/json"}, 415),
        ({"content-type": None}, 415),
        ({"content-length": str(MOST_BYTES + 1)}, 413),
        ({"content-length": "²"}, 411),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:60],
)
def test_a_change_from_elsewhere_is_refused(change, status):
    headers = {name: value for name, value in {**OWN, **change}.items() if value is not None}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    answer = with_route(anybody, reached).post("/probe", headers=encoded, content=b"{}")

    assert answer.status_code == status
    assert hardened(answer.headers)


def test_a_form_of_another_site_is_refused_although_the_browser_sends_the_cookie_along():
    answer = with_route(anybody, reached).post("/probe", data={"dag": "reddit"}, headers={"origin": "https://evil.test"})

    assert answer.status_code == 403


def test_other_methods_are_refused():
    assert with_route(anybody, reached).put("/probe", headers=OWN, json={}).status_code == 405


def test_an_origin_that_the_installation_is_known_by_is_its_own():
    behind_a_proxy = {**OWN, "origin": "https://airflow.example.org"}

    assert with_route(anybody, reached).post("/probe", headers=behind_a_proxy, json={}).status_code == 403
    known = with_route(anybody, reached, trusted_origins=["https://airflow.example.org"])
    assert known.post("/probe", headers=behind_a_proxy, json={}).text == "reached"


@pytest.mark.parametrize(
    "path", ["/static/../security.py", "/static/%2e%2e/security.py", "/static/..%2fsecurity.py", "/static//etc/passwd"]
)
def test_static_files_do_not_lead_out_of_their_folder(path):
    answer = client_of(anybody).get(path)

    assert answer.status_code == 404
    assert "Guard" not in answer.text


def test_there_are_no_websockets():
    with pytest.raises(WebSocketDisconnect), client_of(anybody).websocket_connect("/"):
        pass


def test_the_page_works_below_any_path():
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/below/here", app=create_app(anybody, no_lake))])

    assert TestClient(outer).get("/below/here/no-such").status_code == 404
    assert TestClient(outer).get("/below/here/static/none.css").headers["cache-control"] == "no-store"


def test_the_tab_of_a_dag_has_no_script_also_for_a_dag_of_a_hostile_name():
    client = TestClient(create_app(anybody, lambda: FilledReader(HARMLESS)), base_url=HOST)
    answer = client.get("/dags/%3Cscript%3Ealert(1)")

    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


def test_a_slow_bucket_keeps_nobody_else_waiting():
    """Two requests on one event loop: the first one ends only because the second is answered meanwhile."""
    answered = threading.Event()

    class SlowReader:
        def seen_by(self, _may_read: Any) -> Any:
            assert answered.wait(20), "nobody else was answered while the lake was being read"
            return FilledReader(HARMLESS)

    async def ask_twice() -> tuple[int, int]:
        transport = httpx.ASGITransport(app=create_app(anybody, SlowReader))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            slow = asyncio.create_task(client.get("/"))
            await asyncio.sleep(0)
            quick = await client.get("/static/icon.svg")
            answered.set()
            return quick.status_code, (await slow).status_code

    assert asyncio.run(ask_twice()) == (200, 200)

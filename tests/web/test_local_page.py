"""The page on loopback: the address that works once, the cookie, and the names under which it answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient
from web_routes import requests_of

from ducklift.web.local import LocalPage

PORT = 8090
HERE = f"http://127.0.0.1:{PORT}"


def no_lake() -> Any:
    raise AssertionError("the lake was opened")


def page() -> LocalPage:
    return LocalPage(PORT, no_lake)


def browser(page: LocalPage, base_url: str = HERE) -> TestClient:
    return TestClient(page, base_url=base_url, follow_redirects=False)


def token_of(page: LocalPage) -> str:
    return page.address.partition("token=")[2]


def test_the_printed_address_buys_a_cookie_that_scripts_and_other_sites_cannot_use():
    shown = page()
    visitor = browser(shown)

    answer = visitor.get(shown.address)

    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == f"ducklift_{PORT}"
    assert {part.strip().lower() for part in rest.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}
    assert token_of(shown) not in answer.headers["set-cookie"]
    assert answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert visitor.get("/no-such-page").status_code == 404


def test_the_address_works_once():
    shown = page()
    address = shown.address
    first, second = browser(shown), browser(shown)

    first.get(address)
    answer = second.get(address)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert second.get("/no-such-page").status_code == 401
    # Who is in may open it again from the browser's history.
    assert first.get(address).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "None", "ü"])
def test_another_token_lets_nobody_in_and_does_not_spend_the_right_one(token):
    shown = page()
    address = shown.address

    assert browser(shown).get("/", params={"token": token}).status_code == 401
    assert browser(shown).get(address).status_code == 303


def test_every_route_is_closed_without_the_cookie():
    shown = page()
    visitor = browser(shown)

    for method, path in requests_of(shown._app):
        answer = visitor.request(method, path)

        assert (method, path, answer.status_code) == (method, path, 401)
        assert answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "host", ["evil.test", f"evil.test:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.test:{PORT}", f"[::1]:{PORT}"]
)
def test_another_name_for_this_address_is_refused_also_with_token_or_cookie(host):
    """DNS rebinding: a site's own name points here, and its scripts would read the answers."""
    shown = page()
    visitor = browser(shown)
    address = shown.address

    refused = visitor.get(address, headers={"host": host})
    assert refused.status_code == 421
    assert "set-cookie" not in refused.headers
    assert refused.headers["content-security-policy"]
    assert visitor.get(address).status_code == 303
    assert visitor.get("/no-such-page", headers={"host": host}).status_code == 421


def test_localhost_is_the_same_page():
    shown = page()

    assert browser(shown, f"http://localhost:{PORT}").get(shown.address.replace("127.0.0.1", "localhost")).status_code == 303


def test_each_start_has_a_secret_of_its_own():
    tokens = {token_of(page()) for _ in range(3)}

    assert len(tokens) == 3
    assert all(re.fullmatch(r"[\w-]{43}", token) for token in tokens)


def test_there_are_no_actions_without_airflow():
    shown = page()
    visitor = browser(shown)
    visitor.get(shown.address)
    headers = {"origin": HERE, "x-ducklift-action": "1"}

    assert visitor.post("/actions/run", headers=headers, json={"pipeline": "reddit"}).status_code == 404

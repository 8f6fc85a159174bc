"""Each scripted fault, as a client meets it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import prawcore
import pytest
from sandbox_clients import fetch, names, reddit_client

from ducklift.sandbox import Fault, RedditOptions, Sandbox

PATH = "/r/python/new"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("faulty"), options=RedditOptions(requests_per_minute=None, synthetic_posts=500)) as running:
        yield running


@pytest.fixture
def sandbox(faulty: Sandbox) -> Iterator[Sandbox]:
    yield faulty
    faulty.reddit.script([])


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """Bare HTTP with a token: it retries nothing, so each fault is seen as it is sent."""
    pair = sandbox.environment["REDDIT_CLIENT_ID"], sandbox.environment["REDDIT_CLIENT_SECRET"]
    with httpx.Client(base_url=sandbox.reddit_url, trust_env=False, params={"raw_json": 1}, timeout=60) as client:
        token = client.post("/api/v1/access_token", data={"grant_type": "client_credentials"}, auth=pair).json()["access_token"]
        client.headers["authorization"] = f"bearer {token}"
        yield client


def page(client: httpx.Client, after: str | None = None, path: str = PATH) -> Any:
    return client.get(path, params={"limit": 20, "raw_json": 1, **({"after": after} if after else {})}).json()["data"]


@pytest.mark.parametrize("retry_after", [None, "7", "1.5", "-3", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_429_comes_with_the_retry_after_that_was_scripted(sandbox: Sandbox, client: httpx.Client, retry_after: str | None) -> None:
    sandbox.reddit.script([Fault("status", status=429, retry_after=retry_after)])

    answer = client.get(PATH)

    assert (answer.status_code, answer.headers.get("retry-after")) == (429, retry_after)
    assert client.get(PATH).status_code == 200


@pytest.mark.parametrize("status", [500, 502, 503, 520])
def test_a_server_error_is_answered_as_often_as_scripted(sandbox: Sandbox, client: httpx.Client, status: int) -> None:
    sandbox.reddit.script([Fault("status", status=status, times=2)])

    assert [client.get(PATH).status_code for _ in range(3)] == [status, status, 200]


@pytest.mark.parametrize("kind", ["reset_before_body", "reset_in_body"])
def test_a_reset_breaks_the_connection_with_an_rst(sandbox: Sandbox, client: httpx.Client, kind: Any) -> None:
    sandbox.reddit.script([Fault(kind)])

    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.get(PATH)
    assert client.get(PATH).status_code == 200


def test_a_reset_in_the_body_comes_after_the_head(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("reset_in_body")])

    with client.stream("GET", "/r/duckdb/about") as untouched:
        assert untouched.status_code == 200
    with client.stream("GET", PATH) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.ReadError):
            answer.read()


def test_a_hang_delays_the_normal_answer(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("hang", seconds=60)])

    with pytest.raises(httpx.ReadTimeout):
        client.get(PATH, timeout=0.2)


def test_a_sandbox_that_hangs_stops_at_once(start: Any) -> None:
    sandbox = start()
    sandbox.reddit.script([Fault("hang", endpoint="any", seconds=60)])
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{sandbox.reddit_url}/api/v1/access_token", timeout=0.2, trust_env=False)

    began = time.monotonic()
    sandbox.stop()

    assert time.monotonic() - began < 30


def test_malformed_json_is_cut_in_the_middle(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("malformed_json")])

    answer = client.get(PATH)

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_an_empty_body_comes_with_status_200(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("empty_body")])

    answer = client.get(PATH)

    assert (answer.status_code, answer.content) == (200, b"")


def test_an_empty_page_has_a_cursor(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("empty_page")])

    data = page(client)

    assert data["children"] == []
    assert data["after"]


@pytest.mark.parametrize("path", [PATH, "/r/firehose/new"])
def test_a_stuck_cursor_comes_back_as_it_was_sent(sandbox: Sandbox, client: httpx.Client, path: str) -> None:
    sandbox.reddit.script([Fault("stuck_cursor")])
    first = page(client, path=path)

    second = page(client, first["after"], path)

    assert second["after"] == first["after"]
    assert names(second) != names(first)


@pytest.mark.parametrize("path", [PATH, "/r/firehose/new"])
def test_a_repeated_page_is_the_one_before(sandbox: Sandbox, client: httpx.Client, path: str) -> None:
    sandbox.reddit.script([Fault("repeated_page")])
    first = page(client, path=path)

    assert names(page(client, first["after"], path)) == names(first)
    assert not set(names(page(client, first["after"], path))) & set(names(first))


@pytest.mark.parametrize("path", [PATH, "/r/firehose/new"])
def test_a_shifted_page_overlaps_the_one_before(sandbox: Sandbox, client: httpx.Client, path: str) -> None:
    sandbox.reddit.script([Fault("shifted_page", shift=4)])
    first = page(client, path=path)

    assert names(page(client, first["after"], path))[:4] == names(first)[-4:]


def test_null_authors_stand_in_an_otherwise_normal_page(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("null_author")])

    authors = [child["data"]["author"] for child in page(client)["children"]]

    assert authors[0] is None
    assert any(authors)


def test_missing_fields_leave_id_name_and_creation(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("missing_fields")])

    children = page(client)["children"]

    assert children[0]["data"].keys() == {"id", "name", "created_utc"}
    assert len(children[1]["data"]) > 90


def test_a_lone_surrogate_stands_in_the_first_title(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("lone_surrogate")])

    assert page(client)["children"][0]["data"]["title"][0] == "\ud83d"


def test_headers_are_laid_over_the_normal_ones(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("headers", headers={"x-ratelimit-used": "1.5", "x-ratelimit-reset": None})])

    answer = client.get(PATH)

    assert answer.headers["x-ratelimit-used"] == "1.5"
    assert "x-ratelimit-reset" not in answer.headers


def test_praw_meets_a_token_error_as_an_oauth_exception(sandbox: Sandbox) -> None:
    sandbox.reddit.script([Fault("token_error", endpoint="token")])

    with pytest.raises(prawcore.exceptions.OAuthException, match="invalid_grant"):
        fetch(reddit_client(sandbox), PATH)


def test_praw_meets_a_401_of_the_token_endpoint(sandbox: Sandbox) -> None:
    sandbox.reddit.script([Fault("status", endpoint="token", status=401)])

    with pytest.raises(prawcore.exceptions.ResponseException, match="401"):
        fetch(reddit_client(sandbox), PATH)


def test_praw_renews_a_token_that_expires_in_the_middle_of_a_listing(sandbox: Sandbox) -> None:
    reddit = reddit_client(sandbox)
    first = fetch(reddit, PATH, limit=5)
    sandbox.reddit.script([Fault("token_expired")])

    second = fetch(reddit, PATH, limit=5, after=first["after"])

    assert len(names(second)) == 5
    assert [request.path for request in sandbox.reddit.requests][-3:] == [PATH, "/api/v1/access_token", PATH]


def test_a_fault_lets_its_first_requests_pass_and_minds_its_subreddit(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("status", subreddit="Python", after=1, status=503)])

    answers = [client.get(path).status_code for path in ("/r/duckdb/new", PATH, "/r/duckdb/new", PATH, PATH)]

    assert answers == [200, 200, 200, 503, 200]


def test_faults_strike_one_after_the_other(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("status", status=500), Fault("status", status=502)])

    assert [client.get(PATH).status_code for _ in range(3)] == [500, 502, 200]


def test_a_fault_without_an_end_goes_on_until_the_script_is_emptied(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.reddit.script([Fault("status", endpoint="info", status=503, times=None)])
    struck = [client.get("/api/info", params={"id": "t3_x"}).status_code for _ in range(4)]

    sandbox.reddit.script([])

    assert struck == [503] * 4
    assert client.get("/api/info", params={"id": "t3_x"}).status_code == 200

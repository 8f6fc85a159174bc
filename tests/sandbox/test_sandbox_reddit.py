"""The local Reddit API answers as Reddit's does, to PRAW and to bare HTTP."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import praw
import prawcore
import pytest
from sandbox_clients import fetch, names, reddit_client, walk

from ducklift.sandbox import RedditOptions, Sandbox


def basic(sandbox: Sandbox) -> tuple[str, str]:
    return sandbox.environment["REDDIT_CLIENT_ID"], sandbox.environment["REDDIT_CLIENT_SECRET"]


def test_praw_reads_every_page_of_a_listing_without_a_repeat(reddit: praw.Reddit) -> None:
    posts = walk(reddit, "/r/python/new")

    assert len(posts) > 300
    assert len({post["name"] for post in posts}) == len(posts)


def test_praws_own_listing_generator_reads_the_sandbox(reddit: praw.Reddit) -> None:
    submissions = list(reddit.subreddit("duckdb").top(time_filter="all", limit=5))

    assert [submission.score for submission in submissions] == sorted((submission.score for submission in submissions), reverse=True)


def test_a_page_holds_100_posts_at_most(reddit: praw.Reddit) -> None:
    assert len(fetch(reddit, "/r/python/new", limit=500)["children"]) == 100


@pytest.mark.parametrize("limit", ["", "many", "0", "-3"])
def test_a_limit_that_makes_no_sense_gives_25_posts(reddit: praw.Reddit, limit: str) -> None:
    assert len(fetch(reddit, "/r/python/new", limit=limit)["children"]) == 25


def test_before_leads_back_to_the_page_in_front(reddit: praw.Reddit) -> None:
    first = fetch(reddit, "/r/python/hot", limit=10)
    second = fetch(reddit, "/r/python/hot", limit=10, after=first["after"])

    assert names(fetch(reddit, "/r/python/hot", limit=10, before=second["before"])) == names(first)


def test_new_is_nearly_but_not_strictly_ordered_by_creation(reddit: praw.Reddit) -> None:
    created = [post["created_utc"] for post in walk(reddit, "/r/python/new")]
    steps_back = sum(later > earlier for earlier, later in pairwise(created))

    assert 0 < steps_back < len(created) / 10


def test_a_weekly_thread_is_stickied_on_top_of_hot(start: Any) -> None:
    sandbox = start()
    client = reddit_client(sandbox)
    tops = []
    for _ in range(5):
        tops += [fetch(client, f"/r/{name}/hot", limit=1)["children"][0]["data"] for name in ("dataengineering", "duckdb")]
        sandbox.reddit.advance(timedelta(days=5))

    assert any(post["stickied"] for post in tops)


@pytest.mark.parametrize("listing", ["new", "hot", "top", "rising", "controversial"])
def test_every_listing_has_posts(reddit: praw.Reddit, listing: str) -> None:
    assert walk(reddit, f"/r/python/{listing}", t="all")


def test_top_of_the_day_holds_only_posts_of_the_last_24_hours(reddit: praw.Reddit) -> None:
    newest = max(post["created_utc"] for post in walk(reddit, "/r/python/new"))

    posts = walk(reddit, "/r/python/top", t="day")

    assert 0 < len(posts) < 40
    assert all(post["created_utc"] > newest - 25 * 3600 for post in posts)


def test_the_listing_ends_at_its_cap(start: Any) -> None:
    sandbox = start(options=RedditOptions(listing_cap=230, requests_per_minute=None))

    assert len(walk(reddit_client(sandbox), "/r/python/new")) == 230


def test_a_cursor_goes_on_working_when_its_post_is_taken_down(start: Any) -> None:
    sandbox = start()
    client = reddit_client(sandbox)
    before = [post["name"] for post in walk(client, "/r/python/new")]
    sandbox.reddit.advance(timedelta(days=2))
    still_there = {post["name"] for post in walk(client, "/r/python/new")}
    position, gone = next((place, name) for place, name in enumerate(before) if name not in still_there)

    following = names(fetch(client, "/r/python/new", limit=1, after=gone))

    assert following[0] == next(name for name in before[position:] if name in still_there)


def test_a_cursor_that_was_never_given_out_ends_the_listing(reddit: praw.Reddit) -> None:
    data = fetch(reddit, "/r/python/new", after="t3_nonsense")

    assert (data["children"], data["after"]) == ([], None)


def test_posts_carry_about_a_hundred_fields_and_the_documented_oddities(reddit: praw.Reddit) -> None:
    posts = [post for name in ("python", "dataengineering", "dataisbeautiful", "selfhosted") for post in walk(reddit, f"/r/{name}/new")]

    assert all(95 <= len(post) <= 125 for post in posts)
    assert {type(post["edited"]) for post in posts} == {bool, float}
    assert any(post["edited"] is True for post in posts)
    assert any(post["author"] is None for post in posts)
    assert any(post["author"] == "[deleted]" and "author_fullname" not in post for post in posts)
    assert any("upvote_ratio" not in post and "spoiler" not in post for post in posts)
    assert any("subreddit" not in post and post["promoted"] for post in posts)
    assert any(post.get("gallery_data", 0) is None for post in posts)
    assert all(post["created"] != post["created_utc"] for post in posts)
    for field in ("poll_data", "crosspost_parent_list", "is_gallery", "link_flair_text"):
        assert any(post.get(field) for post in posts), field
    for field in ("over_18", "is_video", "locked"):
        assert any(post[field] for post in posts), field


def test_info_returns_the_posts_asked_for_in_that_order(reddit: praw.Reddit) -> None:
    some = names(fetch(reddit, "/r/duckdb/new", limit=3))[::-1]

    assert names(fetch(reddit, "/api/info", id=",".join([*some, "t3_unknown"]))) == some


def test_info_blanks_a_post_that_was_taken_down(start: Any) -> None:
    sandbox = start()
    client = reddit_client(sandbox)
    before = {post["name"]: post for post in walk(client, "/r/python/new")}
    sandbox.reddit.advance(timedelta(days=3))
    gone = sorted(before.keys() - {post["name"] for post in walk(client, "/r/python/new")})

    blanked = [child["data"] for child in fetch(client, "/api/info", id=",".join(gone))["children"]]

    assert len(blanked) == len(gone) > 0
    assert {post["author"] for post in blanked} == {"[deleted]"}
    assert {post["selftext"] for post in blanked} <= {"[removed]", "[deleted]"}
    assert all(post["removed_by_category"] for post in blanked)


def test_about_describes_the_subreddit(reddit: praw.Reddit) -> None:
    assert reddit.subreddit("DuckDB").display_name == "DuckDB"
    assert fetch(reddit, "/r/DuckDB/about")["display_name"] == "duckdb"


@pytest.mark.parametrize(
    ("subreddit", "error", "reason"),
    [
        ("private_example", prawcore.exceptions.Forbidden, "private"),
        ("quarantined_example", prawcore.exceptions.Forbidden, "quarantined"),
        ("banned_example", prawcore.exceptions.NotFound, "banned"),
    ],
)
def test_a_closed_subreddit_is_refused_with_its_reason(reddit: praw.Reddit, subreddit: str, error: type, reason: str) -> None:
    with pytest.raises(error) as refusal:
        fetch(reddit, f"/r/{subreddit}/new")

    assert refusal.value.response.json()["reason"] == reason


def test_a_missing_subreddit_redirects_to_the_search_for_subreddits(reddit: praw.Reddit) -> None:
    with pytest.raises(prawcore.exceptions.Redirect, match="/subreddits/search"):
        fetch(reddit, "/r/missing_example/new")


def test_a_name_that_no_subreddit_can_have_is_not_found(reddit: praw.Reddit) -> None:
    with pytest.raises(prawcore.exceptions.NotFound):
        fetch(reddit, "/r/no-such!name/new")


def test_a_wrong_client_secret_is_refused(shared: Sandbox, http: httpx.Client) -> None:
    answer = http.post("/api/v1/access_token", data={"grant_type": "client_credentials"}, auth=(basic(shared)[0], "wrong"))

    assert answer.status_code == 401


def test_another_grant_than_client_credentials_is_an_error_in_a_200(shared: Sandbox, http: httpx.Client) -> None:
    answer = http.post("/api/v1/access_token", data={"grant_type": "password"}, auth=basic(shared))

    assert (answer.status_code, answer.json()) == (200, {"error": "unsupported_grant_type"})


@pytest.mark.parametrize("headers", [{}, {"authorization": "bearer invented"}])
def test_a_listing_without_a_valid_token_is_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    answer = http.get("/r/python/new", headers=headers)

    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_strings_are_escaped_unless_raw_json_is_asked_for(start: Any) -> None:
    sandbox = start()
    with httpx.Client(base_url=sandbox.reddit_url, trust_env=False) as client:
        token = client.post("/api/v1/access_token", data={"grant_type": "client_credentials"}, auth=basic(sandbox)).json()["access_token"]
        client.headers["authorization"] = f"bearer {token}"
        escaped, raw = client.get("/r/duckdb/new?limit=100").text, client.get("/r/duckdb/new?limit=100&raw_json=1").text

    assert "(a &lt; b, no tricks)" in escaped
    assert "(a < b, no tricks)" in raw


def test_the_quota_is_counted_in_headers_and_then_enforced(start: Any) -> None:
    sandbox = start(options=RedditOptions(requests_per_minute=1))
    with httpx.Client(base_url=sandbox.reddit_url, trust_env=False) as client:
        token = client.post("/api/v1/access_token", data={"grant_type": "client_credentials"}, auth=basic(sandbox)).json()["access_token"]
        answers = [client.get("/r/duckdb/about", headers={"authorization": f"bearer {token}"}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers][:2] == ["9.0", "8.0"]
    assert [answer.headers["x-ratelimit-used"] for answer in answers][:2] == ["1", "2"]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 600


def test_every_answer_says_that_it_comes_from_a_sandbox(http: httpx.Client) -> None:
    answers = [http.get("/"), http.get("/r/python/new"), http.get("/nowhere"), http.request("TRACE", "/")]

    assert {answer.headers["x-ducklift-sandbox"] for answer in answers} == {"true"}
    assert "This is a sandbox, not Reddit" in answers[0].text


def test_requests_are_recorded_in_order(start: Any) -> None:
    sandbox = start()
    fetch(reddit_client(sandbox), "/r/duckdb/new", limit=7)

    token, listing = sandbox.reddit.requests

    assert token == ("POST", "/api/v1/access_token", {})
    assert listing == ("GET", "/r/duckdb/new", {"limit": "7", "raw_json": "1"})


def test_the_firehose_yields_exactly_its_number_of_posts_newest_first(reddit: praw.Reddit) -> None:
    posts = walk(reddit, "/r/firehose/new")

    assert len(posts) == len({post["name"] for post in posts}) == 1_234
    assert [post["created_utc"] for post in posts] == sorted((post["created_utc"] for post in posts), reverse=True)
    assert all(post["subreddit"] == "firehose" and len(post) > 95 for post in posts)
    assert posts[0]["id"] in posts[0]["permalink"]


def test_info_finds_posts_of_the_firehose(reddit: praw.Reddit) -> None:
    some = names(fetch(reddit, "/r/firehose/new", limit=2))

    assert names(fetch(reddit, "/api/info", id=",".join(some))) == some


def test_the_server_listens_on_loopback_alone(shared: Sandbox) -> None:
    assert shared.reddit_url.startswith("http://127.0.0.1:")
    assert shared.s3_url.startswith("http://127.0.0.1:")


def test_a_connection_that_will_be_closed_is_announced_as_such(shared: Sandbox, http: httpx.Client) -> None:
    answer = http.get("/", headers={"connection": "close"})

    assert answer.headers["connection"] == "close"

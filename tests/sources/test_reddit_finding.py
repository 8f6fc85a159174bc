"""Posts of users and searches, and posts that are read again for their scores."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from ducklift.errors import ExtractionIncomplete, SourceUnavailable, StreamRefused
from ducklift.sandbox import Fault, RedditOptions, Sandbox
from ducklift.sources.base import ReadReport, SliceRequest
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_client import Patience

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def find(read):
    """Read one stream of a source; `read.report` tells of it."""

    def found(stream: str, *, watermark: float | None = None, known: list[str] | None = None, **config: Any) -> list[dict[str, Any]]:
        read.report = ReadReport()
        request = SliceRequest(stream, NOW, NOW, watermark, watermark, known=lambda: [known or []])
        return [record for batch in RedditSource(**config).read(request, read.settings, read.report) for record in batch]

    return found


@pytest.fixture
def author(read) -> str:
    """Return who wrote most in r/python."""
    return Counter(post["author"] for post in read("python/new") if post.get("author") not in (None, "[deleted]")).most_common(1)[0][0]


def searching(find, **search: Any):
    config = {"query": "measure first", "subreddit": "python", **search}
    return find(f"search:{config.get('name') or 'python/measure first'}", searches=[config])


def test_a_users_posts_are_a_stream_that_may_move_its_watermark(find, read, author):
    posts = find(f"user:{author}/new", users=[author])

    assert {post["author"] for post in posts} == {author}
    assert len(posts) > 1
    assert read.report.ordered_and_complete
    assert read.report.request["path"] == f"user/{author}/submitted"


def test_an_incremental_reading_of_a_user_stops_at_the_cursor(find, read, author):
    times = [post["created_utc"] for post in find(f"user:{author}/new", users=[author])]
    find(f"user:{author}/new", users=[author], watermark=max(times) + 1)

    assert read.report.request["stopped_because"] == "reached the cursor"


def test_a_search_reads_what_holds_its_words_in_its_subreddit_only(find, read):
    posts = searching(find)

    assert len(posts) > 3
    assert {post.get("subreddit", "python") for post in posts} == {"python"}
    assert all("measure" in f"{post['title']} {post['selftext']}".lower() for post in posts)
    assert read.report.ordered_and_complete


def test_a_search_without_a_subreddit_finds_posts_everywhere(find, read):
    posts = find("search:zones", searches=[{"query": "measure first", "name": "zones", "sort": "top"}])

    assert len({post["subreddit"] for post in posts if "subreddit" in post}) > 1
    assert not read.report.ordered_and_complete


def test_a_search_that_ends_at_its_cap_above_the_watermark_reports_the_gap(find, read):
    posts = find("search:a", searches=["a"])
    oldest = min(post["created_utc"] for post in posts)

    find("search:a", searches=["a"], watermark=oldest - 86_400)

    assert len(posts) == 250
    assert read.report.gap == (oldest - 86_400, oldest)


def test_posts_that_are_known_are_read_again_a_hundred_at_a_time(find, read):
    known = [post["name"] for post in read("python/new")][:250]

    def again() -> None:
        assert sorted(post["name"] for post in find("refresh:posts", known=known, subreddits=["python"], refresh="3d")) == sorted(known)

    assert [len(each.query["id"].split(",")) for each in read.asked(again) if each.path == "/api/info"] == [100, 100, 50]
    assert read.report.request["missing"] == 0
    assert not read.report.ordered_and_complete


def test_a_known_post_that_reddit_no_longer_tells_of_is_counted(find, read):
    known = [post["name"] for post in read("python/new")][:3]

    assert len(find("refresh:posts", known=[*known, "t3_gone"], subreddits=["python"], refresh="3d")) == 3
    assert read.report.request["missing"] == 1


def test_nothing_known_is_nothing_asked(find, read):
    assert read.asked(lambda: find("refresh:posts", subreddits=["python"], refresh="3d")) == []


@pytest.mark.parametrize(("kind", "says"), [("nothing_found", "told nothing of all 3"), ("others_found", "answered about others")])
def test_a_broken_answer_about_known_posts_fails_the_run(find, read, kind, says):
    known = [post["name"] for post in read("python/new")][:3]
    read.script(Fault(kind, endpoint="info"))

    with pytest.raises(ExtractionIncomplete, match=says):
        find("refresh:posts", known=known, subreddits=["python"], refresh="3d")


STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "user": ("user:{author}/new", {"users": ["{author}"]}),
    "search": ("search:a", {"searches": ["a"]}),
    "info": ("refresh:posts", {"subreddits": ["python"], "refresh": "3d"}),
}


@pytest.mark.parametrize("endpoint", STREAMS)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 429, "retry_after": "3"},
        {"kind": "status", "status": 503},
        {"kind": "reset_in_body"},
        {"kind": "malformed_json"},
        {"kind": "empty_body"},
        {"kind": "token_expired"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_passing_fault_costs_a_retry_and_no_post(find, read, author, endpoint, fault):
    whole, disturbed = read_twice(find, read, author, endpoint, Fault(**fault, endpoint=endpoint))

    assert disturbed == whole
    assert read.report.retries == 1


@pytest.mark.parametrize("patience", [Patience(timeout_s=2)])
@pytest.mark.parametrize("endpoint", STREAMS)
def test_an_answer_that_hangs_is_asked_for_again_and_costs_no_post(find, read, author, endpoint):
    whole, disturbed = read_twice(find, read, author, endpoint, Fault("hang", seconds=60, endpoint=endpoint))

    assert disturbed == whole
    assert read.report.retries >= 1


def read_twice(find, read, author, endpoint, fault) -> tuple[list[str], list[str]]:
    """Return the names of a stream's posts as they are read undisturbed, and with a fault."""
    stream, config = STREAMS[endpoint]
    known = [post["name"] for post in read("python/new")][:3]
    arguments = {**config, **({"users": [author]} if endpoint == "user" else {})}
    whole = find(stream.format(author=author), known=known, **arguments)
    read.script(fault)
    disturbed = find(stream.format(author=author), known=known, **arguments)
    return [post["name"] for post in whole], [post["name"] for post in disturbed]


@pytest.mark.parametrize("endpoint", ["user", "search"])
@pytest.mark.parametrize(
    ("fault", "error"), [(Fault("empty_page"), ExtractionIncomplete), (Fault("status", status=503, times=None), SourceUnavailable)], ids=str
)
def test_an_end_without_reason_fails_the_run(find, read, author, endpoint, fault, error):
    from dataclasses import replace

    stream, config = STREAMS[endpoint]
    read.script(replace(fault, endpoint=endpoint))

    with pytest.raises(error):
        find(stream.format(author=author), **{**config, **({"users": [author]} if endpoint == "user" else {})})


@pytest.mark.parametrize("kind", ["null_author", "missing_fields"])
def test_posts_that_lack_something_pass_through(find, read, kind):
    whole = searching(find)
    read.script(Fault(kind, endpoint="search"))

    assert [post["name"] for post in searching(find)] == [post["name"] for post in whole]


@pytest.mark.parametrize(
    ("stream", "config", "says"),
    [
        ("user:nobody_at_all/new", {"users": ["nobody_at_all"]}, "no such user"),
        ("user:suspended_example/new", {"users": ["suspended_example"]}, "suspended"),
        ("user:ä/new", {"users": ["ä"]}, "malformed name"),
        ("search:x", {"searches": [{"query": "a", "name": "x", "subreddit": "private_example"}]}, "private"),
        ("search:x", {"searches": [{"query": "a", "name": "x", "subreddit": "no such"}]}, "no name of a subreddit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_reddit_will_not_give_is_refused_by_name(find, stream, config, says):
    with pytest.raises(StreamRefused, match=says):
        find(stream, **config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "at least 1 item under subreddits, users or searches"),
        ({"users": ["u/me"]}, "without u/, as 'me'"),
        ({"users": ["me_too", "Me_Too"]}, "named twice"),
        ({"users": ["someone"], "listing": "rising"}, "no listing 'rising'"),
        ({"searches": [{"query": ""}]}, "at least 1 character"),
        ({"searches": ["a", "a"]}, "two streams have one name: search:a"),
        ({"subreddits": ["python"], "comments": {"requests": 0}}, "greater than or equal to 1"),
        ({"subreddits": ["python"], "refresh": "soon"}, "is not a duration"),
    ],
    ids=str,
)
def test_a_bad_configuration_says_what_to_write(config, says):
    with pytest.raises(ValidationError, match=says):
        RedditSource(**config)


def test_every_kind_of_stream_has_a_name_of_its_own_and_comments_are_off_unless_asked_for():
    config: dict[str, Any] = {"subreddits": ["python"], "users": ["someone"], "searches": ["duckdb"], "refresh": "3d"}

    assert list(RedditSource(**config).streams()) == ["python/new", "user:someone/new", "search:duckdb", "refresh:posts"]
    assert list(RedditSource(**config, comments={}).streams())[-1] == "comments:python"
    assert list(RedditSource(**config, comments={"enabled": False}).streams())[-1] == "refresh:posts"


def test_only_newest_first_readings_use_a_watermark():
    source = RedditSource(
        subreddits=["python"], users=["someone"], searches=["a", {"query": "b", "sort": "top"}], comments={}, refresh="3d"
    )

    assert [stream for stream in source.streams() if source.stream_uses_watermark(stream)] == ["python/new", "user:someone/new", "search:a"]


def test_the_form_narrows_users_and_searches_and_leaves_the_rest_as_it_is():
    source = RedditSource(subreddits=["python"], users=["someone", "another"], searches=["a", "b"], comments={}, refresh="3d")
    chosen = source.with_options({"users": ["another"], "searches": [], "listing": "top"})

    assert list(chosen.streams()) == ["python/top", "user:another/top", "refresh:posts", "comments:python"]
    assert [chosen.effective_stream(stream) for stream in source.streams()] == [
        "python/top", None, "user:another/top", None, None, "refresh:posts", "comments:python",
    ]  # fmt: skip


@pytest.mark.parametrize("moved", [timedelta(days=2)])
def test_scores_of_known_posts_have_moved_when_they_are_read_again(tmp_path, read, find, moved):
    with Sandbox(tmp_path / "moving", options=RedditOptions(requests_per_minute=None)) as sandbox:
        read.sandbox = sandbox
        before = {post["name"]: post["score"] for post in read("python/new", limit=50)}
        sandbox.reddit.advance(moved)
        after = {post["name"]: post["score"] for post in find("refresh:posts", known=list(before), subreddits=["python"], refresh="3d")}

    assert after.keys() == before.keys()
    assert sum(after[name] > before[name] for name in before) > 10

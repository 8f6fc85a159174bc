"""Comments of a subreddit's latest posts: flat rows, the whole tree, within a budget that hides nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ducklift.errors import ExtractionIncomplete, SourceUnavailable, StreamRefused
from ducklift.sandbox import Fault, RedditOptions, Sandbox
from ducklift.sources.base import ReadReport, SliceRequest
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_answers import Fault as Malformed
from ducklift.sources.reddit_comments import parse_more, parse_page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PER_PAGE = 7
NOTHING = {"kind": "Listing", "data": {"children": []}}


@pytest.fixture(scope="module")
def discussed(tmp_path_factory: pytest.TempPathFactory):
    """A sandbox two days on, without a quota."""
    with Sandbox(tmp_path_factory.mktemp("discussed"), options=RedditOptions(requests_per_minute=None)) as sandbox:
        sandbox.reddit.advance(timedelta(days=2))
        yield sandbox


@pytest.fixture
def comments(read, discussed):
    """Read the comments of r/python and return them; `read.report` tells of it."""
    read.sandbox = discussed
    discussed.reddit.script([])

    def comments_of(subreddit: str = "python", **config: Any) -> list[dict[str, Any]]:
        source = RedditSource(subreddits=(subreddit,), comments={"requests": 10_000, "per_page": PER_PAGE, "since": "3d", **config})
        read.report = ReadReport()
        request = SliceRequest(f"comments:{subreddit}", NOW, NOW)
        return [record for batch in source.read(request, read.settings, read.report) for record in batch]

    yield comments_of
    discussed.reddit.script([])


def test_every_comment_of_the_posts_is_read_once_with_its_place_in_the_tree(comments, read):
    records = comments()
    told = read.report.request
    depths = {record["name"]: record["depth"] for record in records}

    assert len(depths) == len(records) == told["comments"] > 100
    assert told["cut_off"] == {"posts": [], "comments": 0, "comments_of": {}}
    assert told["posts_read"] == told["posts"] > 3
    assert max(depths.values()) > 10  # some branches have a page of their own
    assert all(record["parent_id"] == record["link_id"] for record in records if record["depth"] == 0)
    assert all(depths[record["parent_id"]] == record["depth"] - 1 for record in records if record["depth"] > 0)
    assert not read.report.ordered_and_complete


def test_as_many_comments_are_read_as_the_posts_say_they_have(comments, read):
    records = comments()
    posts = [post for post in read("python/new") if f"t3_{post['id']}" in {record["link_id"] for record in records}]

    assert len(records) == sum(post["num_comments"] for post in posts)


def test_a_row_holds_the_comment_as_reddit_gave_it_without_its_replies(comments):
    record = comments()[0]

    assert {"body", "score", "created_utc", "is_submitter", "controversiality"} <= record.keys()
    assert "replies" not in record


@pytest.mark.parametrize("budget", [40, 90])
def test_what_the_budget_cut_off_is_told(comments, read, budget):
    whole = len(comments())

    records = comments(requests=budget)
    told = read.report.request

    assert told["requests"] == budget == told["budget"]
    assert told["posts_read"] + len(told["cut_off"]["posts"]) == told["posts"]
    assert 0 < len(records) < whole
    assert sum(told["cut_off"]["comments_of"].values()) == told["cut_off"]["comments"] > 0


def test_a_deleted_comment_keeps_its_place(comments):
    bodies = {record["body"] for record in comments() if record["author"] == "[deleted]"}

    assert bodies == {"[deleted]", "[removed]"}


@pytest.mark.parametrize("endpoint", ["comments", "morechildren"])
@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 503}, {"kind": "reset_in_body"}, {"kind": "malformed_json"}, {"kind": "empty_body"}], ids=str
)
def test_a_passing_fault_loses_no_comment(comments, read, discussed, endpoint, fault):
    whole = {record["name"] for record in comments(since="1d")}
    discussed.reddit.script([Fault(**fault, endpoint=endpoint, after=1)])

    assert {record["name"] for record in comments(since="1d")} == whole
    assert read.report.retries == 1


def test_a_fault_that_does_not_pass_fails_the_run(comments, discussed):
    discussed.reddit.script([Fault("status", status=503, endpoint="comments", times=None)])

    with pytest.raises(SourceUnavailable, match="comments:python"):
        comments()


def test_a_post_that_is_gone_by_now_is_told_and_the_others_are_read(comments, read, discussed):
    discussed.reddit.script([Fault("status", status=404, endpoint="comments", times=1)])

    assert comments()
    assert len(read.report.request["posts_gone"]) == 1


def test_pages_that_are_all_refused_fail_the_run(comments, discussed):
    discussed.reddit.script([Fault("status", status=403, endpoint="comments", times=None)])

    with pytest.raises(ExtractionIncomplete, match="the comments of none"):
        comments()


def test_a_private_subreddit_is_refused_by_name(comments):
    with pytest.raises(StreamRefused, match="private"):
        comments("private_example")


def test_an_empty_page_of_the_posts_fails_the_run(comments, discussed):
    discussed.reddit.script([Fault("empty_page", endpoint="listing")])

    with pytest.raises(ExtractionIncomplete, match="page 1 of the listing is empty"):
        comments()


@pytest.mark.parametrize(
    "document",
    [None, {}, [], [{}, {}], [NOTHING, {"kind": "Listing", "data": {"children": [{}]}}]],
    ids=str,
)
def test_what_is_no_page_of_comments_is_refused(document):
    with pytest.raises(Malformed):
        parse_page(document, "abc")


@pytest.mark.parametrize("document", [None, [], {"json": {"errors": [["X"]], "data": {"things": []}}}, {"json": {"data": {}}}], ids=str)
def test_what_holds_no_further_comments_is_refused(document):
    with pytest.raises(Malformed):
        parse_more(document)

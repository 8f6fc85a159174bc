from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ducklift.errors import ConfigurationError, ExtractionIncomplete
from ducklift.sandbox import Fault
from ducklift.sources.reddit import RedditSource


def times(records):
    return [record["created_utc"] for record in records]


def test_a_first_run_reads_every_post_of_the_listing_once(read):
    records = read("python/new")

    assert len(records) == len({record["name"] for record in records}) > 200
    assert {record.get("subreddit", "python") for record in records} == {"python"}
    assert read.report.ordered_and_complete
    assert read.report.gap is None
    assert read.report.retries == 0


def test_records_pass_untouched_with_every_field(read):
    records = read("python/new")

    assert all("created_utc" in record and "all_awardings" in record and "kind" not in record for record in records)


def test_a_page_holds_at_most_a_hundred_posts(read):
    read("python/new")

    assert len(read.batches) > 2
    assert [len(batch) for batch in read.batches[:-1]] == [100] * (len(read.batches) - 1)


def test_pages_are_asked_for_raw_with_the_cursor_and_the_count(read):
    pages = [request.query for request in read.asked(read) if request.method == "GET"]

    assert pages[0] == {"limit": "100", "raw_json": "1"}
    assert pages[1] == {"limit": "100", "raw_json": "1", "after": read.batches[0][-1]["name"], "count": "100"}


def test_the_report_says_what_was_asked_and_why_it_stopped(read):
    records = read("python/new")

    assert read.report.request == {
        "path": "r/python/new",
        "listing": "new",
        "time_filter": None,
        "limit": None,
        "pages": len(read.batches),
        "first": records[0]["name"],
        "last": records[-1]["name"],
        "stopped_because": "end of the listing",
    }


def test_a_page_wholly_older_than_the_cursor_ends_an_incremental_reading(read):
    everything = read("python/new")
    cursor = sorted(times(everything))[-30]

    records = read("python/new", watermark=cursor)

    assert len(read.batches) == 2
    assert {r["name"] for r in everything if r["created_utc"] >= cursor} <= {r["name"] for r in records}
    assert read.report.request["stopped_because"] == "reached the cursor"
    assert read.report.ordered_and_complete
    assert read.report.gap is None


def test_a_page_that_holds_one_newer_post_does_not_end_the_reading(read):
    cursor = sorted(times(read("python/new")))[-150]

    read("python/new", watermark=cursor)

    assert len(read.batches) == 3


def test_an_initial_date_bounds_a_first_run(read):
    everything = read("python/new")
    moment = datetime.fromtimestamp(sorted(times(everything))[-30], UTC)

    read("python/new", cursor_from=moment.isoformat())

    assert len(read.batches) == 2
    assert read.report.ordered_and_complete


def test_a_cursor_that_is_no_moment_is_refused(read):
    with pytest.raises(ConfigurationError, match="created_utc"):
        read("python/new", cursor_from="t3_abc")


def test_an_incremental_run_that_hits_the_cap_above_its_watermark_reports_the_gap_and_moves_on(capped):
    first = capped("python/new")
    watermark = min(times(first)) - 3600.0

    capped("python/new", watermark=watermark)

    assert capped.report.gap == (watermark, min(times(first)))
    assert capped.report.ordered_and_complete
    assert capped.report.request["stopped_because"] == "reached the cap"


def test_an_incremental_run_that_reaches_its_watermark_at_the_cap_has_no_gap(capped):
    first = capped("python/new")

    capped("python/new", watermark=min(times(first)), cursor_from=min(times(first)) - 7200)

    assert capped.report.gap is None
    assert capped.report.ordered_and_complete


def test_a_first_run_that_hits_the_cap_has_no_gap(capped):
    assert len(capped("python/new")) == 200
    assert capped.report.gap is None
    assert capped.report.ordered_and_complete


def test_a_promoted_item_proves_nothing_about_how_far_was_read(capped, monkeypatch):
    from ducklift.sources import reddit_client

    parse = reddit_client.parse_listing

    def with_an_old_advertisement(document):
        document["data"]["children"].append({"kind": "t3", "data": {"name": "t3_ad", "created_utc": 1.0, "promoted": True}})
        return parse(document)

    monkeypatch.setattr(reddit_client, "parse_listing", with_an_old_advertisement)
    records = capped("python/new", watermark=1_000_000.0)

    assert "t3_ad" in {record["name"] for record in records}
    assert capped.report.gap is not None


def test_a_limit_stops_there_and_moves_no_watermark(read):
    records = read("python/new", limit=130)

    assert len(records) == 130
    assert not read.report.ordered_and_complete
    assert read.report.request["stopped_because"] == "limit"


def test_a_limit_of_one_page_asks_for_one_page_of_that_size(read):
    pages = [request for request in read.asked(lambda: read("python/new", limit=7)) if request.method == "GET"]

    assert [page.query["limit"] for page in pages] == ["7"]


@pytest.mark.parametrize("listing", ["hot", "top", "rising", "controversial"])
def test_other_listings_are_read_to_their_end_and_move_no_watermark(read, listing):
    records = read(f"python/{listing}", time_filter="all", watermark=9e9)

    assert records
    assert read.report.request["stopped_because"] == "end of the listing"
    assert not read.report.ordered_and_complete


def test_the_time_filter_goes_along_where_the_listing_knows_one(read):
    asked = read.asked(lambda: (read("python/top", time_filter="week"), read("python/hot", time_filter="week")))

    assert {request.query.get("t") for request in asked if request.path.endswith("/top")} == {"week"}
    assert {request.query.get("t") for request in asked if request.path.endswith("/hot")} == {None}
    assert read("python/top", time_filter="day") != read("python/top", time_filter="all")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("empty_page", after=1), "page 2 of the listing is empty"),
        (Fault("empty_page"), "page 1 of the listing is empty"),
        (Fault("stuck_cursor"), "page 2 of the listing leads back"),
        (Fault("repeated_page"), "page 2 of the listing leads back"),
    ],
)
def test_a_listing_that_ends_without_reason_fails_the_run(read, fault, says):
    read.script(fault)

    with pytest.raises(ExtractionIncomplete, match=says):
        read("python/new")

    assert not read.report.ordered_and_complete
    assert read.report.request["stopped_because"] is None


def test_an_empty_answer_to_a_cursor_that_is_gone_fails_the_run(read, monkeypatch):
    from ducklift.sources.reddit_listings import ListingReading

    params = ListingReading.params
    monkeypatch.setattr(ListingReading, "params", lambda self: params(self) | ({"after": "t3_gone"} if self.after else {}))

    with pytest.raises(ExtractionIncomplete, match="page 2 of the listing is empty"):
        read("python/new")


def test_pages_that_shift_meanwhile_repeat_posts_and_lose_none(read):
    everything = {record["name"] for record in read("python/new")}
    read.script(Fault("shifted_page", shift=10))

    records = read("python/new")

    assert len(records) == len(everything) + 10
    assert {record["name"] for record in records} == everything
    assert read.report.ordered_and_complete


def test_posts_with_null_authors_and_missing_fields_pass_through(read):
    read.script(Fault("null_author"), Fault("missing_fields", after=1))

    records = read("python/new")

    assert any("author" in record and record["author"] is None for record in records)
    assert any(set(record) == {"id", "name", "created_utc"} for record in records)
    assert read.report.ordered_and_complete


def test_half_a_surrogate_pair_passes_through(read):
    read.script(Fault("lone_surrogate"))

    assert read("python/new")[0]["title"].startswith("\ud83d ")


def test_a_stream_that_the_source_does_not_have_is_refused(read):
    from ducklift.sources.base import ReadReport, SliceRequest

    source = RedditSource(subreddits=("python",))
    request = SliceRequest("duckdb/new", datetime.now(UTC), datetime.now(UTC))

    with pytest.raises(ConfigurationError, match="python/new"):
        next(source.read(request, read.settings, ReadReport()))

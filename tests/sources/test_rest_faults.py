"""An API that fails, lies or ends early: outlasted where waiting helps, and never a reading with fewer records."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scripted_api import Says, birds, cursor, header_link, json_link, offset, page_number

from ducklift.errors import ConfigurationError, ExtractionIncomplete, ReadingLimit, SourceThrottled, SourceUnavailable, StreamRefused

BIRDS = birds(25)
GOOD = Says(BIRDS)


PASSING_FAULTS = {
    "429": Says(status=429),
    "429 with a wait": Says(status=429, headers={"retry-after": "3"}),
    "429 with an odd wait": Says(status=429, headers={"retry-after": "soon"}),
    "403 for a spent quota": Says(status=403, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4"}),
    "503": Says({"message": "try again"}, 503),
    "520": Says(status=520),
    "408": Says(status=408),
    "reset before the body": Says(BIRDS, cut_after=0),
    "reset in mid-body": Says(BIRDS, cut_after=100),
    "cut JSON": Says(raw=b'[{"id": 1}, {"id"'),
    "an empty body": Says(raw=b""),
    "HTML": Says(raw=b"<html>We are down</html>", headers={"content-type": "text/html"}),
    "NaN": Says(raw=b'[{"x": NaN}]'),
    "a cut gzip": Says(raw=gzip.compress(b"[]" * 999)[:40], headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("fault", PASSING_FAULTS.values(), ids=PASSING_FAULTS)
def test_a_passing_fault_is_outlasted_and_no_record_is_lost_or_read_twice(rest, fault):
    rest.api.on("/birds", header_link(BIRDS))
    good = header_link(BIRDS)
    rest.api.script("/birds", fault)
    rest.api.on("/birds", good)

    assert rest("birds") == BIRDS
    assert rest.report.retries == len(rest.waits_s) == 1
    assert rest.report.ordered_and_complete


def test_the_wait_that_the_server_asks_for_is_kept(rest):
    rest.api.on("/birds", GOOD)
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    moment = str((datetime.now(UTC) + timedelta(seconds=90)).timestamp())
    quota = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": moment}
    rest.api.script(
        "/birds",
        Says(status=429, headers={"retry-after": "17"}),
        Says(status=503, headers={"retry-after": later}),
        Says(status=403, headers=quota),
    )

    rest("birds")

    told, until_later, until_moment = rest.waits_s
    assert 17 <= told <= 18
    # A moment comes nearer while the requests before are made; each wait bears up to a second of its own.
    assert 30 < until_later <= 61
    assert 60 < until_moment <= 91


def test_a_wait_longer_than_the_patience_is_left_to_the_next_run(rest):
    rest.api.on("/birds", Says(status=429, headers={"retry-after": "200"}))

    with pytest.raises(SourceThrottled, match="asks to wait for 200 s") as caught:
        rest("birds")

    assert (caught.value.retry_after_s, rest.waits_s) == (200, [])


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (Says(status=503), SourceUnavailable),
        (Says(status=429), SourceThrottled),
        (Says(raw=b"no json"), ExtractionIncomplete),
        (Says(raw=b""), ExtractionIncomplete),
        (Says(BIRDS, cut_after=9), SourceUnavailable),
    ],
)
def test_a_source_that_stays_away_is_asked_a_bounded_number_of_times(rest, says, error):
    rest.api.on("/birds", says)

    with pytest.raises(error, match="birds"):
        rest("birds", retries={"attempts": 3})

    assert len(rest.api.asked) == 3
    assert not rest.report.ordered_and_complete


def test_all_waits_of_a_reading_have_one_budget(rest):
    rest.api.on("/birds", header_link(BIRDS))
    rest.api.script("/birds", *[Says(status=503)] * 9)

    with pytest.raises(SourceUnavailable):
        rest("birds", retries={"attempts": 20, "budget": "10s"})

    assert sum(rest.waits_s) <= 10


def test_a_server_that_is_not_there_is_unavailable(rest):
    with pytest.raises(SourceUnavailable, match="the connection failed"):
        rest("birds", base_url="http://127.0.0.1:9", retries={"attempts": 1})


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (Says({"message": "No such list"}, 404), r"HTTP 404 from GET /birds \(No such list\)"),
        (Says({"error": {"code": 7}}, 400), r"HTTP 400 from GET /birds\. Check path"),
        (Says(status=403), "do not allow this"),
        (Says(status=410), "HTTP 410"),
    ],
)
def test_a_refusal_is_named_at_once(rest, says, words):
    rest.api.on("/birds", says)

    with pytest.raises(StreamRefused, match=words):
        rest("birds")

    assert rest.waits_s == []


def test_response_actions_leave_out_ask_again_or_fail(rest):
    rest.api.on("/nests", [{"id": 1}, {"id": 2}, {"id": 3}])
    rest.api.on("/nests/1/eggs", Says(status=404))
    rest.api.on("/nests/2/eggs", [{"egg": 2}])
    rest.api.on("/nests/3/eggs", [{"egg": 3}])
    rest.api.script("/nests/2/eggs", Says({"note": "still counting"}), Says(status=418))
    actions = [
        {"status_code": 404, "action": "ignore"},
        {"content": "still counting", "action": "retry"},
        {"status_code": 418, "action": "retry"},
    ]
    eggs = {"name": "eggs", "endpoint": {"path": "nests/{resources.nests.id}/eggs", "response_actions": actions}}

    assert rest("nests", eggs) == [{"egg": 2}, {"egg": 3}]
    assert rest.report.request["ignored_answers"] == 1
    rest.api.on("/nests/3/eggs", Says([{"egg": 3}], headers={"x": "y"}))
    actions.append({"content": '"egg": 3', "action": "fail"})
    with pytest.raises(StreamRefused, match="A response action of the pipeline file"):
        rest("nests", eggs)


PAGED = {"type": "page_number", "base_page": 1, "total_path": "pages"}
CURSOR = {"type": "cursor", "cursor_path": "meta.next"}
LINK = {"type": "json_link"}
STUCK = {"data": BIRDS, "meta": {"next": "again", "more": True}}


@pytest.mark.parametrize(
    ("paginator", "answer", "words"),
    [
        (CURSOR, STUCK, "leads back to one that was read before"),
        (CURSOR, {**STUCK, "data": []}, "leads back to one that was read before, and has no records"),
        (CURSOR, {"data": [], "meta": {"next": {"a": 1}}}, "the cursor is a dict"),
        ({**CURSOR, "has_more_path": "meta.more"}, {"data": BIRDS, "meta": {"more": True}}, "there is more, but gives no cursor"),
        ({**CURSOR, "has_more_path": "meta.more"}, {"data": BIRDS, "meta": {"more": "maybe"}}, "true or false"),
        (LINK, {"data": BIRDS, "next": "/birds?page=2"}, "leads back to one that was read before"),
        (LINK, {"data": BIRDS, "next": 7}, "a int, not a URL"),
        (LINK, {"data": BIRDS, "next": "https://elsewhere.invalid/birds"}, "another origin, https://elsewhere.invalid"),
        (LINK, {"data": BIRDS, "next": "//elsewhere.invalid/birds"}, "another origin"),
        (LINK, {"data": BIRDS, "next": "http://127.0.0.1:1/birds"}, "another origin"),
        (LINK, {"data": BIRDS, "next": "file:///etc/passwd"}, "another origin"),
        (PAGED, {"items": BIRDS, "pages": 3}, "two pages in a row are the same: does the API know the parameter 'page'"),
        (PAGED, {"items": [], "pages": 3}, "ended after 0 pages, but the API tells of 3"),
        (PAGED, {"items": BIRDS}, "the total .* is not a number"),
        (
            {"type": "offset", "limit": 10, "total_path": "total"},
            {"items": [], "total": 5},
            "ended after 0 records, but the API tells of 5",
        ),
        ({"type": "offset", "limit": 10, "has_more_path": "more"}, {"items": [], "more": True}, "no records, but says that there are more"),
    ],
    ids=range(16),
)
def test_a_listing_that_contradicts_itself_is_a_failed_run(rest, paginator, answer, words):
    rest.api.on("/birds", answer)

    with pytest.raises(ExtractionIncomplete, match=words):
        rest({"name": "birds", "endpoint": {"paginator": paginator, "data_selector": "data" if "data" in answer else "items"}})

    assert not rest.report.ordered_and_complete


def test_empty_pages_with_ever_new_cursors_do_not_go_on_for_ever(rest):
    rest.api.on("/birds", lambda asked: Says({"data": [], "meta": {"next": asked.query.get("cursor", "") + "x"}}))

    with pytest.raises(ExtractionIncomplete, match="100 pages in a row have no records"):
        rest({"name": "birds", "endpoint": {"paginator": CURSOR}})


def test_an_empty_page_in_between_is_followed_to_the_next(rest):
    rest.api.on("/birds", cursor(BIRDS))
    rest.api.script("/birds", Says({"data": [], "meta": {"next": "c0"}}))

    assert rest({"name": "birds", "endpoint": {"paginator": CURSOR}}) == BIRDS


def test_a_lower_limit_of_the_api_than_the_one_asked_for_skips_nothing_in_silence(rest):
    rest.api.on("/birds", offset(birds(100), largest=20))
    paginator = {"type": "offset", "limit": 30}

    with pytest.raises(ExtractionIncomplete, match="Lower limit"):
        rest({"name": "birds", "endpoint": {"paginator": paginator}})
    with pytest.raises(ExtractionIncomplete, match="ended after 70 records, but the API tells of 100"):
        rest({"name": "birds", "endpoint": {"paginator": {**paginator, "short_pages": True, "total_path": "total"}}})


def test_a_listing_that_shrinks_while_it_is_read_by_offset_is_read_again(rest):
    rest.api.on("/birds", lambda asked: offset(BIRDS if asked.query["offset"] == "0" else BIRDS[1:])(asked))

    with pytest.raises(ExtractionIncomplete, match="shrank from 25 to 24"):
        rest({"name": "birds", "endpoint": {"paginator": {"type": "offset", "limit": 10, "total_path": "total"}}})


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"pages": 2}, "2 pages were read, and there are more"), ({"time": 1}, "1 s have passed, and there is more")],
    ids=str,
)
def test_a_limit_on_the_whole_reading_fails_it(rest, limits, words, monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("ducklift.sources.rest_reading.time.monotonic", lambda: next(clock))
    rest.api.on("/birds", json_link(BIRDS))

    with pytest.raises(ReadingLimit, match=words):
        rest("birds", limits=limits)


def test_an_answer_that_unpacks_to_more_than_the_limit_is_cut_off_while_it_comes(rest):
    rest.api.on("/birds", Says(raw=gzip.compress(b" " * 9_000_000), headers={"content-encoding": "gzip"}))

    with pytest.raises(ReadingLimit, match="larger than 1 MB"):
        rest("birds", limits={"answer_mb": 1})


def test_the_rate_limit_holds_in_every_stretch_of_its_length():
    from ducklift.sources.rest_config import RateLimit
    from ducklift.sources.rest_wire import Pace

    now, sent = [100.0], []

    def sleep(seconds):
        now[0] += seconds

    pace = Pace(RateLimit.model_validate({"requests": 3, "per": "10s"}), sleep, lambda: now[0])
    for took in [0, 1, 4, 0, 0, 30, 0, 0, 0, 1]:
        pace.wait()
        sent.append(now[0])
        now[0] += took

    assert all(later - earlier >= 10 for earlier, later in zip(sent, sent[3:], strict=False))
    assert sent[:3] == [100, 100, 101]
    assert now[0] < 165


def test_a_rate_limit_paces_the_requests_of_a_reading(rest):
    rest.api.on("/birds", page_number(BIRDS))
    rest({"name": "birds", "endpoint": {"paginator": {"type": "page_number", "base_page": 1}}}, rate_limit={"requests": 2, "per": "1h"})

    assert [wait > 3590 for wait in rest.waits_s] == [True, True]


def test_a_certificate_that_is_not_valid_is_no_passing_fault():
    import httpcore

    from ducklift.sources.rest_config import Client
    from ducklift.sources.rest_wire import Wire

    wire = Wire("birds", Client(base_url="https://birds.invalid"), lambda _: None, set(), {})
    with pytest.raises(ConfigurationError, match="certificate"), wire._faults_named():
        raise httpcore.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

"""What a REST source reads, from an API on loopback: every way of pagination, selection, bounds, parents and bodies."""

from __future__ import annotations

import pytest
from scripted_api import Says, birds, cursor, header_link, json_link, offset, page_number

from ducklift.errors import ConfigurationError, ExtractionIncomplete, StreamRefused
from ducklift.sources.json_answers import parsed

BIRDS = birds(25)
IN_BODY = {"type": "cursor", "cursor_path": "meta.next", "cursor_body_path": "page.after"}
PAGES = [
    (header_link(BIRDS), {}),
    (header_link(BIRDS), {"paginator": "header_link"}),
    (json_link(BIRDS), {}),
    (json_link(BIRDS, path="@odata.nextLink"), {}),
    (json_link(BIRDS, path="weiter"), {"paginator": {"type": "json_link", "next_url_path": "weiter"}}),
    (cursor(BIRDS), {"paginator": {"type": "cursor", "cursor_path": "meta.next"}}),
    (cursor(BIRDS), {"paginator": {"type": "cursor", "cursor_path": "meta.next", "has_more_path": "meta.more"}}),
    (cursor(BIRDS), {"paginator": {"type": "header_cursor", "cursor_key": "X-Next"}}),
    (cursor(BIRDS), {"method": "POST", "json": {}, "paginator": IN_BODY}),
    (offset(BIRDS), {"paginator": {"type": "offset", "limit": 10}}),
    (offset(BIRDS), {"paginator": {"type": "offset", "limit": 10, "total_path": "total"}}),
    (offset(BIRDS), {"paginator": {"type": "offset", "limit": 10, "has_more_path": "more"}}),
    (page_number(BIRDS), {"paginator": {"type": "page_number", "base_page": 1}}),
    (page_number(BIRDS), {"paginator": {"type": "page_number", "base_page": 1, "total_path": "pages"}}),
]


@pytest.mark.parametrize(
    ("handler", "endpoint"), PAGES, ids=lambda value: str(value.get("paginator", "auto")) if isinstance(value, dict) else ""
)
def test_every_way_of_pagination_gives_every_record_once(rest, handler, endpoint):
    rest.api.on("/birds", handler)

    assert rest({"name": "birds", "endpoint": endpoint}) == BIRDS
    assert rest.report.ordered_and_complete
    assert rest.report.request["records"] == 25
    assert 3 <= rest.report.request["pages"] <= 4


def test_a_quiet_interval_is_a_success(rest):
    rest.api.on("/birds", {"items": [], "total": 0})

    assert rest({"name": "birds", "endpoint": {"paginator": {"type": "offset", "limit": 10, "total_path": "total"}}}) == []
    assert rest.report.ordered_and_complete


@pytest.mark.parametrize(
    ("document", "selector", "found"),
    [
        (BIRDS, None, BIRDS),
        ({"birds": BIRDS, "tags": ["a"]}, None, BIRDS),
        ({"meta": {"x": [{}]}, "data": BIRDS}, None, BIRDS),
        ({"response": {"items": BIRDS}}, None, BIRDS),
        ({"odd.name": BIRDS}, "$['odd.name']", BIRDS),
        ({"a": [{"b": each} for each in BIRDS]}, "a[*].b", BIRDS),
        ({"items": None}, "items", []),
        ({"items": None}, None, []),
        (BIRDS[0], None, [BIRDS[0]]),
        ({"bird": BIRDS[0]}, "bird", [BIRDS[0]]),
    ],
    ids=range(10),
)
def test_the_records_are_found_where_they_stand(rest, document, selector, found):
    rest.api.on("/birds", document)

    assert rest({"name": "birds", "endpoint": {"data_selector": selector} if selector else {}}) == found


def test_several_lists_that_could_be_the_records_are_a_question_to_the_author(rest):
    rest.api.on("/birds", {"items": BIRDS, "data": BIRDS})

    with pytest.raises(ConfigurationError, match=r"items, data\. Name one as data_selector"):
        rest("birds")


@pytest.mark.parametrize(
    "more",
    [
        {"has_more": True},
        {"meta": {"next_cursor": "abc"}},
        {"total": 26},
        {"total_pages": 3},
        {"nextPageToken": "t"},
        {"pagination": {"hasNext": True}},
    ],
    ids=str,
)
def test_pages_of_an_unknown_kind_are_never_taken_for_a_single_one(rest, more):
    rest.api.on("/birds", {"items": BIRDS, **more})

    with pytest.raises(ConfigurationError, match="name a paginator, or single_page"):
        rest("birds")

    assert rest({"name": "birds", "endpoint": {"paginator": "single_page"}}) == BIRDS


def test_an_answer_without_the_selected_part_is_no_empty_page_unless_said_so(rest):
    rest.api.on("/birds", {"kind": "list"})

    with pytest.raises(ExtractionIncomplete, match="data_may_be_absent"):
        rest({"name": "birds", "endpoint": {"data_selector": "items"}})

    assert rest({"name": "birds", "endpoint": {"data_selector": "items", "data_may_be_absent": True}}) == []


def test_what_is_no_record_is_refused(rest):
    rest.api.on("/birds", {"items": [1, 2]})

    with pytest.raises(StreamRefused, match="leads to a int, which is no record"):
        rest({"name": "birds", "endpoint": {"data_selector": "items"}})


def test_big_integers_lone_surrogates_and_a_byte_order_mark_survive(rest):
    rest.api.on("/birds", Says(raw=b'\xef\xbb\xbf[{"id": 123456789012345678901234, "name": "\\ud800", "share": 0.1}]'))

    assert rest("birds") == [{"id": 123456789012345678901234, "name": "\ud800", "share": 0.1}]


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, 123456789012345678])
def test_no_integer_loses_a_digit(number):
    assert parsed(f'{{"id": {number}, "text": "1234567890123456789"}}'.encode())["id"] == number


def test_an_answer_in_another_encoding_is_read_by_it(rest):
    rest.api.on(
        "/birds", Says(raw='[{"name": "Grünfink"}]'.encode("latin-1"), headers={"content-type": "application/json; charset=iso-8859-1"})
    )

    assert rest("birds") == [{"name": "Grünfink"}]


def test_parameters_headers_and_defaults_are_put_together(rest):
    rest.api.on("/v1/birds", BIRDS)
    resource = {"name": "birds", "endpoint": {"params": {"per_page": 5, "of": ["a", "b"], "live": True, "none": None}}}
    rest(
        resource,
        defaults={"endpoint": {"params": {"per_page": 100, "sort": "seen"}, "headers": {"X-Two": "2"}}},
        base_url=f"{rest.api.url}/v1",
        headers={"X-One": "1"},
    )
    (asked,) = rest.api.asked

    assert asked.query == {"per_page": "5", "sort": "seen", "of": "b", "live": "true"}
    assert (asked.headers["x-one"], asked.headers["x-two"]) == ("1", "2")
    assert asked.headers["user-agent"].startswith("ducklift/")


def test_a_post_sends_its_body_and_the_page_inside_it(rest):
    rest.api.on("/search", cursor(BIRDS))
    paginator = {"type": "cursor", "cursor_path": "meta.next", "cursor_body_path": "page.after"}
    rest({"name": "birds", "endpoint": {"path": "search", "method": "POST", "json": {"filter": {"kind": "x"}}, "paginator": paginator}})

    assert [asked.document for asked in rest.api.asked] == [
        {"filter": {"kind": "x"}},
        {"filter": {"kind": "x"}, "page": {"after": "c10"}},
        {"filter": {"kind": "x"}, "page": {"after": "c20"}},
    ]


def test_a_form_is_sent_as_one(rest):
    rest.api.on("/search", BIRDS)
    rest({"name": "birds", "endpoint": {"path": "search", "method": "POST", "data": {"q": "a b&c"}}})

    assert rest.api.asked[0].form == {"q": "a b&c"}


CHILD = {"name": "eggs", "endpoint": {"path": "nests/{resources.nests.id}/eggs"}, "include_from_parent": ["id", "tree"]}


def nests(rest, *ids):
    rest.api.on("/nests", [{"id": id_, "tree": "oak"} for id_ in ids])


def test_a_child_is_read_for_each_record_of_its_parent_and_takes_fields_along(rest):
    nests(rest, 1, 2, 3)
    for number, count in ((1, 12), (2, 0), (3, 1)):
        rest.api.on(f"/nests/{number}/eggs", header_link([{"egg": n} for n in range(count)]))

    found = rest("nests", CHILD, stream="eggs")

    assert [(each["_nests_id"], each["egg"]) for each in found] == [(1, n) for n in range(12)] + [(3, 0)]
    assert {each["_nests_tree"] for each in found} == {"oak"}
    assert rest.report.request["parents"] == ["nests"]


def test_how_one_listing_ends_says_nothing_about_the_next(rest):
    nests(rest, 1, 2, 3)
    rest.api.on("/nests/1/eggs", [{"egg": 1}])
    rest.api.on("/nests/2/eggs", header_link([{"egg": n} for n in range(25)]))
    rest.api.on("/nests/3/eggs", json_link([{"egg": n} for n in range(25)]))

    with pytest.raises(ConfigurationError, match="in one answer and elsewhere in another"):
        rest("nests", CHILD)
    rest.api.on("/nests/3/eggs", [])
    assert len(rest("nests", CHILD)) == 26


def test_one_object_that_tells_of_an_error_is_no_record(rest):
    rest.api.on("/birds", {"error": {"code": 17}, "id": 3})

    with pytest.raises(ConfigurationError, match="one object that tells of an error"):
        rest("birds")


def test_a_grandchild_leads_over_both_parents_and_parents_may_stay_unselected(rest):
    nests(rest, 1, 2)
    rest.api.on("/nests/1/eggs", [{"egg": "a"}])
    rest.api.on("/nests/2/eggs", [{"egg": "b/c"}])
    rest.api.on("/spots", lambda asked: Says([{"of": asked.query["egg"], "nest": asked.query["nest"]}]))
    spots = {"name": "spots", "parent": "eggs", "endpoint": {"params": {"egg": "{parent.egg}", "nest": "{resources.eggs._nests_id}"}}}

    assert rest({"name": "nests", "selected": False}, {**CHILD, "selected": False}, spots) == [
        {"of": "a", "nest": "1"},
        {"of": "b/c", "nest": "2"},
    ]


def test_a_path_that_ends_in_a_parents_field_is_one_thing_and_no_listing(rest):
    nests(rest, "a/../b", 2)
    rest.api.on("/nests/2", {"id": 2, "items": [1], "total": 7})
    rest.api.on("/nests/a/../b", {"id": "a"})

    found = rest("nests", {"name": "nest", "endpoint": "nests/{resources.nests.id}"})

    assert found == [{"id": "a"}, {"id": 2, "items": [1], "total": 7}]


@pytest.mark.parametrize("value", ["..", ".", "", None])
def test_a_parents_value_cannot_lead_to_another_place(rest, value):
    nests(rest, value)

    with pytest.raises(StreamRefused, match="needs 'id', but its value is"):
        rest("nests", CHILD)


def test_a_parent_without_the_field_is_refused_by_name(rest):
    rest.api.on("/nests", [{"number": 1}])

    with pytest.raises(StreamRefused, match="a record of nests has no field 'id'"):
        rest("nests", CHILD)


SINCE = {
    "name": "birds",
    "endpoint": {"params": {"since": "{incremental.start_value}", "to": "{incremental.end_value}"}, "incremental": {}},
}


def test_without_a_watermark_the_bounds_are_left_out(rest):
    rest.api.on("/birds", BIRDS)
    rest(SINCE)

    assert rest.queries == [{}]


@pytest.mark.parametrize(
    ("format_", "start", "sent"),
    [
        ("as_is", "2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("iso", 1767312000, "2026-01-02T00:00:00Z"),
        ("iso", 1767312000000, "2026-01-02T00:00:00Z"),
        ("date", "2026-01-02T01:00:00+02:00", "2026-01-01"),
        ("epoch_s", "2026-01-02", "1767312000"),
        ("epoch_ms", "2026-01-02T00:00:00.5Z", "1767312000500"),
        ("%d.%m.%Y", 1767312000, "02.01.2026"),
    ],
)
def test_a_bound_is_sent_in_the_apis_own_format(rest, format_, start, sent):
    rest.api.on("/birds", BIRDS)
    rest({"name": "birds", "endpoint": {"incremental": {"start_param": "since", "end_param": "to", "format": format_}}}, start=start)

    assert rest.queries == [{"since": sent}]


def test_an_interval_is_read_without_what_lies_on_its_end(rest):
    rest.api.on("/birds", BIRDS)
    found = rest(SINCE, start=BIRDS[5]["seen"], end=BIRDS[9]["seen"])

    assert rest.queries == [{"since": str(BIRDS[5]["seen"]), "to": str(BIRDS[9]["seen"])}]
    assert found == BIRDS[:9]
    assert rest.report.request["outside_the_bounds"] == 16


def test_a_backfilled_interval_is_bounded_on_both_sides_even_where_the_api_knows_no_bounds(rest):
    rest.api.on("/birds", BIRDS)

    assert rest("birds", start=BIRDS[5]["seen"], end=BIRDS[9]["seen"], window=True) == BIRDS[5:9]
    assert rest("birds", start="2026-01-01T00:05:00+00:00", end="2026-01-01T00:09:00+00:00", window=True) == BIRDS[5:9]
    assert rest("birds", start=BIRDS[5]["seen"]) == BIRDS  # below a watermark the load keeps apart what is known


def test_what_is_no_moment_is_left_to_the_load_and_digits_of_a_date_are_one(rest):
    odd = [{"id": number, "seen": seen} for number, seen in enumerate(["", "n/a", "20260105", 20260105, "20260107", 20260104])]
    rest.api.on("/birds", odd)
    day = {"start": "2026-01-05T00:00:00+00:00", "end": "2026-01-06T00:00:00+00:00", "window": True}

    assert rest("birds", **day) == odd[:4]
    assert rest("birds", start=1767571200, end=1767657600, window=True) == odd[:3]


def test_a_listing_that_begins_with_the_newest_is_read_down_to_the_start(rest):
    rest.api.on("/birds", header_link(BIRDS[::-1], size=5))
    found = rest({"name": "birds", "endpoint": {"incremental": {"row_order": "desc"}}}, start=BIRDS[12]["seen"])

    assert found[:13] == BIRDS[:11:-1]
    assert len(rest.api.asked) == 4
    assert rest.report.ordered_and_complete
    assert rest.report.request["stopped_because"] == {"reached the start": 1}


def test_newest_first_is_read_down_to_the_start_of_a_parent_too(rest):
    rest.api.on("/nests", header_link([{"id": n, "at": n} for n in range(50, 0, -1)], size=10))
    for number in range(51):
        rest.api.on(f"/nests/{number}/eggs", [{"egg": number}])
    parents = {"name": "nests", "endpoint": {"incremental": {"row_order": "desc"}}}
    found = rest(parents, {**CHILD, "include_from_parent": ["at"]}, stream="eggs", start=35, cursor="_nests_at")

    assert {each["_nests_at"] for each in found} >= set(range(35, 51))
    assert rest.paths.count("/nests") == 3


def test_the_bounds_of_a_child_without_its_own_are_asked_of_its_parent(rest):
    nests(rest, 1)
    rest.api.on("/nests/1/eggs", [{"egg": 1}])
    rest({"name": "nests", "endpoint": {"incremental": {"start_param": "since"}}}, CHILD, stream="eggs", start=77, cursor="_nests_id")

    assert rest.queries == [{"since": "77"}, {}]


def test_a_maximum_ends_the_listing_and_leaves_the_watermark_alone(rest):
    rest.api.on("/birds", page_number(BIRDS))

    assert rest({"name": "birds", "endpoint": {"paginator": {"type": "page_number", "base_page": 1, "maximum_page": 2}}}) == BIRDS[:10]
    assert not rest.report.ordered_and_complete


def test_small_pages_are_handed_on_together_and_large_ones_by_themselves(rest):
    from ducklift.settings import load_settings
    from ducklift.sources.base import ReadReport, SliceRequest

    rest.api.on("/birds", header_link(birds(2_500), size=400))
    request = SliceRequest("birds", *(2 * [None]))
    batches = rest.source("birds").read(request, load_settings({}, rest.project), ReadReport())

    assert [len(batch) for batch in batches] == [1200, 1200, 100]

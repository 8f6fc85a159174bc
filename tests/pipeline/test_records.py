"""Odd records: loaded faithfully, or kept whole in quarantine with file, line and reason. Nothing in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from installations import APPENDED, Installation, sighting, sightings

from ducklift.lake import spool
from ducklift.summary import LoadSummary

BIG = 12345678901234567890123


def reasons(installation: Installation) -> list[str]:
    return [reason for (reason,) in installation.query("SELECT reason FROM _ducklift.quarantine ORDER BY source_file, line")]


def accounted(summary: LoadSummary) -> bool:
    return summary.rows_extracted == summary.accounted


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": None}, "column id: the key is missing"),
        ({"seen": "soon"}, "column seen_at: not a timestamptz: soon"),
        ({"seen": 1e300}, "column seen_at: not a timestamptz: 1e300"),
        ({"seen": {"a": 1}}, 'column seen_at: not a timestamptz: {"a":1}'),
        ({"count": "many"}, "column count: not a bigint: many"),
        ({"count": 1.5}, "column count: not a bigint: 1.5"),
        ({"count": 2**63}, "column count: not a bigint: 9223372036854775808"),
        ({"count": BIG}, f"column count: not a bigint: {BIG}"),
        ({"count": [1]}, "column count: not a bigint: [1]"),
    ],
)
def test_a_record_that_does_not_fit_is_quarantined_with_its_reason(installation: Installation, fields: dict[str, Any], reason: str) -> None:
    bad = sighting(2, **fields)

    summary = installation.land([sighting(1), bad, sighting(3)])

    assert reasons(installation) == [reason]
    assert installation.rows("id") == [("s0001",), ("s0003",)]
    assert (summary.rows_extracted, summary.rows_inserted, summary.rows_quarantined) == (3, 2, 1)


def test_a_record_without_its_key_is_quarantined(installation: Installation) -> None:
    keyless = sighting(2)
    del keyless["id"]

    summary = installation.land([sighting(1), keyless])

    assert reasons(installation) == ["column id: the key is missing"]
    assert accounted(summary)


def test_a_record_without_a_field_that_must_be_there_is_quarantined(installation: Installation) -> None:
    columns = [{"name": "id"}, {"name": "seen_at", "from": "seen", "type": "timestamptz", "nullable": False}]
    undated = {"id": "s0002"}

    summary = installation.land([sighting(1), undated], columns=columns)

    assert reasons(installation) == ["column seen_at: a value is missing"]
    assert (summary.rows_inserted, summary.rows_quarantined) == (1, 1)


def test_a_quarantined_record_is_kept_whole_with_its_file_and_line(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ROTATE_ROWS", 2)
    bad = sighting(4, count="many", note="kept 🦆", big=BIG)

    installation.land(sightings(1, 2), [sighting(3), bad])

    [(file, line, record)] = installation.query("SELECT source_file, line, record FROM _ducklift.quarantine")
    assert (file, line) == (installation.manifest()["files"][1]["key"], 2)
    assert json.loads(record) == bad


def test_a_load_of_nothing_but_bad_records_lands_and_accounts_for_them(installation: Installation) -> None:
    summary = installation.land(sightings(1, 2, count="many"))

    assert (summary.state, summary.rows_quarantined, summary.total_rows, summary.watermark) == ("loaded", 2, 0, None)
    assert accounted(summary)


def test_a_bad_record_does_not_move_the_watermark(installation: Installation) -> None:
    summary = installation.land([sighting(1), sighting(9, count="many")])

    assert summary.watermark == sighting(1)["seen"]


def test_a_float_without_a_fraction_is_an_integer(installation: Installation) -> None:
    installation.land([sighting(1, count=7.0), sighting(2, count=1e3)])

    assert installation.rows("count") == [(7,), (1000,)]


def test_an_integer_that_a_double_cannot_tell_apart_is_loaded_exactly(installation: Installation) -> None:
    installation.land([sighting(1, count=2**63 - 1), sighting(2, count=2**53 + 1)])

    assert installation.rows("count") == [(2**53 + 1,), (2**63 - 1,)]


def test_missing_fields_that_are_no_key_are_null(installation: Installation) -> None:
    installation.land([{"id": "s0001", "seen": sighting(1)["seen"]}])

    assert installation.rows() == [("s0001", None, None)]


def test_an_integer_of_23_digits_keeps_all_of_them_in_the_record(installation: Installation) -> None:
    installation.land([sighting(1, big=BIG, deep={"big": [BIG]})])

    [(raw,)] = installation.rows("raw")
    assert json.loads(raw)["big"] == BIG
    assert json.loads(raw)["deep"] == {"big": [BIG]}


def test_an_integer_of_23_digits_keeps_all_of_them_in_a_text_column(installation: Installation) -> None:
    installation.land([sighting(1, bird=BIG)])

    assert installation.rows("bird") == [(str(BIG),)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "line\r\nline\nline\r",
        "tab\tand\x01control\x7f",
        "\x00",
        "before\x00after",
        "'; DROP TABLE sightings; --",
        '"quoted", \\"escaped\\" \\\\',
        "=HYPERLINK(1)",
        "🦆👩\u200d👩\u200d👧 e\u0301",
        "\ufeffbyte order",
        "\u2028\u2029\x85",
    ],
)
def test_text_arrives_as_it_was(installation: Installation, text: str) -> None:
    installation.land([sighting(1, bird=text), sighting(2)])

    assert installation.rows("bird")[0 if text < "wren" else 1] == (text,)
    assert json.loads(installation.rows("raw")[0 if installation.rows("id, raw")[0][0] == "s0001" else 1][0])["bird"] == text


def test_a_lone_surrogate_becomes_a_replacement_character_and_is_counted(installation: Installation) -> None:
    installation.land([sighting(1, bird="a\ud800b\udc00"), sighting(2, bird="\U0001f986 \ufffd")])

    assert installation.rows("bird") == [("a\ufffdb\ufffd",), ("\U0001f986 \ufffd",)]
    assert installation.manifest()["surrogates_replaced"] == 2


def test_a_lone_surrogate_in_a_fields_name_is_replaced_too(installation: Installation) -> None:
    installation.land([sighting(1, **{"odd\udfff": 1})])

    assert "odd\ufffd" in json.loads(installation.rows("raw")[0][0])


def test_a_record_of_20_mb_is_loaded(installation: Installation) -> None:
    installation.land([sighting(1, bird="x" * 20_000_000), sighting(2)])

    assert installation.rows("length(bird)") == [(4,), (20_000_000,)]


def test_field_names_that_differ_in_case_only_keep_their_own_values(installation: Installation) -> None:
    columns = [{"name": "id"}, {"name": "bird"}, {"name": "other", "from": "BIRD"}]
    installation.land([sighting(1, bird="wren", BIRD="CROW")], columns=columns, incremental=None)

    assert installation.rows("bird, other") == [("wren", "CROW")]


def test_a_fields_name_may_hold_quotes_and_dots(installation: Installation) -> None:
    columns = [{"name": "id"}, {"name": "odd", "from": "o\"d.d$[0]'s"}]
    installation.land([sighting(1, **{"o\"d.d$[0]'s": "found"})], columns=columns, incremental=None)

    assert installation.rows("odd") == [("found",)]


def test_nested_values_arrive_as_json_text(installation: Installation) -> None:
    columns = [{"name": "id"}, {"name": "nested", "type": "json"}]
    installation.land([sighting(1, nested={"a": [1, "ü", None]})], columns=columns, incremental=None)

    assert json.loads(installation.rows("nested")[0][0]) == {"a": [1, "ü", None]}


def test_a_text_that_looks_like_json_stays_a_json_string(installation: Installation) -> None:
    columns = [{"name": "id"}, {"name": "nested", "type": "json"}]
    summary = installation.land([sighting(1, nested="plain text"), sighting(2, nested="{1}")], columns=columns, incremental=None)

    assert accounted(summary)
    assert [json.loads(value) for (value,) in installation.rows("nested")] == ["plain text", "{1}"]


def test_records_that_are_empty_are_appended_or_accounted_for(installation: Installation) -> None:
    summary = installation.land([{}, {}], **{**APPENDED, "incremental": None})

    assert (summary.rows_inserted, summary.total_rows) == (2, 2)


def test_a_record_nested_deeply_is_loaded_or_quarantined_but_stops_nothing(installation: Installation) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]

    summary = installation.land([sighting(1, deep=deep), sighting(2)])

    assert accounted(summary)
    assert ("s0002",) in installation.rows("id")


def test_a_thousand_records_in_many_batches_are_all_there(installation: Installation) -> None:
    batches = [sightings(*range(start, start + 50)) for start in range(0, 1000, 50)]

    summary = installation.land(*batches)

    assert (summary.rows_inserted, summary.total_rows) == (1000, 1000)

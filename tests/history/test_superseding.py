from __future__ import annotations

from typing import Any

import pytest
from installations import Installation, sighting, sightings
from runs import APPEND, DISPOSITIONS, KEYED_APPEND, MERGE, PLAIN, REPLACE, go, rebuilt_is_equal

from ducklift.errors import ContractBroken, LoadSuperseded
from ducklift.pipeline import load
from ducklift.warehouse import superseding

IDS = list(DISPOSITIONS)


@pytest.fixture(params=IDS)
def spec(request: pytest.FixtureRequest) -> dict[str, Any]:
    return DISPOSITIONS[request.param]


def ids(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("id")]


def test_a_reextracted_day_holds_what_the_second_reading_gave(installation: Installation, spec: dict[str, Any]) -> None:
    go(installation, sightings(1, 2, 3), **spec)

    again = go(installation, sightings(2, 3, 4), mode="reextract", **spec)

    assert again.load_id.endswith("-r2")
    assert ids(installation) == ["s0002", "s0003", "s0004"]
    rebuilt_is_equal(installation)


def test_other_days_are_as_if_the_superseded_load_had_never_been(installation: Installation, spec: dict[str, Any]) -> None:
    go(installation, sightings(1, 2), **spec)
    go(installation, sightings(2, 3), day=1, **spec)
    go(installation, sightings(3, 4), day=2, **spec)

    go(installation, sightings(9), day=1, mode="reextract", **spec)

    expected = {"plain append": [1, 2, 3, 4, 9], "replace": [9]}
    name = next(name for name, known in DISPOSITIONS.items() if known is spec)
    assert ids(installation) == [f"s{number:04d}" for number in expected.get(name, [1, 2, 3, 4, 9])]
    rebuilt_is_equal(installation)


def test_an_update_by_the_superseded_load_is_taken_back(installation: Installation) -> None:
    go(installation, [sighting(1, bird="wren")], **MERGE)
    go(installation, [sighting(1, bird="crow", seen=sighting(9)["seen"])], day=1, **MERGE)

    go(installation, sightings(5), day=1, mode="reextract", **MERGE)

    assert installation.rows("id, bird") == [("s0001", "wren"), ("s0005", "wren")]
    rebuilt_is_equal(installation)


def test_a_row_that_a_later_load_left_out_as_known_is_brought_back_by_it(installation: Installation) -> None:
    go(installation, sightings(1, 2), **APPEND)
    later = go(installation, sightings(2, 3), day=1, **APPEND)
    assert later.rows_unchanged == 1

    go(installation, sightings(1), mode="reextract", **APPEND)

    assert ids(installation) == ["s0001", "s0002", "s0003"]
    assert installation.query("SELECT _load_id FROM nature.sightings WHERE id = 's0002'") == [(later.load_id,)]
    rebuilt_is_equal(installation)


def test_a_type_that_the_superseded_load_widened_stays_and_rows_before_it_too(installation: Installation) -> None:
    spec = {**MERGE, "columns": [{"name": "id", "type": "varchar"}], "record_column": None}
    go(installation, [{"id": "a", "seen": 1, "size": 1}], **spec)
    go(installation, [{"id": "a", "seen": 2, "size": 2.5}], day=1, **spec)

    go(installation, [{"id": "b", "seen": 3, "size": 4}], day=1, mode="reextract", **spec)

    assert installation.rows("id, size") == [("a", 1.0), ("b", 4.0)]
    rebuilt_is_equal(installation)


def test_loads_that_nothing_met_are_removed_without_reading_the_others_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superseding, "_do_others_again", lambda *_: pytest.fail("other loads were done again"))
    for spec, table in ((PLAIN, "plain"), (KEYED_APPEND, "keyed"), (MERGE, "merged"), (REPLACE, "replaced")):
        chosen = {**spec, "table": f"nature.{table}", "name": f"nature_{table}"}
        go(installation, sightings(1), **chosen)
        go(installation, sightings(2), day=1, **chosen)
        go(installation, sightings(3), day=1, mode="reextract", **chosen)


def test_a_day_can_be_reextracted_again_and_again(installation: Installation, spec: dict[str, Any]) -> None:
    for number in (1, 2, 3, 4):
        go(installation, sightings(number), mode="new" if number == 1 else "reextract", **spec)

    assert ids(installation) == ["s0004"]
    history = installation.query("SELECT load_id[18:], superseded_by[18:] FROM _ducklift.loads ORDER BY sequence")
    first = history[0][0]
    assert history == [(first, f"{first}-r2"), (f"{first}-r2", f"{first}-r3"), (f"{first}-r3", f"{first}-r4"), (f"{first}-r4", None)]
    rebuilt_is_equal(installation)


def test_quarantined_rows_and_gaps_of_the_superseded_load_go_with_it(installation: Installation) -> None:
    go(installation, [sighting(1, seen="soon"), sighting(2)], **MERGE)
    assert installation.query("SELECT count(*) FROM _ducklift.quarantine") == [(1,)]

    go(installation, sightings(1, 2), mode="reextract", **MERGE)

    assert installation.query("SELECT count(*) FROM _ducklift.quarantine") == [(0,)]
    assert ids(installation) == ["s0001", "s0002"]
    rebuilt_is_equal(installation)


def test_a_reextraction_asks_for_the_same_cursors_as_the_first_one(installation: Installation) -> None:
    go(installation, sightings(1, 2), **MERGE)
    go(installation, sightings(90), day=1, **MERGE)
    go(installation, sightings(300), day=2, **MERGE)

    again = go(installation, sightings(90), day=1, mode="reextract", **MERGE)

    watermark = sighting(2)["seen"]
    manifest = installation.json(installation.lake.key_of(again.manifest or ""))
    assert manifest["request"] == {"cursor_from": watermark - 3600, "watermark": watermark}
    assert again.watermark == sighting(300)["seen"]


def test_an_extraction_that_landed_and_was_superseded_is_not_loaded_later(installation: Installation) -> None:
    url = installation.put(installation.pipeline(sightings(1), **APPEND))
    go(installation, sightings(2), mode="reextract", **APPEND)

    with pytest.raises(LoadSuperseded, match="-r2"):
        load(url, installation.settings)

    assert ids(installation) == ["s0002"]
    rebuilt_is_equal(installation)


def test_a_full_refresh_takes_the_place_of_all_its_stream_loaded(installation: Installation, spec: dict[str, Any]) -> None:
    go(installation, sightings(1, 2), **spec)
    go(installation, sightings(2, 3), day=1, **spec)

    refreshed = go(installation, sightings(2, 7), day=2, mode="full_refresh", **spec)

    assert ids(installation) == ["s0002", "s0007"]
    manifest = installation.json(installation.lake.key_of(refreshed.manifest or ""))
    assert manifest["request"] == {"cursor_from": None, "watermark": None}
    rebuilt_is_equal(installation)


def test_a_full_refresh_leaves_the_other_streams(installation: Installation) -> None:
    go(installation, sightings(1, 2), stream="birds", **MERGE)
    go(installation, sightings(2, 3), stream="owls", day=1, **MERGE)

    go(installation, sightings(9), stream="birds", day=2, mode="full_refresh", **MERGE)

    assert ids(installation) == ["s0002", "s0003", "s0009"]
    rebuilt_is_equal(installation)


def test_a_full_refresh_sets_the_watermark_anew_even_further_back(installation: Installation) -> None:
    go(installation, sightings(9), **MERGE)

    refreshed = go(installation, sightings(4), day=1, mode="full_refresh", **MERGE)

    assert refreshed.watermark == sighting(4)["seen"]
    assert installation.json("_ducklift/tables/nature.sightings.json")["watermarks"] == {"nature/birds": sighting(4)["seen"]}


def test_a_full_refresh_that_is_not_complete_leaves_no_watermark(installation: Installation) -> None:
    go(installation, sightings(9), **MERGE)

    refreshed = go(installation, sightings(4), day=1, mode="full_refresh", complete=False, **MERGE)

    assert refreshed.watermark is None
    assert installation.json("_ducklift/tables/nature.sightings.json")["watermarks"] == {}
    rebuilt_is_equal(installation)


def test_an_empty_full_refresh_takes_nothing_away_unless_that_is_allowed(installation: Installation) -> None:
    go(installation, sightings(1), **MERGE)

    with pytest.raises(ContractBroken, match="allow_empty"):
        go(installation, [], day=1, mode="full_refresh", **MERGE)
    assert ids(installation) == ["s0001"]

    go(installation, [], day=2, mode="full_refresh", allow_empty=True, **MERGE)
    assert ids(installation) == []
    rebuilt_is_equal(installation)


def test_a_load_that_was_extracted_before_a_full_refresh_is_refused_after_it(installation: Installation) -> None:
    url = installation.put(installation.pipeline(sightings(1), **PLAIN))
    go(installation, sightings(1, 2), day=1, mode="full_refresh", **PLAIN)

    with pytest.raises(LoadSuperseded):
        load(url, installation.settings)

    assert ids(installation) == ["s0001", "s0002"]

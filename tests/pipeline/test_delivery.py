"""What happens to records between the source and the table: every one lands once, in its newest version, or is accounted for."""

from __future__ import annotations

import json

import pytest
from installations import APPENDED, Installation, sighting, sightings
from listed_source import ListedSource

from ducklift.errors import ContractBroken
from ducklift.pipeline import load


def test_records_land_in_the_table_with_their_lineage(installation: Installation) -> None:
    summary = installation.land(sightings(1, 2), sightings(3))

    assert (summary.state, summary.rows_extracted, summary.rows_inserted) == ("loaded", 3, 3)
    assert installation.rows("id, count") == [("s0001", 1), ("s0002", 2), ("s0003", 3)]
    assert installation.query("SELECT DISTINCT _load_id, _source_file FROM nature.sightings") == [
        (summary.load_id, installation.manifest()["files"][0]["key"])
    ]


def test_running_a_loaded_slice_again_changes_nothing_and_says_so(installation: Installation) -> None:
    installation.land(sightings(1, 2))
    before = installation.state()

    again = installation.land(sightings(1, 2, 3))

    assert again.state == "already_loaded"
    assert installation.state() == before


def test_a_slice_that_runs_again_after_others_tells_the_rows_of_now(installation: Installation) -> None:
    installation.land(sightings(1, 2))
    installation.land(sightings(3), day=1)

    assert installation.land(sightings(1, 2)).total_rows == 3


def test_an_append_of_a_slice_that_runs_twice_has_each_row_once(installation: Installation) -> None:
    installation.land(sightings(1, 2), **APPENDED)
    installation.land(sightings(1, 2), **APPENDED)

    assert installation.rows("id") == [("s0001",), ("s0002",)]


def test_the_newest_of_several_versions_in_one_batch_wins_and_the_others_are_counted(installation: Installation) -> None:
    newer = sighting(1, seen=sighting(9)["seen"], bird="robin")

    summary = installation.land([newer, sighting(1), sighting(1, bird="crow")])

    assert installation.rows() == [("s0001", "robin", 1)]
    assert (summary.rows_extracted, summary.rows_inserted, summary.rows_deduplicated) == (3, 1, 2)


def test_of_two_versions_with_one_cursor_the_later_in_the_batch_wins(installation: Installation) -> None:
    installation.land([sighting(1, bird="wren"), sighting(1, bird="robin")])

    assert installation.rows() == [("s0001", "robin", 1)]


def test_records_out_of_order_leave_the_greatest_cursor_as_the_watermark(installation: Installation) -> None:
    summary = installation.land(sightings(3, 1), sightings(9, 2))

    assert summary.watermark == sighting(9)["seen"]


def test_an_older_slice_replayed_after_a_newer_one_overwrites_nothing(installation: Installation) -> None:
    older = installation.pipeline([sighting(1, bird="wren")])
    url = installation.put(older, day=0)
    installation.land([sighting(1, bird="robin", seen=sighting(5)["seen"])], day=1)

    summary = load(url, installation.settings, older)

    assert installation.rows() == [("s0001", "robin", 1)]
    assert summary.rows_unchanged == 1


def test_a_replay_of_an_earlier_extraction_of_the_same_cursor_loses_to_the_later_one(installation: Installation) -> None:
    earlier = installation.pipeline([sighting(1, count=1)])
    url = installation.put(earlier, day=0)
    installation.land([sighting(1, count=2)], day=1)

    load(url, installation.settings, earlier)

    assert installation.rows() == [("s0001", "wren", 2)]


def test_rows_read_twice_by_overlap_are_counted_unchanged_and_not_doubled(installation: Installation) -> None:
    installation.land(sightings(1, 2, 3))

    summary = installation.land(sightings(2, 3, 4), day=1)

    assert (summary.rows_inserted, summary.rows_unchanged) == (1, 2)
    assert len(installation.rows()) == 4


def test_the_next_extraction_reads_from_the_watermark_less_the_overlap(installation: Installation) -> None:
    installation.land(sightings(1, 2))
    installation.land(sightings(3), day=1)

    watermark = sighting(2)["seen"]
    assert installation.manifest(1)["request"] == {"cursor_from": watermark - 3600, "watermark": watermark}


def test_an_empty_extraction_is_green_and_says_empty(installation: Installation) -> None:
    installation.land(sightings(1))

    summary = installation.land([], day=1)

    assert (summary.state, summary.rows_extracted, summary.files) == ("empty", 0, 0)
    assert installation.rows("id") == [("s0001",)]
    assert summary.watermark == sighting(1)["seen"]


def test_a_first_extraction_that_is_empty_makes_the_table(installation: Installation) -> None:
    summary = installation.land([])

    assert (summary.state, summary.watermark, summary.total_rows) == ("empty", None, 0)
    assert installation.query("SELECT count(*) FROM nature.sightings") == [(0,)]


def test_the_watermark_never_moves_back(installation: Installation) -> None:
    installation.land(sightings(9))

    summary = installation.land(sightings(1), day=1)

    assert summary.watermark == sighting(9)["seen"]
    assert installation.json("_ducklift/tables/nature.sightings.json")["watermarks"] == {"nature/birds": sighting(9)["seen"]}


def test_a_reading_that_is_not_complete_leaves_the_watermark(installation: Installation) -> None:
    installation.land(sightings(1))

    summary = installation.land(sightings(9), day=1, complete=False)

    assert summary.watermark == sighting(1)["seen"]
    assert len(installation.rows()) == 2


def test_each_stream_has_a_watermark_of_its_own(installation: Installation) -> None:
    pipeline = installation.pipeline(streams={"birds": [sightings(1)], "owls": [sightings(5)]})
    installation.run(pipeline, stream="birds")
    installation.run(pipeline, stream="owls")

    assert installation.json("_ducklift/tables/nature.sightings.json")["watermarks"] == {
        "nature/birds": sighting(1)["seen"],
        "nature/owls": sighting(5)["seen"],
    }


def test_a_publication_that_was_missed_is_repaired_by_the_next_load(installation: Installation) -> None:
    installation.land(sightings(1))
    installation.land(sightings(2), day=1)
    expected = installation.state()
    for key in [*installation.keys("_ducklift/commits/nature.sightings/"), "_ducklift/tables/nature.sightings.json"]:
        installation.lake.delete(key)

    installation.land(sightings(2), day=1)

    assert installation.state() == expected


def test_commit_records_tell_the_loads_in_their_order(installation: Installation) -> None:
    first = installation.land(sightings(1))
    second = installation.land(sightings(2), day=1)

    commits = [installation.json(key) for key in installation.keys("_ducklift/commits/nature.sightings/")]
    assert [(commit["sequence"], commit["load_id"]) for commit in commits] == [(1, first.load_id), (2, second.load_id)]


def test_a_gap_is_recorded_with_the_load_and_ends_the_run_red(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self, request, settings, report):
        report.gap = (1, 2)
        yield sightings(1)

    monkeypatch.setattr(ListedSource, "read", read)
    summary = installation.land([])

    assert summary.gap == (1, 2)
    assert installation.query("SELECT cursor_from, cursor_to FROM _ducklift.gaps") == [("1", "2")]
    assert installation.rows("id") == [("s0001",)]


def test_an_emptied_source_does_not_empty_a_table_that_is_replaced(installation: Installation) -> None:
    replaced = {"disposition": "replace", "incremental": None}
    installation.land(sightings(1, 2), **replaced)

    with pytest.raises(ContractBroken, match="allow_empty"):
        installation.land([], day=1, **replaced)

    assert len(installation.rows()) == 2


def test_the_whole_record_is_kept_as_json(installation: Installation) -> None:
    record = sighting(1, note='"quoted"\r\n, 🦆', nested={"a": [1, {"b": None}]})

    installation.land([record])

    assert [json.loads(raw) for (raw,) in installation.rows("raw")] == [record]

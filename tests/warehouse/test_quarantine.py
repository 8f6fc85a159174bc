from __future__ import annotations

import json
from typing import Any

import pytest
from installations import COLUMNS, MERGED, TABLE, Installation, sighting, sightings, slice_run
from killing import killed_at

from ducklift.errors import CheckFailed, ConfigurationError, LoadSuperseded, RetryOutdated
from ducklift.pipeline import extract, load, load_id_for, upload
from ducklift.planning import Run
from ducklift.retrying import retry_quarantine
from ducklift.specs import TableSpec
from ducklift.summary import LoadSummary
from ducklift.warehouse.rebuild import verify

BAD = [sighting(1), sighting(2, count="many"), sighting(3, count="a few")]
MENDED = tuple({**column, "null_if": ["many", "a few"]} if column["name"] == "count" else column for column in COLUMNS)
HALF_MENDED = tuple({**column, "null_if": ["many"]} if column["name"] == "count" else column for column in COLUMNS)
POINTS = ("upload.files_put", "upload.manifest_put", "load.applied", "load.before_commit", "load.committed", "load.commit_record_put")
ADDED: dict[str, Any] = {"disposition": "append", "primary_key": []}
REPLACED: dict[str, Any] = {"disposition": "replace"}
FIRST = load_id_for("nature", "birds", slice_run())


def mend(installation: Installation, columns: Any = MENDED, **spec: Any) -> None:
    """Write the pipeline's file with columns that take what they did not take before."""
    folder = installation.project / "include" / "pipelines"
    folder.mkdir(parents=True, exist_ok=True)
    source = {"type": "listed", "file": str(installation.pipeline([]).source.file)}
    text = json.dumps({"name": "nature", "source": {**source}, **MERGED, **spec, "columns": columns})
    (folder / "nature.yaml").write_text(text)


def retried(installation: Installation, load_id: str | None = None) -> list[LoadSummary]:
    return retry_quarantine(installation.settings, TABLE, load_id)


def quarantined(installation: Installation) -> list[tuple[Any, ...]]:
    return installation.query("SELECT load_id, line, reason FROM _ducklift.quarantine ORDER BY ALL")


def test_after_a_fix_quarantined_records_land_in_the_table(installation):
    installation.land(BAD)
    before = quarantined(installation)
    mend(installation)

    [summary] = retried(installation)

    assert [line for _, line, _ in before] == [2, 3]
    assert (summary.load_id, summary.rows_extracted, summary.rows_inserted) == (f"{FIRST}-q", 2, 2)
    assert installation.rows() == [("s0001", "wren", 1), ("s0002", "wren", None), ("s0003", "wren", None)]
    assert quarantined(installation) == []
    assert verify(installation.lake, installation.settings).tables[0].rows == 3


def test_a_retry_is_a_load_of_its_own_that_tells_what_it_retries_and_keeps_the_records_to_the_byte(installation):
    odd = {"id": "s0009", "seen": 1, "count": "many", "note": "é\u2028\ud83d", "price": 1.10, "large": 123456789012345678901234}
    installation.land([odd])
    record = installation.query("SELECT record FROM _ducklift.quarantine")[0][0]
    mend(installation)
    retried(installation)

    manifest = installation.manifest()
    again = installation.json(installation.manifest_key().replace(".json", "-q.json"))
    assert again["request"] == {"retries_quarantine_of": manifest["load_id"]}
    assert (again["slice"]["parent_load"], again["extracted_at"]) == (manifest["load_id"], manifest["extracted_at"])
    assert installation.query(f"SELECT raw FROM {TABLE}") == [(record,)]
    assert '"large":123456789012345678901234' in record
    assert installation.inconsistencies() == []


def test_what_still_does_not_fit_is_quarantined_again_under_the_new_load(installation):
    installation.land(BAD)
    mend(installation, HALF_MENDED)

    [first] = retried(installation)
    again = quarantined(installation)
    mend(installation)
    [second] = retried(installation)

    assert (first.rows_inserted, first.rows_quarantined, second.rows_inserted) == (1, 1, 1)
    assert [(load_id, line) for load_id, line, _ in again] == [(f"{FIRST}-q", 2)]
    assert (second.load_id, quarantined(installation)) == (f"{FIRST}-q-q", [])
    verify(installation.lake, installation.settings)


def test_a_retry_without_a_fix_loses_nothing(installation):
    installation.land(BAD)
    mend(installation, COLUMNS)

    [summary] = retried(installation)

    assert (summary.rows_inserted, summary.rows_quarantined) == (0, 2)
    assert [reason for _, _, reason in quarantined(installation)] == [
        "column count: not a bigint: many",
        "column count: not a bigint: a few",
    ]
    assert len(installation.rows()) == 1


@pytest.mark.parametrize("point", POINTS)
def test_a_retry_that_is_killed_and_repeated_brings_the_records_once(installation, point):
    spec = {**ADDED}
    installation.land(BAD, **spec)
    mend(installation, **spec)

    assert killed_at(point, retry_quarantine, installation.settings, TABLE)
    if quarantined(installation):
        retried(installation)
    installation.land([], day=1, **{**spec, "columns": MENDED})

    assert installation.rows() == [("s0001", "wren", 1), ("s0002", "wren", None), ("s0003", "wren", None)]
    assert quarantined(installation) == []
    assert installation.inconsistencies() == []
    verify(installation.lake, installation.settings)


def test_nothing_to_retry_is_said(installation):
    installation.land(sightings(1))

    with pytest.raises(ConfigurationError, match="has no quarantined records"):
        retried(installation)


def test_each_load_is_retried_by_itself_and_one_can_be_chosen(installation):
    installation.land([sighting(1), sighting(2, count="many")])
    installation.land([sighting(3), sighting(4, count="many")], day=1)
    mend(installation)

    [chosen] = retried(installation, FIRST)
    [other] = retried(installation)

    assert (chosen.rows_inserted, other.rows_inserted) == (1, 1)
    assert len(installation.rows()) == 4


def test_an_old_record_that_is_retried_does_not_overwrite_a_newer_one(installation):
    plain = {"incremental": None, "columns": [COLUMNS[0], COLUMNS[2], COLUMNS[3]]}
    mended = [MENDED[0], MENDED[2], MENDED[3]]
    installation.land([sighting(1, count="many", bird="old")], **plain)
    installation.land([sighting(1, count=5, bird="new")], day=1, **plain)
    mend(installation, mended, incremental=None)

    [summary] = retried(installation)

    assert summary.rows_unchanged == 1
    assert installation.rows() == [("s0001", "new", 5)]


def test_retried_records_of_a_replace_are_added_to_what_it_left(installation):
    installation.land(BAD, **REPLACED)
    mend(installation, **REPLACED)

    [summary] = retried(installation)

    assert (summary.rows_inserted, summary.rows_deleted) == (2, 0)
    assert len(installation.rows()) == 3
    verify(installation.lake, installation.settings)


def test_records_of_a_table_that_was_replaced_since_are_not_brought_back(installation):
    installation.land(BAD, **REPLACED)
    installation.land(sightings(7), day=1, **REPLACED)
    mend(installation, **REPLACED)

    [summary] = retried(installation)

    assert (summary.state, "has replaced the table since" in (summary.error or "")) == ("failed", True)
    assert installation.rows() == [("s0007", "wren", 7)]


def test_records_of_a_table_that_was_emptied_since_are_not_brought_back(installation):
    installation.land(BAD, **REPLACED, allow_empty=True)
    installation.land([], day=1, **REPLACED, allow_empty=True)
    mend(installation, **REPLACED, allow_empty=True)

    [summary] = retried(installation)

    assert (summary.state, "has replaced the table since" in (summary.error or "")) == ("failed", True)
    assert installation.rows() == []


def test_a_retry_is_not_asked_what_is_asked_of_whole_loads_but_its_rows_are_checked(installation):
    installation.land(BAD)
    asked = [{"min_rows": 100}, {"freshness": {"seen_at": "1h"}}]
    mend(installation, checks=[*asked, {"not_null": "count"}], quarantine_limit={"rows": 0})

    [refused] = retried(installation)
    mend(installation, HALF_MENDED, checks=asked, quarantine_limit={"rows": 0})
    [taken] = retried(installation)

    assert "not_null count: 2 of 2 rows" in (refused.error or "")
    assert (taken.rows_inserted, taken.rows_quarantined) == (1, 1)


def test_a_package_that_was_retried_already_is_loaded_once(installation):
    installation.land(BAD)
    mend(installation)
    [summary] = retried(installation)

    assert load(summary.manifest or "", installation.settings).state == "already_loaded"


def test_an_extraction_in_place_of_a_load_takes_out_what_was_retried_of_it(installation):
    installation.land(BAD, **ADDED)
    mend(installation, **ADDED)
    retried(installation)
    pipeline = installation.pipeline(sightings(1, 2, 3), **{**ADDED, "columns": MENDED})
    run = slice_run()
    again = Run(run.run_id, run.slice_start, run.slice_end, by_slice=True, mode="reextract")

    load(upload(extract(pipeline, "birds", again, installation.settings), installation.settings), installation.settings, pipeline)

    assert installation.rows() == [("s0001", "wren", 1), ("s0002", "wren", 2), ("s0003", "wren", 3)]
    verify(installation.lake, installation.settings)


def test_a_retry_that_comes_after_its_load_was_extracted_anew_is_refused(installation, monkeypatch):
    installation.land(BAD, **ADDED)
    mend(installation, **ADDED)
    assert killed_at("upload.spool_removed", retry_quarantine, installation.settings, TABLE)
    pipeline = installation.pipeline(sightings(1, 2, 3), **{**ADDED, "columns": MENDED})
    run = slice_run()
    again = Run(run.run_id, run.slice_start, run.slice_end, by_slice=True, mode="reextract")
    load(upload(extract(pipeline, "birds", again, installation.settings), installation.settings), installation.settings, pipeline)

    manifest = installation.lake.url_of(installation.manifest_key().replace(".json", "-q.json"))
    with pytest.raises((RetryOutdated, LoadSuperseded)):
        load(manifest, installation.settings)
    assert len(installation.rows()) == 3


def test_a_watermark_moves_to_what_was_retried_when_nothing_was_read_since(installation):
    installation.land([sighting(1), sighting(5, count="many")])
    mend(installation)

    [summary] = retried(installation)

    assert summary.watermark == sighting(5)["seen"]


def test_a_record_that_is_no_record_stays_what_it_is(installation, tmp_path):
    installation.land(BAD)
    import duckdb

    with duckdb.connect(str(installation.warehouse_file)) as connection:
        connection.execute("UPDATE _ducklift.quarantine SET record = to_json('not json'), reason = 'the record is not a JSON object'")
    mend(installation)

    [summary] = retried(installation)

    assert (summary.rows_extracted, summary.rows_quarantined) == (2, 2)
    assert {reason for _, _, reason in quarantined(installation)} == {"the record is not a JSON object"}


def test_without_a_pipeline_file_the_manifest_says_how_to_load(installation):
    installation.land(BAD)

    [summary] = retried(installation)

    assert (summary.rows_extracted, summary.rows_quarantined) == (2, 2)
    assert TableSpec.model_validate(installation.manifest()["spec"]).disposition == "merge"


def test_a_failed_check_leaves_the_quarantine_as_it_was(installation):
    installation.land(BAD)
    before = quarantined(installation)
    with pytest.raises(CheckFailed):
        installation.land([sighting(4, count="many")], day=1, checks=[{"min_rows": 9}])

    assert quarantined(installation) == before

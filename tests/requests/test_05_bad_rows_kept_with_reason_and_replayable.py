"""Request 5 (dlt#1980, ingestr#1147): bad rows kept with the reason and replayable."""

from __future__ import annotations

import json

from installations import COLUMNS, MERGED, TABLE, sighting

from ducklift.retrying import retry_quarantine


def test_a_bad_row_is_kept_whole_with_its_file_line_and_reason_while_the_others_land(installation):
    bad = sighting(2, count="many", note={"é": [1, None]})

    summary = installation.land([sighting(1), bad, sighting(3)])

    [(file, line, reason, record)] = installation.query("SELECT source_file, line, reason, record FROM _ducklift.quarantine")
    assert (summary.rows_inserted, summary.rows_quarantined) == (2, 1)
    assert (file, line, reason) == (installation.manifest()["files"][0]["key"], 2, "column count: not a bigint: many")
    assert json.loads(record) == bad


def test_after_a_fix_the_bad_row_is_replayed_once_without_extracting_again(installation):
    installation.land([sighting(1), sighting(2, count="many")])
    mended = [{**column, "null_if": ["many"]} if column["name"] == "count" else column for column in COLUMNS]
    folder = installation.project / "include" / "pipelines"
    folder.mkdir(parents=True)
    nothing = installation.project / "nothing.json"
    nothing.write_text('{"birds": []}')
    source = {"type": "listed", "file": str(nothing)}
    (folder / "nature.yaml").write_text(json.dumps({"name": "nature", **MERGED, "columns": mended, "source": source}))

    [summary] = retry_quarantine(installation.settings, TABLE)

    assert (summary.rows_extracted, summary.rows_inserted, summary.rows_quarantined) == (1, 1, 0)
    assert installation.rows() == [("s0001", "wren", 1), ("s0002", "wren", None)]
    assert installation.query("FROM _ducklift.quarantine") == []

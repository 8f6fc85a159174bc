"""`ducklift gc` and `ducklift publish` at the prompt."""

from __future__ import annotations

import json

import pytest
from installations import TABLE, Installation, sightings
from kept_lakes import DAY, aged, time_passes, with_retention
from typer.testing import CliRunner

ORPHAN = "raw/nature/sightings/20260101T000000Z-0123abcd.0123456789ab.jsonl.gz"


@pytest.fixture
def at_prompt(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation with one load and one orphan, where the command line looks for it."""
    with_retention(installation, raw="30d")
    monkeypatch.setattr("ducklift.settings.PROJECT", installation.project)
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", installation.settings.lake_url)
    installation.land(sightings(1, 2))
    installation.lake.replace(ORPHAN, b"orphan")
    aged(installation, ORPHAN)
    return installation


def answer(*arguments: str) -> tuple[int, str, str]:
    from ducklift.cli.app import app

    result = CliRunner().invoke(app, list(arguments), prog_name="ducklift")
    return result.exit_code, result.stdout, result.stderr


def test_gc_shows_what_would_go_and_why_and_deletes_nothing(at_prompt: Installation):
    code, shown, _ = answer("gc")

    assert code == 0
    assert ORPHAN in shown
    assert "no manifest names it" in shown
    assert "1 things, 6 B would go; nothing was deleted." in shown
    assert ORPHAN in at_prompt.keys("raw/")


def test_gc_apply_deletes_and_tells_where_the_record_is(at_prompt: Installation):
    code, shown, _ = answer("gc", "--table", str(TABLE), "--apply", "--json")
    told = json.loads(shown)

    assert code == 0
    assert (told["applied"], told["kinds"]) == (True, {"orphan": {"found": 1, "bytes": 6}})
    assert at_prompt.json(at_prompt.lake.key_of(told["record"]))["completed_at"]
    assert ORPHAN not in at_prompt.keys("raw/")


def test_a_warehouse_that_lost_its_table_keeps_its_raw_files_and_the_rest_goes(at_prompt: Installation, monkeypatch: pytest.MonkeyPatch):
    time_passes(monkeypatch, 31 * DAY)
    at_prompt.warehouse_file.unlink()
    code, shown, complaint = answer("gc", "--apply", "--json")

    assert code == 1
    assert "does not hold commit 1" in complaint
    assert list(json.loads(shown)["kinds"]) == ["orphan"]
    assert len(at_prompt.keys("raw/")) == 2  # raw file and manifest


def test_a_name_that_is_no_table_is_bad_usage(at_prompt: Installation):
    assert answer("gc", "--table", "sightings")[0] == 2
    assert answer("publish", "sightings")[0] == 2


@pytest.mark.parametrize("columns", [["bird,count"], ["bird", "count"]], ids=["in one option", "in an option each"])
def test_publish_tells_version_rows_and_place(at_prompt: Installation, columns: list[str]):
    options = [text for column in columns for text in ("--partition-by", column)]
    code, shown, _ = answer("publish", str(TABLE), *options, "--json")
    told = json.loads(shown)

    assert (code, told["rows"], told["files"], told["unchanged"]) == (0, 2, 2, False)
    assert told["url"].endswith(f"curated/nature/sightings/{told['version']}/")
    assert len([key for key in at_prompt.keys("curated/") if "bird=wren/count=" in key]) == 2


def test_retention_of_raw_files_is_refused_where_they_are_the_table(at_prompt: Installation):
    file = at_prompt.settings.pipelines / "nature.yaml"
    file.write_text(json.dumps({**json.loads(file.read_text()), "target": "lake"}))
    code, _, complaint = answer("validate", "nature")

    assert code == 2
    assert "raw files are the table" in complaint

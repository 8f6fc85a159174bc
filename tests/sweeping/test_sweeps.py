"""What is gone at its source is taken out of everything that holds it, and a rebuild does not bring it back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installations import MERGED, STREAM, TABLE, Installation, sighting, sightings, slice_run
from runs import APPEND, INSERT_ONLY, MERGE, REPLACE, SCD2, go, rebuild_anew, rebuilt_is_equal

from ducklift.deletion_sweeps import Swept, sweep_keys
from ducklift.errors import ConfigurationError
from ducklift.keeping import publish
from ducklift.lake.dataset import live_files
from ducklift.lake.layout import checkpoint_prefix, snapshot_key
from ducklift.pipeline import extract
from ducklift.specs import Blanking
from ducklift.warehouse.connect import open_warehouse
from ducklift.warehouse.content import family_hash

SECRET = "magpie on the roof next door"
BLANKING = Blanking(content=("bird", "note"), values={"bird": "[deleted]"})


def told(number: int, **fields: Any) -> dict[str, Any]:
    return sighting(number, bird=SECRET, note=f"{SECRET}, twice", **fields)


def swept(installation: Installation, *numbers: int, spec: dict[str, Any] | None = None, blanking: Blanking = BLANKING) -> Swept:
    pipeline = installation.pipeline([], **(spec or MERGE))
    return sweep_keys(pipeline, str(TABLE), [(f"s{number:04d}",) for number in numbers], blanking, installation.settings, apply=True)


def holding(installation: Installation, text: str = SECRET) -> list[str]:
    """Return the places that still hold the text: files of the lake, the spool and the project, whatever their format, and tables."""
    found = []
    for path in (
        path for path in installation.project.rglob("*") if path.is_file() and path.suffix != ".duckdb" and "records-" not in path.name
    ):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = subprocess.run(["gzip", "-dc", str(path)], capture_output=True, check=True).stdout
        elif path.suffix == ".parquet":
            data = str(duckdb.sql(f"SELECT * FROM '{path}'").fetchall()).encode()
        if text.encode() in data:
            found.append(str(path.relative_to(installation.project)))
    for table in (str(TABLE), "_ducklift.quarantine", "_ducklift.loads", "_ducklift.deletions"):
        if any(text in str(row) for row in installation.query(f"FROM {table}")):
            found.append(table)
    return found


def content(installation: Installation) -> str:
    with open_warehouse(installation.settings, read_only=True) as warehouse:
        return family_hash(warehouse, TABLE)


@pytest.fixture
def told_of(installation: Installation) -> Installation:
    """Three loads: record 2 is in two of them and changed in the second; one line is broken and one value does not fit."""
    go(installation, [sighting(1), told(2), sighting(3)], **MERGE)
    go(installation, [told(2, seen=sighting(4)["seen"], count=7), sighting(4)], day=1, **MERGE)
    go(installation, [told(5, count="many"), sighting(6)], day=2, **MERGE)
    return installation


def test_the_content_is_taken_out_of_everything_and_nothing_else_changes(told_of: Installation) -> None:
    before = told_of.rows("id, bird, count, _load_id, _source_file")
    assert {"nature.sightings", "_ducklift.quarantine"} < set(holding(told_of))

    done = swept(told_of, 2, 5)

    assert holding(told_of) == []
    assert (done.rows, done.rewritten, done.left) == (1, 3, ())
    after = told_of.rows("id, bird, count, _load_id, _source_file")
    assert [row if row[0] != "s0002" else (row[0], "[deleted]", *row[2:]) for row in before] == after
    assert told_of.json("_ducklift/tables/nature.sightings.json")["loads"][0]["kind"] == "sweep"


def test_a_rebuild_gives_the_blanked_table_with_and_without_the_checkpoint(told_of: Installation, tmp_path: Path) -> None:
    swept(told_of, 2, 5)

    rebuilt_is_equal(told_of)
    other = rebuild_anew(told_of, tmp_path / "other")
    assert content(other) == content(told_of)
    for item in list(told_of.lake.list(checkpoint_prefix(TABLE))):
        told_of.lake.delete(item.key)
    rebuilt_is_equal(told_of)


@pytest.mark.parametrize("spec", [APPEND, INSERT_ONLY, REPLACE, SCD2], ids=lambda spec: str(spec["disposition"]))
def test_every_disposition_is_swept_and_rebuilt(installation: Installation, tmp_path: Path, spec: dict[str, Any]) -> None:
    keyed = {**MERGED, **spec, "primary_key": ["id"]}
    go(installation, [sighting(1), told(2)], **keyed)
    go(installation, [told(2, seen=sighting(4)["seen"], count=7), sighting(4)], day=1, **keyed)

    swept(installation, 2, spec=keyed)

    assert holding(installation) == []
    rebuilt_is_equal(installation)
    go(installation, [sighting(5)], day=2, **keyed)
    rebuilt_is_equal(installation)


@pytest.mark.parametrize("format_", ["jsonl", "jsonl.zst", "csv.gz", "csv", "parquet"])
def test_raw_files_of_every_format_are_written_anew_with_all_other_records_as_they_were(installation: Installation, format_: str) -> None:
    spec = {**MERGE, "format": format_, "record_column": None}
    text = 'a "quoted", comma\nand a second line'
    go(installation, [sighting(1, note=text), told(2), sighting(3, note=""), sighting(4)], **spec)
    before = installation.rows("id, bird, count, note")

    swept(installation, 2, spec=spec)

    assert installation.rows("id, bird, count, note") == [row if row[0] != "s0002" else ("s0002", "[deleted]", 2, None) for row in before]
    assert holding(installation) == []
    for item in list(installation.lake.list(checkpoint_prefix(TABLE))):
        installation.lake.delete(item.key)
    rebuilt_is_equal(installation)


def test_a_table_in_the_lake_alone_is_swept_in_its_files(installation: Installation) -> None:
    spec = {**MERGE, "target": "lake", "format": "parquet"}
    pipeline = installation.pipeline([sighting(1), told(2)], **spec)
    installation.put(pipeline)

    swept(installation, 2, spec=spec)

    files = [installation.lake.path(live.file.key) for live in live_files(installation.lake, TABLE)]
    assert duckdb.sql(f"SELECT id, bird FROM read_parquet({files}) ORDER BY 1").fetchall() == [("s0001", "wren"), ("s0002", "[deleted]")]
    assert holding(installation) == []


def test_published_versions_and_the_spool_hold_nothing_either(told_of: Installation) -> None:
    publish(told_of.settings, TABLE, ["count"])
    go(told_of, sightings(8), day=3, **MERGE)
    publish(told_of.settings, TABLE, ["count"])
    extract(told_of.pipeline([told(2)], **MERGE), STREAM, slice_run(9), told_of.settings)
    under_way = [path for path in holding(told_of) if path.startswith(".ducklift/spool")]

    done = swept(told_of, 2, 5)

    assert holding(told_of) == under_way != []
    assert len(done.left) == 1
    current = told_of.json("curated/nature/sightings/_current.json")
    assert current["versions"] == [current["version"]]
    assert {file["key"] for file in current["files"]} == {key for key in told_of.keys("curated/") if key.endswith(".parquet")}


def test_a_day_that_is_read_again_after_a_sweep_gives_the_table_as_if_it_had_never_been_loaded(told_of: Installation) -> None:
    swept(told_of, 2, 5)

    go(told_of, [sighting(1, bird="kite")], day=0, mode="reextract", **MERGE)

    assert [row for row in told_of.rows() if row[0] in ("s0001", "s0002", "s0003")] == [("s0001", "kite", 1), ("s0002", "[deleted]", 7)]
    assert holding(told_of) == []
    rebuilt_is_equal(told_of)


def test_a_sweep_of_nothing_known_changes_no_row_and_a_second_one_rewrites_nothing(told_of: Installation) -> None:
    swept(told_of, 2)
    before = content(told_of)
    done = swept(told_of, 2, 99)

    assert (done.rewritten, content(told_of)) == (0, before)
    rebuilt_is_equal(told_of)


def test_a_dry_run_changes_nothing(told_of: Installation) -> None:
    before = told_of.keys("")

    sweep_keys(told_of.pipeline([], **MERGE), str(TABLE), [("s0002",)], BLANKING, told_of.settings)

    assert told_of.keys("") == before
    assert holding(told_of)


def test_all_but_what_is_kept_can_be_taken_out(told_of: Installation) -> None:
    swept(told_of, 2, 5, blanking=Blanking(keep=("count",)))

    assert holding(told_of) == []
    assert told_of.query(f"SELECT id, bird, count, seen_at IS NULL, raw FROM {TABLE} WHERE id = 's0002'")[0][:4] == (
        "s0002",
        None,
        7,
        False,
    )
    assert json.loads(told_of.query(f"SELECT raw FROM {TABLE} WHERE id = 's0002'")[0][0])["note"] is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"primary_key": [], "disposition": "append"}, "no primary_key"),
        ({"nested": "tables", "record_column": None}, "nested: json"),
        ({"primary_key": ["k"], "synthetic_key": {"name": "k", "columns": ["id"]}}, "synthetic_key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_whose_records_cannot_be_told_is_refused(installation: Installation, spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        swept(installation, 2, spec={**MERGE, **spec})


def test_a_column_that_must_not_be_empty_is_named(told_of: Installation) -> None:
    columns = [{"name": "id", "type": "varchar"}, {"name": "bird", "type": "varchar", "nullable": False}]

    with pytest.raises(ConfigurationError, match="'bird' must not be empty"):
        swept(told_of, 2, spec={**MERGE, "columns": columns}, blanking=Blanking(content=("bird",)))
    assert told_of.keys("_ducklift/sweeps/") == []


def test_the_reason_of_a_quarantined_record_no_longer_shows_its_value(told_of: Installation) -> None:
    assert told_of.query("SELECT reason FROM _ducklift.quarantine") == [("column count: not a bigint: many",)]

    swept(told_of, 5, blanking=Blanking(content=("bird", "note", "count")))

    assert told_of.query("SELECT reason FROM _ducklift.quarantine") == [("column count: not a bigint",)]
    rebuilt_is_equal(told_of)


def test_a_sweep_takes_content_out_of_what_the_snapshot_tells_of_quarantine_and_of_earlier_times(told_of):
    before = told_of.json(snapshot_key(TABLE))
    assert SECRET in json.dumps(before["quarantine"])
    assert any(SECRET in str(moment) for column in before["columns"] for moment in column["history"])

    swept(told_of, 2, 5)

    after = told_of.json(snapshot_key(TABLE))
    assert SECRET not in json.dumps(after)
    assert after["quarantined"] == before["quarantined"]
    assert after["columns"][0]["history"]

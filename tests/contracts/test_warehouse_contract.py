"""What every warehouse promises, wherever it lies: one suite over a file, memory, an attached database and DuckLakes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import duckdb
import pytest
from warehouse_places import TABLE, Place, installed, listed_source_known, place, postgres, shared_lake, sighting, sightings

from ducklift.errors import ContractBroken
from ducklift.failpoints import FailpointReached
from ducklift.lake.commits import read_snapshot
from ducklift.lake.filesystem import open_lake
from ducklift.lake.layout import commit_prefix

__all__ = ["installed", "listed_source_known", "place", "postgres", "shared_lake"]


def test_the_first_load_makes_the_table_with_its_types(place: Place):
    summary = place.land(sightings(*range(25)))

    assert (summary.state, summary.rows_inserted, summary.total_rows) == ("loaded", 25, 25)
    types = place.warehouse.rows(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'sightings' AND database_name = current_database() "
        "ORDER BY column_index"
    )
    assert types[:5] == [
        ("id", "VARCHAR"),
        ("seen_at", "TIMESTAMP WITH TIME ZONE"),
        ("bird", "VARCHAR"),
        ("count", "BIGINT"),
        ("raw", "JSON"),
    ]
    assert place.rows("id, bird, count, seen_at")[0] == ("s0000", "wren", 0, datetime(2026, 1, 1, tzinfo=UTC))
    assert place.rows("DISTINCT _load_id, _loaded_at IS NOT NULL") == [(place.load_id(), True)]


def test_append_adds_each_loads_rows(place: Place):
    spec = {"disposition": "append", "primary_key": [], "incremental": None}
    place.land(sightings(1, 2), day=0, **spec)
    summary = place.land(sightings(3, 4), day=1, **spec)

    assert (summary.rows_inserted, summary.total_rows) == (2, 4)
    assert [row[0] for row in place.rows()] == ["s0001", "s0002", "s0003", "s0004"]


def test_merge_keeps_one_row_per_key_and_the_newest(place: Place):
    place.land(sightings(*range(20)), day=0)
    changed = [sighting(1, bird="kite", seen=1_767_300_000), sighting(2, bird="old", seen=1), *sightings(30, 30)]
    summary = place.land(changed, day=1)

    assert (summary.rows_inserted, summary.rows_updated, summary.rows_unchanged, summary.rows_deduplicated) == (1, 1, 1, 1)
    rows = {row[0]: row[1] for row in place.rows()}
    assert (len(rows), rows["s0001"], rows["s0002"], rows["s0030"]) == (21, "kite", "wren", "wren")


def test_replace_leaves_the_new_rows_only(place: Place):
    spec = {"disposition": "replace", "incremental": None}
    place.land(sightings(*range(20)), day=0, **spec)
    summary = place.land(sightings(7, 99), day=1, **spec)

    assert (summary.rows_inserted, summary.rows_deleted) == (2, 20)
    assert [row[0] for row in place.rows()] == ["s0007", "s0099"]


def test_insert_only_leaves_a_known_key_as_it_was(place: Place):
    place.land(sightings(1), day=0, disposition="insert_only")
    summary = place.land([sighting(1, bird="kite"), sighting(2)], day=1, disposition="insert_only")

    assert (summary.rows_inserted, summary.rows_unchanged) == (1, 1)
    assert place.rows("id, bird") == [("s0001", "wren"), ("s0002", "wren")]


def test_scd2_keeps_every_version_with_its_time(place: Place):
    spec = {"disposition": "scd2", "columns": [], "record_column": None, "incremental": {"cursor": "since"}}

    def price(day: int, amount: int) -> dict[str, object]:
        return {"id": "tea", "since": f"2026-01-{day:02d}", "price": amount}

    place.land([price(1, 3), {"id": "cup", "since": "2026-01-01", "price": 9}], day=0, **spec)
    place.land([price(9, 5), price(5, 4)], day=1, **spec)
    summary = place.land([price(3, 0), price(9, 5)], day=2, **spec)

    assert (summary.rows_inserted, summary.rows_updated, summary.rows_unchanged) == (0, 0, 2)
    found = place.rows("id, price, _valid_from, _valid_to")
    starts = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 5, 9)]
    assert found == [
        ("cup", 9, starts[0], None),
        ("tea", 3, starts[0], starts[1]),
        ("tea", 4, starts[1], starts[2]),
        ("tea", 5, starts[2], None),
    ]


def test_merge_replaces_partitions_and_deletes_by_a_mark(place: Place):
    spec = {"columns": [], "record_column": None, "incremental": None, "merge_key": ["day"], "deleted_column": "gone"}

    def visit(number: int, day: str, gone: bool = False) -> dict[str, object]:
        return {"id": number, "day": day, "gone": gone}

    place.land([visit(1, "mon"), visit(2, "mon"), visit(3, "tue"), visit(4, "wed")], day=0, **spec)
    summary = place.land([visit(2, "mon"), visit(5, "mon"), visit(3, "thu", gone=True)], day=1, **spec)

    assert (summary.rows_inserted, summary.rows_updated, summary.rows_unchanged, summary.rows_deleted) == (1, 1, 1, 2)
    assert place.rows('"day", id') == [("mon", 2), ("mon", 5), ("wed", 4)]


WIDENED = {
    "whole": (1, 1.5, "DOUBLE", ["1.0", "1.5"]),
    "great": (1, 2**70, "DECIMAL(38,0)", ["1", str(2**70)]),
    "mixed": (2**70, 0.5, "DECIMAL(38,0)", [str(2**70), None]),
    "day": ("2026-01-01", "2026-01-01T12:00:00", "TIMESTAMP", ["2026-01-01 00:00:00", "2026-01-01 12:00:00"]),
    "moment": ("2026-01-01T12:00:00", "2026-01-01T12:00:00Z", "TIMESTAMP WITH TIME ZONE", ["2026-01-01 12:00:00+00"] * 2),
    "flipped": (1, "many", "BIGINT", ["1", None]),
    "yes": (True, "maybe", "BOOLEAN", ["true", None]),
}


def test_columns_widen_and_get_variants_whatever_the_place_can_alter_by_itself(place: Place):
    spec = {"columns": [], "record_column": None, "incremental": None}
    place.land([{"id": "a", **{name: case[0] for name, case in WIDENED.items()}}], day=0, **spec)
    place.land([{"id": "b", **{name: case[1] for name, case in WIDENED.items()}}], day=1, **spec)

    types = dict(row[:2] for row in place.warehouse.rows(f"DESCRIBE SELECT {', '.join(WIDENED)} FROM {TABLE}"))
    assert {name: types[name] for name in WIDENED} == {name: case[2] for name, case in WIDENED.items()}
    for name, case in WIDENED.items():
        found = place.warehouse.rows(f"SELECT CAST({name} AS VARCHAR) FROM {TABLE} ORDER BY id")
        assert [value for (value,) in found] == case[3]
    assert place.rows("mixed__v_text, flipped__v_text, yes__v_text")[0] == ("0.5", "many", "maybe")
    assert place.land([{"id": "a", "whole": 7}], day=2, **spec).rows_updated == 1


def test_child_tables_follow_their_parents(place: Place):
    spec = {"columns": [], "record_column": None, "incremental": None, "nested": "tables", "deleted_column": "gone"}
    place.land([{"id": name, "items": [{"sku": name, "n": 1}, {"sku": "cup"}]} for name in "abc"], day=0, **spec)
    place.land([{"id": "a", "items": [{"sku": "tea", "n": 1.5}]}, {"id": "b", "gone": True}], day=1, **spec)

    found = place.warehouse.rows(
        f"SELECT p.id, c._index, c.sku, c.n FROM {TABLE} AS p JOIN {TABLE}__items AS c ON c._parent_key = p._row_key ORDER BY ALL"
    )
    assert found == [("a", 0, "tea", 1.5), ("c", 0, "c", 1.0), ("c", 1, "cup", None)]


def test_a_new_column_is_added_and_recorded_and_old_rows_have_null_in_it(place: Place):
    pipeline = place.installation.pipeline(sightings(1))
    place.load(pipeline)
    columns = [*(column.model_dump(by_alias=True, exclude_none=True) for column in pipeline.table_spec("birds").columns)]
    place.land([sighting(2, weight=1.25)], day=1, columns=[*columns, {"name": "weight", "type": "double"}])

    assert place.rows("id, weight") == [("s0001", None), ("s0002", 1.25)]
    changes = place.warehouse.rows('SELECT "column", load_id FROM _ducklift.schema_changes WHERE load_id = ?', [place.load_id(1)])
    assert changes == [("weight", place.load_id(1))]


def test_a_load_that_is_there_already_changes_nothing(place: Place):
    pipeline = place.installation.pipeline(sightings(1, 2))
    place.load(pipeline)
    again = place.load(pipeline)

    assert (again.state, again.rows_inserted) == ("already_loaded", 0)
    assert place.warehouse.rows("SELECT count(*), max(sequence) FROM _ducklift.loads") == [(1, 1)]
    assert len(place.rows()) == 2


def test_a_load_that_fails_before_its_commit_leaves_no_trace(place: Place, monkeypatch: pytest.MonkeyPatch):
    pipeline = place.installation.pipeline([*sightings(*range(15)), sighting(99, count="many")])
    monkeypatch.setenv("DUCKLIFT_FAILPOINTS", "load.before_commit:raise")
    monkeypatch.setattr("ducklift.failpoints._passes", __import__("collections").Counter())
    with pytest.raises(FailpointReached):
        place.load(pipeline)
    monkeypatch.delenv("DUCKLIFT_FAILPOINTS")

    counted = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'nature' AND database_name = current_database()"
    assert place.warehouse.value(counted) == 0
    for table in ("loads", "quarantine", "watermarks", "schema_changes"):
        assert place.warehouse.value(f"SELECT count(*) FROM _ducklift.{table}") == 0
    assert place.load(pipeline).rows_inserted == 15


def test_a_record_that_does_not_fit_is_kept_whole_in_quarantine(place: Place):
    bad = sighting(2, count="many", note="a\0b")
    summary = place.land([sighting(1), bad], contract="quarantine")

    assert (summary.rows_inserted, summary.rows_quarantined) == (1, 1)
    [(load_id, line, reason, record)] = place.warehouse.rows("SELECT load_id, line, reason, record FROM _ducklift.quarantine")
    assert (load_id, line) == (place.load_id(), 2)
    assert "count" in reason
    assert json.loads(record) == bad


def test_values_come_back_as_they_were(place: Place):
    """In small batches, which a DuckLake keeps inside its catalog, and in one that it writes as Parquet."""
    texts = ["", " ", "a\0b", "emoji 😀 é", "quote ' \" \\ %s", "line\r\nbreak", "\x1b[31m", "NULL", "\\N", "x" * 100_000]
    numbers = [0, -1, 2**63 - 1, -(2**63)]
    columns = [
        {"name": "id", "type": "varchar"},
        {"name": "text", "type": "varchar"},
        {"name": "whole", "type": "bigint"},
        {"name": "huge", "type": "decimal(38,0)"},
        {"name": "exact", "type": "decimal(38,2)"},
        {"name": "at", "type": "timestamptz"},
        {"name": "nested", "type": "json"},
        {"name": "yes", "type": "boolean"},
        {"name": "real", "type": "double"},
    ]
    spec = {"columns": columns, "incremental": None, "disposition": "append", "primary_key": [], "record_column": None}

    def record(number: int) -> dict[str, object]:
        return {
            "id": f"{number:03d}",
            "text": texts[number % len(texts)],
            "whole": numbers[number % len(numbers)],
            "huge": 2**62 + number,
            "exact": 0.1 + number,
            "at": "1900-01-01T00:00:00.123456+00:00",
            "nested": {"a": [1, None, {"b": "\u2028"}], "zero": "a\0b"},
            "yes": number % 2 == 0,
            "real": 1e-300,
        }

    place.land([record(number) for number in range(3)], day=0, **spec)
    place.land([record(number) for number in range(3, 40)], day=1, **spec)

    found = place.rows('id, text, whole, huge, exact::varchar, "at", nested, yes, "real"')
    moment = datetime(1900, 1, 1, microsecond=123456, tzinfo=UTC)
    for number, row in enumerate(found):
        sent = record(number)
        assert row[:4] == (sent["id"], sent["text"], sent["whole"], sent["huge"])
        assert row[4:6] == (f"{number}.10", moment)
        assert json.loads(row[6]) == sent["nested"]
        assert row[7:] == (sent["yes"], sent["real"])


def test_the_watermark_moves_with_its_rows_and_not_back(place: Place):
    first = place.land(sightings(5), day=0)
    second = place.land(sightings(3), day=1)
    third = place.land(sightings(9), day=2)

    assert [first.watermark, second.watermark, third.watermark] == [1_767_225_900, 1_767_225_900, 1_767_226_140]
    assert place.warehouse.rows("SELECT stream, cursor, value, load_id FROM _ducklift.watermarks") == [
        ("birds", "seen", "1767226140", place.load_id(2))
    ]


def test_what_was_committed_is_published_in_the_lake(place: Place):
    place.land(sightings(1, 2), day=0)
    place.land(sightings(3), day=1)

    lake = open_lake(place.installation.settings)
    snapshot = read_snapshot(lake, TABLE)
    assert snapshot is not None
    assert (snapshot.sequence, snapshot.rows, snapshot.watermarks) == (2, 3, {"nature/birds": 1_767_225_780})
    assert len(list(lake.list(commit_prefix(TABLE)))) == 2


def test_nothing_but_the_staging_folder_can_be_read_and_nothing_loosened(place: Place, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for sql in (
        f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')",
        f"COPY (SELECT 1) TO '{tmp_path / 'stolen.csv'}'",
        f"ATTACH '{tmp_path / 'other.duckdb'}' AS other",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "INSTALL spatial",
    ):
        with pytest.raises(duckdb.Error):
            place.warehouse.connection.execute(sql)
    assert not (tmp_path / "stolen.csv").exists()


def test_the_system_schema_names_its_control_rows(place: Place):
    place.land(sightings(1), day=0)
    place.land(sightings(2), day=1)

    assert place.warehouse.rows('SELECT dataset, "table", sequence FROM _ducklift.control') == [("nature", "sightings", 2)]


@pytest.mark.parametrize("type_", ["hugeint", "interval", "uhugeint"])
def test_a_type_that_a_ducklake_would_store_inexactly_is_refused_there_and_kept_elsewhere(place: Place, type_: str):
    spec = {"columns": [{"name": "id", "type": "varchar"}, {"name": "value", "type": type_}], "incremental": None, "record_column": None}
    text = "00:00:00.123456" if type_ == "interval" else str(2**100 + 1)
    records = [{"id": str(number), "value": text} for number in range(20)]
    if place.kind.startswith("ducklake"):
        with pytest.raises(ContractBroken, match="inexactly"):
            place.land(records, **spec)
    else:
        place.land(records, **spec)
        assert place.rows("DISTINCT value::VARCHAR") == [(text,)]

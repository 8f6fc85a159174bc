"""What meets in one table: partitions and quarantine, deletion marks of any type, streams that say the same, names that are taken."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import yaml
from installations import MERGED, Installation, Record
from trials import Ground

from ducklift.cursors import behind, greatest, latest, reaches
from ducklift.errors import ConfigurationError, ContractBroken
from ducklift.pipeline import load
from ducklift.retrying import retry_quarantine
from ducklift.specs import Incremental, TableName
from ducklift.summary import LoadSummary
from ducklift.warehouse.rebuild import verify

SALES = TableName(dataset="shop", table="sales")
AMOUNT = {"name": "amount", "type": "bigint"}
MENDED = {**AMOUNT, "null_if": ["unknown"]}
PARTITIONED: dict[str, Any] = {
    "table": str(SALES),
    "disposition": "merge",
    "merge_key": ["day"],
    "record_column": None,
    "incremental": None,
}


def sale(number: int, day: str, amount: Any = 1) -> Record:
    return {"id": number, "day": day, "amount": amount}


def sold(installation: Installation, *sales: Record, day: int = 0, **spec: Any) -> LoadSummary:
    return installation.land(list(sales), day=day, **{**PARTITIONED, "columns": [AMOUNT], **spec})


def retried(installation: Installation, **spec: Any) -> LoadSummary:
    """Retry what is in quarantine by a pipeline file that takes `unknown` for no value."""
    file = installation.project / "include" / "pipelines" / "nature.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    source = {"type": "listed", "file": str(installation.pipeline([]).source.file)}
    file.write_text(json.dumps({"name": "nature", "source": source, **MERGED, **PARTITIONED, "columns": [MENDED], **spec}))
    [summary] = retry_quarantine(installation.settings, SALES)
    verify(installation.lake, installation.settings)
    return summary


def sales(installation: Installation) -> list[tuple[Any, ...]]:
    return installation.query(f'SELECT "day", id, amount FROM {SALES} ORDER BY ALL')


@pytest.mark.parametrize("key", [[], ["id"]], ids=["rows without a key", "rows with a key"])
def test_retried_records_come_to_the_partition_that_their_load_brought(installation: Installation, key: list[str]) -> None:
    sold(installation, sale(1, "mon"), sale(2, "mon", "unknown"), sale(3, "tue"), primary_key=key)

    summary = retried(installation, primary_key=key)

    assert (summary.rows_inserted, summary.rows_deleted, summary.rows_unchanged) == (1, 0, 0)
    assert sales(installation) == [("mon", 1, 1), ("mon", 2, None), ("tue", 3, 1)]


@pytest.mark.parametrize("key", [[], ["id"]], ids=["rows without a key", "rows with a key"])
def test_retried_records_do_not_come_to_a_partition_that_a_later_load_brought(installation: Installation, key: list[str]) -> None:
    sold(installation, sale(1, "mon"), sale(2, "mon", "unknown"), sale(3, "tue", "unknown"), primary_key=key)
    sold(installation, sale(4, "mon"), day=1, primary_key=key)

    summary = retried(installation, primary_key=key)

    assert (summary.rows_inserted, summary.rows_unchanged) == (1, 1)
    assert sales(installation) == [("mon", 4, 1), ("tue", 3, None)]


def test_a_deletion_among_rows_without_a_key_says_nothing_of_other_partitions(ground: Ground) -> None:
    trial = ground.table(disposition="merge", merge_key=["day"], deleted_column="gone", incremental={"cursor": "u"})
    trial.load([{"day": "mon", "u": 9, "gone": False}, {"day": "mon", "u": 9, "gone": True}], number=1)

    late = trial.load([{"day": "sun", "u": 5, "gone": False}], number=0)
    newer = trial.load([{"day": "tue", "u": 7, "gone": False}], number=2)

    assert (late.rows_inserted, newer.rows_inserted) == (1, 1)
    assert trial.rows('"day"') == [("mon",), ("sun",), ("tue",)]


MARKS: list[tuple[Any, Any]] = [(False, True), (0, 1), (0.0, 1.0), (None, 1767225600), (None, "2026-01-01"), (None, "2026-01-01T10:00:00Z")]


@pytest.mark.parametrize(("stays", "goes"), MARKS)
def test_a_deletion_mark_is_a_truth_a_number_but_zero_or_a_time(ground: Ground, stays: Any, goes: Any) -> None:
    trial = ground.table(disposition="merge", primary_key=["id"], deleted_column="gone")
    trial.load([{"id": 1}, {"id": 2}])

    told = trial.load([{"id": 1, "gone": stays}, {"id": 2, "gone": goes}, {"id": 3, "gone": None}])

    assert trial.rows("id") == [(1,), (3,)]
    assert told.rows_deleted == 1


@pytest.mark.parametrize("marks", [("N", "Y"), ("", "2026-01-01"), ([], ["x"])], ids=["letters", "an empty text", "lists"])
def test_a_deletion_mark_that_tells_neither_yes_nor_no_is_refused_by_name(ground: Ground, marks: tuple[Any, Any]) -> None:
    trial = ground.table(disposition="merge", primary_key=["id"], deleted_column="gone")

    with pytest.raises(ContractBroken, match=r"deleted_column 'gone' is .*Declare it"):
        trial.load([{"id": number, "gone": mark} for number, mark in enumerate(marks)])

    assert not trial.exists()


def test_a_variant_takes_the_name_of_no_field(ground: Ground) -> None:
    trial = ground.table()
    trial.load([{"n": 1, "x": 1, "x__v_text": "a"}])

    trial.load([{"n": 2, "x": "two", "x__v_text": "b"}])
    trial.load([{"n": 3, "x": "three", "x__v_text": "c"}])

    [(variant,)] = trial.system("schema_changes", '"column"', "AND variant_of = 'x'")
    assert trial.rows(f'n, x, x__v_text, "{variant}"') == [(1, 1, "a", None), (2, None, "b", "two"), (3, None, "c", "three")]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
@pytest.mark.parametrize("disposition", ["append", "merge"])
def test_a_record_without_a_cursor_is_loaded_or_quarantined_or_stops_the_load(ground: Ground, disposition: str, format: str) -> None:
    def landed(policy: str) -> tuple[int, int]:
        incremental = {"cursor": "u", "null_cursor": policy}
        trial = ground.table(
            disposition=disposition, primary_key=["id"], incremental=incremental, columns=[{"name": "v", "type": "bigint"}]
        )
        told = trial.load([{"id": 1, "u": 1, "v": 1}, {"id": 2, "u": None, "v": "many"}, {"id": 3, "u": None, "v": 3}], format=format)
        return told.rows_inserted, told.rows_quarantined

    assert landed("load") == (2, 1)
    assert landed("quarantine") == (1, 2)
    with pytest.raises(ContractBroken, match="'fail', and 2 records have no 'u'; the first is record 2"):
        landed("fail")


DIGITS = ["10001231", "10001232", "1704110400000", "1704110410000", "1704110459999", "20240101", "20241399"]


def test_texts_of_digits_are_in_the_order_of_texts_and_no_dates() -> None:
    in_order = sorted(DIGITS)

    assert greatest(reversed(in_order)) == in_order[-1]
    for earlier, later in pairwise(in_order):
        assert latest(earlier, later) == latest(later, earlier) == later
        assert (reaches(later, earlier), reaches(earlier, later)) == (True, False)
    assert behind("1704110400000", 3600) == "1704110400000"


def test_moments_are_in_the_order_of_time_and_without_a_zone_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert latest("2026-01-01T10:00:00+02:00", "2026-01-01T09:00:00Z") == "2026-01-01T09:00:00Z"
        assert latest("2026-01-01T09:30:00", "2026-01-01T09:00:00Z") == "2026-01-01T09:30:00"
        assert latest("2026-01-02", "2026-01-01T23:00:00Z") == "2026-01-02"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("epoch", "unit"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9), (None, 1)])
def test_an_overlap_is_read_back_in_the_unit_of_the_cursor(installation: Installation, epoch: str | None, unit: int) -> None:
    incremental = {"cursor": "seen", "overlap": "1h", "epoch": epoch}
    spec = {"columns": [], "record_column": None, "incremental": incremental}
    seen = 1_767_225_600 * unit
    installation.land([{"id": "a", "seen": seen}], **spec)

    installation.land([], day=1, **spec)

    assert installation.manifest(1)["request"]["cursor_from"] == seen - 3600 * unit


@pytest.mark.parametrize("columns", [[], [{"name": "seen_at", "from": "seenAt", "type": "timestamptz"}]], ids=["as found", "declared"])
def test_a_cursor_that_is_called_by_its_column_is_refused_by_name(ground: Ground, columns: list[dict[str, Any]]) -> None:
    trial = ground.table(incremental={"cursor": "seen_at"}, columns=columns)

    with pytest.raises(ConfigurationError, match=r"incremental: \{cursor: seenAt\}"):
        trial.load([{"seenAt": "2026-01-01T00:00:00Z"}])


def test_what_another_stream_said_before_is_not_taken_for_read_again(installation: Installation) -> None:
    spec = {
        "disposition": "append",
        "primary_key": [],
        "columns": [],
        "record_column": None,
        "incremental": {"cursor": "at", "overlap": "1h"},
    }

    def gone_through(day: int, **streams: list[Record]) -> list[int]:
        pipeline = installation.pipeline(streams={name: [records] for name, records in streams.items()}, **spec)
        return [installation.run(pipeline, day, name).rows_inserted for name in streams]

    assert gone_through(0, north=[{"at": 10}, {"at": 20}], south=[{"at": 20}]) == [2, 1]
    assert gone_through(1, north=[{"at": 20}, {"at": 20}], south=[{"at": 10}, {"at": 20}]) == [0, 1]

    verify(installation.lake, installation.settings)


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TYPED: list[tuple[Any, Any, dict[str, str], list[Any]]] = [
    (1, [1, 2], {"x": "BIGINT", "x__v_json": "JSON"}, [None, "[1,2]"]),
    (NOON, {"a": 1}, {"x": "TIMESTAMP WITH TIME ZONE", "x__v_json": "JSON"}, [None, '{"a":1}']),
    ("a", [1, None], {"x": "VARCHAR"}, ["[1,null]"]),
    (True, 1, {"x": "BOOLEAN", "x__v_text": "VARCHAR"}, [None, "1"]),
    (1, True, {"x": "BIGINT", "x__v_text": "VARCHAR"}, [None, "true"]),
    (NOON, 5, {"x": "TIMESTAMP WITH TIME ZONE", "x__v_text": "VARCHAR"}, [None, "5"]),
    (NOON.replace(tzinfo=None), NOON, {"x": "TIMESTAMP WITH TIME ZONE"}, [NOON]),
    (NOON.date(), NOON, {"x": "TIMESTAMP WITH TIME ZONE"}, [NOON]),
]


@pytest.mark.parametrize(("first", "later", "types", "stored"), TYPED)
def test_a_typed_value_of_another_kind_is_told_apart_as_its_text_would_be(
    ground: Ground, first: Any, later: Any, types: dict[str, str], stored: list[Any]
) -> None:
    import pyarrow as pa

    trial = ground.table()
    trial.load_spooled([pa.table({"x": [first]})], format="parquet")

    trial.load_spooled([pa.table({"x": [later]})], format="parquet")

    assert trial.types() == types
    assert ground.query(f"SELECT {', '.join(types)} FROM {trial.spec.name} ORDER BY rowid")[1] == tuple(stored)


@pytest.mark.parametrize("partition", [[], ["day"]], ids=["by key", "by partition and key"])
def test_a_merge_into_a_table_that_holds_a_key_more_than_once_leaves_it_once(ground: Ground, partition: list[str]) -> None:
    trial = ground.table(disposition="append")
    trial.load(
        [{"id": 1, "day": "mon", "v": 1}, {"id": 1, "day": "tue", "v": 1}, {"id": 2, "day": "mon", "v": 2}, {"id": 3, "day": "sun", "v": 3}]
    )
    trial.spec = trial.spec.model_copy(update={"disposition": "merge", "primary_key": ("id",), "merge_key": tuple(partition)})

    told = trial.load([{"id": 1, "day": "mon", "v": 5}, {"id": 3, "day": "sun", "v": 3}])

    left = [(1, 5), (3, 3)] if partition else [(1, 5), (2, 2), (3, 3)]
    assert trial.rows("id, v") == left
    assert (told.rows_updated, told.rows_unchanged, told.rows_deleted) == (1, 1, 4 - len(left))


def test_a_replacement_reads_from_the_beginning_whatever_the_watermark(installation: Installation) -> None:
    spec = {
        "disposition": "replace",
        "record_column": None,
        "columns": [],
        "incremental": {"cursor": "seen", "initial": 7, "overlap": "1h"},
    }
    installation.land([{"id": "a", "seen": 10_000}], **spec)

    again = installation.land([{"id": "a", "seen": 10_000}, {"id": "b", "seen": 9}], day=1, **spec)

    assert installation.manifest(1)["request"] == {"cursor_from": 7, "watermark": None}
    assert (again.rows_inserted, again.watermark) == (2, 10_000)


def test_a_package_comes_to_the_table_that_it_landed_for_whatever_its_pipeline_names_by_now(installation: Installation) -> None:
    manifest = installation.put(installation.pipeline([{"id": "a", "seen": 1}]))
    renamed = installation.pipeline([], table="nature.renamed")

    summary = load(manifest, installation.settings, renamed)

    assert (summary.table, installation.rows("id")) == ("nature.sightings", [("a",)])
    assert installation.query("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'nature'") == [("sightings",)]


def test_a_date_without_quotes_is_a_cursor_as_well() -> None:
    incremental = Incremental.model_validate(yaml.safe_load("{cursor: at, initial: 2026-01-01, end: 2026-01-02 10:00:00}"))

    assert (incremental.initial, incremental.end) == ("2026-01-01", "2026-01-02T10:00:00")


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_an_integer_that_no_watermark_can_hold_is_refused_as_a_cursor(ground: Ground, installation: Installation, format: str) -> None:
    greatest_held, beyond = 2**64 - 1, 2**64
    spec = {"disposition": "append", "primary_key": [], "columns": [], "record_column": None, "incremental": {"cursor": "u"}}

    assert installation.land([{"u": greatest_held}], **spec).watermark == greatest_held
    with pytest.raises(ConfigurationError, match="'u' is 18446744073709551616"):
        installation.land([{"u": beyond}], day=1, **spec)
    with pytest.raises(ConfigurationError, match="'u' is 18446744073709551616"):
        ground.table(incremental={"cursor": "u"}).load([{"u": beyond}], format=format)


def test_a_later_version_of_a_key_that_comes_late_or_again_is_a_row_of_its_own_in_an_append(ground: Ground) -> None:
    trial = ground.table(disposition="append", primary_key=["id"], incremental={"cursor": "u"})
    trial.load([{"id": 1, "u": 1}], 0)
    trial.load([{"id": 1, "u": 5}, {"id": 2, "u": 9}], 1)

    trial.load([{"id": 1, "u": 5}, {"id": 1, "u": 7}], 2)
    trial.load([{"id": 1, "u": 5}, {"id": 2, "u": 9}], 3, supersedes=[f"{trial.spec.name.table}-0001"])

    assert sorted(trial.rows("id, u")) == [(1, 1), (1, 5), (1, 7), (2, 9)]


def test_words_for_no_value_may_be_none_of_a_typed_columns_values(ground: Ground) -> None:
    columns = [{"name": "amount", "type": "bigint", "null_if": ["unknown", 0]}]
    trial = ground.table(columns=columns, primary_key=["id"])

    trial.load([{"id": 1, "amount": 7}, {"id": 2, "amount": 0}, {"id": 3, "amount": None}], format="parquet")
    trial.load([{"id": 4, "amount": 2.0}, {"id": 5, "amount": 0.0}], format="parquet")
    trial.load([{"id": 6, "amount": "unknown"}, {"id": 7, "amount": "8"}], format="parquet")

    assert sorted(trial.rows("id, coalesce(amount, -1)")) == [(1, 7), (2, -1), (3, -1), (4, 2), (5, -1), (6, -1), (7, 8)]


def test_lineage_under_another_name_and_child_tables_go_together(ground: Ground) -> None:
    columns = [{"name": "came_by", "from": "_load_id"}]
    trial = ground.table(columns=columns, disposition="merge", primary_key=["id"], nested="tables")

    trial.load([{"id": 1, "birds": ["wren", "owl"]}])

    assert trial.rows("id, came_by = _load_id") == [(1, True)]
    assert ground.query(f"SELECT value FROM {trial.spec.name}__birds ORDER BY _index") == [("wren",), ("owl",)]


def test_versions_of_a_key_that_come_together_are_rows_of_their_own_in_an_append_as_well(ground: Ground) -> None:
    trial = ground.table(disposition="append", primary_key=["id"], incremental={"cursor": "u"})

    brought = trial.load([{"id": 1, "u": 1}, {"id": 1, "u": 5}, {"id": 1, "u": 5}, {"id": 2}, {"id": 2}], 0)

    assert (brought.rows_inserted, brought.rows_deduplicated) == (3, 2)
    assert sorted(trial.rows("id, coalesce(u, 0)")) == [(1, 1), (1, 5), (2, 0)]


def test_records_without_any_field_are_appended_as_well(ground: Ground) -> None:
    trial = ground.table(disposition="append", incremental={"cursor": "u"})

    assert [trial.load([{}], number).rows_inserted for number in (0, 1)] == [1, 0]

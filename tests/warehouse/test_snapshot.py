from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installations import APPENDED, COLUMNS, TABLE, Installation, sighting, sightings

from ducklift.lake.commits import SNAPSHOT_VERSION, Snapshot, read_snapshot, snapshot_bytes
from ducklift.lake.layout import snapshot_key
from ducklift.specs import TableName
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.snapshots import snapshot_of
from ducklift.warehouse.statistics import table_statistics
from ducklift.warehouse.system import prepare_system

PLAIN: dict[str, Any] = {"record_column": None, "columns": []}


def snapshot(installation: Installation) -> Snapshot:
    found = read_snapshot(installation.lake, TABLE)
    assert found is not None
    return found


def column(installation: Installation, name: str) -> dict[str, Any]:
    return next(each for each in snapshot(installation).columns if each.name == name).model_dump()


def test_a_snapshot_tells_what_every_column_holds(installation):
    installation.land([sighting(1), sighting(2, bird=None), sighting(3, bird="owl"), sighting(4)])

    told = snapshot(installation)
    assert (told.rows, told.approximate, [each.name for each in told.columns][:4]) == (4, False, ["id", "seen_at", "bird", "count"])
    assert column(installation, "bird") == {
        "name": "bird",
        "type": "VARCHAR",
        "null_share": 0.25,
        "distinct": 2,
        "least": "owl",
        "greatest": "wren",
        "history": (),
    }
    assert column(installation, "count")["greatest"] == "4"
    assert told.bytes is not None
    assert 4 * 50 < told.bytes < 4 * 1000


def test_the_sample_is_the_newest_rows_in_the_order_of_the_columns(installation):
    installation.land(sightings(*range(1, 61)))

    told = snapshot(installation)
    assert [row[0] for row in told.sample] == [f"s{number:04d}" for number in range(60, 10, -1)]
    assert dict(zip([each.name for each in told.columns], told.sample[0], strict=True))["count"] == "60"


def test_long_values_are_cut_in_the_sample_and_have_no_bounds(installation):
    installation.land([sighting(1, bird="long " * 1000)])

    told = snapshot(installation)
    assert max(len(cell or "") for cell in told.sample[0]) == 200
    assert (column(installation, "bird")["least"], column(installation, "id")["least"]) == (None, "s0001")


@pytest.mark.parametrize("off", ["sample", "pii"])
def test_no_sample_is_published_where_it_is_off_or_a_column_is_personal(tmp_path, off):
    installation = Installation(tmp_path, environment={"DUCKLIFT_PII_SALT": "s" * 32})
    columns = [{"name": "id", "type": "varchar"}, {"name": "bird", "type": "varchar", **({"pii": "hash"} if off == "pii" else {})}]
    installation.land([sighting(1)], **{**PLAIN, "columns": columns, "sample": off != "sample"})

    assert snapshot(installation).sample == ()
    assert (column(installation, "bird")["least"] is None) == (off == "pii")
    assert column(installation, "bird")["distinct"] == 1


def test_a_sample_goes_once_it_is_turned_off_even_when_nothing_new_comes(installation):
    installation.land([sighting(1)])
    installation.land([], day=1, sample=False)

    assert snapshot(installation).sample == ()
    assert column(installation, "bird")["greatest"] == "wren"


def test_statistics_are_taken_over_when_a_load_changed_nothing(installation):
    installation.land(sightings(1, 2))
    told = json.loads(installation.lake.read(snapshot_key(TABLE)))
    told["columns"][0]["distinct"] = 77
    installation.lake.replace(snapshot_key(TABLE), json.dumps(told).encode())

    unchanged = installation.land(sightings(1, 2), day=1)
    kept = column(installation, "id")["distinct"]
    installation.land(sightings(3), day=2)

    assert (unchanged.rows_unchanged, kept, column(installation, "id")["distinct"]) == (2, 77, 3)
    assert [load["sequence"] for load in snapshot(installation).loads] == [3, 2, 1]


def test_a_column_tells_what_it_held_before_and_forgets_the_oldest(installation):
    for day in range(15):
        installation.land([sighting(day + 1, bird=None if day == 1 else "wren")], day=day)

    [first, *_, last] = column(installation, "count")["history"]
    assert (first[0], first[4:], last[0], last[4:]) == (3, ("1", "3"), 14, ("1", "14"))
    assert len(column(installation, "count")["history"]) == 12
    assert [(moment[0], round(moment[2], 4)) for moment in column(installation, "bird")["history"]][:2] == [(3, 0.3333), (4, 0.25)]


def test_a_history_gains_no_moment_by_a_load_that_changes_nothing(installation):
    installation.land(sightings(1, 2))
    installation.land(sightings(1, 2), day=1)
    installation.land(sightings(1, 2, bird="owl"), day=2)

    assert [moment[0] for moment in column(installation, "id")["history"]] == [2]


def test_a_snapshot_by_an_older_ducklift_is_read_and_goes_on(installation):
    installation.land(sightings(1))
    old = json.loads(installation.lake.read(snapshot_key(TABLE)))
    del old["quarantine"]
    old["snapshot_version"] = 1
    for each in old["columns"]:
        del each["history"]
    old["loads"] = [{name: value for name, value in load.items() if name not in ("pipeline", "airflow", "gap")} for load in old["loads"]]
    installation.lake.replace(snapshot_key(TABLE), json.dumps(old).encode())

    installation.land(sightings(2), day=1)

    assert snapshot(installation).snapshot_version == SNAPSHOT_VERSION
    assert [moment[0] for moment in column(installation, "id")["history"]] == [1]


def test_the_newest_quarantined_records_are_told_with_reason_and_raw_line_cut_where_long(installation):
    installation.land([sighting(1), sighting(2, count="many " * 1000)])

    [record] = snapshot(installation).quarantine
    assert (record.line, record.load_id) == (2, snapshot(installation).newest_load_id)
    assert record.source_file.startswith("raw/nature/sightings/")
    assert "count" in (record.reason or "")
    assert (record.record or "").startswith('{"id":"s0002"')
    assert len(record.record or "") == 2000


@pytest.mark.parametrize("off", ["sample", "pii"])
def test_quarantined_records_are_told_by_their_place_alone_where_values_must_not_be_shown(tmp_path, off):
    installation = Installation(tmp_path, environment={"DUCKLIFT_PII_SALT": "s" * 32})
    columns = [*COLUMNS, *([{"name": "note", "type": "varchar", "pii": "hash"}] if off == "pii" else [])]
    installation.land([sighting(1), sighting(2, count="many")], columns=columns, sample=off != "sample")

    [record] = snapshot(installation).quarantine
    assert (record.line, record.reason, record.record) == (2, None, None)


def test_schema_changes_quarantine_and_gaps_are_told(installation):
    installation.land([sighting(1), sighting(2, count="many")])
    installation.land([{**sighting(3), "wings": 2}], day=1, record_column=None)

    told = snapshot(installation)
    assert (told.quarantined, told.quarantined_loads, told.gaps) == (1, 1, ())
    assert (told.schema_changes[0]["column"], told.schema_changes[0]["change"]) == ("wings", "column added")


def test_warnings_of_checks_stand_with_their_load(installation):
    installation.land([sighting(1)], checks=[{"min_rows": 2, "level": "warn"}])

    assert snapshot(installation).loads[0]["warnings"] == ["min_rows 2: the load brings 1 rows"]


def test_the_last_two_hundred_loads_and_schema_changes_are_kept(installation):
    installation.land([{"id": "a", "seen": 1}], **PLAIN)
    with duckdb.connect(str(installation.warehouse_file)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE one AS FROM _ducklift.loads")
        connection.execute("INSERT INTO _ducklift.loads SELECT one.* REPLACE (i + 1 AS sequence) FROM one, range(1, 260) r(i)")
        connection.execute("CREATE OR REPLACE TABLE one AS FROM _ducklift.schema_changes LIMIT 1")
        connection.execute("INSERT INTO _ducklift.schema_changes SELECT one.* FROM one, range(300)")

        told = snapshot_of(Warehouse(connection, "long", installation.project), TABLE, None)

    assert (len(told.loads), len(told.schema_changes), told.sequence) == (200, 200, 260)


def test_a_snapshot_stays_under_a_megabyte_whatever_the_table_looks_like(tmp_path):
    names = [f"{'a_rather_long_name_of_a_column_' * 6}{number}" for number in range(1200)]
    values = ", ".join(f"repeat('é', 50) AS {name}" for name in names)
    with duckdb.connect() as connection:
        warehouse = Warehouse(connection, "wide", tmp_path)
        prepare_system(warehouse)
        connection.execute(f"CREATE SCHEMA nature; CREATE TABLE {TABLE} AS SELECT {values} FROM range(60)")

        told = snapshot_of(warehouse, TABLE, None)

    assert len(snapshot_bytes(told)) <= 1_000_000
    assert (len(told.columns), told.columns[0].distinct) == (1200, 1)


def test_an_empty_load_of_a_new_table_has_a_snapshot_without_columns(installation):
    installation.land([], **PLAIN)

    told = snapshot(installation)
    assert (told.rows, told.columns, told.sample) == (0, (), ())


@pytest.fixture
def long_table(tmp_path):
    """A warehouse with a table of a million rows of half a kilobyte."""
    with duckdb.connect(str(tmp_path / "million.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA long")
        connection.execute(
            """
            CREATE TABLE long.posts AS
            SELECT i AS id, 'user' || i % 1000 AS author, repeat(md5(i::VARCHAR), 10) AS body, to_timestamp(i) AS made,
                   i * 1.5 AS weight, to_json({a: i}) AS raw, CASE WHEN i % 4 > 0 THEN i % 100 END AS score
            FROM range(1000000) AS r(i)
            """
        )
        yield Warehouse(connection, "long", Path(tmp_path))


def test_statistics_of_a_million_rows_look_at_a_part_of_them_and_are_near_the_truth(long_table):
    told = table_statistics(long_table, TableName.parse("long.posts"), 1_000_000, frozenset(), with_sample=True)

    found = {each.name: each for each in told.columns}
    assert (told.approximate, len(told.sample), told.sample[0][0]) == (True, 50, "999999")
    assert found["score"].null_share == pytest.approx(0.25, abs=0.01)
    assert found["author"].distinct == pytest.approx(1000, rel=0.2)
    assert told.bytes == pytest.approx(1_000_000 * 370, rel=0.1)


def test_statistics_of_a_million_rows_cost_less_than_a_look_at_all_of_them(long_table):
    def spent(work: Callable[[], object]) -> float:
        before = time.process_time()
        work()
        return time.process_time() - before

    def whole() -> None:
        long_table.rows("SELECT count(COLUMNS(*)), approx_count_distinct(COLUMNS(*)), min(COLUMNS(*)), max(COLUMNS(*)) FROM long.posts")

    def part() -> None:
        table_statistics(long_table, TableName.parse("long.posts"), 1_000_000, frozenset(), with_sample=True)

    assert 2 * min(spent(part) for _ in range(3)) < min(spent(whole) for _ in range(3))


def test_statistics_of_every_type_can_be_told(installation):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA zoo")
        connection.execute("CREATE TABLE zoo.types AS SELECT * REPLACE (CAST(varchar AS JSON) AS json) FROM (SELECT *, NULL AS json FROM test_all_types())".replace("CAST(varchar AS JSON)", "'{\"a\": 1}'::JSON"))  # fmt: skip  # noqa: E501
        warehouse = Warehouse(connection, "zoo", installation.project)

        told = table_statistics(warehouse, TableName.parse("zoo.types"), 3, frozenset(), with_sample=True)

    assert len(told.sample) == 3
    assert all(each.null_share is not None for each in told.columns)
    Snapshot.model_validate({"table": "zoo.types", "sequence": 1, "published_at": 0, "rows": 3, "columns": told.columns})


def test_a_snapshot_is_the_same_for_append_that_streams(installation):
    installation.land(sightings(1, 2, 3), **{**APPENDED, "record_column": None})

    assert column(installation, "bird")["distinct"] == 1

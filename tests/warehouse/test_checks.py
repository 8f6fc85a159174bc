from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from installations import APPENDED, sighting, sightings

from ducklift.errors import CheckFailed, ConfigurationError
from ducklift.specs import Check
from ducklift.warehouse.rebuild import verify

NOW_S = int(datetime.now(UTC).timestamp())
INSERT_ONLY = {"disposition": "insert_only"}
LISTERS = {"columns": [{"name": "id", "type": "varchar"}, {"name": "ring", "type": "varchar"}], "record_column": None, "incremental": None}


def told_apart(value: Any) -> str:
    """Return a part of a test's name: records bear the time, and parallel workers have to agree on the names, also around midnight."""
    return "" if isinstance(value, list) else str(value)


def failures(check: dict[str, Any], installation, *batches, **spec: Any) -> list[str]:
    """Return what a failing check says of these batches."""
    with pytest.raises(CheckFailed) as caught:
        installation.land(*batches, checks=[check], **spec)
    return caught.value.failures


@pytest.mark.parametrize(
    ("check", "records", "told"),
    [
        ({"not_null": "bird"}, [sighting(1), sighting(2, bird=None)], "not_null bird: 1 of 2 rows without a value, the first is record 2"),
        ({"not_null": "seen"}, [sighting(1, seen=None)], "not_null seen: 1 of 1 rows without a value"),
        ({"unique": "count"}, [sighting(1, count=7), sighting(2, count=7)], "unique count: 2 of 2 rows share their values"),
        ({"unique": ["bird", "count"]}, [sighting(1, count=7), sighting(2, count=7)], "unique bird, count: 2 of 2 rows"),
        ({"accepted_values": {"bird": ["wren"]}}, [sighting(1), sighting(2, bird="yeti")], "have another value, such as 'yeti'"),
        ({"accepted_values": {"count": [1, 2]}}, sightings(1, 2, 3), "accepted_values count: 1 of 3 rows have another value, such as '3'"),
        ({"min_rows": 3}, sightings(1, 2), "min_rows 3: the load brings 2 rows"),
        ({"min_rows": 1}, [], "min_rows 1: the load brings 0 rows"),
        ({"min_rows": 2}, [sighting(1), sighting(2, count="many")], "min_rows 2: the load brings 1 rows"),
        ({"freshness": {"seen_at": "36h"}}, [sighting(1, seen=NOW_S - 40 * 3600)], "older than 36h"),
        ({"relationship": {"bird": "nature.sightings.id"}}, [sighting(1), sighting(2, bird="s0001")], "relationship bird: 1 of 2 rows"),
        ({"sql": "SELECT id, count FROM staged WHERE count > 1"}, sightings(1, 2), "count > 1: 1 rows, such as s0002, 2"),
    ],
    ids=told_apart,
)
def test_a_failed_check_rolls_the_load_back_and_keeps_the_raw_files(installation, check, records, told):
    [failure] = failures(check, installation, records)

    assert told in failure
    assert installation.rows() == []
    assert installation.query("FROM _ducklift.loads") == []
    assert installation.manifest()["rows"] == len(records)


@pytest.mark.parametrize(
    ("check", "records"),
    [
        ({"not_null": "bird"}, [sighting(1)]),
        ({"unique": "count"}, [sighting(1, count=None), sighting(2, count=None)]),
        ({"unique": "id"}, [sighting(1), sighting(1, count=2)]),
        ({"accepted_values": {"bird": ["wren"], "count": [1, 2]}}, [sighting(1), sighting(2, bird=None)]),
        ({"min_rows": 1}, [sighting(1)]),
        ({"freshness": {"seen_at": "36h"}}, [sighting(1, seen=NOW_S - 3600), sighting(2, seen=5)]),
        ({"relationship": {"bird": "nature.sightings.id"}}, [sighting(1, bird=None), sighting(2, bird="s0001")]),
        ({"sql": "SELECT * FROM staged WHERE count < 0 -- nothing"}, [sighting(1)]),
        ({"not_null": "bird"}, []),
        ({"sql": "SELECT nothing FROM staged"}, []),
    ],
    ids=told_apart,
)
def test_a_check_that_holds_lets_the_load_in(installation, check, records):
    assert installation.land(records, checks=[check]).rows_extracted == len(records)


def test_a_warning_is_told_and_kept_while_the_rows_land(installation):
    summary = installation.land(sightings(1, 2), checks=[{"min_rows": 5, "level": "warn"}, {"not_null": "bird"}])

    assert summary.warnings == ("min_rows 5: the load brings 2 rows",)
    assert summary.as_dict()["warnings"] == ["min_rows 5: the load brings 2 rows"]
    assert installation.query("SELECT warnings FROM _ducklift.loads") == [('["min_rows 5: the load brings 2 rows"]',)]
    assert len(installation.rows()) == 2


def test_all_checks_that_failed_are_told_at_once(installation):
    with pytest.raises(CheckFailed) as caught:
        installation.land([sighting(1, bird=None)], checks=[{"not_null": "bird"}, {"min_rows": 2}, {"min_rows": 9, "level": "warn"}])

    assert [failure.partition(":")[0] for failure in caught.value.failures] == ["not_null bird", "min_rows 2"]


@pytest.mark.parametrize("spec", [APPENDED, INSERT_ONLY], ids=["append", "insert_only"])
def test_values_that_the_table_has_already_are_not_unique_where_rows_are_added(installation, spec):
    installation.land(sightings(1, 2), **spec)

    [failure] = failures({"unique": "count"}, installation, [sighting(9, count=2)], day=1, **spec)

    assert failure.startswith("unique count: 1 of 1 rows are in the table already")


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ({"accepted_values": {"ring": [1, 2]}}, "2 of 3 rows have another value, such as 'x4', the first is record 2"),
        ({"unique": "ring"}, "unique ring: 2 of 3 rows share their values"),
        ({"relationship": {"ring": "nature.rings.id"}}, "2 of 3 rows point to nothing in nature.rings.id"),
    ],
    ids=["accepted_values", "unique", "relationship"],
)
def test_values_of_another_kind_that_went_to_a_variant_are_checked_as_well(installation, check, told):
    untyped = {"columns": [], "record_column": None, "incremental": None}
    installation.land([{"id": 1}, {"id": 2}], table="nature.rings", **untyped)
    installation.land([{"id": "a", "ring": 1}], day=1, **untyped)

    batch = [{"id": "b", "ring": 2}, {"id": "c", "ring": "x4"}, {"id": "d", "ring": "x4"}]
    [failure] = failures(check, installation, batch, day=2, **untyped)

    assert told in failure


def test_rows_that_an_overlap_read_again_are_no_duplicates(installation):
    installation.land(sightings(1, 2), **APPENDED)

    again = installation.land(sightings(1, 2, 3), day=1, checks=[{"unique": "id"}], **APPENDED)

    assert (again.rows_inserted, again.rows_unchanged) == (1, 2)


def test_a_quiet_source_is_stale_when_the_table_is(installation):
    installation.land([sighting(1, seen=NOW_S - 40 * 3600)])

    [failure] = failures({"freshness": {"seen_at": "36h"}}, installation, [], day=1)

    assert failure.startswith("freshness seen_at: the newest value is")


def test_late_rows_are_fresh_enough_while_the_table_is(installation):
    installation.land([sighting(1, seen=NOW_S)])

    assert installation.land([sighting(2, seen=5)], day=1, checks=[{"freshness": {"seen_at": "36h"}}]).rows_inserted == 1


def test_a_relationship_looks_into_another_table(installation):
    installation.land([{"id": "a", "ring": None}], table="nature.birds", **LISTERS)
    check = {"relationship": {"ring": "nature.birds.id"}}

    assert installation.land([{"id": "1", "ring": "a"}], day=1, checks=[check], **LISTERS).rows_inserted == 1
    [failure] = failures(check, installation, [{"id": "2", "ring": "b"}], day=2, **LISTERS)
    assert "point to nothing in nature.birds.id" in failure


@pytest.mark.parametrize(
    ("check", "named"),
    [
        ({"not_null": "wings"}, "'wings'"),
        ({"unique": ["id", "wings"]}, "'wings'"),
        ({"accepted_values": {"wings": [2]}}, "'wings'"),
        ({"freshness": {"wings": "1h"}}, "'wings'"),
        ({"relationship": {"wings": "nature.sightings.id"}}, "'wings'"),
        ({"relationship": {"bird": "nature.nests.id"}}, "nature.nests.id"),
        ({"sql": "SELECT wings FROM staged"}, "wings"),
        ({"sql": "SELECT FROM WHERE"}, "syntax error"),
    ],
    ids=str,
)
def test_a_check_that_names_what_is_not_there_is_an_error_that_names_it(installation, check, named):
    with pytest.raises(ConfigurationError, match=named):
        installation.land([sighting(1)], checks=[{**check, "level": "warn"}])
    assert installation.rows() == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM staged",
        "INSERT INTO nature.sightings SELECT * FROM nature.sightings",
        "DROP TABLE nature.sightings",
        "SELECT 1; DROP TABLE nature.sightings",
        "ATTACH '/tmp/other.duckdb'",
        "COPY nature.sightings TO '/tmp/out.csv'",
        "SET memory_limit = '1GB'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM query('DROP TABLE nature.sightings')",
        "SELECT * FROM query_table('/etc/passwd')",
        "EXPLAIN ANALYZE DELETE FROM nature.sightings",
        "",
    ],
)
def test_a_query_can_neither_write_nor_reach_beyond_the_warehouse(installation, sql):
    installation.land(sightings(1, 2))
    before = installation.state()

    with pytest.raises(ConfigurationError):
        installation.land([sighting(3)], day=1, checks=[{"sql": sql}])

    assert installation.rows() == [("s0001", "wren", 1), ("s0002", "wren", 2)]
    assert {**installation.state(), "raw": None} == {**before, "raw": None}


def test_a_query_that_fails_on_the_rows_fails_the_load(installation):
    [failure] = failures({"sql": "SELECT CAST(bird AS INTEGER) AS number FROM staged"}, installation, [sighting(1)])

    assert "Could not convert string 'wren' to INT32" in failure


def test_a_query_may_compare_the_load_with_the_table(installation):
    installation.land(sightings(1, 2))
    check = {"sql": "SELECT s.id FROM staged s JOIN nature.sightings t USING (id) WHERE s.count < t.count"}

    [failure] = failures(check, installation, [sighting(2, count=0)], day=1)

    assert failure.endswith("1 rows, such as s0002")


def test_a_checked_append_is_loaded_as_one_without_checks(installation, tmp_path):
    checked = installation.land(sightings(1, 2, 3), checks=[{"min_rows": 1}], **APPENDED)

    assert (checked.rows_inserted, checked.warnings) == (3, ())


@pytest.mark.parametrize(
    "values",
    [{}, {"not_null": "a", "min_rows": 1}, {"freshness": {"seen": "soon"}}, {"relationship": {"a": "nature.birds"}}, {"sometimes": "a"}],
    ids=str,
)
def test_a_check_that_makes_no_sense_is_refused_when_the_file_is_read(values):
    with pytest.raises(ValueError, match="Check"):
        Check.model_validate(values)


def test_freshness_takes_dates_and_seconds_alike(installation):
    today = datetime.now(UTC).date()
    columns = [{"name": "id", "type": "varchar"}, {"name": "day", "type": "date"}, {"name": "at", "type": "bigint"}]
    spec = {**LISTERS, "columns": columns}
    record = {"id": "1", "day": str(today), "at": int(datetime.now(UTC).timestamp())}
    checks = [{"freshness": {"day": "2d"}}, {"freshness": {"at": "1h"}}]
    installation.land([record], checks=checks, **spec)
    old = {"id": "2", "day": str(today - timedelta(days=9)), "at": 5}

    with pytest.raises(CheckFailed) as caught:
        installation.land([old], day=1, checks=checks, **{**spec, "disposition": "replace", "primary_key": []})
    assert len(caught.value.failures) == 2


def test_the_staged_rows_are_gone_with_the_connection(installation):
    installation.land(sightings(1))

    with duckdb.connect(str(installation.warehouse_file), read_only=True) as connection, pytest.raises(duckdb.CatalogException):
        connection.execute("FROM staged")


def test_a_rebuild_does_not_ask_again_what_held_when_the_load_was_committed(installation):
    installation.land([{"id": "a", "ring": None}], table="nature.zoo", **LISTERS)
    checks = [{"relationship": {"ring": "nature.zoo.id"}}, {"min_rows": 2, "level": "warn"}]
    installation.land([{"id": "1", "ring": "a"}], day=1, checks=checks, **LISTERS)

    # The table that the check looks into is rebuilt after this one; the hash of the ledger covers the warnings.
    assert [table.table for table in verify(installation.lake, installation.settings).tables] == ["nature.sightings", "nature.zoo"]

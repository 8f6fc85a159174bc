from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installations import TABLE, Installation, Record, sighting, sightings
from runs import APPEND, DISPOSITIONS, MERGE, PLAIN, REPLACE, go, rebuild_anew, rebuilt_is_equal

from ducklift.errors import ConfigurationError, CorruptObject, HistoryBroken, ManifestConflict, WarehouseBehind, WarehouseDiffers
from ducklift.lake.layout import commit_prefix
from ducklift.pipeline import load
from ducklift.planning import Mode
from ducklift.resets import reset_pipeline
from ducklift.specs import TableName
from ducklift.warehouse import open_warehouse
from ducklift.warehouse.content import content_hash, system_hashes
from ducklift.warehouse.rebuild import rebuild


def hashes(installation: Installation, *tables: str) -> dict[str, str]:
    with open_warehouse(installation.settings, read_only=True) as warehouse:
        named = {name: content_hash(warehouse, TableName.parse(name)) for name in tables or (str(TABLE),)}
        return named | system_hashes(warehouse)


def test_another_machine_with_the_lakes_url_alone_rebuilds_the_same_warehouse(installation: Installation, tmp_path: Path) -> None:
    go(installation, [sighting(1, count="many"), *sightings(2, 3)], **MERGE)
    go(installation, [sighting(2, bird="crow", seen=sighting(8)["seen"], colour="black")], day=1, **MERGE)

    other = rebuild_anew(installation, tmp_path / "other")

    assert hashes(other) == hashes(installation)
    assert other.rows("id, bird, _load_id, _loaded_at, _extracted_at, _source_file") == installation.rows(
        "id, bird, _load_id, _loaded_at, _extracted_at, _source_file"
    )


def test_the_other_machine_continues_where_the_first_one_stopped(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1, 2), **MERGE)
    other = rebuild_anew(installation, tmp_path / "other")

    summary = go(other, sightings(2, 3), day=1, **MERGE)

    assert (summary.rows_inserted, summary.rows_unchanged, summary.total_rows) == (1, 1, 3)
    assert other.manifest(1)["request"]["watermark"] == sighting(2)["seen"]
    rebuilt_is_equal(other)


def test_a_new_warehouse_does_not_begin_a_second_history(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **MERGE)
    (tmp_path / "other").mkdir()
    other = Installation(tmp_path / "other", installation.settings.lake_url)

    with pytest.raises(WarehouseBehind, match="ducklift rebuild"):
        go(other, sightings(2), day=1, **MERGE)

    assert [key.rpartition("/")[2][:10] for key in installation.keys(commit_prefix(TABLE))] == ["0000000001"]


def test_an_old_copy_of_the_warehouse_does_not_either(installation: Installation) -> None:
    go(installation, sightings(1), **MERGE)
    copy = installation.warehouse_file.read_bytes()
    go(installation, sightings(2), day=1, **MERGE)
    installation.warehouse_file.write_bytes(copy)

    with pytest.raises(WarehouseBehind, match="commit 2"):
        go(installation, sightings(3), day=2, **MERGE)

    rebuild(installation.lake, installation.settings, replacing=True)
    assert go(installation, sightings(3), day=2, **MERGE).total_rows == 3


def test_a_warehouse_in_memory_is_brought_up_to_the_lake_by_itself(installation: Installation) -> None:
    memory = Installation(installation.project, installation.settings.lake_url, {"DUCKLIFT_WAREHOUSE_URL": "duckdb:///:memory:"})
    go(memory, sightings(1, 2), **APPEND)

    summary = go(memory, sightings(2, 3), day=1, **APPEND)

    assert (summary.rows_inserted, summary.rows_unchanged, summary.total_rows) == (1, 1, 3)


def test_a_warehouse_that_holds_tables_is_not_overwritten_unasked(installation: Installation) -> None:
    go(installation, sightings(1), **MERGE)
    before = installation.warehouse_file.read_bytes()

    with pytest.raises(ConfigurationError, match="--replace"):
        rebuild(installation.lake, installation.settings)

    assert installation.warehouse_file.read_bytes() == before
    assert list(installation.warehouse_file.parent.glob("*.rebuilding")) == []


@pytest.mark.parametrize("made", ["CREATE TABLE main.mine AS SELECT 1 AS a", "CREATE VIEW nature.mine AS SELECT 1 AS a"])
def test_a_rebuild_leaves_nothing_out_that_the_lake_does_not_know(installation: Installation, made: str) -> None:
    go(installation, [{"id": "a", "seen": 1, "tags": [{"x": 1}]}], nested="tables", record_column=None, columns=[], **MERGE)
    with duckdb.connect(str(installation.warehouse_file)) as connection:
        connection.execute(made)
    before = installation.warehouse_file.read_bytes()

    with pytest.raises(ConfigurationError, match=r"also holds \w+\.mine, of which the lake .* knows nothing: they would be gone"):
        rebuild(installation.lake, installation.settings, replacing=True)
    assert installation.warehouse_file.read_bytes() == before
    with duckdb.connect(str(installation.warehouse_file)) as connection:
        connection.execute(made.partition(" AS ")[0].replace("CREATE", "DROP"))
    assert rebuild(installation.lake, installation.settings, replacing=True).tables[0].rows == 1


def test_a_warehouse_of_another_lake_is_not_replaced(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **MERGE)
    other = Installation(installation.project, (tmp_path / "other").as_uri(), {"DUCKLIFT_WAREHOUSE_URL": "duckdb:///:memory:"})
    go(other, sightings(1), **{**MERGE, "table": "nature.others"})

    with pytest.raises(ConfigurationError, match=r"also holds nature\.sightings"):
        rebuild(other.lake, installation.settings, replacing=True)


def test_a_damaged_warehouse_is_replaced_when_that_is_asked(installation: Installation) -> None:
    go(installation, sightings(1, 2), **MERGE)
    expected = hashes(installation)
    installation.warehouse_file.write_bytes(b"this is no database" * 1000)
    installation.warehouse_file.with_name("warehouse.duckdb.wal").write_bytes(b"nor is this a log")

    rebuild(installation.lake, installation.settings, replacing=True)

    assert hashes(installation) == expected


def test_a_rebuild_can_be_made_beside_the_warehouse(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1, 2), **MERGE)

    made = rebuild(installation.lake, installation.settings, into=f"duckdb:///{tmp_path}/beside.duckdb")

    assert made.warehouse == str(tmp_path / "beside.duckdb")
    with duckdb.connect(made.warehouse, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM nature.sightings").fetchall() == [(2,)]


def test_a_lake_without_commits_is_no_reason_to_make_an_empty_warehouse(installation: Installation) -> None:
    with pytest.raises(ConfigurationError, match="DUCKLIFT_LAKE_URL"):
        rebuild(installation.lake, installation.settings)

    assert not installation.warehouse_file.exists()


def test_what_landed_and_was_never_committed_is_listed_and_can_be_loaded(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **MERGE)
    url = installation.put(installation.pipeline(sightings(2)), day=1)

    made = rebuild(installation.lake, installation.settings, into=f"duckdb:///{tmp_path}/beside.duckdb")

    assert made.pending == [url]
    load(url, installation.settings)
    assert len(installation.rows()) == 2


def test_a_change_by_hand_is_found_by_comparing(installation: Installation) -> None:
    go(installation, sightings(1, 2), **MERGE)
    rebuilt_is_equal(installation)
    with duckdb.connect(str(installation.warehouse_file)) as connection:
        connection.execute("UPDATE nature.sightings SET count = count + 1 WHERE id = 's0001'")

    with pytest.raises(WarehouseDiffers, match=r"nature\.sightings differs"):
        rebuilt_is_equal(installation)


def test_a_history_with_a_hole_is_not_rebuilt(installation: Installation, tmp_path: Path) -> None:
    for day in range(3):
        go(installation, sightings(day), day=day, **MERGE)
    installation.lake.delete(installation.keys(commit_prefix(TABLE))[1])

    with pytest.raises(HistoryBroken, match="commit 2 is missing"):
        rebuild_anew(installation, tmp_path / "other")


def test_a_history_without_the_end_that_the_snapshot_tells_of_is_not_rebuilt(installation: Installation, tmp_path: Path) -> None:
    for day in range(2):
        go(installation, sightings(day), day=day, **MERGE)
    installation.lake.delete(installation.keys(commit_prefix(TABLE))[-1])

    with pytest.raises(HistoryBroken, match="commit 2 is missing"):
        rebuild_anew(installation, tmp_path / "other")


def test_two_histories_in_one_lake_are_told_apart_from_one(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **MERGE)
    key = installation.keys(commit_prefix(TABLE))[0]
    installation.lake.create(f"{commit_prefix(TABLE)}0000000001-20260101T000000Z-ffffffff.json", installation.lake.read(key) or b"")

    with pytest.raises(HistoryBroken, match="twice"):
        rebuild_anew(installation, tmp_path / "other")


def test_a_manifest_that_was_changed_is_not_replayed(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **MERGE)
    changed = {**installation.manifest(), "rows": 2}
    installation.lake.replace(installation.manifest_key(), json.dumps(changed).encode())

    with pytest.raises(ManifestConflict, match="commit record"):
        rebuild_anew(installation, tmp_path / "other")


def test_a_raw_file_that_is_gone_is_named(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **MERGE)
    key = installation.manifest()["files"][0]["key"]
    installation.lake.delete(key)

    with pytest.raises(CorruptObject, match=key):
        rebuild_anew(installation, tmp_path / "other")
    assert not (tmp_path / "other" / ".ducklift" / "warehouse.duckdb").exists()


def test_the_files_of_superseded_loads_are_not_needed(installation: Installation, tmp_path: Path) -> None:
    spec = {**MERGE, "columns": [{"name": "id", "type": "varchar"}], "record_column": None}
    go(installation, [sighting(1, wings=2)], **spec)
    go(installation, [sighting(1)], mode="reextract", **spec)
    go(installation, sightings(2), day=1, **spec)
    for file in installation.manifest()["files"]:
        installation.lake.delete(file["key"])

    other = rebuild_anew(installation, tmp_path / "other")

    assert hashes(other) == hashes(installation)
    assert "wings" in {row[0] for row in other.query("SELECT column_name FROM (DESCRIBE nature.sightings)")}


def test_a_snapshot_that_a_crash_left_behind_is_published_by_the_rebuild(installation: Installation) -> None:
    go(installation, sightings(1), **MERGE)
    key = "_ducklift/tables/nature.sightings.json"
    behind = installation.lake.read(key) or b""
    go(installation, sightings(2), day=1, **MERGE)
    installation.lake.replace(key, behind)

    rebuild(installation.lake, installation.settings, replacing=True)

    assert installation.json(key)["sequence"] == 2


class History:
    """A random history of one table: loads, re-extractions, refreshes and resets, with new fields, misfits and type changes."""

    def __init__(self, installation: Installation, seed: int, spec: dict[str, Any]) -> None:
        self.installation, self.random = installation, random.Random(seed)
        self.spec = {**spec, "columns": [{"name": "id", "type": "varchar"}], "record_column": None}
        self.days: list[int] = []

    def step(self) -> None:
        chance = self.random.random()
        stream = self.random.choice(["birds", "owls"])
        if chance < 0.1 and self.days and self.spec["incremental"]:
            pipeline = self.installation.pipeline(streams={stream: []}, **self.spec)
            reset_pipeline(pipeline, self.installation.settings, [stream])
        elif chance < 0.3 and self.days:
            self.go(self.random.choice(self.days), "reextract", stream)
        elif chance < 0.35 and self.days:
            self.go(len(self.days), "full_refresh", stream)
        else:
            self.go(len(self.days), "new", stream)

    def go(self, day: int, mode: Mode, stream: str) -> None:
        if day == len(self.days):
            self.days.append(day)
        go(self.installation, self.batch(), day=day, mode=mode, stream=stream, allow_empty=True, **self.spec)

    def batch(self) -> list[Record]:
        return [self.record() for _ in range(self.random.randrange(5))]

    def record(self) -> Record:
        record = sighting(self.random.randrange(12), seen=1_767_225_600 + self.random.randrange(600))
        if self.random.random() < 0.1:
            record["seen"] = "soon"
        if self.random.random() < 0.3:
            record["count"] = self.random.choice([1.5, 2**60, "many", None])
        if self.random.random() < 0.1:
            record[self.random.choice(["colour", "size", "nest"])] = self.random.choice(["x", 7, {"deep": [1]}])
        return record


@pytest.mark.parametrize("name", DISPOSITIONS)
def test_a_rebuild_equals_the_original_after_a_mixed_history(installation: Installation, tmp_path: Path, name: str) -> None:
    history = History(
        installation, seed=len(name), spec={"incremental": MERGE.get("incremental", {"cursor": "seen"}), **DISPOSITIONS[name]}
    )
    for _ in range(14):
        history.step()

    rebuilt_is_equal(installation)
    assert hashes(rebuild_anew(installation, tmp_path / "other")) == hashes(installation)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", DISPOSITIONS)
def test_a_rebuild_equals_the_original_after_hundreds_of_mixed_loads(installation: Installation, tmp_path: Path, name: str) -> None:
    history = History(installation, seed=2026, spec={"incremental": {"cursor": "seen", "overlap": "1m"}, **DISPOSITIONS[name]})
    for number in range(200):
        history.step()
        if number % 50 == 49:
            rebuilt_is_equal(installation)

    assert hashes(rebuild_anew(installation, tmp_path / "other")) == hashes(installation)


def test_equal_rows_in_any_order_have_one_hash_and_any_other_value_another() -> None:
    from ducklift.warehouse.connect import Warehouse

    def hashed(values: str, columns: str = "(a VARCHAR, b VARCHAR)") -> str:
        with duckdb.connect() as connection:
            connection.execute(f"CREATE SCHEMA s; CREATE TABLE s.t {columns}")
            if values:
                connection.execute(f"INSERT INTO s.t VALUES {values}")
            return content_hash(Warehouse(connection, ":memory:", Path()), TableName(dataset="s", table="t"))

    assert hashed("('x', 'y'), ('z', NULL)") == hashed("('z', NULL), ('x', 'y')")
    different = [
        "",
        "('x', 'y')",
        "('x', 'y'), ('x', 'y')",
        "('xy', '')",
        "('', 'xy')",
        "('x', NULL)",
        "(NULL, 'x')",
        "('x', 'NULL')",
        "('x', '-')",
    ]
    assert len({hashed(values) for values in different}) == len(different)
    assert hashed("(1, 2)", "(a BIGINT, b BIGINT)") != hashed("(1, 2)", "(a BIGINT, b HUGEINT)")
    precise = "(a DECIMAL(38, 10), b HUGEINT)"
    assert hashed("(1.0000000001, 170141183460469231731687303715884105727)", precise) != hashed(
        "(1.0000000001, 170141183460469231731687303715884105726)", precise
    )


def test_a_replaced_table_that_began_with_nothing_is_rebuilt(installation: Installation) -> None:
    go(installation, [], **REPLACE)
    go(installation, sightings(1), day=1, **REPLACE)

    assert rebuilt_is_equal(installation).tables[0].rows == 1


def test_a_table_that_is_emptied_before_it_has_its_key_is_rebuilt(installation: Installation) -> None:
    untold = {**REPLACE, "columns": [{"name": "count", "type": "bigint"}], "record_column": None, "nested": "tables", "allow_empty": True}
    go(installation, [], **untold)
    go(installation, [], day=1, **untold)

    assert rebuilt_is_equal(installation).tables[0].rows == 0


def test_plain_append_of_the_same_row_twice_is_rebuilt_twice(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1, 1), **PLAIN)

    assert rebuild_anew(installation, tmp_path / "other").rows("id") == [("s0001",), ("s0001",)]

"""Raw files expire, and the warehouse can be made anew all the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from installations import APPENDED, TABLE, Installation, sightings
from kept_lakes import HOUR, applied, contents, places, rebuilt_contents, superseding, with_retention

from ducklift.errors import CorruptObject, RawExpired
from ducklift.keeping import collect_garbage
from ducklift.lake.checkpoints import checkpoint_sequences, read_checkpoint
from ducklift.lake.layout import checkpoint_key
from ducklift.retrying import retry_quarantine
from ducklift.warehouse.checkpoints import restore_checkpoint, write_checkpoint
from ducklift.warehouse.connect import open_warehouse
from ducklift.warehouse.content import content_hash
from ducklift.warehouse.system import prepare_system


def raw_files(installation: Installation) -> list[str]:
    return [key for key in installation.keys("raw/") if "/_loads/" not in key]


@pytest.fixture
def expiring(installation: Installation) -> Installation:
    """Three loads whose raw files are older than their pipeline keeps them, one of them with rows in quarantine."""
    with_retention(installation, raw="30m")
    spec = {"contract": "quarantine"}
    installation.land(sightings(1, 2, 3), day=0, **spec)
    installation.land([*sightings(3, 4, bird="robin"), {**sightings(9)[0], "count": "many"}], day=1, **spec)
    installation.land(sightings(5), day=2, **spec)
    return installation


def test_raw_files_expire_after_a_checkpoint_and_a_rebuild_equals_the_original(expiring: Installation):
    before = contents(expiring)
    found = applied(expiring)

    assert raw_files(expiring) == []
    assert found.checkpoints == {str(TABLE): 3}
    assert rebuilt_contents(expiring) == before
    assert len(expiring.query("FROM _ducklift.quarantine")) == 1


def test_a_rebuild_replays_only_what_came_after_the_checkpoint(expiring: Installation):
    applied(expiring)
    expiring.land(sightings(1, 6, bird="finch"), day=3)

    assert rebuilt_contents(expiring) == contents(expiring)
    assert len(raw_files(expiring)) == 1


def test_without_apply_the_files_and_the_reasons_are_told_and_nothing_is_deleted(expiring: Installation):
    before = expiring.keys("")
    found = collect_garbage(expiring.settings, now=datetime.now(UTC) + HOUR)

    assert places(found, "expired") == raw_files(expiring)
    assert all("kept for" in item.reason and item.size_bytes for item in found.items)
    assert expiring.keys("") == before


def test_raw_files_younger_than_retention_stay(installation: Installation):
    with_retention(installation, raw="30d")
    installation.land(sightings(1))

    assert applied(installation).items == []
    assert len(raw_files(installation)) == 1


def test_a_load_that_is_not_committed_yet_does_not_expire(installation: Installation):
    with_retention(installation, raw="30m")
    installation.put(installation.pipeline(sightings(1)))
    installation.land(sightings(2), day=1)
    applied(installation)

    assert [key for key in raw_files(installation) if key in str(installation.manifest(0))] == raw_files(installation)
    assert len(raw_files(installation)) == 1


def test_an_expired_raw_file_is_told_by_name_with_the_checkpoint_that_stands_for_it(expiring: Installation):
    applied(expiring)
    lake = expiring.lake
    expiring.warehouse_file.unlink()
    lake.delete(checkpoint_key(TABLE, 3))

    with pytest.raises(RawExpired, match=r"expired by retention at 2.*A rebuild starts from checkpoint 3"):
        rebuilt_contents(expiring)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(expiring: Installation):
    with open_warehouse(expiring.settings) as warehouse:
        write_checkpoint(warehouse, expiring.lake, TABLE)
    expiring.land(sightings(7), day=3)
    with open_warehouse(expiring.settings) as warehouse:
        newest = write_checkpoint(warehouse, expiring.lake, TABLE)
    damage(expiring, newest.tables[0].files[0].key)

    assert rebuilt_contents(expiring) == contents(expiring)


def test_where_no_checkpoint_is_sound_and_the_raw_files_are_gone_the_damage_is_told(expiring: Installation):
    applied(expiring)
    checkpoint = read_checkpoint(expiring.lake, TABLE, 3)
    assert checkpoint is not None
    damage(expiring, checkpoint.tables[0].files[0].key)

    with pytest.raises(CorruptObject, match=checkpoint.tables[0].files[0].key):
        rebuilt_contents(expiring)


def damage(installation: Installation, key: str) -> None:
    file = Path(installation.lake.path(key))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def test_a_checkpoint_without_its_manifest_is_none(expiring: Installation):
    with open_warehouse(expiring.settings) as warehouse:
        write_checkpoint(warehouse, expiring.lake, TABLE)
    expiring.lake.delete(checkpoint_key(TABLE, 3))

    assert checkpoint_sequences(expiring.lake, TABLE) == []
    assert rebuilt_contents(expiring) == contents(expiring)


def test_a_checkpoint_of_another_history_is_not_taken(expiring: Installation):
    with open_warehouse(expiring.settings) as warehouse:
        write_checkpoint(warehouse, expiring.lake, TABLE)
    key = checkpoint_key(TABLE, 3)
    expiring.lake.replace(key, json.dumps({**expiring.json(key), "load_id": "20200101T000000Z-00000000"}).encode())
    with open_warehouse(expiring.settings) as warehouse:
        warehouse.connection.execute(f"DELETE FROM {TABLE}")

    assert rebuilt_contents(expiring)[str(TABLE)] != contents(expiring)[str(TABLE)]


def test_writing_a_checkpoint_twice_writes_it_once(expiring: Installation):
    with open_warehouse(expiring.settings) as warehouse:
        first = write_checkpoint(warehouse, expiring.lake, TABLE)
        assert write_checkpoint(warehouse, expiring.lake, TABLE) == first


def test_every_type_comes_back_as_it_was(expiring: Installation, tmp_path: Path):
    """HUGEINT, for one, would come back from Parquet as a double."""
    odd = {
        "huge": ("HUGEINT", "170141183460469231731687303715884105727"),
        "span": ("INTERVAL", "INTERVAL '3 months 2 days 1 microsecond'"),
        "bits": ("BIT", "'0101'::BIT"),
        "fine": ("DECIMAL(38,10)", "12345678901234567890.0123456789"),
        "nano": ("TIMESTAMP_NS", "TIMESTAMP_NS '2026-01-01 00:00:00.123456789'"),
        "zoned": ("TIME WITH TIME ZONE", "TIMETZ '10:00:00+02'"),
        "nothing": ("DOUBLE", "'nan'"),
        "words": ("VARCHAR[]", "['a, b', NULL, '']"),
        "json": ("JSON", """'{"a": [1, "ü"]}'"""),
    }
    with open_warehouse(expiring.settings) as warehouse:
        for name, (type_, value) in odd.items():
            warehouse.connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN {name} {type_}")
            warehouse.connection.execute(f"UPDATE {TABLE} SET {name} = {value} WHERE id <> 's0001'")
        write_checkpoint(warehouse, expiring.lake, TABLE)
        before = content_hash(warehouse, TABLE)
    expiring.warehouse_file.unlink()
    with open_warehouse(expiring.settings) as warehouse:
        prepare_system(warehouse)

        assert restore_checkpoint(warehouse, expiring.lake, TABLE) == 3
        assert content_hash(warehouse, TABLE) == before


def test_a_reextracted_slice_whose_raw_is_gone_is_taken_out_of_the_checkpoint(installation: Installation):
    with_retention(installation, raw="30m")
    spec = {key: APPENDED[key] for key in ("disposition", "primary_key")}
    installation.land(sightings(1, 2), day=0, **spec)
    installation.land(sightings(3), day=1, **spec)
    applied(installation)
    superseding(installation, sightings(1, bird="robin"), **spec)

    assert len(installation.rows()) == 2
    assert rebuilt_contents(installation) == contents(installation)


def test_a_new_checkpoint_after_a_reextraction_holds_the_new_state(installation: Installation):
    with_retention(installation, raw="30m")
    spec = {key: APPENDED[key] for key in ("disposition", "primary_key")}
    installation.land(sightings(1, 2), day=0, **spec)
    applied(installation)
    superseding(installation, sightings(1, bird="robin"), **spec)
    applied(installation)

    assert raw_files(installation) == []
    assert rebuilt_contents(installation) == contents(installation)


def test_a_merge_that_would_have_to_be_done_again_from_expired_files_is_refused_by_name(expiring: Installation):
    applied(expiring)
    before = contents(expiring)

    with pytest.raises(RawExpired, match="into a table of another name"):
        superseding(expiring, sightings(3, bird="wren"), day=1)
    assert contents(expiring) == before


def test_child_tables_are_in_the_checkpoint_with_their_columns_history(installation: Installation):
    with_retention(installation, raw="30m")
    spec = {"nested": "tables", "record_column": None, "columns": [], "disposition": "append", "primary_key": []}
    installation.land([{**record, "eggs": [{"size": 1}, {"size": 2}]} for record in sightings(1, 2)], **spec)
    installation.land([{**record, "eggs": [{"size": 3, "colour": "blue"}]} for record in sightings(3)], day=1, **spec)
    before = contents(installation)
    applied(installation)

    assert raw_files(installation) == []
    assert len(installation.query(f"FROM {TABLE}__eggs")) == 5
    assert rebuilt_contents(installation) == before
    superseding(installation, [{**record, "eggs": [{"size": 9}]} for record in sightings(1)], **spec)
    assert len(installation.query(f"FROM {TABLE}__eggs")) == 2
    assert rebuilt_contents(installation) == contents(installation)


def test_records_that_are_retried_after_their_raw_files_expired_are_rebuilt_as_well(expiring: Installation):
    applied(expiring)
    folder = expiring.settings.pipelines
    values = json.loads((folder / "nature.yaml").read_text())
    values["columns"] = [{**column, "null_if": ["many"]} if column["name"] == "count" else column for column in values["columns"]]
    (folder / "nature.yaml").write_text(json.dumps(values))
    retry_quarantine(expiring.settings, TABLE)

    assert expiring.query("FROM _ducklift.quarantine") == []
    assert rebuilt_contents(expiring) == contents(expiring)

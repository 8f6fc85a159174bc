"""Versions: immutable, one current, moved atomically; two writers, rollback, pins, expiry, and a crash at every boundary."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ducklift import failpoints
from ducklift.assets import FilesystemIOManager, InputContext, OutputContext, ValueMissing
from ducklift.assets.path_manager import open_store
from ducklift.errors import CorruptObject
from ducklift.failpoints import FailpointReached

KEY, PARTITION = "report", "2026-01-01"


@pytest.fixture
def manager(settings) -> FilesystemIOManager:
    return FilesystemIOManager(open_store(settings, None), settings)


def write(manager: FilesystemIOManager, value: Any, run: str = "run") -> str:
    return manager.store_value(OutputContext(KEY, (PARTITION,), run), value).version


def read(manager: FilesystemIOManager, **chosen: Any) -> Any:
    return manager.load_input(InputContext(KEY, (PARTITION,), **chosen))


def test_each_write_is_a_version_of_its_own_and_earlier_ones_stay(manager):
    first, second = write(manager, "first"), write(manager, "second")
    assert [each.version for each in manager.versions.versions(KEY, PARTITION)] == [second, first]
    assert read(manager, version=first) == "first"


def test_the_version_that_was_current_at_a_time_is_found_again(manager):
    write(manager, "first")
    between = datetime.now(UTC)
    write(manager, "second")

    assert read(manager, as_of=between) == "first"
    with pytest.raises(ValueMissing):
        read(manager, as_of=between - timedelta(days=1))


def test_a_time_without_a_zone_is_one_of_utc_on_every_machine(manager, monkeypatch):
    write(manager, "first")
    between = datetime.now(UTC)
    write(manager, "second")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert read(manager, as_of=between.replace(tzinfo=None)) == "first"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_rollback_moves_back_and_the_next_write_moves_on(manager):
    first, _ = write(manager, "first"), write(manager, "second")
    before = datetime.now(UTC)
    manager.versions.roll_back(KEY, PARTITION, first)

    assert read(manager) == "first"
    assert read(manager, as_of=before) == "second"
    write(manager, "third")
    assert read(manager) == "third"


def test_a_pinned_version_stays_current_until_it_is_unpinned(manager):
    write(manager, "first")
    manager.versions.pin(KEY, PARTITION)
    write(manager, "second")
    assert read(manager) == "first"

    manager.versions.unpin(KEY, PARTITION)
    assert read(manager) == "second"


def test_expiry_keeps_the_newest_and_the_current_one(manager):
    written = [write(manager, str(number)) for number in range(5)]
    manager.versions.roll_back(KEY, PARTITION, written[0])
    gone = manager.versions.expire(KEY, PARTITION, keep=2)

    assert [each.version for each in gone] == [written[2], written[1]]
    assert read(manager) == "0"
    assert {each.version for each in manager.versions.versions(KEY, PARTITION)} == {written[0], written[3], written[4]}


def test_versions_that_are_young_do_not_expire(manager):
    write(manager, "first"), write(manager, "second")
    assert manager.versions.expire(KEY, PARTITION, keep=1, older_than=timedelta(days=1)) == []


def test_of_writers_at_once_all_are_kept_and_one_wins_for_everybody(settings):
    def one(number: int) -> str:
        return write(FilesystemIOManager(open_store(settings, None), settings), f"value {number}", f"run {number}")

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(one, range(16)))
    manager = FilesystemIOManager(open_store(settings, None), settings)
    assert {each.version for each in manager.versions.versions(KEY, PARTITION)} == set(written)
    last = manager.versions.moves(KEY, PARTITION)[-1]
    assert manager.versions.pointer(KEY, PARTITION) == last
    assert read(manager) == read(manager, version=last.version)


@pytest.mark.parametrize("point", ["assets.value_written", "assets.value_put", "assets.version_recorded", "assets.moved"])
def test_a_write_that_dies_leaves_the_old_value_or_the_new_one_and_works_again(manager, monkeypatch, point):
    write(manager, "old")
    monkeypatch.setenv("DUCKLIFT_FAILPOINTS", f"{point}:raise")
    with pytest.raises(FailpointReached):
        write(manager, "new")
    monkeypatch.delenv("DUCKLIFT_FAILPOINTS")

    assert read(manager) == "old"
    write(manager, "new")
    assert read(manager) == "new"


@pytest.fixture(autouse=True)
def passes_forgotten():
    failpoints._passes.clear()


def test_a_damaged_value_is_refused_and_not_loaded(manager):
    version = manager.versions.version(KEY, PARTITION, write(manager, "the value"))
    manager.store.replace(version.file_key, b"other text")
    with pytest.raises(CorruptObject, match="sha256"):
        read(manager)

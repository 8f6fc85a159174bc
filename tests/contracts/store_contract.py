"""What every store promises, in one suite that each store's tests inherit; where a server cannot, its class says so by a flag."""

from __future__ import annotations

import hashlib
import os
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from installations import DAY, Installation, sightings

from ducklift.errors import ConfigurationError, CorruptObject, DuckliftError, LakeRefused
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.store import Store
from ducklift.settings import Settings, load_settings

FIRST, SECOND = b"what was there first", b"what came second, and is longer"
ODD_NAMES = ("with space.json", "plus+equal=percent%20.json", "ünïcödé-鴨.json", "quote'and\"quote.json", "a,b;c&d@e!.json", "x" * 180)


class StoreContract:
    """Inherit it and give the fixture `settings`: a place that nothing was made in yet."""

    creates_once: ClassVar[bool] = True
    """Of two writers who both saw nothing there, one wins and both see the same."""
    makes_folders: ClassVar[bool] = False
    """A missing container is no obstacle to a put: folders come by themselves."""
    checks_keys: ClassVar[bool] = True
    """The server tells a wrong key from a right one."""
    odd_names: ClassVar[tuple[str, ...]] = ODD_NAMES

    def test_a_missing_container_is_made_once_and_known_again(self, settings: Settings):
        for _ in range(2):
            ensure_lake(open_lake(settings))

        assert [found.key for found in open_lake(settings).list("")] == ["_ducklift/lake.json"]

    def test_an_absent_object_reads_as_none_and_has_no_size(self, lake: Store):
        assert (lake.read("raw/absent.json"), lake.size("raw/absent.json")) == (None, None)

    def test_a_folder_of_objects_is_no_object(self, lake: Store):
        lake.replace("raw/nature/a.json", FIRST)

        assert lake.size("raw/nature") is None

    def test_deleting_is_done_and_deleting_again_is_no_error(self, lake: Store):
        lake.replace("raw/a.json", FIRST)
        lake.delete("raw/a.json")
        lake.delete("raw/a.json")

        assert lake.read("raw/a.json") is None

    def test_an_empty_object_is_an_object(self, lake: Store):
        lake.replace("raw/empty", b"")

        assert (lake.read("raw/empty"), lake.size("raw/empty")) == (b"", 0)

    def test_create_returns_what_was_there_first(self, lake: Store):
        answers = [lake.create("raw/slice.json", FIRST), lake.create("raw/slice.json", SECOND)]

        assert answers == [FIRST, FIRST]
        assert lake.read("raw/slice.json") == FIRST

    def test_a_create_that_saw_nothing_there_does_not_overwrite_what_came_in_between(self, lake: Store, monkeypatch: pytest.MonkeyPatch):
        if not self.creates_once:
            pytest.xfail("this server ignores the condition of a create-only put")
        lake.replace("raw/slice.json", FIRST)
        see = lake.read
        blind = iter([None])
        monkeypatch.setattr(lake, "read", lambda key: next(blind, FIRST) and see(key))

        assert lake.create("raw/slice.json", SECOND) == FIRST

    def test_of_many_who_create_one_object_at_once_all_return_the_same(self, settings: Settings, lake: Store):
        if not self.creates_once:
            pytest.xfail("this server ignores the condition of a create-only put")
        stores = [open_lake(settings) for _ in range(6)]
        with ThreadPoolExecutor(len(stores)) as pool:
            answers = list(pool.map(lambda number: stores[number].create("raw/race.json", b"writer %d" % number), range(len(stores))))

        assert set(answers) == {lake.read("raw/race.json")}

    def test_replace_puts_another_content_in_the_same_place(self, lake: Store):
        lake.replace("_ducklift/tables/t.json", SECOND)
        lake.replace("_ducklift/tables/t.json", FIRST)

        assert lake.read("_ducklift/tables/t.json") == FIRST

    @pytest.mark.parametrize("size", [0, 1, 100_000, 7_000_001])
    def test_a_file_is_put_and_got_whole(self, lake: Store, tmp_path: Path, size: int):
        key, local = self.spooled(tmp_path, size)
        lake.put_file(local, key, size, sha256(local))
        lake.get_file(key, tmp_path / "back" / "file")

        assert lake.size(key) == size
        assert sha256(tmp_path / "back" / "file") == sha256(local)

    def test_a_file_that_is_shared_again_under_the_same_name_is_whole_and_the_objects_stay_as_they_were(self, lake: Store, tmp_path: Path):
        lake.replace("raw/first", FIRST)
        lake.replace("raw/second", SECOND)
        lake.share_file("raw/first", tmp_path / "shared" / "file")
        lake.share_file("raw/second", tmp_path / "shared" / "file")

        assert (tmp_path / "shared" / "file").read_bytes() == SECOND
        assert (lake.read("raw/first"), lake.read("raw/second")) == (FIRST, SECOND)

    def test_a_file_that_was_cut_by_an_earlier_try_is_put_again(self, lake: Store, tmp_path: Path):
        key, local = self.spooled(tmp_path, 5000)
        lake.replace(key, local.read_bytes()[:1000])
        lake.put_file(local, key, 5000, sha256(local))

        assert lake.read(key) == local.read_bytes()

    def test_a_file_that_is_not_what_was_announced_is_refused(self, lake: Store, tmp_path: Path):
        key, local = self.spooled(tmp_path, 5000)

        with pytest.raises(CorruptObject):
            lake.put_file(local, key, 6000, sha256(local))

    def test_a_spool_file_that_is_gone_is_told_by_its_own_path(self, lake: Store, tmp_path: Path):
        with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
            lake.put_file(tmp_path / "gone.jsonl", "raw/gone.jsonl", 1, "00" * 32)

    def test_getting_an_absent_object_names_it(self, lake: Store, tmp_path: Path):
        with pytest.raises(CorruptObject, match=r"raw/absent\.json"):
            lake.get_file("raw/absent.json", tmp_path / "x")

    def test_a_listing_is_sorted_whole_and_free_of_namesakes(self, lake: Store):
        for key in ("raw/t/b/2.json", "raw/t/a.json", "raw/t/b/1.json", "raw/tt/no.json", "raw/t.json"):
            lake.replace(key, key.encode())

        assert [(found.key, found.size_bytes) for found in lake.list("raw/t/")] == [
            ("raw/t/a.json", 12),
            ("raw/t/b/1.json", 14),
            ("raw/t/b/2.json", 14),
        ]

    def test_a_listing_tells_when_each_object_was_written(self, lake: Store):
        lake.replace("raw/t/a.json", FIRST)
        written = next(lake.list("raw/t/")).modified

        assert written is not None
        assert abs(written - datetime.now(UTC)) < timedelta(minutes=2)

    def test_objects_are_found_by_the_beginning_of_their_names_and_all_of_them_by_a_walk(self, lake: Store):
        keys = [
            "_ducklift/commits/a.b/0000000009-x.json",
            "_ducklift/commits/a.b/0000000010-y.json",
            "_ducklift/commits/a.b/0000000011-z.json",
        ]
        for key in [*keys, "_ducklift/commits/a.bc/0000000010-y.json", "raw/a/b/c/d.json"]:
            lake.replace(key, FIRST)

        assert [(found.key, found.size_bytes) for found in lake.beginning("_ducklift/commits/a.b/000000001")] == [
            (key, len(FIRST)) for key in keys[1:]
        ]
        assert list(lake.beginning("_ducklift/absent/0")) == []
        assert sorted(found.key for found in lake.walk("_ducklift/commits/a.b/")) == keys
        assert {"raw/a/b/c/d.json", *keys} <= {found.key for found in lake.walk()}
        assert all(found.modified is not None for found in lake.walk("raw/"))
        assert list(lake.walk("absent/")) == []

    def test_a_listing_of_nothing_is_empty(self, lake: Store):
        assert list(lake.list("raw/nothing/")) == []

    def test_a_second_writers_object_shows_at_once(self, settings: Settings, lake: Store):
        assert list(lake.list("raw/t/")) == []
        assert lake.read("raw/t/a.json") is None
        open_lake(settings).replace("raw/t/a.json", FIRST)

        assert [found.key for found in lake.list("raw/t/")] == ["raw/t/a.json"]
        assert lake.read("raw/t/a.json") == FIRST

    def test_odd_names_are_kept_as_they_are(self, lake: Store):
        for name in self.odd_names:
            lake.replace(f"raw/t/{name}", name.encode())

        assert sorted(found.key for found in lake.list("raw/t/")) == sorted(f"raw/t/{name}" for name in self.odd_names)
        assert [lake.read(f"raw/t/{name}") for name in self.odd_names] == [name.encode() for name in self.odd_names]

    def test_a_url_leads_back_to_its_key_and_to_no_other_lakes(self, lake: Store):
        assert lake.key_of(lake.url_of("raw/a b.json")) == "raw/a b.json"
        with pytest.raises(ConfigurationError):
            lake.key_of("s3://elsewhere/raw/a.json")

    def test_a_put_into_a_missing_container_is_refused_by_name(self, settings: Settings):
        lake = open_lake(settings)
        if self.makes_folders:
            lake.replace("raw/a.json", FIRST)
            assert lake.read("raw/a.json") == FIRST
            return
        with pytest.raises(LakeRefused, match="created at the next upload"):
            lake.replace("raw/a.json", FIRST)

    def test_wrong_keys_are_refused_without_being_shown(self, settings: Settings, wrong_keys: dict[str, str]):
        if not self.checks_keys:
            pytest.xfail("this server admits any key")
        refused = with_environment(settings, **wrong_keys)

        with pytest.raises(LakeRefused) as caught:
            ensure_lake(open_lake(refused))
        shown = "".join(traceback.format_exception(caught.value)) + repr(refused) + repr(open_lake(refused))
        assert [secret for secret in wrong_keys.values() if secret in shown] == []
        assert "ducklift_lake" in str(caught.value)

    def test_a_load_goes_all_the_way_and_again(self, settings: Settings):
        place = Installation(settings.project, settings.lake_url, settings.environment)
        states = [place.land(sightings(1, 2, 3)).state, place.land(sightings(1, 2, 3)).state]

        assert states == ["loaded", "already_loaded"]
        assert len(place.rows()) == 3
        assert place.inconsistencies() == []
        assert DAY.strftime("%Y%m%d") in place.keys("raw/")[0]

    @pytest.fixture
    def lake(self, settings: Settings) -> Store:
        lake = open_lake(settings)
        ensure_lake(lake)
        return lake

    @pytest.fixture
    def wrong_keys(self) -> dict[str, str]:
        return {}

    def spooled(self, folder: Path, size: int) -> tuple[str, Path]:
        local = folder / "part-00000"
        # A parser of multipart bodies may take the last byte for its own.
        local.write_bytes(os.urandom(size - 1) + b"\r" if size else b"")
        return f"raw/t/{sha256(local)[:16]}.jsonl", local


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def settings_for(project: Path, url: str, **environment: str) -> Settings:
    """Return settings for a lake at this URL, credentials by environment."""
    project.mkdir(exist_ok=True)
    return load_settings({"DUCKLIFT_LAKE_URL": url, **environment}, project)


def with_environment(settings: Settings, **environment: str) -> Settings:
    return load_settings({**settings.environment, **environment}, settings.project)


def new_name() -> str:
    """Return the name of a bucket that nobody has yet."""
    return f"lake-{uuid.uuid4().hex[:16]}"


def raised(error: type[DuckliftError], settings: Settings) -> DuckliftError:
    """Return the error that opening and marking the lake ends in."""
    with pytest.raises(error) as caught:
        ensure_lake(open_lake(settings))
    return caught.value

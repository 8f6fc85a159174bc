"""What a collection of garbage takes, what it never touches, and what it leaves behind to tell of it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installations import APPENDED, STREAM, TABLE, Installation, sightings, slice_run
from kept_lakes import DAY, aged, applied, contents, places, rebuilt_contents, superseding, with_retention

from ducklift.errors import ConfigurationError, ManifestUnreadable
from ducklift.keeping import collect_garbage
from ducklift.lake.dataset import live_files
from ducklift.lake.expiry import read_expiry
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.layout import commit_key, slice_key
from ducklift.pipeline import extract, load_id_for, upload
from ducklift.settings import load_settings
from ducklift.warehouse.lake_views import create_view

ORPHAN = "raw/nature/sightings/20260101T000000Z-0123abcd.0123456789ab.jsonl.gz"


def numbers_in_lake(installation: Installation) -> list[int]:
    with duckdb.connect() as connection:
        create_view(connection, installation.lake, TABLE)
        return [number for (number,) in connection.execute(f"SELECT count FROM {TABLE} ORDER BY ALL").fetchall()]


@pytest.fixture
def orphaned(installation: Installation) -> Installation:
    """A lake with one load and an old raw file that no manifest names."""
    installation.land(sightings(1))
    installation.lake.replace(ORPHAN, b"left by an upload that was cut short")
    aged(installation, ORPHAN)
    return installation


def test_an_orphan_goes_after_its_grace_and_a_young_one_stays(orphaned: Installation):
    young = ORPHAN.replace("0123abcd", "young")
    orphaned.lake.replace(young, b"of an upload under way")
    found = applied(orphaned)

    assert places(found, "orphan") == [ORPHAN]
    assert young in orphaned.keys("raw/")
    assert ORPHAN not in orphaned.keys("raw/")


def test_files_that_a_manifest_names_are_no_orphans_however_old(orphaned: Installation):
    for key in orphaned.keys("raw/"):
        aged(orphaned, key, 400 * DAY)
    applied(orphaned)

    assert orphaned.inconsistencies() == []


def test_the_files_of_an_upload_under_way_are_not_touched_however_old(installation: Installation):
    """Its first files may be older than any grace; the package in the spool tells that it goes on."""
    pipeline = installation.pipeline(sightings(1))
    package = extract(pipeline, STREAM, slice_run(), installation.settings)
    half_uploaded = json.loads((Path(package) / "manifest.json").read_text())["files"][0]["key"]
    installation.lake.replace(half_uploaded, (Path(package) / Path(half_uploaded).name).read_bytes())
    aged(installation, half_uploaded, 3 * DAY)
    found = applied(installation)

    assert places(found, "orphan", "slice") == []
    upload(package, installation.settings)
    assert installation.inconsistencies() == []


def test_an_upload_puts_an_old_file_again_that_a_collection_may_be_about_to_take(installation: Installation):
    pipeline = installation.pipeline(sightings(1))
    package = extract(pipeline, STREAM, slice_run(), installation.settings)
    key = json.loads((Path(package) / "manifest.json").read_text())["files"][0]["key"]
    installation.lake.replace(key, (Path(package) / Path(key).name).read_bytes())
    aged(installation, key, 3 * DAY)
    upload(package, installation.settings)

    found = installation.lake.stat(key)
    assert found is not None
    assert found.modified is not None
    assert datetime.now(UTC) - found.modified < timedelta(minutes=5)


def test_an_orphan_that_a_manifest_names_by_the_time_of_its_deletion_is_kept(orphaned: Installation, monkeypatch: pytest.MonkeyPatch):
    manifest = {**orphaned.manifest(), "load_id": "20260101T000000Z-0123abcd"}
    manifest["files"] = [{**manifest["files"][0], "key": ORPHAN}]

    def lands(_name: str) -> None:
        orphaned.lake.replace("raw/nature/sightings/_loads/20260101T000000Z-0123abcd.json", json.dumps(manifest).encode())

    monkeypatch.setattr("ducklift.keeping.reach", lands)
    found = applied(orphaned)

    assert found.kept == {ORPHAN: "a run took it up again"}
    assert ORPHAN in orphaned.keys("raw/")


def test_without_apply_nothing_is_deleted_and_nothing_written(orphaned: Installation):
    before = orphaned.keys("")
    found = collect_garbage(orphaned.settings)

    assert (found.applied, places(found)) == (False, [ORPHAN])
    assert orphaned.keys("") == before
    assert found.as_dict()["bytes"] == len(b"left by an upload that was cut short")


def test_what_went_is_recorded_with_reason_and_size(orphaned: Installation):
    found = applied(orphaned)
    assert found.record is not None
    record = orphaned.json(orphaned.lake.key_of(found.record))

    assert record["completed_at"] is not None
    assert [(item["place"], item["kind"], item["size_bytes"]) for item in record["items"]] == [(ORPHAN, "orphan", 36)]
    assert "no manifest names it" in record["items"][0]["reason"]


def test_a_collection_that_finds_nothing_leaves_no_record(installation: Installation):
    installation.land(sightings(1))

    assert applied(installation).record is None
    assert installation.keys("_ducklift/gc/") == []


def test_a_manifest_that_cannot_be_read_stops_everything(orphaned: Installation):
    orphaned.lake.replace("raw/nature/sightings/_loads/20260105T000000Z-ffffffff.json", b"{")

    with pytest.raises(ManifestUnreadable):
        applied(orphaned)
    assert ORPHAN in orphaned.keys("raw/")


def test_a_pipeline_file_that_cannot_be_read_stops_everything(orphaned: Installation):
    with_retention(orphaned, raw="30d")
    (orphaned.settings.pipelines / "nature.yaml").write_text("name: [")

    with pytest.raises(ConfigurationError, match=r"nature\.yaml"):
        applied(orphaned)
    assert ORPHAN in orphaned.keys("raw/")


def test_superseded_raw_files_go_after_their_time_and_manifests_stay(installation: Installation):
    with_retention(installation, keep_superseded="2d")
    spec = {key: APPENDED[key] for key in ("disposition", "primary_key")}
    installation.land(sightings(1, 2), **spec)
    old = installation.manifest()
    superseding(installation, sightings(1), **spec)

    assert places(applied(installation, DAY)) == []
    found = applied(installation, 3 * DAY)

    assert places(found, "superseded") == [file["key"] for file in old["files"]]
    assert installation.manifest() == old
    assert rebuilt_contents(installation) == contents(installation)
    expiry = read_expiry(installation.lake, TABLE, old["load_id"])
    assert expiry is not None
    assert expiry.why == "superseded"


def test_what_a_replacement_hides_in_the_lake_alone_goes_its_time_after_the_first_that_hid_it(installation: Installation):
    with_retention(installation, keep_superseded="2d")
    spec: dict[str, Any] = {"target": "lake", "disposition": "replace", "primary_key": [], "incremental": None}
    for day in range(3):
        installation.land(sightings(day), day=day, **spec)
    commit = commit_key(TABLE, 3, installation.manifest(2)["load_id"])
    later = {**installation.json(commit), "loaded_at": (datetime.now(UTC) + 2 * DAY).isoformat()}
    installation.lake.replace(commit, json.dumps(later).encode())

    assert places(applied(installation, DAY)) == []
    assert places(applied(installation, 3 * DAY), "superseded") == [file["key"] for file in installation.manifest(0)["files"]]
    assert [live.manifest.load_id for live in live_files(installation.lake, TABLE)] == [installation.manifest(2)["load_id"]]
    assert places(applied(installation, 5 * DAY), "superseded") == [file["key"] for file in installation.manifest(1)["files"]]
    assert numbers_in_lake(installation) == [2]


def test_what_a_replacement_took_the_place_of_in_a_warehouse_stays_for_a_rebuild(installation: Installation):
    for day in range(2):
        installation.land(sightings(day), day=day, disposition="replace", primary_key=[], incremental=None)

    assert places(applied(installation, 30 * DAY)) == []
    assert rebuilt_contents(installation) == contents(installation)


def test_slices_whose_load_never_landed_go_and_a_run_fixes_them_anew(installation: Installation):
    installation.land(sightings(1))
    key = slice_key(TABLE, load_id_for("nature", STREAM, slice_run(1)))
    extract(installation.pipeline(sightings(2)), STREAM, slice_run(1), installation.settings)
    aged(installation, key)
    assert places(applied(installation)) == []

    for file in (installation.project / ".ducklift" / "spool").rglob("*"):
        os.utime(file, (0, 0))
    found = applied(installation)

    assert places(found, "slice") == [key]
    assert len(places(found, "spool")) == 1
    assert installation.land(sightings(2), day=1).rows_inserted == 1


def test_a_package_that_was_left_behind_after_its_upload_goes(installation: Installation):
    package = Path(extract(installation.pipeline(sightings(1)), STREAM, slice_run(), installation.settings))
    copy = {file.name: file.read_bytes() for file in package.iterdir()}
    upload(str(package), installation.settings)
    package.mkdir(parents=True)
    for name, data in copy.items():
        (package / name).write_bytes(data)
        os.utime(package / name, (0, 0))
    os.utime(package, (0, 0))
    found = applied(installation)

    assert places(found, "spool") == [str(package)]
    assert not package.parent.exists()


def test_a_complete_package_waits_a_week_for_its_upload(installation: Installation):
    package = Path(extract(installation.pipeline(sightings(1)), STREAM, slice_run(), installation.settings))

    assert places(applied(installation, 6 * DAY), "spool") == []
    assert places(applied(installation, 8 * DAY), "spool") == [str(package)]


def test_folders_of_killed_loads_go(installation: Installation):
    folder = installation.project / ".ducklift" / "loading" / "load-dead"
    folder.mkdir(parents=True)
    (folder / "part").write_bytes(b"x" * 100)
    found = applied(installation)

    assert [(item.place, item.size_bytes) for item in found.items] == [(str(folder), 100)]
    assert not folder.exists()


def test_temporary_files_of_killed_writers_go_from_a_folder(orphaned: Installation):
    temporary = Path(orphaned.lake.path("raw/.tmp-0123"))
    temporary.write_bytes(b"half")
    young = Path(orphaned.lake.path("raw/.tmp-4567"))
    young.write_bytes(b"half")
    aged(orphaned, "raw/.tmp-0123")
    found = applied(orphaned)

    assert places(found, "unfinished") == ["raw/.tmp-0123"]
    assert (temporary.exists(), young.exists()) == (False, True)


def test_incomplete_multipart_uploads_are_aborted(moto_s3, tmp_path: Path):
    settings = load_settings({"DUCKLIFT_LAKE_URL": "s3://keeping-multipart/lake", **moto_s3.environment}, tmp_path)
    lake = open_lake(settings)
    ensure_lake(lake)
    for prefix in ("lake", "elsewhere"):
        lake.filesystem.call_s3("create_multipart_upload", Bucket="keeping-multipart", Key=f"{prefix}/raw/big.parquet")

    begun = datetime(2010, 11, 10, 20, 48, 33, tzinfo=UTC)  # whenever it is, moto tells this moment
    assert places(collect_garbage(settings, apply=True, now=begun + timedelta(hours=23))) == []
    found = collect_garbage(settings, apply=True, now=begun + timedelta(hours=25))

    left = lake.filesystem.call_s3("list_multipart_uploads", Bucket="keeping-multipart")["Uploads"]
    assert places(found, "unfinished") == ["raw/big.parquet"]
    assert [upload["Key"] for upload in left] == ["elsewhere/raw/big.parquet"]


@pytest.mark.parametrize("place", ["memory", "s3"])
def test_other_stores_are_kept_in_shape_as_folders_are(place: str, request: pytest.FixtureRequest, tmp_path: Path):
    environment = request.getfixturevalue("moto_s3").environment if place == "s3" else {}
    installation = with_retention(Installation(tmp_path, f"{place}://keeping-{place}/lake", environment), raw="30m")
    installation.land(sightings(1, 2))
    installation.lake.replace(ORPHAN, b"orphan")
    installation.lake.filesystem.invalidate_cache()
    before = contents(installation)
    found = applied(installation, 2 * DAY)

    assert {item.kind for item in found.items} == {"orphan", "expired"}
    assert [key for key in installation.keys("raw/") if "/_loads/" not in key] == []
    assert rebuilt_contents(installation) == before


def test_one_tables_collection_leaves_the_others_and_the_spool_alone(orphaned: Installation):
    other = "raw/other/table/20260101T000000Z-0123abcd.0123456789ab.jsonl.gz"
    orphaned.lake.replace(other, b"orphan")
    aged(orphaned, other)
    (orphaned.project / ".ducklift" / "loading" / "load-dead").mkdir(parents=True, exist_ok=True)
    found = collect_garbage(orphaned.settings, TABLE, apply=True)

    assert places(found) == [ORPHAN]
    assert other in orphaned.keys("raw/")

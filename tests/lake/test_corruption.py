"""Raw files and manifests that are not what they were: refused before a row is written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, Installation, sighting, sightings, slice_run

from ducklift.errors import CorruptObject, DuckliftError, ManifestConflict, ManifestUnreadable, SpoolMissing
from ducklift.lake.manifest import MANIFEST_VERSION, sha256_of
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.warehouse import loading
from ducklift.warehouse.intake import take_in


@pytest.fixture
def landed(installation: Installation) -> tuple[Installation, Pipeline, str]:
    """An installation with one loaded day, and the manifest's URL of a second that is landed but not loaded."""
    installation.land(sightings(1))
    pipeline = installation.pipeline(sightings(*range(2, 500)))
    return installation, pipeline, installation.put(pipeline, day=1)


def raw_key(installation: Installation) -> str:
    key: str = installation.manifest(day=1)["files"][0]["key"]
    return key


def wrong_crc(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


def other_of_the_same_size(data: bytes) -> bytes:
    return bytes([data[0]]) + bytes(byte ^ 1 for byte in data[1:])


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "wrong crc": wrong_crc,
    "emptied": lambda _: b"",
    "longer": lambda data: data + b"\n",
    "same size": other_of_the_same_size,
    "other records": lambda _: gzip.compress(json.dumps(sighting(7)).encode()),
    "unpacked": gzip.decompress,
}


def test_a_raw_file_that_is_written_to_while_it_is_loaded_is_refused(
    landed: tuple[Installation, Pipeline, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, pipeline, url = landed
    raw = Path(installation.lake.path(raw_key(installation)))
    before, whole = installation.state(), raw.read_bytes()

    def take_in_late(*given: Any) -> Any:
        raw.write_bytes(whole)
        return take_in(*given)

    monkeypatch.setattr(loading, "take_in", take_in_late)
    with pytest.raises(CorruptObject, match="changed while it was loaded"):
        load(url, installation.settings, pipeline)

    assert installation.state() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_raw_file_that_is_not_what_its_manifest_says_is_refused(landed: tuple[Installation, Pipeline, str], damage: str) -> None:
    installation, pipeline, url = landed
    key = raw_key(installation)
    before = installation.state()
    whole = installation.lake.read(key) or b""
    installation.lake.replace(key, DAMAGES[damage](whole))

    with pytest.raises(CorruptObject) as refused:
        load(url, installation.settings, pipeline)

    assert refused.value.url == installation.lake.url_of(key)
    assert installation.state() == before

    installation.lake.replace(key, whole)
    assert load(url, installation.settings, pipeline).rows_inserted == 498


def test_a_raw_file_that_is_gone_is_refused(landed: tuple[Installation, Pipeline, str]) -> None:
    installation, pipeline, url = landed
    installation.lake.delete(raw_key(installation))

    with pytest.raises(CorruptObject, match="found none"):
        load(url, installation.settings, pipeline)

    assert installation.rows("id") == [("s0001",)]


def test_a_manifest_that_counts_other_rows_is_refused(landed: tuple[Installation, Pipeline, str]) -> None:
    installation, pipeline, url = landed
    rewritten(installation, rows=497)

    with pytest.raises(CorruptObject, match="expected 497 rows, found 498"):
        load(url, installation.settings, pipeline)

    assert installation.rows("id") == [("s0001",)]


def rewritten(installation: Installation, **fields: Any) -> None:
    """Change fields of the second day's manifest behind Ducklift's back."""
    changed = {**installation.manifest(day=1), **fields}
    installation.lake.replace(installation.manifest_key(day=1), json.dumps(changed).encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b'{"manifest_version": 1, "load', "not JSON"),
        (b"[]", "no version.*--reextract"),
        (b'{"manifest_version": "1"}', "no version.*--reextract"),
        (b'{"manifest_version": 1}', "load_id"),
        (b'{"manifest_version": 1, "\xff": 1}', "not JSON"),
    ],
)
def test_a_damaged_manifest_is_refused(landed: tuple[Installation, Pipeline, str], content: bytes, reason: str) -> None:
    installation, pipeline, url = landed
    installation.lake.replace(installation.manifest_key(day=1), content)

    with pytest.raises(ManifestUnreadable, match=reason) as refused:
        load(url, installation.settings, pipeline)

    assert refused.value.url == url


def test_a_manifest_of_a_newer_version_is_refused_by_name(landed: tuple[Installation, Pipeline, str]) -> None:
    installation, pipeline, url = landed
    newer = MANIFEST_VERSION + 1
    rewritten(installation, manifest_version=newer, something_new=True)

    with pytest.raises(ManifestUnreadable, match=rf"version is {newer}, this Ducklift reads up to {MANIFEST_VERSION}\. Upgrade"):
        load(url, installation.settings, pipeline)


def test_a_damaged_manifest_does_not_keep_its_slice_from_being_read_anew(installation: Installation) -> None:
    installation.land(sightings(1))
    installation.lake.replace(installation.manifest_key(), b"{")
    pipeline = installation.pipeline(sightings(1, 2))

    package = extract(pipeline, STREAM, replace(slice_run(), mode="reextract"), installation.settings)
    summary = load(upload(package, installation.settings), installation.settings, pipeline)

    assert (summary.rows_inserted, summary.total_rows) == (2, 2)
    assert installation.rows("id") == [("s0001",), ("s0002",)]


def test_a_manifest_that_tells_of_another_load_loads_nothing_twice(installation: Installation) -> None:
    installation.land(sightings(1), disposition="append", primary_key=[], incremental=None)
    changed = {**installation.manifest(), "load_id": "20260101T000000Z-00000000"}
    installation.lake.replace(installation.manifest_key(), json.dumps(changed).encode())

    with pytest.raises(ManifestUnreadable, match=r"that of load 20260101T000000Z-00000000, whose place is raw/"):
        installation.land(sightings(1), disposition="append", primary_key=[], incremental=None)

    assert installation.rows("id") == [("s0001",)]


def test_a_manifest_that_is_gone_is_told_as_such(landed: tuple[Installation, Pipeline, str]) -> None:
    installation, pipeline, url = landed
    installation.lake.delete(installation.manifest_key(day=1))

    with pytest.raises(DuckliftError, match="manifest"):
        load(url, installation.settings, pipeline)


def test_another_manifest_under_a_load_id_that_is_loaded_is_a_conflict(landed: tuple[Installation, Pipeline, str]) -> None:
    installation, pipeline, url = landed
    load(url, installation.settings, pipeline)
    before = installation.state()
    known = sha256_of(installation.lake.read(installation.manifest_key(day=1)) or b"")
    rewritten(installation, extractor="somebody else")

    with pytest.raises(ManifestConflict, match="--reextract") as conflict:
        load(url, installation.settings, pipeline)

    assert conflict.value.known_sha256 == known
    assert installation.state() == before


def test_a_damaged_slice_record_is_told_by_its_place(installation: Installation) -> None:
    installation.land(sightings(1))
    key = "_ducklift/slices/nature.sightings/" + installation.manifest_key(day=1).rpartition("/")[2]
    installation.lake.replace(key, b"{")

    with pytest.raises(DuckliftError, match="slices"):
        installation.land(sightings(2), day=1)


def test_a_damaged_snapshot_is_told_by_its_place(installation: Installation) -> None:
    installation.land(sightings(1))
    installation.lake.replace("_ducklift/tables/nature.sightings.json", b"{")

    with pytest.raises(DuckliftError, match=r"nature\.sightings\.json"):
        installation.land(sightings(2), day=1)


def test_a_damaged_marker_is_told_by_its_place(installation: Installation) -> None:
    installation.land(sightings(1))
    installation.lake.replace("_ducklift/lake.json", b"{")

    with pytest.raises(DuckliftError, match=r"_ducklift/lake\.json"):
        installation.land(sightings(2), day=1)


def test_a_spool_package_that_is_gone_is_told_with_the_setting_to_look_at(installation: Installation) -> None:
    package = installation.project / ".ducklift" / "spool" / "nature" / "sightings" / "20260101T000000Z-00000000" / "0"

    with pytest.raises(SpoolMissing, match="DUCKLIFT_SPOOL"):
        upload(str(package), installation.settings)


@pytest.mark.parametrize("path", ["", "/", "package", "a/b/c", "/tmp/../../x/y"])
def test_a_path_that_is_no_spool_package_is_refused(installation: Installation, path: str) -> None:
    with pytest.raises(DuckliftError):
        upload(path, installation.settings)


def test_a_manifest_of_another_lake_is_refused(installation: Installation) -> None:
    with pytest.raises(DuckliftError, match="DUCKLIFT_LAKE_URL"):
        load("s3://elsewhere/raw/nature/sightings/_loads/x.json", installation.settings)


def test_a_spool_file_that_was_changed_after_the_extraction_lands_nowhere(installation: Installation) -> None:
    pipeline = installation.pipeline(sightings(1, 2))
    package = extract(pipeline, STREAM, slice_run(), installation.settings)
    [raw] = installation.project.glob(".ducklift/spool/**/*.gz")
    raw.write_bytes(raw.read_bytes()[:-4])

    with pytest.raises(CorruptObject):
        load(upload(package, installation.settings), installation.settings, pipeline)

    assert installation.rows() == []

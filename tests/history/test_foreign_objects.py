"""What others put into the bucket in the place of Ducklift's own objects: told by name, never read as if it were."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from installations import APPENDED, TABLE, Installation, sightings

from ducklift.errors import LakeRefused, ManifestConflict, ManifestUnreadable
from ducklift.lake.dataset import live_files
from ducklift.lake.layout import commit_prefix, snapshot_key
from ducklift.lake.manifest import read_manifest
from ducklift.warehouse.rebuild import verify


@pytest.fixture
def landed(installation: Installation) -> Installation:
    installation.land(sightings(1), **APPENDED)
    return installation


def changed(installation: Installation, key: str, change: Callable[[str], str]) -> None:
    data = installation.lake.read(key)
    assert data is not None
    installation.lake.replace(key, change(data.decode()).encode())


@pytest.mark.parametrize("key", ["raw/../../etc/passwd", "/etc/passwd", "raw//x", ""])
def test_a_manifest_cannot_name_files_outside_the_lake(landed: Installation, key: str) -> None:
    told = landed.manifest()
    told["files"][0]["key"] = key

    with pytest.raises(ManifestUnreadable, match="is no key of a lake"):
        read_manifest(json.dumps(told).encode(), "here")


def test_a_manifest_cannot_name_its_load_as_a_path(landed: Installation) -> None:
    told = {**landed.manifest(), "load_id": "../../x"}

    with pytest.raises(ManifestUnreadable, match="is no id of a load"):
        read_manifest(json.dumps(told).encode(), "here")


def test_a_manifest_that_was_changed_is_read_by_nobody(landed: Installation) -> None:
    changed(landed, landed.manifest_key(), lambda text: text.replace('"rows": 1', '"rows": 2'))

    with pytest.raises(ManifestConflict, match="is known to the commit record"):
        live_files(landed.lake, TABLE)
    with pytest.raises(ManifestConflict, match="is known to the commit record"):
        verify(landed.lake, landed.settings)


def test_a_folder_in_the_place_of_an_object_is_told_by_name(landed: Installation) -> None:
    [commit] = landed.keys(commit_prefix(TABLE))
    for key, use in (
        (snapshot_key(TABLE), lambda: landed.land(sightings(2), day=1, **APPENDED)),
        (landed.manifest_key(), lambda: live_files(landed.lake, TABLE)),
        (commit, lambda: landed.lake.read(commit)),
    ):
        landed.lake.delete(key)
        (landed.project / "lake" / key).mkdir()
        with pytest.raises(LakeRefused, match=r"Is a directory.*Look at what lies there"):
            use()
        (landed.project / "lake" / key).rmdir()

"""A spool on any store: two workers with folders of their own hand a package over, and nothing is left behind."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, Installation, sightings, slice_run

from ducklift.errors import SpoolMissing
from ducklift.failpoints import FailpointReached
from ducklift.lake.filesystem import open_lake
from ducklift.lake.spool_place import StoreSpool
from ducklift.pipeline import extract, upload
from ducklift.settings import Settings, load_settings


class Workers:
    """Two machines that share a lake and a spool, and no folder."""

    def __init__(self, tmp_path: Path, lake: str, spool: str, environment: dict[str, str]) -> None:
        self.first, self.second = (self._worker(tmp_path / name, lake, spool, environment) for name in ("first", "second"))

    @staticmethod
    def _worker(project: Path, lake: str, spool: str, environment: dict[str, str]) -> Installation:
        project.mkdir()
        return Installation(project, lake, {**environment, "DUCKLIFT_SPOOL": spool})

    def extracted(self) -> str:
        return extract(self.first.pipeline(sightings(1, 2), sightings(3)), STREAM, slice_run(), self.first.settings)

    def local_files(self) -> list[Path]:
        return [path for worker in (self.first, self.second) for path in (worker.project / ".ducklift").rglob("*") if path.is_file()]


@pytest.fixture(params=["one bucket", "two stores", "folder", "bucket to folder"])
def workers(request: pytest.FixtureRequest, tmp_path: Path, moto_s3: Any) -> Workers:
    bucket, folder = f"s3://b{uuid.uuid4().hex[:12]}", (tmp_path / "shared").as_uri()
    lake, spool = {
        "one bucket": (f"{bucket}/lake", f"{bucket}/spool"),
        "two stores": (bucket, f"memory://spool-{uuid.uuid4().hex}"),
        "folder": (f"{folder}/lake", f"{folder}/spool"),
        "bucket to folder": (f"{folder}/lake", f"{bucket}/spool"),
    }[request.param]
    return Workers(tmp_path, lake, spool, moto_s3.environment)


def spooled(installation: Installation) -> list[str]:
    settings = installation.settings
    store = open_lake(Settings(**{**settings.__dict__, "lake_url": settings.spool}))
    return [found.key for found in store.list("nature/")]


def test_a_package_that_one_worker_made_is_uploaded_by_another(workers: Workers) -> None:
    package = workers.extracted()

    manifest = upload(package, workers.second.settings)

    assert package.startswith(workers.first.settings.spool)
    assert manifest == workers.second.lake.url_of(workers.second.manifest_key())
    assert workers.second.inconsistencies() == []
    assert workers.second.manifest()["rows"] == 3


def test_nothing_is_left_in_the_spool_or_on_a_worker(workers: Workers) -> None:
    upload(workers.extracted(), workers.second.settings)

    assert spooled(workers.second) == []
    assert [path for path in workers.local_files() if path.suffix != ".json" or "spool" in path.parts] == []


def test_a_second_upload_finds_the_manifest_though_the_package_is_gone(workers: Workers) -> None:
    package = workers.extracted()
    first = upload(package, workers.second.settings)

    assert upload(package, workers.first.settings) == first


def test_a_package_that_nobody_finished_is_missing(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    package = workers.extracted()
    store = open_lake(Settings(**{**workers.first.settings.__dict__, "lake_url": workers.first.settings.spool}))
    store.delete(f"{store.key_of(package)}/manifest.json")

    with pytest.raises(SpoolMissing):
        upload(package, workers.second.settings)


def test_an_upload_cut_off_between_two_files_ends_as_an_undisturbed_one(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    from ducklift import failpoints
    from ducklift.lake import spool

    monkeypatch.setattr(spool, "ROTATE_ROWS", 1)
    package = workers.extracted()
    failpoints._passes.clear()
    monkeypatch.setenv("DUCKLIFT_FAILPOINTS", "upload.file_put:raise")
    with pytest.raises(FailpointReached):
        upload(package, workers.second.settings)
    monkeypatch.delenv("DUCKLIFT_FAILPOINTS")

    upload(package, workers.first.settings)

    assert workers.first.inconsistencies() == []
    assert len(workers.first.manifest()["files"]) == 2


def test_within_one_bucket_no_file_passes_through_the_worker(tmp_path: Path, moto_s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = f"s3://b{uuid.uuid4().hex[:12]}"
    workers = Workers(tmp_path, f"{bucket}/lake", f"{bucket}/spool", moto_s3.environment)
    package = workers.extracted()
    passed: list[str] = []
    monkeypatch.setattr(StoreSpool, "_copy_across", lambda self, lake, package, file: passed.append(package))

    upload(package, workers.second.settings)

    assert passed == []
    assert workers.second.inconsistencies() == []


def test_a_package_of_another_spool_is_refused_by_name(workers: Workers, tmp_path: Path) -> None:
    package = workers.extracted()
    elsewhere = load_settings({**workers.second.settings.environment, "DUCKLIFT_SPOOL": str(tmp_path / "other")}, workers.second.project)

    with pytest.raises(SpoolMissing, match="DUCKLIFT_SPOOL"):
        upload(package, elsewhere)

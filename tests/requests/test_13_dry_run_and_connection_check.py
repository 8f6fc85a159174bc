"""Request 13 (dlt#3088): a dry run tells what would be read, written and changed; a connection is checked before anything is read."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from installations import Installation, sighting, sightings, slice_run
from runs import DISPOSITIONS, go

from ducklift.diagnosis import diagnose
from ducklift.dry_run import foretell
from ducklift.errors import LakeRefused
from ducklift.lake import commits
from ducklift.planning import Mode
from ducklift.sources.bucket_files import BucketFilesSource
from ducklift.warehouse import snapshots


def everything(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def dry(installation: Installation, *batches: Any, day: int = 0, mode: Mode = "new", run: Any = None, **spec: Any) -> dict[str, Any]:
    """Return what a dry run tells, having seen that it left every file and folder as it was."""
    pipeline = installation.pipeline(*batches, **spec)
    before = everything(installation.project)
    [told] = foretell(installation.lake, pipeline, run or replace(slice_run(day), mode=mode), installation.settings)
    assert everything(installation.project) == before
    return told


@pytest.mark.parametrize("name", DISPOSITIONS)
def test_a_dry_run_foretells_the_run_and_touches_nothing(installation: Installation, name: str) -> None:
    spec = DISPOSITIONS[name]
    first = dry(installation, sightings(1, 2), **spec)
    assert (first["state"], first["table_exists"], first["table_rows"], first["watermark"]) == ("new", False, None, None)
    go(installation, sightings(1, 2), **spec)

    later = dry(installation, sightings(2, 3), day=1, **spec)
    done = go(installation, sightings(2, 3), day=1, **spec)

    [file] = installation.manifest(1)["files"]
    assert (later["load_id"], later["manifest"], later["table_rows"]) == (done.load_id, done.manifest, 2)
    assert fnmatch.fnmatch(installation.lake.url_of(file["key"]), later["raw"])
    assert {name: later[name] for name in ("cursor_from", "watermark")} == installation.manifest(1)["request"]
    assert dry(installation, sightings(2, 3), day=1, **spec)["state"] == "already_loaded"


def test_a_dry_run_names_what_would_be_replaced(installation: Installation) -> None:
    for day in range(2):
        go(installation, sightings(day), day=day)

    anew = dry(installation, day=1, mode="reextract")
    whole = dry(installation, day=2, mode="full_refresh")

    done = go(installation, sightings(7), day=1, mode="reextract")
    manifest = installation.json(installation.lake.key_of(done.manifest or ""))
    assert (anew["load_id"], anew["supersedes"], anew["cursor_from"]) == (
        done.load_id,
        manifest["supersedes"],
        manifest["slice"]["cursor_from"],
    )
    assert (whole["replaces_stream"], whole["cursor_from"], whole["watermark"]) == (True, None, None)


def test_a_dry_run_tells_a_package_that_waits_from_one_that_is_loaded_however_long_ago(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (commits, snapshots):
        monkeypatch.setattr(module, "RECENT_LOADS", 1)
    for day in range(2):
        go(installation, sightings(day), day=day)
    installation.put(installation.pipeline(sightings(5)), day=2)

    assert [dry(installation, day=day)["state"] for day in range(4)] == ["already_loaded", "already_loaded", "landed", "new"]


def test_a_dry_run_names_the_columns_that_the_table_lacks(installation: Installation) -> None:
    spec = {"record_column": None}
    assert dry(installation, **spec)["new_columns"] == []
    go(installation, sightings(1), **spec)

    more = [{"name": "ring", "type": "varchar"}, {"name": "secret", "pii": "drop"}]
    told = dry(installation, day=1, columns=[{"name": "id", "type": "varchar"}, *more], record_column="raw")

    assert told["new_columns"] == ["ring", "raw"]


def test_a_dry_run_of_files_names_those_that_are_new(installation: Installation, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    source = BucketFilesSource(buckets=(exports.as_uri(),), path="*.csv")
    spec = {"source": source, "columns": (), "record_column": None, "primary_key": [], "incremental": None, "disposition": "append"}
    for name in ("a", "b"):
        (exports / f"{name}.csv").write_text("id\n1\n")
        expected = {"matched": 1 if name == "a" else 2, "new": 1, "bytes": 5, "names": [f"{name}.csv"]}
        assert dry(installation, run=slice_run(0 if name == "a" else 1), **spec)["files"] == expected
        pipeline = installation.pipeline(**spec)
        installation.run(pipeline, 0 if name == "a" else 1, pipeline.streams()[0])

    assert dry(installation, day=2, **spec)["files"] == {"matched": 2, "new": 0, "bytes": 0, "names": []}
    assert dry(installation, day=2, mode="full_refresh", **spec)["files"]["names"] == ["a.csv", "b.csv"]


def test_a_dry_run_of_a_table_in_the_lake_foretells_it_too(installation: Installation) -> None:
    spec = {"target": "lake", "disposition": "append", "primary_key": []}
    go_to_lake = installation.pipeline(sightings(1), **spec)
    assert dry(installation, sightings(1), **spec)["state"] == "new"
    installation.put(go_to_lake)

    assert dry(installation, sightings(1), **spec)["state"] == "already_loaded"
    assert (dry(installation, day=1, **spec)["table_rows"], dry(installation, day=1, **spec)["watermark"]) == (1, sighting(1)["seen"])


def test_a_dry_run_on_s3_makes_no_bucket_and_changes_no_object(tmp_path: Path, moto_s3: Any) -> None:
    client = boto3.client("s3", region_name="us-east-1", **boto_options(moto_s3))
    (tmp_path / "project").mkdir()
    installation = Installation(tmp_path / "project", "s3://never-made-before/lake", moto_s3.environment)
    assert dry(installation, sightings(1))["state"] == "new"
    (tmp_path / "a.csv").write_text("id\n1\n")
    files = BucketFilesSource(buckets=(tmp_path.as_uri(),), path="*.csv")
    assert dry(installation, source=files, record_column=None, columns=())["files"]["names"] == ["a.csv"]
    assert "never-made-before" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}

    go(installation, sightings(1))
    listed = client.list_objects_v2(Bucket="never-made-before")["Contents"]
    for mode in ("new", "reextract", "full_refresh"):
        dry(installation, sightings(2), day=1, mode=mode)  # type: ignore[arg-type]
    assert client.list_objects_v2(Bucket="never-made-before")["Contents"] == listed


def test_a_lake_that_cannot_be_reached_is_told_by_a_dry_run_and_by_doctor_before_anything_is_read(tmp_path: Path) -> None:
    installation = Installation(tmp_path, "s3://orders/lake", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    pipeline = installation.pipeline(sightings(1))

    with pytest.raises(LakeRefused, match="No keys were found"):
        foretell(installation.lake, pipeline, slice_run(), installation.settings)
    problems = [finding.text for finding in diagnose(installation.settings) if finding.state == "problem"]

    assert ["No keys were found" in problem for problem in problems] == [True]


def boto_options(moto_s3: Any) -> dict[str, str]:
    names = {"endpoint_url": "AWS_ENDPOINT_URL", "aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    return {option: moto_s3.environment[name] for option, name in names.items()}

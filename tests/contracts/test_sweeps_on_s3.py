"""A deletion sweep on a bucket that keeps versions: none of them holds what was swept."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import boto3
from installations import TABLE, Installation, sighting
from store_contract import new_name

from ducklift.deletion_sweeps import sweep_keys
from ducklift.keeping import publish
from ducklift.specs import Blanking
from ducklift.warehouse.rebuild import verify

SECRET = "magpie on the roof next door"


def versions(client: Any, bucket: str) -> dict[str, bytes]:
    """Return every version of every object, opened where it is compressed."""
    found = {}
    for each in client.list_object_versions(Bucket=bucket).get("Versions", ()):
        data = client.get_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])["Body"].read()
        found[f"{each['Key']}@{each['VersionId']}"] = gzip.decompress(data) if each["Key"].endswith(".gz") else data
    return found


def test_no_version_of_any_object_holds_what_was_swept(tmp_path: Path, moto_s3: Any) -> None:
    bucket = new_name()
    client = boto3.client("s3", endpoint_url=moto_s3.url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    project = tmp_path / "project"
    project.mkdir()
    place = Installation(project, f"s3://{bucket}/lake", moto_s3.environment)
    place.land([sighting(1), sighting(2, bird=SECRET)])
    place.land([sighting(2, bird=SECRET, seen=sighting(5)["seen"]), sighting(3)], day=1)
    publish(place.settings, TABLE)
    # The sample of the published snapshot is text; Parquet's pages are compressed, and go by their keys.
    before = {name for name, data in versions(client, bucket).items() if SECRET.encode() in data}
    parquet = {name for name in versions(client, bucket) if name.partition("@")[0].endswith(".parquet")}
    assert len(before) > 3
    assert parquet

    sweep_keys(place.pipeline([]), str(TABLE), [("s0002",)], Blanking(content=("bird",)), place.settings, apply=True)

    after = versions(client, bucket)
    assert {name for name, data in after.items() if SECRET.encode() in data} == set()
    assert not parquet & after.keys()
    verify(place.lake, place.settings)

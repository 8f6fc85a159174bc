"""Request 3 (dlt#1692, asked for since 2024): from a source through a bucket into DuckDB by one run, the bucket being the stage.

Into MotherDuck it goes the same way: tests/contracts/test_warehouse_contract.py runs over a stand-in for an account, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
from installations import Installation, sightings

from ducklift.pipeline import Run, load, run_pipeline


def on_s3(project: Path, moto_s3: Any, bucket: str) -> Installation:
    project.mkdir(exist_ok=True)
    return Installation(project, f"s3://{bucket}/lake", moto_s3.environment)


def test_one_run_leaves_the_rows_in_the_bucket_and_in_duckdb(tmp_path: Path, moto_s3: Any) -> None:
    installation = on_s3(tmp_path / "here", moto_s3, "staged-load")

    told = run_pipeline(installation.pipeline(sightings(1, 2), sightings(3)), Run.now(), installation.settings)

    assert (told.as_dict()["state"], told.as_dict()["rows_inserted"]) == ("loaded", 3)
    client = boto3.client("s3", **boto_options(moto_s3))
    keys = {found["Key"] for found in client.list_objects_v2(Bucket="staged-load", Prefix="lake/raw/")["Contents"]}
    sources = installation.query("SELECT DISTINCT _source_file FROM nature.sightings")
    assert {f"lake/{key}" for (key,) in sources} == {key for key in keys if "/_loads/" not in key}
    [manifest] = [key for key in keys if "/_loads/" in key]
    assert json.loads(client.get_object(Bucket="staged-load", Key=manifest)["Body"].read())["rows"] == 3


def test_what_lies_in_the_bucket_loads_into_any_other_duckdb_with_the_same_rows(tmp_path: Path, moto_s3: Any) -> None:
    here, there = (on_s3(tmp_path / name, moto_s3, "staged-twice") for name in ("here", "there"))
    pipeline = here.pipeline(sightings(1, 2, 3))
    manifest = here.put(pipeline)

    told = [load(manifest, installation.settings, pipeline) for installation in (there, there)]

    assert [summary.state for summary in told] == ["loaded", "already_loaded"]
    assert len(there.rows()) == 3
    assert not here.warehouse_file.exists()


def boto_options(moto_s3: Any) -> dict[str, str]:
    names = {"endpoint_url": "AWS_ENDPOINT_URL", "aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    return {"region_name": "us-east-1", **{option: moto_s3.environment[name] for option, name in names.items()}}

"""With whose keys a bucket of files is read: nobody's for a public one, a connection's of its own for another account's."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from buckets import TABLE

from ducklift.pipeline import Pipeline, Run, run_pipeline
from ducklift.settings import Connection, Settings, load_settings


@pytest.fixture
def bucket(moto_s3: Any) -> str:
    """A bucket with one file, which anybody may list and read."""
    name = f"public-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3", endpoint_url=moto_s3.url, aws_access_key_id="test-key", aws_secret_access_key="test-secret", region_name="us-east-1"
    )
    client.create_bucket(Bucket=name, ACL="public-read")
    client.put_object(Bucket=name, Key="prices.csv", Body=b"date,share_price\n2026-01-01,1.5\n", ACL="public-read")
    return name


@pytest.fixture
def settings(moto_s3: Any, tmp_path: Path) -> Settings:
    """A lake in a folder, an S3 endpoint, and no keys anywhere."""
    environment = {"AWS_ENDPOINT_URL": moto_s3.url, "AWS_REGION": "us-east-1", "DUCKLIFT_LAKE_URL": (tmp_path / "lake").as_uri()}
    return load_settings(environment, tmp_path)


def run(settings: Settings, bucket: str, **source: Any) -> Any:
    described = {"type": "bucket_files", "buckets": [f"s3://{bucket}"], "path": "*.csv", **source}
    pipeline = Pipeline.model_validate({"name": "prices", "source": described, "table": TABLE})
    return run_pipeline(pipeline, Run.now(), settings)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_public_bucket_is_read_without_any_keys(settings, bucket, in_place):
    (load,) = run(settings, bucket, access={"anonymous": True}, in_place=in_place).loads
    assert (load.state, load.rows_inserted) == ("loaded", 1), load.error


def test_without_being_told_so_missing_keys_are_an_error_by_name(settings, bucket):
    (load,) = run(settings, bucket).loads
    assert load.state == "failed"
    assert "credentials" in load.error.lower()


def test_a_connection_of_its_own_gives_the_keys_of_that_bucket_alone(settings, bucket):
    theirs = Connection(login="test-key", password="test-secret", origin="Airflow connection 'partner'")
    asked: list[str] = []

    def lookup(name: str) -> Connection | None:
        asked.append(name)
        return theirs if name == "partner" else None

    (load,) = run(replace(settings, connections=lookup), bucket, access={"connection": "partner"}).loads
    assert (load.state, load.rows_inserted) == ("loaded", 1), load.error
    assert "partner" in asked

"""The bucket: made when it is missing and only ever one's own, or used when it can be written."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from installations import Installation, sightings
from s3_proxy import Fault, S3Proxy

from ducklift.errors import LakeRefused
from ducklift.lake.filesystem import ensure_lake
from ducklift.pipeline import load

CREATE = ("PUT", r"^/[^/?]+$")


@pytest.fixture(scope="module")
def proxy(moto_s3: Any) -> Iterator[S3Proxy]:
    with S3Proxy(moto_s3.url) as running:
        yield running


@pytest.fixture
def missing(tmp_path: Path, moto_s3: Any, proxy: S3Proxy) -> Installation:
    """An installation on a bucket that does not exist yet."""
    return Installation(tmp_path, f"s3://{uuid.uuid4().hex}/lake", {**moto_s3.environment, "AWS_ENDPOINT_URL": proxy.url})


def name_of(installation: Installation) -> str:
    return installation.lake_url.split("/")[2]


def client(moto_s3: Any) -> Any:
    keys = {"aws_access_key_id": "test-key", "aws_secret_access_key": "test-secret"}
    return boto3.client("s3", endpoint_url=moto_s3.url, region_name="us-east-1", **keys)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_missing_bucket_is_made_in_the_region_of_the_settings(missing: Installation, moto_s3: Any, region: str) -> None:
    installation = replace(missing, environment={**missing.environment, "AWS_REGION": region})

    installation.land(sightings(1))

    found = client(moto_s3).get_bucket_location(Bucket=name_of(installation))["LocationConstraint"]
    assert found == (None if region == "us-east-1" else region)


def test_a_missing_bucket_is_made_without_any_region_in_the_settings(missing: Installation) -> None:
    environment = {name: value for name, value in missing.environment.items() if name != "AWS_REGION"}

    replace(missing, environment=environment).land(sightings(1))


def test_a_bucket_name_that_somebody_else_has_is_refused_by_name(missing: Installation, proxy: S3Proxy) -> None:
    with proxy.script.spoiling(Fault("status", *CREATE, status=409, code="BucketAlreadyExists")), pytest.raises(LakeRefused) as refused:
        missing.land(sightings(1))

    assert refused.value.code == "BucketAlreadyExists"
    assert name_of(missing) in str(refused.value)
    assert "DUCKLIFT_LAKE_URL" in str(refused.value)


def test_a_bucket_of_somebody_else_is_refused_by_that_name_also_where_it_may_not_be_looked_at(
    missing: Installation, proxy: S3Proxy
) -> None:
    hidden = Fault("status", "HEAD", r"^/[^/?]+$", times=1, status=404, code="404")
    forbidden = Fault("status", "HEAD", r"^/[^/?]+$", status=403, code="403")
    taken = Fault("status", *CREATE, status=409, code="BucketAlreadyExists")

    with proxy.script.spoiling(hidden, taken, forbidden), pytest.raises(LakeRefused) as refused:
        missing.land(sightings(1))

    assert (refused.value.code, forbidden.met) == ("BucketAlreadyExists", 1)


def test_nothing_is_written_into_a_bucket_that_could_not_be_made(missing: Installation, proxy: S3Proxy) -> None:
    with proxy.script.spoiling(Fault("status", *CREATE, status=409, code="BucketAlreadyExists")):
        with pytest.raises(LakeRefused):
            missing.land(sightings(1))
        writes = [request for request in proxy.script.requests if not request.startswith(("HEAD", "GET"))]

    assert writes == [f"PUT /{name_of(missing)}"]


@pytest.mark.parametrize("code", ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"])
def test_a_bucket_that_was_made_by_oneself_in_between_is_used(missing: Installation, proxy: S3Proxy, moto_s3: Any, code: str) -> None:
    client(moto_s3).create_bucket(Bucket=name_of(missing))
    hidden = Fault("status", "HEAD", r"^/[^/?]+$", times=1, status=404, code="404")
    raced = Fault("status", *CREATE, status=409, code=code)

    with proxy.script.spoiling(hidden, raced):
        summary = missing.land(sightings(1))

    assert (summary.state, hidden.met, raced.met) == ("loaded", 1, 1)


def test_a_bucket_that_is_there_is_used_and_not_made(missing: Installation, proxy: S3Proxy, moto_s3: Any) -> None:
    client(moto_s3).create_bucket(Bucket=name_of(missing))

    with proxy.script.spoiling():
        missing.land(sightings(1))
        assert f"PUT /{name_of(missing)}" not in proxy.script.requests


def test_a_bucket_that_may_not_be_written_is_refused_by_the_probe(missing: Installation, proxy: S3Proxy, moto_s3: Any) -> None:
    client(moto_s3).create_bucket(Bucket=name_of(missing))
    denied = Fault("status", "PUT", ".*", status=403, code="AccessDenied")

    with proxy.script.spoiling(denied), pytest.raises(LakeRefused, match="AccessDenied"):
        missing.land(sightings(1))

    with proxy.script.spoiling(denied):
        with pytest.raises(LakeRefused):
            missing.land(sightings(1))
        assert [request for request in proxy.script.requests if request.startswith("PUT")] == [
            f"PUT /{name_of(missing)}/lake/raw/.ducklift-probe"
        ]


def test_a_bucket_of_another_account_is_refused_before_anything_is_written(missing: Installation, proxy: S3Proxy) -> None:
    with proxy.script.spoiling(Fault("status", "GET|HEAD", ".*", status=403, code="AccessDenied")):
        with pytest.raises(LakeRefused, match=r"403|AccessDenied"):
            missing.land(sightings(1))
        assert not [request for request in proxy.script.requests if request.startswith("PUT")]


def test_two_that_make_one_bucket_at_once_both_end_well(missing: Installation) -> None:
    with ThreadPoolExecutor(2) as pool:
        for made in [pool.submit(ensure_lake, missing.lake) for _ in range(2)]:
            made.result()

    assert missing.keys("_ducklift/") == ["_ducklift/lake.json"]


def test_the_probe_leaves_nothing_behind(missing: Installation) -> None:
    ensure_lake(missing.lake)

    assert missing.keys("raw/") == []


def test_a_lake_of_a_newer_version_is_refused_and_left_alone(missing: Installation) -> None:
    ensure_lake(missing.lake)
    missing.lake.replace("_ducklift/lake.json", b'{"lake_version": 99}')

    with pytest.raises(LakeRefused, match="version 99"):
        missing.land(sightings(1))

    assert missing.keys("raw/") == []


def test_a_bucket_that_is_gone_at_the_load_is_told_by_name(missing: Installation, moto_s3: Any) -> None:
    url = missing.put(missing.pipeline(sightings(1)))
    bucket = boto3.resource(
        "s3", endpoint_url=moto_s3.url, region_name="us-east-1", aws_access_key_id="test-key", aws_secret_access_key="test-secret"
    ).Bucket(name_of(missing))
    bucket.objects.all().delete()
    bucket.delete()

    with pytest.raises(LakeRefused, match="NoSuchBucket"):
        load(url, missing.settings, missing.pipeline(sightings(1)))

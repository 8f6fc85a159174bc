"""The store contract on three S3 endpoints, from lenient to strict, and what S3 alone has."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_contract import StoreContract, new_name, settings_for
from store_servers import S3_KEY, S3_SECRET

from ducklift.settings import Settings


def s3_settings(project: Path, endpoint: str) -> Settings:
    keys = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_REGION": "us-east-1"}
    return settings_for(project, f"s3://{new_name()}/a/prefix", AWS_ENDPOINT_URL=endpoint, **keys)


class S3Contract(StoreContract):
    @pytest.fixture
    def wrong_keys(self) -> dict[str, str]:
        return {"AWS_SECRET_ACCESS_KEY": "not-the-secret-access-key"}


class TestMoto(S3Contract):
    checks_keys = False

    @pytest.fixture
    def settings(self, tmp_path: Path, moto_s3) -> Settings:
        return s3_settings(tmp_path / "project", moto_s3.url)


class TestRclone(S3Contract):
    creates_once = False

    @pytest.fixture
    def settings(self, tmp_path: Path, rclone_url: str) -> Settings:
        return s3_settings(tmp_path / "project", rclone_url)


class TestSeaweedFs(S3Contract):
    @pytest.fixture
    def settings(self, tmp_path: Path, seaweedfs_url: str) -> Settings:
        return s3_settings(tmp_path / "project", seaweedfs_url)

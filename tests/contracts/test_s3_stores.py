"""The store contract on three S3 endpoints, from lenient to strict, and what S3 alone has."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_contract import StoreContract, new_name, settings_for, sha256
from store_servers import S3_KEY, S3_SECRET

from ducklift.lake import s3
from ducklift.lake.store import Store
from ducklift.settings import Settings


def s3_settings(project: Path, endpoint: str) -> Settings:
    keys = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_REGION": "us-east-1"}
    return settings_for(project, f"s3://{new_name()}/a/prefix", AWS_ENDPOINT_URL=endpoint, **keys)


class S3Contract(StoreContract):
    @pytest.fixture
    def wrong_keys(self) -> dict[str, str]:
        return {"AWS_SECRET_ACCESS_KEY": "not-the-secret-access-key"}

    def test_a_file_too_great_for_one_request_is_put_in_parts_and_got_whole(
        self, lake: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(s3, "WHOLE_BYTES", 6_000_000)
        monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
        key, local = self.spooled(tmp_path, 12_000_001)
        lake.put_file(local, key, 12_000_001, sha256(local))
        lake.get_file(key, tmp_path / "back")

        assert sha256(tmp_path / "back") == sha256(local)
        assert list(lake.unfinished()) == []


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

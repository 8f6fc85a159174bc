"""One running server of each kind for the whole session; every test takes a bucket or folder of its own there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sftp_server import SftpPlace, sftp_server
from store_servers import S3_KEY, S3_SECRET, azurite, seaweedfs
from strict_gcs import strict_gcs

from ducklift.sandbox.s3 import S3Server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import installation, listed_source_known

__all__ = ["installation", "listed_source_known"]


@pytest.fixture(scope="session")
def rclone_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("rclone")
    server = S3Server(folder / "buckets", folder / "log", S3_KEY, S3_SECRET)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs"), S3_KEY, S3_SECRET) as url:
        yield url


@pytest.fixture(scope="session")
def gcs_url() -> Iterator[str]:
    with strict_gcs() as url:
        yield url


@pytest.fixture(scope="session")
def azurite_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpPlace]:
    with sftp_server(tmp_path_factory.mktemp("sftp")) as place:
        yield place

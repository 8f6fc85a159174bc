"""The local S3 endpoint: s3fs works on it, and its folder is the truth at every moment."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import s3fs
from sandbox_clients import s3_client

from ducklift.sandbox import Sandbox
from ducklift.sandbox.s3 import server_environment


@pytest.fixture
def bucket(shared: Sandbox, request: pytest.FixtureRequest) -> str:
    name = request.node.originalname.replace("_", "-")[5:60].strip("-")
    s3_client(shared).mkdir(name)
    return str(name)


@pytest.fixture
def s3(shared: Sandbox) -> s3fs.S3FileSystem:
    return s3_client(shared)


def test_an_object_is_read_and_listed_at_once_by_another_client(s3: s3fs.S3FileSystem, shared: Sandbox, bucket: str) -> None:
    s3.pipe(f"{bucket}/raw/reddit/a.txt", b"one")

    other = s3_client(shared)

    assert other.find(bucket) == [f"{bucket}/raw/reddit/a.txt"]
    assert other.cat(f"{bucket}/raw/reddit/a.txt") == b"one"


def test_many_objects_written_at_once_are_all_there(s3: s3fs.S3FileSystem, bucket: str) -> None:
    keys = [f"{bucket}/folder{number % 7}/{number}" for number in range(150)]
    with ThreadPoolExecutor(16) as pool:
        back = list(pool.map(lambda key: (s3.pipe(key, key.encode()), s3.cat(key))[1], keys))

    assert back == [key.encode() for key in keys]
    assert sorted(s3.find(bucket)) == sorted(keys)


def test_a_multipart_upload_arrives_whole(s3: s3fs.S3FileSystem, bucket: str, tmp_path: Path) -> None:
    content = os.urandom(12_000_000)
    (tmp_path / "large").write_bytes(content)

    s3.put_file(str(tmp_path / "large"), f"{bucket}/large", chunksize=5 * 2**20)

    assert s3.cat(f"{bucket}/large") == content


def test_files_made_changed_and_removed_in_the_folder_show_at_once(s3: s3fs.S3FileSystem, shared: Sandbox, bucket: str) -> None:
    folder = shared.s3_folder / bucket
    s3.pipe(f"{bucket}/raw/a.txt", b"one")
    seen = [s3.find(bucket)]
    (folder / "raw" / "b").mkdir()
    (folder / "raw" / "b" / "c.txt").write_bytes(b"two")
    seen.append(s3.find(bucket))
    (folder / "raw" / "a.txt").unlink()
    seen.append(s3.find(bucket))
    (folder / "raw" / "b" / "c.txt").write_bytes(b"longer")

    assert seen == [[f"{bucket}/raw/a.txt"], [f"{bucket}/raw/a.txt", f"{bucket}/raw/b/c.txt"], [f"{bucket}/raw/b/c.txt"]]
    assert s3.cat(f"{bucket}/raw/b/c.txt") == b"longer"


def test_objects_and_keys_outlive_the_process(start: Any) -> None:
    sandbox = start()
    s3_client(sandbox).mkdir("kept")
    s3_client(sandbox).pipe("kept/x", b"still here")
    keys = sandbox.environment["AWS_SECRET_ACCESS_KEY"], sandbox.environment["REDDIT_CLIENT_SECRET"]
    sandbox.stop()

    again = start()

    assert s3_client(again).cat("kept/x") == b"still here"
    assert (again.environment["AWS_SECRET_ACCESS_KEY"], again.environment["REDDIT_CLIENT_SECRET"]) == keys


def test_a_wrong_key_is_refused(shared: Sandbox) -> None:
    stranger = s3fs.S3FileSystem(
        key=shared.environment["AWS_ACCESS_KEY_ID"], secret="wrong", endpoint_url=shared.s3_url, skip_instance_cache=True
    )

    with pytest.raises(PermissionError):
        stranger.ls("")


def test_the_keys_file_is_for_its_owner_alone(shared: Sandbox) -> None:
    assert (shared.root / "keys.json").stat().st_mode & 0o777 == 0o600


def test_the_servers_environment_holds_no_settings_of_the_caller() -> None:
    environment = server_environment({"RCLONE_CONFIG": "/x", "AWS_PROFILE": "work", "PATH": "/bin"}, "id", "secret")

    assert environment == {"PATH": "/bin", "RCLONE_AUTH_KEY": '"id,secret"'}

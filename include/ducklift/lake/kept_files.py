"""Files that are made from a table and kept in the lake: put by a verified put, and compared with what was put when they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ducklift.errors import CorruptObject
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.store import Store
from ducklift.specs import Spec


class KeptFile(Spec):
    """One Parquet file and what it has to be."""

    key: str
    size_bytes: int
    sha256: str
    rows: int


def put_kept(lake: Store, local: Path, rows: int, key_of: Callable[[str], str]) -> KeptFile:
    """Put a local file under the key that `key_of` derives from its sha256, and return what it is."""
    sha256, size = file_sha256(local), local.stat().st_size
    file = KeptFile(key=key_of(sha256), size_bytes=size, sha256=sha256, rows=rows)
    lake.put_file(local, file.key, size, sha256)
    return file


def get_kept(lake: Store, file: KeptFile, local: Path) -> None:
    """Copy a kept file to this machine; raises `CorruptObject` when it is not what was put."""
    lake.get_file(file.key, local)
    found = file_sha256(local)
    if found != file.sha256:
        raise CorruptObject(lake.url_of(file.key), f"sha256 {file.sha256}", f"sha256 {found}")

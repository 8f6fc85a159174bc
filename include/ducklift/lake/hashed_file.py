"""One local file, compressed, counted and hashed as it is written, and on the disk for certain when it is closed."""

from __future__ import annotations

import hashlib
import importlib
import os
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

GZIP_LEVEL = 3
ISAL_LEVEL = 2
ZSTD_LEVEL = 3


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class HashedFile:
    """Takes bytes by `put`; the size and the hash are those of the file as it lies on the disk."""

    def __init__(self, path: Path, compression: str) -> None:
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._compressor = _compressor(compression)
        self._target = path.open("wb")

    def put(self, data: bytes | memoryview) -> None:
        """Append bytes, compressed when the file is."""
        self._write(self._compressor.compress(bytes(data)) if self._compressor else data)

    def close(self) -> str:
        """Finish the file, sync it to the disk and return its sha256 in hex."""
        if self._compressor:
            self._write(self._compressor.flush())
        synced(self._target)
        self._target.close()
        return self._hash.hexdigest()

    def abandon(self) -> None:
        """Close the file as it is; its content is of no use."""
        self._target.close()

    def _write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.size_bytes += len(data)
        self._target.write(data)


def _compressor(compression: str) -> _Compressor | None:
    if compression == "gz":
        return _gzip()
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    return None


def _gzip() -> _Compressor:
    # 31: a gzip header without a time, so that the same records give the same bytes.
    try:
        isal = importlib.import_module("isal.isal_zlib")
    except ImportError:  # no wheel for this platform: five times slower, about the same size (docs/decisions/0002)
        return zlib.compressobj(GZIP_LEVEL, wbits=31)
    fast: _Compressor = isal.compressobj(ISAL_LEVEL, wbits=31)
    return fast


def synced(target: BinaryIO) -> None:
    """Have what was written to a file on the disk before anything is built on it."""
    target.flush()
    os.fsync(target.fileno())


def file_sha256(path: Path) -> str:
    """Return the sha256 of a local file, read in pieces."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()

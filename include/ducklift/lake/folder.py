"""A folder as a lake, by the operating system's own calls: fsspec takes longer to import than a small run takes."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ducklift.errors import CorruptObject, DuckliftError, LakeRefused
from ducklift.lake.store import Store, StoredObject, Unfinished, is_temporary, temporary_files


class LocalStore(Store):
    """A folder: writes go to a temporary name beside the target, are fsynced and then linked or renamed into place."""

    def __init__(self, folder: Path) -> None:
        super().__init__(_filesystem, str(folder), folder.as_uri())

    def named(self, key: str, err: Exception, reading: bool = False) -> DuckliftError | None:
        """Return the house's error for one of the system's: also for a folder in the place of a file, or a disk that fails."""
        found = super().named(key, err, reading)
        if found is None and isinstance(err, OSError) and not isinstance(err, FileNotFoundError):
            return LakeRefused(self.url_of(key), err.strerror or str(err), "Look at what lies there, and at the disk under it.")
        return found

    def ensure_container(self) -> None:
        """Make the folder when it is missing."""
        with self.translated(""):
            Path(self.root).mkdir(parents=True, exist_ok=True)

    def hand_over(self, local: Path, key: str, size_bytes: int, sha256: str) -> None:
        """Move a local file here, or copy it from another disk; it is whole or not there, but not synced."""
        del size_bytes, sha256
        with self._writing(key):
            temporary = self._beside(key)
            try:
                shutil.move(local, temporary)
                temporary.replace(self.path(key))
            finally:
                temporary.unlink(missing_ok=True)

    def share_file(self, key: str, local: Path) -> None:
        """Link an object to a local name; it is copied where that is on another disk, or links are not to be had."""
        local.parent.mkdir(parents=True, exist_ok=True)
        local.unlink(missing_ok=True)  # a copy over an earlier link would be written into the object
        try:
            local.hardlink_to(Path(self.path(key)).resolve())
        except OSError:
            self.get_file(key, local)

    def get_file(self, key: str, local: Path) -> None:
        """Copy an object to a local file; the caller compares its hash."""
        local.parent.mkdir(parents=True, exist_ok=True)
        with self.translated(key, reading=True):
            try:
                shutil.copyfile(self.path(key), local)
            except FileNotFoundError:
                raise CorruptObject(self.url_of(key), "an object", "none") from None

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        """Open an object to read parts of it. Raises `FileNotFoundError` for an absent one."""
        with self.translated(key, reading=True), Path(self.path(key)).open("rb") as source:
            yield source

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects under a prefix, without the temporary files of writers under way."""
        return (found for found in self._found(prefix) if not is_temporary(found.key))

    def beginning(self, start: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with a text; of the others in the folder, nothing but the name is looked at."""
        folder, _, name = start.rpartition("/")
        try:
            names = sorted(entry.name for entry in os.scandir(self.path(folder)) if entry.name.startswith(name) and entry.is_file())
        except FileNotFoundError:
            return iter(())
        return (found for entry in names if (found := self.stat(f"{folder}/{entry}")) is not None)

    def walk(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects under a prefix, folder by folder."""
        for folder, _, files in os.walk(self.path(prefix)):
            keys = (f"{folder}/{name}".replace("//", "/").removeprefix(f"{self.root}/") for name in files)
            yield from (found for key in keys if not is_temporary(key) and (found := self.stat(key)) is not None)

    def delete(self, key: str) -> None:
        """Delete an object; an absent one is no error."""
        with self.translated(key):
            Path(self.path(key)).unlink(missing_ok=True)

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the temporary files of writers, also of those that are under way."""
        return temporary_files(self._found(""))

    def discard(self, unfinished: Unfinished) -> None:
        """Remove a temporary file."""
        self.delete(unfinished.handle)

    def _found(self, prefix: str) -> Iterator[StoredObject]:
        with self.translated(prefix):
            paths = [f"{folder}/{name}" for folder, _, names in os.walk(self.path(prefix).rstrip("/") or "/") for name in names]
            found = (self._described(path[len(self.root) + 1 :], follow_links=False) for path in sorted(paths))
            yield from (each for each in found if each)

    def _get(self, key: str) -> bytes:
        return Path(self.path(key)).read_bytes()

    def _stat(self, key: str) -> StoredObject | None:
        return self._described(key)

    def _described(self, key: str, *, follow_links: bool = True) -> StoredObject | None:
        try:
            found = Path(self.path(key)).stat(follow_symlinks=follow_links)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        modified = datetime.fromtimestamp(found.st_mtime, UTC)
        return StoredObject(key, found.st_size, modified, modified.isoformat())

    def _put_new(self, key: str, data: bytes) -> None:
        temporary = self._write_beside(key, data)
        try:
            Path(self.path(key)).hardlink_to(temporary)
        except FileExistsError:
            pass  # another writer was first; `create` returns what it wrote
        finally:
            temporary.unlink(missing_ok=True)

    def _replace(self, key: str, data: bytes) -> None:
        self._write_beside(key, data).replace(self.path(key))

    def _put_file(self, local: Path, key: str, sha256: str) -> None:
        del sha256
        temporary = self._beside(key)
        try:
            with local.open("rb") as source, temporary.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
            temporary.replace(self.path(key))
        finally:
            temporary.unlink(missing_ok=True)

    def _beside(self, key: str) -> Path:
        target = Path(self.path(key))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".tmp-{uuid.uuid4().hex}")

    def _write_beside(self, key: str, data: bytes) -> Path:
        temporary = self._beside(key)
        try:
            with temporary.open("wb") as target:
                target.write(data)
                target.flush()
                os.fsync(target.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


def _filesystem() -> Any:
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem(auto_mkdir=True)

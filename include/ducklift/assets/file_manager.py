"""Files handed from one function to another by a handle: the bytes stay in storage, the handle is plain data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pydantic import Field

from ducklift.assets.keys import asset_key
from ducklift.assets.path_manager import open_store
from ducklift.errors import ConfigurationError, CorruptObject, DiskFull
from ducklift.lake.filesystem import ensure_lake
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.store import NO_SPACE
from ducklift.settings import Settings, load_settings
from ducklift.specs import Spec

FILES = "assets/_files/"
_CHUNK = 1 << 20


class FileHandle(Spec):
    """A file in storage: where it lies and what it holds. Plain JSON by `model_dump`, so that XCom can carry it."""

    url: str
    key: str
    size_bytes: int = Field(ge=0)
    sha256: str

    @property
    def path_desc(self) -> str:
        """Return the place in words that a person can look up."""
        return self.url


class FileManager:
    """Writes and reads files of one store, the lake's unless another URL is given.

    Files lie under `assets/_files/` by their content, so that writing the same bytes again gives the same handle. As a context manager, it
    removes the temporary copies that it made; without, `close` does.
    """

    def __init__(self, url: str | None = None, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.store = open_store(self.settings, url)
        self._ready = False
        self._copies: list[Path] = []

    def __enter__(self) -> FileManager:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary copies."""
        while self._copies:
            shutil.rmtree(self._copies.pop().parent, ignore_errors=True)

    def write(self, source: IO[bytes] | Path, extension: str = "bin") -> FileHandle:
        """Store a file or a binary stream, however large, and return its handle."""
        with self._workplace() as folder:
            local = folder / "file"
            try:
                if isinstance(source, Path):
                    shutil.copyfile(source, local)
                else:
                    with local.open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK)
            except OSError as err:
                if err.errno in NO_SPACE:
                    raise DiskFull(str(folder), "copying a file on its way into storage") from err
                raise
            return self._put(local, extension)

    def write_data(self, data: bytes, extension: str = "bin") -> FileHandle:
        """Store bytes and return their handle."""
        with self._workplace() as folder:
            local = folder / "file"
            local.write_bytes(data)
            return self._put(local, extension)

    @contextmanager
    def read(self, handle: FileHandle | dict[str, Any]) -> Iterator[IO[bytes]]:
        """Open a stored file for reading; what comes was compared with the handle before."""
        copy = self.copy_handle_to_local_temp(handle)
        try:
            with copy.open("rb") as source:
                yield source
        finally:
            self._forget(copy)

    def read_data(self, handle: FileHandle | dict[str, Any]) -> bytes:
        """Return a stored file's bytes."""
        with self.read(handle) as source:
            return source.read()

    def copy_handle_to_local_temp(self, handle: FileHandle | dict[str, Any]) -> Path:
        """Return a local copy, which is removed when the manager is closed; raises `CorruptObject` when it is not what was written."""
        known = self._known(handle)
        folder = Path(tempfile.mkdtemp(prefix="file-", dir=self._parent()))
        copy = folder / known.key.rpartition("/")[2]
        self._copies.append(copy)
        try:
            self.store.get_file(known.key, copy)
            size, sha256 = copy.stat().st_size, file_sha256(copy)
            if (size, sha256) != (known.size_bytes, known.sha256):
                wanted = f"{known.size_bytes} bytes, sha256 {known.sha256}"
                raise CorruptObject(known.url, wanted, f"{size} bytes, sha256 {sha256}")
        except BaseException:
            self._forget(copy)
            raise
        return copy

    def delete(self, handle: FileHandle | dict[str, Any]) -> None:
        """Delete a stored file; one that is gone is no error. Every handle of the same content names the same file."""
        self.store.delete(self._known(handle).key)

    def _put(self, local: Path, extension: str) -> FileHandle:
        if not self._ready:
            ensure_lake(self.store)
            self._ready = True
        size, sha256 = local.stat().st_size, file_sha256(local)
        key = f"{FILES}{sha256[:2]}/{asset_key(f'{sha256}.{extension}')}"
        self.store.put_file(local, key, size, sha256)
        return FileHandle(url=self.store.url_of(key), key=key, size_bytes=size, sha256=sha256)

    def _known(self, handle: FileHandle | dict[str, Any]) -> FileHandle:
        known = FileHandle.model_validate(handle)
        if known.url != self.store.url_of(known.key) or not known.key.startswith(FILES) or ".." in known.key:
            raise ConfigurationError(f"{known.url} is no file of this manager, whose files lie under {self.store.url_of(FILES)}.")
        return known

    def _forget(self, copy: Path) -> None:
        with suppress(ValueError):
            self._copies.remove(copy)
        shutil.rmtree(copy.parent, ignore_errors=True)

    def _parent(self) -> Path:
        parent = self.settings.temp_directory or self.settings.home / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        return parent

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="file-", dir=self._parent()) as folder:
            yield Path(folder)

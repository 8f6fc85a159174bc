"""Archives as containers of files: zip and tar, opened with limits; no path in one leads anywhere but into the load's own file."""

from __future__ import annotations

import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from ducklift.errors import SourceFileRefused
from ducklift.lake.foreign_objects import fetch_object
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.source_files import Limits, Origin, format_of_name
from ducklift.sources.file_paths import is_hostile

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_FREE_EXPANSION = 64 * 2**20
_CHUNK = 1 << 20

Fetch = Callable[[Path], None]


def is_archive(name: str) -> bool:
    """Return whether a file's name says that it holds others."""
    return name.lower().endswith((".zip", *_TAR))


def members_of(store: Store, origin: Origin, limits: Limits, settings: Settings) -> Iterator[tuple[str, Fetch]]:
    """Fetch an archive once and yield each file in it that a name tells to be data, with what copies it out.

    What a function yields must be called before the next one is asked for. Raises `SourceFileRefused` for a damaged archive, a path in it
    that leads out, a link, an encrypted file, another archive, and what goes beyond the limits.
    """
    with tempfile.TemporaryDirectory(prefix="ducklift-archive-", dir=settings.temp_directory) as folder:
        local = Path(folder) / "archive"
        fetch_object(store, origin, local)
        allowance = _Allowance(origin.url, local.stat().st_size, limits)
        opened = _zipped if origin.key.lower().endswith(".zip") else _tarred
        with _damage_named(origin.url):
            for member, source in opened(local, allowance):
                if is_archive(member):
                    raise SourceFileRefused(origin.url, f"it holds another archive, {member!r}, which would have to be unpacked first")
                if format_of_name(member) is not None:
                    yield member, lambda target, source=source: allowance.copy(source, target)  # type: ignore[misc]


class _Allowance:
    """What may still come out of one archive."""

    def __init__(self, url: str, packed: int, limits: Limits) -> None:
        self.url, self._limits = url, limits
        self._entries = self._bytes = 0
        self._most = min(limits.expanded_bytes, max(_FREE_EXPANSION, packed * limits.ratio))

    def enter(self, member: str) -> str:
        """Count an entry and return its path, without the './' that `tar c .` puts before each."""
        member = member.removeprefix("./")
        self._entries += 1
        if self._entries > self._limits.entries:
            raise SourceFileRefused(self.url, f"it holds more than {self._limits.entries} files")
        is_top = member in ("", ".")
        if not is_top and (is_hostile(member.rstrip("/")) or "\\" in member or member.startswith("/")):
            raise SourceFileRefused(self.url, f"it holds a file named {member[:100]!r}, whose path leads out of it or is not plain text")
        return member

    def copy(self, source: IO[bytes], target: Path) -> None:
        with target.open("wb") as sink:
            while chunk := self.read(source):
                sink.write(chunk)

    def read(self, source: IO[bytes]) -> bytes:
        """Return the next bytes of what comes out; an empty text at its end."""
        with _damage_named(self.url):  # whoever asks for a copy is beyond the generator, which names the damage that it meets itself
            found = source.read(_CHUNK)
        self._bytes += len(found)
        if self._bytes > self._most:
            raise SourceFileRefused(self.url, f"it expands to more than {self._most} bytes: a bomb, or raise read.limits")
        return found


def _zipped(local: Path, allowance: _Allowance) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(local) as archive:
        for entry in archive.infolist():
            name = allowance.enter(entry.orig_filename)
            if entry.is_dir():
                continue
            if entry.flag_bits & 1:
                raise SourceFileRefused(allowance.url, f"{entry.filename!r} in it is encrypted")
            with archive.open(entry) as source:
                yield name, source


class _Entry(tarfile.TarInfo):
    """An entry's header; where a damaged one stands, tarfile would take it for the archive's end, and leave out what follows."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as err:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end, as an archive has it
            raise tarfile.ReadError(f"an entry's header: {err or 'missing'}") from err


def _tarred(local: Path, allowance: _Allowance) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(local, "r:*", tarinfo=_Entry) as archive:
        for entry in archive:
            name = allowance.enter(entry.name)
            if entry.isdir():
                continue
            source = archive.extractfile(entry) if entry.isreg() else None
            if source is None:
                raise SourceFileRefused(allowance.url, f"{entry.name!r} in it is no plain file but a link or a device")
            with source:
                yield name, source
        # A compressed archive tells by the sum at its very end that it came whole.
        while archive.fileobj and allowance.read(archive.fileobj):  # type: ignore[arg-type]
            pass


@contextmanager
def _damage_named(url: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, NotImplementedError) as err:
        raise SourceFileRefused(url, f"it is a damaged archive ({err})") from err
    except OSError as err:
        if err.errno is not None:
            raise  # of the disk; bz2 and gzip tell damage by one without a number
        raise SourceFileRefused(url, f"it is a damaged archive ({err})") from err

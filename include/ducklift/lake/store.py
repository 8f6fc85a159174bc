"""One interface over every bucket: small objects whole, files by one verified put, create-only where it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from ducklift.errors import ConfigurationError, CorruptObject, DiskFull, DuckliftError, LakeRefused, LakeUnavailable
from ducklift.failpoints import reach

CONTAINER_GONE = "The bucket or container is gone. It is created at the next upload; what was in it is not."
TAKEN_FOR_NEW = timedelta(hours=12)  # half the time after which `gc` takes an object that nothing names for an orphan
NO_SPACE = {28, 122, 27}  # ENOSPC, EDQUOT, EFBIG


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it. `etag` is the store's own mark of its content, or the time of the last change where it has none."""

    key: str
    size_bytes: int
    modified: datetime | None
    etag: str = ""
    version_id: str | None = None


@dataclass(frozen=True)
class Unfinished:
    """A write that has begun and left something behind: parts of an upload, or a temporary file. `handle` is the store's own name of it."""

    key: str
    handle: str
    started: datetime | None
    size_bytes: int = 0


class Store:
    """Objects under one root of one fsspec filesystem; subclasses say how theirs differs.

    Keys are relative to the root, with forward slashes. `connect` makes the filesystem at the first use, so that its errors are told like
    any other. Raises `LakeRefused` or `LakeUnavailable`, `FileNotFoundError` for an absent key.
    """

    refusals: ClassVar[Mapping[str, str]] = {}
    """What to do about each of the store's own codes that waiting does not mend."""
    transient: ClassVar[frozenset[str]] = frozenset()
    """The store's own codes for "not now"."""
    getting: ClassVar[Mapping[str, Any]] = {}
    """How the filesystem is to copy an object here, where its own way takes too much memory."""

    def __init__(self, connect: Callable[[], Any], root: str, url: str) -> None:
        self._connect, self.root, self.url = connect, root.rstrip("/"), url.rstrip("/")

    @cached_property
    def filesystem(self) -> Any:
        """Return the fsspec filesystem."""
        return self._connect()

    def path(self, key: str) -> str:
        """Return the filesystem's own path of a key."""
        return f"{self.root}/{key}"

    def url_of(self, key: str) -> str:
        """Return the URL of a key, as XCom and manifests carry it."""
        return f"{self.url}/{key}"

    def key_of(self, url: str) -> str:
        """Return the key of a URL in this lake; raises `ConfigurationError` when it lies elsewhere."""
        if not url.startswith(f"{self.url}/"):
            raise ConfigurationError(f"{url} does not lie in this lake ({self.url}); check DUCKLIFT_LAKE_URL.")
        return url.removeprefix(f"{self.url}/")

    def ensure_container(self) -> None:
        """Create the bucket (or folder) when it is missing; raises `LakeRefused` when it is somebody else's."""
        with self.translated(""):
            self.filesystem.makedirs(self.root, exist_ok=True)

    def read(self, key: str) -> bytes | None:
        """Return an object's bytes, or None when there is none."""
        with self.translated(key):
            try:
                return self._get(key)
            except FileNotFoundError as err:
                if gone := self.named(key, err):
                    raise gone from err  # not the object is missing, but all of the bucket
                return None

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, or None when there is none."""
        found = self.stat(key)
        return found.size_bytes if found else None

    def stat(self, key: str) -> StoredObject | None:
        """Return what the store tells of an object without reading it, or None when there is none."""
        with self.translated(key):
            try:
                return self._stat(key)
            except FileNotFoundError:
                return None

    def holds(self, key: str, size_bytes: int) -> bool:
        """Return whether an object is there in this size and so young that no collection of garbage may be about to take it.

        An older one that an upload finds is put again: until its manifest is put, nothing but its age tells it from an orphan.
        """
        found = self.stat(key)
        if found is None or found.size_bytes != size_bytes:
            return False
        return found.modified is None or datetime.now(UTC) - found.modified < TAKEN_FOR_NEW

    def create(self, key: str, data: bytes) -> bytes:
        """Put an object unless there is one; return what is there afterwards: `data`, or what another put before."""
        existing = self.read(key)
        if existing is not None:
            return existing
        with self._writing(key):
            self._put_new(key, data)
        return self._read_back(key)

    def replace(self, key: str, data: bytes) -> None:
        """Put an object, in the place of one that may be there; a reader sees the old or the new one, whole."""
        with self._writing(key):
            self._replace(key, data)

    def keeps_the_first(self, key: str) -> bool:
        """Put two objects under a fresh key, create-only, and return whether the store refused the second; the key is deleted again."""
        try:
            with self.translated(key):
                self._put_new(key, b"first")
                self._put_new(key, b"second")
            return self.read(key) == b"first"
        finally:
            self.delete(key)

    def put_file(self, local: Path, key: str, size_bytes: int, sha256: str) -> None:
        """Put a local file by one put and compare what the store says of it; skipped when it is there already.

        The key derives from the content, so an object of the same size under it is the same object.
        """
        if not self.holds(key, size_bytes):
            with local.open("rb"):
                pass  # a spool file that is gone is told as such, not as something that the store lacks
            self._send(local, key, size_bytes, sha256)

    def hand_over(self, local: Path, key: str, size_bytes: int, sha256: str) -> None:
        """Put a local file that could be made again, under a key that nothing was put under before; `local` may be gone afterwards."""
        self._send(local, key, size_bytes, sha256)

    def _send(self, local: Path, key: str, size_bytes: int, sha256: str) -> None:
        with self._writing(key):
            self._put_file(local, key, sha256)
        reach("upload.file_sent")
        found = self.size(key)
        if found != size_bytes:
            raise CorruptObject(self.url_of(key), f"{size_bytes} bytes", f"{found} bytes")

    def get_file(self, key: str, local: Path) -> None:
        """Copy an object to a local file; the caller compares its hash."""
        local.parent.mkdir(parents=True, exist_ok=True)
        with self.translated(key, reading=True):
            try:
                self.filesystem.get_file(self.path(key), str(local), **self.getting)
            except FileNotFoundError:
                raise CorruptObject(self.url_of(key), "an object", "none") from None

    def share_file(self, key: str, local: Path) -> None:
        """Give an object a local name, only to be read: a copy of it, or where the store is a folder of this disk the object itself."""
        self.get_file(key, local)

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        """Open an object to read parts of it; nothing is read ahead. Raises `FileNotFoundError` for an absent one."""
        with self.translated(key, reading=True), self.filesystem.open(self.path(key), "rb", cache_type="none") as source:
            yield source

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects under a prefix that ends in a slash, sorted by key."""
        with self.translated(prefix):
            try:
                found = self.filesystem.find(self.path(prefix.rstrip("/")), detail=True)
            except FileNotFoundError:
                return
        start = len(self.root) + 1
        for path, info in sorted((path, info) for path, info in found.items() if info["type"] == "file"):
            yield stored_object(path[start:], info)

    def beginning(self, start: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with a text that has a folder in it, sorted by key."""
        return (found for found in self.list(f"{start.rpartition('/')[0]}/") if found.key.startswith(start))

    def walk(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects under a prefix that ends in a slash, or all, in any order; some stores need no memory for the whole list."""
        return self.list(prefix)

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the writes that have not ended and take up space that no listing shows; most stores clear theirs away by themselves."""
        yield from ()

    def discard(self, unfinished: Unfinished) -> None:
        """Take away what an unfinished write left; one that has ended in between is no error."""
        del unfinished

    def delete(self, key: str) -> None:
        """Delete an object; an absent one is no error."""
        with self.translated(key):
            try:
                self.filesystem.rm_file(self.path(key))
            except FileNotFoundError:
                return

    def erase(self, key: str) -> None:
        """Delete an object with all that the store keeps of it: older versions, where it keeps any."""
        self.delete(key)
        self.erase_older(key)

    def erase_older(self, key: str) -> None:
        """Delete the older versions of an object; most stores keep none, or clear them away by rules of their own."""
        del key

    def erase_older_below(self, prefix: str) -> None:
        """Delete the older versions of all objects under a prefix that ends in a slash, also of those that were deleted."""
        del prefix

    @contextmanager
    def translated(self, key: str, reading: bool = False) -> Iterator[None]:
        """Turn the filesystem's errors into the house's; `FileNotFoundError` passes."""
        try:
            yield
        except DuckliftError:
            raise
        except Exception as err:
            named = self.named(key, err, reading)
            if named is None:
                raise
            raise named from err

    def named(self, key: str, err: Exception, reading: bool = False) -> DuckliftError | None:
        """Return the house's error for one of the filesystem's, or None when it stands for itself."""
        if isinstance(err, FileNotFoundError):
            return None
        if isinstance(err, PermissionError):
            advice = "Check who owns the folder and that this user may write there."
            return LakeRefused(self.url_of(key), f"permission denied ({err})", advice)
        if isinstance(err, ConnectionError | TimeoutError | EOFError):
            return LakeUnavailable(self.url_of(key), type(err).__name__)
        if isinstance(err, OSError) and err.errno in NO_SPACE:
            return DiskFull(self.url_of(key), "copying an object" if reading else "writing an object")
        return None

    def answered(self, key: str, code: str, err: BaseException) -> LakeRefused | LakeUnavailable:
        """Return the error for one of the store's own codes, with what to do about it."""
        if code in self.transient:
            return LakeUnavailable(self.url_of(key), code)
        advice = self.refusals.get(code)
        return LakeRefused(self.url_of(key), code, advice or f"The store says: {_first_words(err)}")

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        with self.translated(key):
            try:
                yield
            except FileNotFoundError as err:
                named = self.named(key, err)
                raise named or LakeRefused(self.url_of(key), "not found", CONTAINER_GONE) from err

    def _get(self, key: str) -> bytes:
        data: bytes = self.filesystem.cat_file(self.path(key))
        return data

    def _stat(self, key: str) -> StoredObject | None:
        found = self.filesystem.info(self.path(key))
        return stored_object(key, found) if found["type"] == "file" else None

    def _put_new(self, key: str, data: bytes) -> None:
        try:
            self.filesystem.pipe_file(self.path(key), data, mode="create")
        except FileExistsError:
            return  # another writer was first, or our own put whose reply was lost; `create` looks

    def _replace(self, key: str, data: bytes) -> None:
        self.filesystem.pipe_file(self.path(key), data)

    def _put_file(self, local: Path, key: str, sha256: str) -> None:
        del sha256  # only some stores check a hash on arrival
        self.filesystem.put_file(str(local), self.path(key))

    def _read_back(self, key: str) -> bytes:
        # An unknown or lost outcome is settled by looking, never by assuming.
        found = self.read(key)
        if found is None:
            raise LakeUnavailable(self.url_of(key), "an object that was put cannot be read back")
        return found


def stored_object(key: str, info: Mapping[str, Any]) -> StoredObject:
    """Return an object from what its filesystem tells of it."""
    modified = _modified(info)
    marks = (info.get(name) for name in ("ETag", "etag", "md5Hash"))
    etag = next((str(mark).strip('"') for mark in marks if mark), modified.isoformat() if modified else "")
    version = info.get("VersionId") or info.get("generation") or info.get("version_id")
    return StoredObject(key, int(info["size"]), modified, etag, None if version in (None, "null") else str(version))


def _modified(info: Mapping[str, Any]) -> datetime | None:
    """Return when an object was written, in UTC; every filesystem has a name and a type of its own for it."""
    found = next((info[name] for name in ("LastModified", "last_modified", "mtime", "updated", "created") if info.get(name)), None)
    if isinstance(found, int | float):
        return datetime.fromtimestamp(found, UTC)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    if isinstance(found, datetime):
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _first_words(err: BaseException) -> str:
    while err.__cause__ is not None:
        err = err.__cause__
    words = str(err).strip() or type(err).__name__
    return words.splitlines()[0][:300]


def is_temporary(key: str) -> bool:
    """Return whether a key is a temporary name that a writer renames into place when it is done."""
    return key.rpartition("/")[2].startswith(".tmp-")


def temporary_files(found: Iterator[StoredObject]) -> Iterator[Unfinished]:
    """Yield the temporary files among the objects of a listing."""
    return (Unfinished(each.key, each.key, each.modified, each.size_bytes) for each in found if is_temporary(each.key))

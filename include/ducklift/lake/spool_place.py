"""Where spool packages lie between two tasks: a folder of this machine, or any store that all workers reach."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from ducklift.errors import CorruptObject, SpoolMissing
from ducklift.lake.filesystem import open_lake
from ducklift.lake.folder import LocalStore
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.manifest import RawFile
from ducklift.lake.store import Store, StoredObject
from ducklift.settings import Settings
from ducklift.specs import TableName

MANIFEST_NAME = "manifest.json"
_DEPTH = 3  # slashes in <dataset>/<table>/<load_id>/<attempt>
COPIED_BY_THE_STORE = {"s3", "gs", "az", "memory"}  # schemes whose filesystem copies without the bytes passing through here


class PackageName(NamedTuple):
    """What a package's path says: enough to find its manifest in the lake when the package is gone."""

    table: TableName
    load_id: str

    @classmethod
    def of(cls, path: str) -> PackageName:
        """Read the name from a path or URL; raises `SpoolMissing` when it is not a package's."""
        parts = path.rstrip("/").split("/")
        if len(parts) < 4:
            raise SpoolMissing(path)
        dataset, table, load_id = parts[-4:-1]
        try:
            return cls(TableName(dataset=dataset, table=table), load_id)
        except ValueError:
            raise SpoolMissing(path) from None

    def below(self, root: str, attempt: str) -> str:
        """Return the path of one attempt at the load."""
        return f"{root.rstrip('/')}/{self.table.dataset}/{self.table.table}/{self.load_id}/{attempt}"


class SpooledPackage(NamedTuple):
    """One attempt at a load in the spool: `complete` has its manifest, `modified` is when anything in it was written last."""

    path: str
    name: PackageName
    complete: bool
    modified: datetime
    size_bytes: int


class SpoolPlace(Protocol):
    """One kind of place for packages; paths are what XCom carries from the extraction to the upload."""

    def package(self, name: PackageName, attempt: str) -> str:
        """Return the path of a package."""

    def building(self, name: PackageName, attempt: str) -> Path:
        """Return the local folder in which the package is built."""

    def publish(self, building: Path, package: str, files: tuple[RawFile, ...]) -> None:
        """Make a complete package visible, whole or not at all; raises FileNotFoundError when it was swept away."""

    def manifest(self, package: str) -> bytes | None:
        """Return the package's manifest, or None when there is no such package."""

    def put_into(self, lake: Store, package: str, file: RawFile) -> None:
        """Put one raw file of a package into the lake; raises `SpoolMissing` when it is gone."""

    def remove(self, package: str) -> None:
        """Remove every attempt at the load whose package this is."""

    def packages(self) -> Iterator[SpooledPackage]:
        """Yield all attempts that lie here, whole or not."""

    def discard(self, package: str) -> None:
        """Remove one attempt; the load's others stay."""


def open_spool(settings: Settings) -> SpoolPlace:
    """Return the place that `DUCKLIFT_SPOOL` names: a path or any URL that a lake may have."""
    if "://" not in settings.spool:
        return FolderSpool(settings.spool)
    return StoreSpool(open_lake(dataclasses.replace(settings, lake_url=settings.spool.rstrip("/"))), settings.home / "spool")


def file_name(key: str) -> str:
    """Return the name that the file of this key has in a package."""
    return key.rpartition("/")[2]


class FolderSpool:
    """A folder of this machine, or one that all workers mount: a package is built beside its place and renamed."""

    def __init__(self, root: str) -> None:
        self.root = root

    def package(self, name: PackageName, attempt: str) -> str:
        """Return the package's folder."""
        return name.below(self.root, attempt)

    def building(self, name: PackageName, attempt: str) -> Path:
        """Return the folder beside the package's."""
        return Path(f"{name.below(self.root, attempt)}.partial")

    def publish(self, building: Path, package: str, files: tuple[RawFile, ...]) -> None:
        """Rename the complete folder into place."""
        del files
        building.rename(package)

    def manifest(self, package: str) -> bytes | None:
        """Return the package's manifest, or None when there is no such package."""
        try:
            return (Path(package) / MANIFEST_NAME).read_bytes()
        except FileNotFoundError:
            return None

    def put_into(self, lake: Store, package: str, file: RawFile) -> None:
        """Put one raw file into the lake."""
        local = Path(package) / file_name(file.key)
        lake.put_file(local, file.key, file.size_bytes, file.sha256)

    def remove(self, package: str) -> None:
        """Remove the load's folder with all attempts."""
        shutil.rmtree(Path(package).parent, ignore_errors=True)

    def packages(self) -> Iterator[SpooledPackage]:
        """Yield the folders of all attempts."""
        return _folders(Path(self.root))

    def discard(self, package: str) -> None:
        """Remove an attempt's folder, and the load's when nothing else is in it."""
        _remove_folder(Path(package))


class StoreSpool:
    """A prefix of any store; packages are built under `home` and put there file by file, the manifest last."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store, self.home = store, home

    def package(self, name: PackageName, attempt: str) -> str:
        """Return the package's URL."""
        return name.below(self.store.url, attempt)

    def building(self, name: PackageName, attempt: str) -> Path:
        """Return a folder of this machine."""
        return Path(f"{name.below(str(self.home), attempt)}.partial")

    def publish(self, building: Path, package: str, files: tuple[RawFile, ...]) -> None:
        """Put the files and then the manifest, without which there is no package."""
        prefix = self.store.key_of(package)
        self.store.ensure_container()
        for file in (file for file in files if not file.in_place):
            name = file_name(file.key)
            self.store.put_file(building / name, f"{prefix}/{name}", file.size_bytes, file.sha256)
        self.store.create(f"{prefix}/{MANIFEST_NAME}", (building / MANIFEST_NAME).read_bytes())
        shutil.rmtree(building)

    def manifest(self, package: str) -> bytes | None:
        """Return the package's manifest, or None when there is no such package."""
        prefix = self._prefix(package)
        return self.store.read(f"{prefix}/{MANIFEST_NAME}") if prefix else None

    def put_into(self, lake: Store, package: str, file: RawFile) -> None:
        """Copy one raw file into the lake: by the store itself where spool and lake share it, else by way of a local file."""
        key = f"{self.store.key_of(package)}/{file_name(file.key)}"
        try:
            if isinstance(self.store, LocalStore):
                lake.put_file(Path(self.store.path(key)), file.key, file.size_bytes, file.sha256)
            elif self._shares_service_with(lake):
                self._copy_within(lake, key, file)
            else:
                self._copy_across(lake, package, file)
        except FileNotFoundError:
            raise SpoolMissing(package) from None

    def _shares_service_with(self, lake: Store) -> bool:
        # Both were opened by the same settings: one scheme is one endpoint and one pair of keys.
        scheme = self.store.url.partition(":")[0]
        return scheme in COPIED_BY_THE_STORE and lake.url.startswith(f"{scheme}:")

    def _prefix(self, package: str) -> str | None:
        """Return where a package lies in the store, or None when its path leads elsewhere (the setting was changed)."""
        return package.removeprefix(f"{self.store.url}/") if package.startswith(f"{self.store.url}/") else None

    def _copy_within(self, lake: Store, key: str, file: RawFile) -> None:
        # The key derives from the content, so an object of the same size under it is the same object.
        if lake.holds(file.key, file.size_bytes):
            return
        with lake.translated(file.key):
            lake.filesystem.cp_file(self.store.path(key), lake.path(file.key))
        found = lake.size(file.key)
        if found != file.size_bytes:
            raise CorruptObject(lake.url_of(file.key), f"{file.size_bytes} bytes", f"{found} bytes")

    def _copy_across(self, lake: Store, package: str, file: RawFile) -> None:
        key = f"{self.store.key_of(package)}/{file_name(file.key)}"
        local = self.building(PackageName.of(package), uuid.uuid4().hex[:12]) / file_name(file.key)
        try:
            self.store.get_file(key, local)
            found = file_sha256(local)
            if found != file.sha256:
                raise CorruptObject(self.store.url_of(key), f"sha256 {file.sha256}", f"sha256 {found}")
            lake.put_file(local, file.key, file.size_bytes, file.sha256)
        finally:
            local.unlink(missing_ok=True)

    def remove(self, package: str) -> None:
        """Remove the load's objects with all attempts, and what was built of it on this machine."""
        prefix = self._prefix(package)
        if prefix is None:
            return
        load, _, attempt = prefix.rpartition("/")
        for found in list(self.store.list(f"{load}/")):
            self.store.delete(found.key)
        shutil.rmtree(Path(PackageName.of(package).below(str(self.home), attempt)).parent, ignore_errors=True)

    def packages(self) -> Iterator[SpooledPackage]:
        """Yield all attempts in the store, and what is being built of them on this machine."""
        attempts: dict[str, list[StoredObject]] = {}
        for found in self.store.list(""):
            folder, _, _ = found.key.rpartition("/")
            if folder.count("/") == _DEPTH:
                attempts.setdefault(folder, []).append(found)
        for folder, objects in attempts.items():
            complete = any(found.key == f"{folder}/{MANIFEST_NAME}" for found in objects)
            newest = max(found.modified or datetime.now(UTC) for found in objects)
            path, size_bytes = self.store.url_of(folder), sum(found.size_bytes for found in objects)
            yield SpooledPackage(path, PackageName.of(path), complete, newest, size_bytes)
        yield from _folders(self.home)

    def discard(self, package: str) -> None:
        """Remove an attempt's objects, or its folder on this machine."""
        prefix = self._prefix(package)
        if prefix is None:
            _remove_folder(Path(package))
            return
        for found in sorted(self.store.list(f"{prefix}/"), key=lambda found: found.key != f"{prefix}/{MANIFEST_NAME}"):
            self.store.delete(found.key)


def _folders(root: Path) -> Iterator[SpooledPackage]:
    for folder in sorted(root.glob("*/*/*/*")):
        with suppress(FileNotFoundError, SpoolMissing):  # swept by its own upload in between, or no package's place
            stats = [each.stat() for each in (folder, *folder.iterdir())]
            modified = datetime.fromtimestamp(max(each.st_mtime for each in stats), UTC)
            size_bytes = sum(each.st_size for each in stats[1:])
            complete = (folder / MANIFEST_NAME).exists() and folder.suffix != ".partial"
            yield SpooledPackage(str(folder), PackageName.of(str(folder)), complete, modified, size_bytes)


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another attempt's folder is still in it
        folder.parent.rmdir()


def read_package(place: SpoolPlace, package: str) -> bytes:
    """Return the bytes of a package's manifest; raises `SpoolMissing` when there is none."""
    data = place.manifest(package)
    if data is None:
        raise SpoolMissing(package)
    return data

"""IO managers that keep a value as a file of a version: the base of one's own, and the one that chooses the form by type."""

from __future__ import annotations

import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import ValueUnreadable
from ducklift.assets.keys import asset_key, version_id
from ducklift.assets.managers import IOManager, Surroundings, io_manager
from ducklift.assets.serializers import full_name, serializer_for, serializer_named
from ducklift.assets.swept_values import refuse_swept_meanwhile
from ducklift.assets.versions import Version, VersionStore
from ducklift.errors import CorruptObject
from ducklift.failpoints import reach
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.specs import Spec


class PathIOManager(IOManager):
    """Keeps each value as one file, immutable, hashed, in versions; a subclass says how a file is written and read, nothing else.

    Files are written and read locally and travel whole, by one put with a checksum: a writer that fails halfway leaves nothing behind, and
    nothing is read that was damaged on the way.
    """

    extension = "bin"

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.versions = VersionStore(store)
        self._ready = False

    @abstractmethod
    def dump_to_path(self, context: OutputContext, value: Any, path: Path) -> None:
        """Write the value to a local file."""

    @abstractmethod
    def load_from_path(self, context: InputContext, path: Path) -> Any:
        """Read the value from a local file, which is gone afterwards."""

    def handle_output(self, context: OutputContext, value: Any) -> None:
        """Store the value as a new version, and make it the current one unless the value is pinned."""
        self.store_value(context, value)

    def store_value(self, context: OutputContext, value: Any) -> Version:
        """Store the value as a new version, make it the current one unless the value is pinned, and return its record."""
        started, version = time.monotonic(), self._put(context, value, self.store.put_file)
        seconds = round(time.monotonic() - started, 3)
        version = version.model_copy(update={"seconds": seconds, "metadata": _plain(context.output_metadata)})
        self.versions.add(version, lambda: refuse_swept_meanwhile(open_lake(self.settings), version, context.lineage.started_at))
        context.add_output_metadata(
            {
                "path": self.store.url_of(version.file_key),
                "version": version.version,
                "bytes": version.size_bytes,
                "sha256": version.sha256,
                "format": version.serializer,
                "seconds": seconds,
            }
        )
        return version

    def store_reference(self, context: OutputContext, value: Any) -> Version:
        """Store a value that is found by nothing but the record that is returned, and that a run again would make again.

        Only its file is put, and not synced to the disk: a file that a power cut took is told by its hash.
        """
        return self._put(context, value, self.store.hand_over)

    def _put(self, context: OutputContext, value: Any, put: Callable[[Path, str, int, str], None]) -> Version:
        self._ensure_lake()
        extension = self.extension_of(value)
        with self._local_file(extension) as path:
            self.dump_to_path(context, value, path)
            sha256, size, moment = file_sha256(path), path.stat().st_size, datetime.now(UTC)
            version = Version(
                key=asset_key(context.key),
                partition=context.partition_key,
                version=version_id(moment, context.run_id, sha256),
                written_at=moment,
                run_id=context.run_id,
                serializer=self.form_of(value),
                type=full_name(type(value)),
                file=f"value.{extension}",
                size_bytes=size,
                sha256=sha256,
                **context.lineage.facts(),
            )
            reach("assets.value_written")
            put(path, version.file_key, size, sha256)
        reach("assets.value_put")
        return version

    def load_input(self, context: InputContext) -> Any:
        """Load the current version, or the one that was asked for; raises `ValueMissing`, `CorruptObject`, `ValueUnreadable`."""
        version = self.version_of(context)
        context.lineage.add_version(version.origin, version.derived_from)
        return self.load_value(context, version)

    def version_of(self, context: InputContext) -> Version:
        """Return the record of the version that is asked for."""
        return self.versions.version(asset_key(context.key), context.partition_key, context.version, context.as_of)

    def load_value(self, context: InputContext, version: Version) -> Any:
        """Load one version, compared with its record before it is read."""
        with self._local_file(version.file.partition(".")[2]) as path:
            where = self.store.url_of(version.file_key)
            self.store.get_file(version.file_key, path)
            if path.stat().st_size != version.size_bytes or (found := file_sha256(path)) != version.sha256:
                found = f"{path.stat().st_size} bytes" if path.stat().st_size != version.size_bytes else f"sha256 {found}"
                raise CorruptObject(where, f"{version.size_bytes} bytes, sha256 {version.sha256}", found)
            try:
                return self.read_as(context, version, path)
            except ValueUnreadable as err:
                raise ValueUnreadable(where, str(err)) from err

    def partitions(self, key: str) -> list[str | None]:
        """Return the partitions that have a current value, in order."""
        return self.versions.partitions(asset_key(key))

    def form_of(self, value: Any) -> str:
        """Return the name of the stored form, for the version's record."""
        del value
        return type(self).__name__

    def extension_of(self, value: Any) -> str:
        """Return the file's extension for this value."""
        del value
        return self.extension

    def read_as(self, context: InputContext, version: Version, path: Path) -> Any:
        """Read a local file of a version."""
        del version
        return self.load_from_path(context, path)

    def _ensure_lake(self) -> None:
        if not self._ready:
            ensure_lake(self.store)
            self._ready = True

    @contextmanager
    def _local_file(self, extension: str) -> Iterator[Path]:
        # Not a folder for each: taking one away costs more than the file itself where the disk is busy.
        path = self._workplace / f"value-{uuid.uuid4().hex}.{extension}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @cached_property
    def _workplace(self) -> Path:
        parent = self.settings.temp_directory or self.settings.home / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        return parent


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata as plain JSON; what is not becomes its text."""
    import json

    plain: dict[str, Any] = json.loads(json.dumps(metadata, default=str))
    return plain


class FilesystemIOManager(PathIOManager):
    """Keeps values of any registered type in a store, each in the form of its type."""

    def dump_to_path(self, context: OutputContext, value: Any, path: Path) -> None:
        """Write the value by its serializer, and tell the facts that this knows: rows, columns, shape."""
        context.add_output_metadata(serializer_for(value).dump(value, path))

    def load_from_path(self, context: InputContext, path: Path) -> Any:
        """Read a file by its extension's serializer; versions are read by the one that wrote them."""
        raise ValueUnreadable(path.name, f"{context.key}: a version's record says how it is read")

    def form_of(self, value: Any) -> str:
        """Return the name of the value's serializer."""
        return serializer_for(value).name

    def extension_of(self, value: Any) -> str:
        """Return the extension of the value's serializer."""
        return serializer_for(value).extension

    def read_as(self, context: InputContext, version: Version, path: Path) -> Any:
        """Read the file by the serializer that wrote it, as the type that is wanted; without a wish as the type that was stored."""
        serializer = serializer_named(version.serializer, version.version)
        wanted = serializer.wanted(context.type)
        return serializer.load(path, wanted if wanted is not None else _stored_table(version), context.columns)


_TABLE_TYPES = {"pandas": "pandas:DataFrame", "polars": "polars:DataFrame", "pyarrow": "pyarrow:Table", "duckdb": "pyarrow:Table"}


def _stored_table(version: Version) -> Any:
    """Return the table type that a value was stored from, so that a DataFrame comes back as one without being asked for."""
    from importlib import import_module
    from importlib.util import find_spec

    library = version.type.partition(".")[0].lstrip("_")
    place = _TABLE_TYPES.get(library) if version.serializer == "parquet" else None
    if place is None or find_spec(library) is None:
        return None
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class FilesystemConfig(Spec):
    """`url` is any that a lake may have; the lake itself when absent."""

    url: str | None = None


@io_manager(config=FilesystemConfig, name="filesystem")
def filesystem(config: FilesystemConfig, surroundings: Surroundings) -> FilesystemIOManager:
    """Return the manager of a store: a folder, S3, GCS, Azure, SFTP."""
    settings = surroundings.settings
    return FilesystemIOManager(open_store(settings, config.url), settings)


def open_store(settings: Settings, url: str | None) -> Store:
    """Return the store of a URL, or the lake."""
    import dataclasses

    return open_lake(settings if url is None else dataclasses.replace(settings, lake_url=url.rstrip("/")))

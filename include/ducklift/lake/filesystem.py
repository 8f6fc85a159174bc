"""From a lake URL to a store: which filesystem, with which credentials, and the marker that says "this is a lake"."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from ducklift import __version__
from ducklift.errors import ConfigurationError, LakeRefused
from ducklift.failpoints import reach
from ducklift.lake.credentials import ANONYMOUS, CONNECTION, EXPECTED_OWNER, require_extra
from ducklift.lake.folder import LocalStore
from ducklift.lake.layout import LAKE_MARKER, PROBE
from ducklift.lake.store import Store
from ducklift.settings import Connection, Settings
from ducklift.source_files import Access

LAKE_VERSION = 1


def open_lake(settings: Settings) -> Store:
    """Return the store that `DUCKLIFT_LAKE_URL` names; nothing is read, made or connected to yet.

    Raises `ConfigurationError` when the URL is not one that Ducklift knows, or carries keys; `MissingExtra` when its package is missing.
    """
    url, shared = settings.lake_url, {} if settings.opened is None else settings.opened
    if url not in shared:
        shared[url] = _opened(settings, url, "DUCKLIFT_LAKE_URL")
    store: Store = shared[url]
    return store


def open_place(settings: Settings, url: str, access: Access) -> Store:
    """Return the store of a bucket or folder that is not the lake, with the credentials that `access` names.

    Raises the same as `open_lake`. Whose bucket it is does not matter here: `expected_bucket_owner` speaks of the lake.
    """
    own = replace(settings, environment={name: text for name, text in settings.environment.items() if name != EXPECTED_OWNER})
    if access.anonymous:
        own = replace(own, environment={**own.environment, ANONYMOUS: "true"})
    return _opened(own.with_connections(lambda name: _connection(settings, access, name)), url.rstrip("/"), "The URL of a bucket")


def _connection(settings: Settings, access: Access, name: str) -> Connection | None:
    found = settings.connections(access.connection if access.connection and name == CONNECTION else name)
    if found is None or name != CONNECTION:
        return found
    return replace(found, extra={key: value for key, value in found.extra.items() if key != "expected_bucket_owner"})


def _opened(settings: Settings, url: str, setting: str) -> Store:
    parts = urlsplit(url)
    opener = OPENERS.get(parts.scheme)
    if opener is None:
        known = ", ".join(f"{scheme}://" for scheme in OPENERS)
        raise ConfigurationError(f"{setting} has the scheme {parts.scheme!r}, which is not known. Use one of {known}.")
    # The URL is not shown here: what is wrong with it may be that it holds a key.
    if "?" in url or "#" in url or ":" in parts.netloc.rpartition("@")[0]:
        raise ConfigurationError(f"{setting} may hold a place and a folder in it, no keys and no options. Keys: see docs/lake.md.")
    if "@" in parts.netloc and parts.scheme != "sftp":
        raise ConfigurationError(f"{setting} may hold no '@': credentials stand elsewhere, see docs/lake.md.")
    if not parts.netloc and (not parts.path.strip("/") if parts.scheme == "file" else parts.scheme != "memory"):
        example = f"{parts.scheme}://{EXAMPLES[parts.scheme]}"
        raise ConfigurationError(f"{setting} names nothing after {parts.scheme}://: write {example} or {example}/prefix.")
    return opener(settings, parts, url)


def _open_s3(settings: Settings, parts: SplitResult, url: str) -> Store:
    from ducklift.lake.s3 import S3Store, s3_options

    def connect() -> Any:
        import s3fs

        return s3fs.S3FileSystem(**s3_options(settings))

    return S3Store(connect, f"{parts.netloc}{parts.path}", url)


def _open_gcs(settings: Settings, parts: SplitResult, url: str) -> Store:
    from ducklift.lake.gcs import GcsStore, gcs_filesystem

    require_extra("A lake at gs://", "gcsfs", "gs")
    return GcsStore(lambda: gcs_filesystem(settings), f"{parts.netloc}{parts.path}", url)


def _open_azure(settings: Settings, parts: SplitResult, url: str) -> Store:
    from ducklift.lake.azure import AzureStore, azure_filesystem

    require_extra("A lake at az://", "adlfs", "az")
    return AzureStore(lambda: azure_filesystem(settings), f"{parts.netloc}{parts.path}", url)


def _open_sftp(settings: Settings, parts: SplitResult, url: str) -> Store:
    from ducklift.lake.sftp import SftpStore, sftp_filesystem

    require_extra("A lake at sftp://", "paramiko", "sftp")
    return SftpStore(lambda: sftp_filesystem(settings, parts), unquote(parts.path) or "/", url)


def _open_local(settings: Settings, parts: SplitResult, _url: str) -> Store:
    return LocalStore((settings.project / unquote(f"{parts.netloc}{parts.path}")).resolve())


def _open_memory(_settings: Settings, parts: SplitResult, url: str) -> Store:
    from fsspec.implementations.memory import MemoryFileSystem

    return Store(MemoryFileSystem, f"/{parts.netloc}{parts.path}", url)


OPENERS: dict[str, Callable[[Settings, SplitResult, str], Store]] = {
    "s3": _open_s3,
    "gs": _open_gcs,
    "az": _open_azure,
    "sftp": _open_sftp,
    "file": _open_local,
    "memory": _open_memory,
}
EXAMPLES = {"s3": "bucket", "gs": "bucket", "az": "container", "sftp": "user@host/folder", "file": "/folder"}


def ensure_lake(lake: Store) -> None:
    """Create the container when it is missing and mark it as a lake; raises `LakeRefused` when it cannot be written."""
    marker = _marker(lake)
    if marker is None:
        lake.ensure_container()
        reach("lake.container_made")
        lake.replace(PROBE, b"")
        lake.delete(PROBE)
        reach("lake.probed")
        marker = json.loads(lake.create(LAKE_MARKER, json.dumps({"lake_version": LAKE_VERSION, "made_by": __version__}).encode()))
        reach("lake.marked")
    if marker.get("lake_version") != LAKE_VERSION:
        advice = "Upgrade Ducklift, or point DUCKLIFT_LAKE_URL at another prefix."
        raise LakeRefused(lake.url, f"a lake of version {marker.get('lake_version')}", advice)


def _marker(lake: Store) -> dict[str, object] | None:
    try:
        found = lake.read(LAKE_MARKER)
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        return None
    if found is None:
        return None
    try:
        return dict(json.loads(found))
    except (ValueError, TypeError) as err:
        advice = "The marker was damaged outside Ducklift: delete it, and the next run makes it anew."
        raise LakeRefused(lake.url_of(LAKE_MARKER), "a lake's marker that cannot be read", advice) from err

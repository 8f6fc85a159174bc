"""Objects of other places, taken only as long as they are what they were when they were listed."""

from __future__ import annotations

from pathlib import Path

from ducklift.errors import CorruptObject, SourceFileChanged
from ducklift.lake.store import Store, StoredObject
from ducklift.source_files import Origin


def refuse_changed(store: Store, origin: Origin) -> None:
    """Raise `SourceFileChanged` unless the object is there with the size and the etag that it was listed with."""
    found = store.stat(origin.key)
    if found is None:
        raise SourceFileChanged(origin.url, _shown(origin.size_bytes, origin.etag), "no object")
    if (found.size_bytes, found.etag) != (origin.size_bytes, origin.etag):
        raise SourceFileChanged(origin.url, _shown(origin.size_bytes, origin.etag), _shown(found.size_bytes, found.etag))


def fetch_object(store: Store, origin: Origin, local: Path) -> None:
    """Copy an object to a local file; raises `SourceFileChanged` when it was changed before, or while it was read."""
    refuse_changed(store, origin)
    try:
        store.get_file(origin.key, local)
    except CorruptObject:
        raise SourceFileChanged(origin.url, _shown(origin.size_bytes, origin.etag), "no object") from None
    size = local.stat().st_size
    if size != origin.size_bytes:
        raise SourceFileChanged(origin.url, f"{origin.size_bytes} bytes", f"{size} bytes")
    refuse_changed(store, origin)


def origin_of(place: str, found: StoredObject) -> Origin:
    """Return where an object lies and what it was when it was listed."""
    return Origin(
        place=place, key=found.key, size_bytes=found.size_bytes, etag=found.etag, version_id=found.version_id, modified=found.modified
    )


def _shown(size_bytes: int, etag: str) -> str:
    return f"{size_bytes} bytes, etag {etag or 'none'}"

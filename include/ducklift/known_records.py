"""The keys of records that a table has, as the lake knows them: for sources that ask again about what they read before.

They are read from the raw files of committed loads, never from a warehouse, which may be being written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from ducklift.errors import ConfigurationError, CorruptObject, RawExpired
from ducklift.lake.commits import LOAD, CommitRecord, read_commit, superseded_loads
from ducklift.lake.layout import commit_prefix, manifest_key
from ducklift.lake.manifest import Manifest, read_manifest
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.sources.base import KnownKeys
from ducklift.specs import TableSpec


def known_keys(lake: Store, spec: TableSpec, wanted: KnownKeys, settings: Settings, now: datetime | None = None) -> Iterator[list[str]]:
    """Yield the keys of the table's records in the wanted window, newest first, each once, in lists of bounded length.

    A record is known when a load brought it that was committed within the window: it cannot have been read before it was made. Raises
    `ConfigurationError` where the key or the moment is hidden as personal, or where raw files of the window have expired.
    """
    hidden = sorted(column.field for column in spec.columns if column.pii and column.field in (wanted.key, wanted.moment))
    if hidden:
        raise ConfigurationError(f"{spec.name}: what is read again is asked for by {', '.join(hidden)}, which pii hides; remove its pii.")
    since = (now or datetime.now(UTC)) - timedelta(seconds=wanted.window_s)
    manifests = [_manifest(lake, record) for record in _recent_loads(lake, spec, since)]
    if not manifests:
        return
    from ducklift.warehouse.connect import open_file
    from ducklift.warehouse.known_keys import newest_first, note_keys
    from ducklift.warehouse.staging_folder import staging_folder
    from ducklift.warehouse.targets import make_folder

    with ExitStack() as stack:
        folder = stack.enter_context(staging_folder(make_folder(settings.home / "loading")))
        warehouse = stack.enter_context(open_file(folder / "known.duckdb", folder, settings))
        try:
            for manifest in manifests:
                note_keys(warehouse, lake, manifest, wanted.key, wanted.moment)
        except RawExpired as err:
            raise ConfigurationError(
                f"{spec.name}: the records of the last {timedelta(seconds=wanted.window_s)} are to be read again, but raw files of that "
                f"time have expired ({err.url}). Keep raw files longer (retention.raw), or look back less far."
            ) from err
        yield from newest_first(warehouse, wanted.window_s)


def _recent_loads(lake: Store, spec: TableSpec, since: datetime) -> list[CommitRecord]:
    """Return the live loads that were committed since then, reading no older record than the first that is too old."""
    found: list[CommitRecord] = []
    for key in reversed([item.key for item in lake.list(commit_prefix(spec.name))]):
        record = read_commit(lake.read(key) or b"", lake.url_of(key))
        if record.kind == LOAD and record.loaded_at < since:
            break
        found.insert(0, record)
    superseded = superseded_loads(found)
    return [record for record in found if record.kind == LOAD and record.load_id not in superseded and record.rows_extracted]


def _manifest(lake: Store, record: CommitRecord) -> Manifest:
    key = manifest_key(record.table_name, record.load_id)
    data = lake.read(key)
    if data is None:
        raise CorruptObject(lake.url_of(key), "a manifest", "none")
    return read_manifest(data, lake.url_of(key))

"""The keys of records that a table has, as the lake knows them: for sources that ask again about what they read before.

They are read from the raw files of committed loads, never from a warehouse, which may be being written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ducklift.errors import ConfigurationError, CorruptObject, RawExpired
from ducklift.lake.commits import LOAD, CommitRecord, read_commit, superseded_loads
from ducklift.lake.layout import commit_prefix, manifest_key
from ducklift.lake.manifest import Manifest, read_manifest
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.sources.base import KnownKeys
from ducklift.specs import TableSpec

if TYPE_CHECKING:
    from ducklift.warehouse.connect import Warehouse

_AT_ONCE = 10_000
_KNOWN = "temp.known"


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
    from ducklift.warehouse.staging_folder import staging_folder
    from ducklift.warehouse.targets import make_folder

    with ExitStack() as stack:
        folder = stack.enter_context(staging_folder(make_folder(settings.home / "loading")))
        warehouse = stack.enter_context(open_file(folder / "known.duckdb", folder, settings))
        warehouse.connection.execute(f"CREATE TEMP TABLE {_KNOWN.partition('.')[2]} (key VARCHAR, moment TIMESTAMPTZ)")
        for manifest in manifests:
            _note(warehouse, lake, manifest, wanted)
        yield from _newest_first(warehouse, wanted.window_s)


def _recent_loads(lake: Store, spec: TableSpec, since: datetime) -> list[CommitRecord]:
    """Return the live loads that were committed since then, reading no older record than the first that is too old."""
    found: list[CommitRecord] = []
    for key in reversed([item.key for item in lake.list(commit_prefix(spec.name))]):
        record = read_commit(lake.read(key) or b"", lake.url_of(key))
        if record.loaded_at < since:
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


def _note(warehouse: Warehouse, lake: Store, manifest: Manifest, wanted: KnownKeys) -> None:
    import shutil

    from ducklift.warehouse.staging import download

    folder = warehouse.staging / manifest.load_id
    try:
        _note_files(warehouse, manifest, download(lake, manifest, folder), wanted)
    except RawExpired as err:
        raise ConfigurationError(
            f"{manifest.table}: the records of the last {timedelta(seconds=wanted.window_s)} are to be read again, but raw files of that "
            f"time have expired ({err.url}). Keep raw files longer (retention.raw), or look back less far."
        ) from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _note_files(warehouse: Warehouse, manifest: Manifest, files: Sequence[Path], wanted: KnownKeys) -> None:
    import duckdb

    from ducklift.warehouse.columns import conversion
    from ducklift.warehouse.readers import reader_for

    reader = reader_for(manifest, files, whole_records=False)
    while reader is not None:
        relation = reader.relation(warehouse, {wanted.key: "VARCHAR", wanted.moment: "VARCHAR"})
        moment = conversion(f"CAST({relation.fields[wanted.moment]} AS VARCHAR)", "TIMESTAMP WITH TIME ZONE").value
        key = f"CAST({relation.fields[wanted.key]} AS VARCHAR)"
        try:
            warehouse.connection.execute(f"INSERT INTO {_KNOWN} SELECT {key}, {moment} FROM ({relation.sql}) WHERE {key} IS NOT NULL")
            return
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            slower = reader.slower()
            if slower is None:
                raise
            reader = slower


def _newest_first(warehouse: Warehouse, window_s: int) -> Iterator[list[str]]:
    rows = warehouse.connection.execute(
        f"""
        SELECT key FROM (SELECT key, max(moment) AS moment FROM {_KNOWN} GROUP BY key)
        WHERE moment >= (SELECT max(moment) FROM {_KNOWN}) - to_seconds(?) ORDER BY moment DESC, key
        """,
        [window_s],
    )
    while found := rows.fetchmany(_AT_ONCE):
        yield [key for (key,) in found]

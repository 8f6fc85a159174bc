"""Deletion sweeps as the lake knows them: the record of each, and the manifests that name rewritten raw files in the place of others.

A manifest is never changed. What a sweep rewrote of a load is told by `_ducklift/swept/<table>/<load id>.json`, the load's manifest with
other files in the same order, each with as many records as the one it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import orjson
from pydantic import ValidationError

from ducklift.errors import ManifestUnreadable
from ducklift.lake.layout import SWEEPS, SWEPT, manifest_key, sweep_key, swept_key
from ducklift.lake.manifest import Manifest, read_manifest
from ducklift.lake.store import Store
from ducklift.specs import Blanking, Spec, TableName, TableSpec

SWEEP_VERSION = 1


class SweepRecord(Spec):
    """One deletion sweep: whose records, what was taken out of them, and once `completed_at` is set, what became of it.

    `fields` are the record's fields that make the key, `keys` the texts of each key. `since` bounds which raw files can hold them: none
    that was read before it. After `blanked_at` nothing reads the content from the table any more. `erased` are the objects that were
    deleted for what they held, `values` how many versions of stored values were among them; `to_make` the values to be made again.
    """

    sweep_version: int = SWEEP_VERSION
    sweep_id: str
    table: TableName
    spec: TableSpec
    pipeline: str
    target: Literal["warehouse", "lake"] = "warehouse"
    fields: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    blanking: Blanking
    asked: int
    started_at: datetime
    since: datetime | None = None
    blanked_at: datetime | None = None
    completed_at: datetime | None = None
    rows: int = 0
    rewritten: int = 0
    erased: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    values: int = 0
    to_make: tuple[str, ...] = ()


def put_sweep(lake: Store, record: SweepRecord) -> None:
    """Put the record of a sweep, in the place of the one that is there."""
    lake.replace(
        sweep_key(record.table, record.sweep_id), orjson.dumps(record.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2)
    )


def read_sweep(lake: Store, table: TableName, sweep_id: str) -> SweepRecord:
    """Return the record of a sweep; raises `ManifestUnreadable` when it is missing, damaged or newer than this version."""
    key = sweep_key(table, sweep_id)
    try:
        values = orjson.loads(lake.read(key) or b"")
        if values["sweep_version"] > SWEEP_VERSION:
            raise ManifestUnreadable(lake.url_of(key), f"its version is {values['sweep_version']}. Upgrade Ducklift.")
        return SweepRecord.model_validate(values)
    except (ValidationError, ValueError, LookupError, TypeError) as err:
        raise ManifestUnreadable(lake.url_of(key), "the record of a sweep was damaged outside Ducklift; restore it.") from err


def unfinished_sweeps(lake: Store, table: TableName) -> list[SweepRecord]:
    """Return the sweeps of a table that were begun and not completed, oldest first."""
    prefix = f"{SWEEPS}{table}/"
    ids = [item.key.removeprefix(prefix).removesuffix(".json") for item in lake.list(prefix)]
    # Newest first, and no further back than the first that is complete: one is begun when all before it are.
    found: list[SweepRecord] = []
    for sweep_id in reversed(ids):
        record = read_sweep(lake, table, sweep_id)
        if record.completed_at is not None:
            break
        found.insert(0, record)
    return found


def all_swept_keys(lake: Store, table: TableName) -> set[tuple[str, ...]]:
    """Return the keys of all records of a table that were ever swept."""
    prefix = f"{SWEEPS}{table}/"
    ids = [item.key.removeprefix(prefix).removesuffix(".json") for item in lake.list(prefix)]
    return {key for sweep_id in ids for key in read_sweep(lake, table, sweep_id).keys}


def as_swept(lake: Store, manifest: Manifest) -> Manifest | None:
    """Return the manifest that names the rewritten files of a load; None when no sweep touched it."""
    key = swept_key(manifest.table, manifest.load_id)
    data = lake.read(key)
    return read_manifest(data, lake.url_of(key)) if data is not None else None


def swept_loads(lake: Store, table: TableName | None = None) -> Iterator[tuple[str, str]]:
    """Yield the key of the manifest and that of its swept one, for each load that a sweep touched."""
    for item in lake.list(f"{SWEPT}{table}/" if table else SWEPT):
        name, _, file = item.key.removeprefix(SWEPT).partition("/")
        yield manifest_key(TableName.parse(name), file.removesuffix(".json")), item.key

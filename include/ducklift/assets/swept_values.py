"""Stored values after a deletion sweep of a table that they were made of.

A version of a table that has the key's columns is written anew without the rows of swept records, under an id of the same time. Of any
other value nobody can tell what it holds: it goes, when what it was made of held a swept record or is not known, and what stands in its
place names the sweep. See docs/decisions/0008-swept-values.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from ducklift.assets.errors import SweptMeanwhile
from ducklift.assets.keys import ASSETS, derived_key, version_id, version_prefix
from ducklift.assets.lineage import Origin
from ducklift.assets.versions import RECORD, SWEPT, SweptVersion, Version, VersionStore, listed
from ducklift.errors import CorruptObject
from ducklift.failpoints import reach
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.layout import SWEEPS
from ducklift.lake.store import Store
from ducklift.lake.swept import SweepRecord, read_sweep
from ducklift.settings import Settings
from ducklift.specs import TableName


class Held(Enum):
    """What a value holds of the swept records."""

    NOTHING = "nothing"
    ROWS = "rows of its own, which can be taken out"
    UNKNOWN = "perhaps something, somewhere"


@dataclass
class SweptValues:
    """What a sweep makes of stored values: the objects that go (`old`, those of other stores by their URLs), and what is to be done.

    `to_make` are the values that have no current version any more, `left` the tables of the warehouse that values were stored as.
    """

    old: list[str] = field(default_factory=list)
    to_make: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    stores: Mapping[str, Store] = field(default_factory=dict)
    prefixes: list[tuple[Store, str]] = field(default_factory=list)

    def erase(self, place: str) -> None:
        """Erase an object of a store other than the lake, by its URL."""
        for url, store in self.stores.items():
            if place.startswith(f"{url}/"):
                store.erase(store.key_of(place))

    def erase_older(self) -> None:
        """Erase what stores that keep versions still have of deleted objects of these values."""
        for store, prefix in self.prefixes:
            store.erase_older_below(prefix)


def sweep_values(settings: Settings, lake: Store, sweep: SweepRecord) -> SweptValues:
    """Put anew, or let something stand for, each stored version that may hold a swept record; return what is to be erased then.

    All that is to go is found before anything is put; one that was cut short is found again by what it put.
    """
    from ducklift.assets.storage import Storage

    with ExitStack() as stack:
        storage = stack.enter_context(Storage(settings))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sweep-", dir=_parent(settings))))
        stores = storage.path_stores()
        tables, left = _tables(lake, str(sweep.table))
        done = SweptValues(left=left, stores={url: store for url, store in stores.items() if url != lake.url})
        looks: list[_Look] = []
        looks += (_Look(VersionStore(store), looks, sweep, tables, folder) for store in stores.values())
        for look in looks:
            found = [(version, held) for version in look.versions() if (held := look.held(version)) is not Held.NOTHING]
            for version, held in found:
                look.replace(version, held)
                done.old += _objects(look.store, version, inside=look.store.url == lake.url)
                if held is Held.UNKNOWN and look.is_current(version):
                    done.to_make.append(f"{version.key} {version.partition or ''}".strip())
            done.prefixes += [(look.store, f"{ASSETS}{key}/") for key in look.keys]
    return done


def refuse_swept_meanwhile(lake: Store, version: Version, started_at: datetime) -> None:
    """Raise `SweptMeanwhile` for a version that is recorded, when a sweep of what it is made of may have looked for versions before that.

    A sweep that has not taken the content out of its table yet will find this version.
    """
    for table in version.derived_from:
        prefix = f"{SWEEPS}{table}/"
        for item in reversed(listed(lake, prefix)):
            sweep = read_sweep(lake, TableName.parse(table), item.key.removeprefix(prefix).removesuffix(".json"))
            if sweep.completed_at is not None and sweep.completed_at < started_at:
                break  # one is begun when all before it are complete
            if sweep.blanked_at is not None:
                raise SweptMeanwhile(version.key, table, sweep.sweep_id, sweep.completed_at is not None)


def _parent(settings: Settings) -> Path:
    parent = settings.temp_directory or settings.home / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def _tables(lake: Store, table: str) -> tuple[frozenset[str], list[str]]:
    """Return a table with all tables that values made of it were stored as, and the latter with what is to be done about them."""
    tables, left, todo = {table}, list[str](), [table]
    while todo:
        origin = todo.pop()
        for key in VersionStore(lake).derived_keys(origin):
            made = orjson.loads(lake.read(derived_key(origin, key)) or b"{}").get("table")
            if made and made not in tables:
                tables.add(made)
                todo.append(made)
                left.append(f"{made}, a table that the asset {key} is stored as: run what makes it again, then ducklift gc")
    return frozenset(tables), left


def _objects(store: Store, version: Version, inside: bool) -> list[str]:
    """Return the objects of a version, its record first: without that it is not found."""
    prefix = version_prefix(version.key, version.partition, version.version)
    keys = sorted((each.key for each in store.list(prefix)), key=lambda key: not key.endswith(f"/{RECORD}"))
    return [key if inside else store.url_of(key) for key in keys if not key.endswith(f"/{SWEPT}")]


class _Look:
    """The values of one store, looked through for what one sweep took out of a table."""

    def __init__(
        self, versions: VersionStore, everywhere: Sequence[_Look], sweep: SweepRecord, tables: frozenset[str], folder: Path
    ) -> None:
        self._versions, self._everywhere, self._sweep, self._tables, self._folder = versions, everywhere, sweep, tables, folder
        self.store = versions.store
        self.keys = sorted({key for table in tables for key in versions.derived_keys(table)})
        self._held: dict[Origin, Held] = {}

    def versions(self) -> Iterator[Version]:
        """Yield the versions that were made of the table."""
        for key in self.keys:
            yield from (each for each in self._versions.all_versions(key, self._sweep.since) if self._tables & each.derived_from.keys())

    def held(self, version: Version) -> Held:
        """Return what a version holds."""
        if version.origin not in self._held:
            self._held[version.origin] = Held.UNKNOWN  # in case of a circle, which nobody can make
            self._held[version.origin] = self._looked(version)
        return self._held[version.origin]

    def replace(self, version: Version, held: Held) -> None:
        """Let something stand for a version, and put what is left of its rows."""
        left = self._rest(version) if held is Held.ROWS else None
        self._versions.put_swept(
            SweptVersion(
                key=version.key,
                partition=version.partition,
                version=version.version,
                table=str(self._sweep.table),
                sweep_id=self._sweep.sweep_id,
                swept_at=datetime.now(UTC),
                replaced_by=left.version if left else None,
            )
        )
        reach("sweep.value_replaced")

    def is_current(self, version: Version) -> bool:
        """Return whether a version is the one that readers are given."""
        pointer = self._versions.pointer(version.key, version.partition)
        return pointer is not None and pointer.version == version.version

    def _looked(self, version: Version) -> Held:
        tables = self._tables & version.derived_from.keys()
        blanked_at, since = self._sweep.blanked_at, self._sweep.since
        if not tables or (since is not None and version.written_at < since):
            return Held.NOTHING
        if blanked_at is not None and all(version.derived_from[table] > blanked_at for table in tables):
            return Held.NOTHING
        swept = self._versions.swept(version.key, version.partition, version.version)
        if swept is not None:  # by this sweep, which was cut short; those before it are complete
            return Held.UNKNOWN if swept.replaced_by is None else Held.ROWS
        of_others = {self._held_by(origin) for origin in version.made_of}
        if Held.UNKNOWN in of_others:
            return Held.UNKNOWN
        own = self._own_rows(version)
        if own is not None:
            return own
        return Held.UNKNOWN if tables & set(version.direct) or Held.ROWS in of_others else Held.NOTHING

    def _held_by(self, origin: Origin) -> Held:
        """Return what a version holds, or held, that another one was made of."""
        for look in self._everywhere:
            swept = look._versions.swept(origin.key, origin.partition, origin.version)
            if swept is not None:
                if swept.sweep_id == self._sweep.sweep_id:
                    return Held.UNKNOWN if swept.replaced_by is None else Held.ROWS
                if swept.replaced_by is not None:
                    return self._held_by(origin.model_copy(update={"version": swept.replaced_by}))
            found = look._versions.recorded(origin)
            if found is not None:
                return look.held(found)
        return Held.ROWS  # it is gone: what it held cannot be known any more

    def _own_rows(self, version: Version) -> Held | None:
        """Return whether a table holds rows of swept records; None for what is no table, or one without the key's columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if version.serializer != "parquet" or not set(self._sweep.spec.primary_key) <= set(version.metadata.get("columns", {})):
            return None
        try:
            local = self._fetched(version)
            with pq.ParquetFile(local) as file:
                if not all(_tells_a_key(file.schema_arrow, name, pa) for name in self._sweep.spec.primary_key):
                    return None
                groups = (file.read_row_group(number, [*self._sweep.spec.primary_key]) for number in range(file.num_row_groups))
                return Held.ROWS if any(self._chosen(group).true_count for group in groups) else Held.NOTHING
        except (pa.ArrowInvalid, CorruptObject):
            return None  # damaged outside Ducklift

    def _rest(self, version: Version) -> Version | None:
        """Put a table anew without the rows of swept records, as a version of the same time; None when that is not there any more."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        done = self._versions.swept(version.key, version.partition, version.version)
        if done is not None:
            return self._versions.version(version.key, version.partition, done.replaced_by)
        local, target, rows = self._fetched(version), self._folder / "rest.parquet", 0
        with pq.ParquetFile(local) as file, pq.ParquetWriter(target, file.schema_arrow, compression="zstd", compression_level=1) as out:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number)
                table = table.filter(pc.invert(self._chosen(table)))
                out.write_table(table)
                rows += table.num_rows
        sha256, size = file_sha256(target), target.stat().st_size
        facts = {"rows": rows, "columns": version.metadata["columns"], "swept": [*version.metadata.get("swept", []), self._sweep.sweep_id]}
        name = version_id(version.written_at, version.run_id, sha256)
        made = version.model_copy(update={"version": name, "size_bytes": size, "sha256": sha256, "metadata": facts})
        self.store.put_file(target, made.file_key, size, sha256)
        self._versions.put(made)
        local.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return made

    def _fetched(self, version: Version) -> Path:
        local = self._folder / "value.parquet"
        self.store.get_file(version.file_key, local)
        return local

    def _chosen(self, table: Any) -> Any:
        from ducklift.lake.blanked_tables import rows_of_keys

        return rows_of_keys(table, self._sweep.spec.primary_key, frozenset(self._sweep.keys)).combine_chunks()


def _tells_a_key(schema: Any, name: str, pa: Any) -> bool:
    """Return whether a column is of a type whose text is that of the key, as the sweep's record has it."""
    if name not in schema.names:
        return False
    found = schema.field(name).type
    found = found.value_type if pa.types.is_dictionary(found) else found
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return bool(pa.types.is_integer(found) or any(is_text(found) for is_text in texts))

"""Keeping a lake in shape: collecting garbage by each pipeline's retention, and publishing tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from ducklift.errors import EXIT_DONE, EXIT_FAILED, DuckliftError, WriteConflict
from ducklift.failpoints import reach
from ducklift.lake import gc
from ducklift.lake.checkpoints import superseded_later
from ducklift.lake.commits import read_commits, read_snapshot, superseded_loads
from ducklift.lake.filesystem import open_lake
from ducklift.lake.gc import Item, Keeping, Seen, Terms
from ducklift.lake.spool_place import SpoolPlace, open_spool
from ducklift.lake.store import Store
from ducklift.lake.sweeping import complete_interrupted, complete_record, open_record, sweep
from ducklift.pipeline_file import Retention, load_pipeline, pipeline_names
from ducklift.settings import Settings
from ducklift.specs import TableName

if TYPE_CHECKING:
    from ducklift.warehouse.connect import Warehouse
    from ducklift.warehouse.publishing import Published


@dataclass(frozen=True)
class Collection:
    """What a collection of garbage found, and when it was `applied` deleted.

    `checkpoints` are the commits by table of which a checkpoint was written first, `kept` is what stayed after all with the reason, and
    `failures` are the tables that no checkpoint could be written of, so that nothing of theirs expired.
    """

    applied: bool
    items: Sequence[Item]
    record: str | None = None
    checkpoints: dict[str, int] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Return 0, or 1 when some table failed."""
        return EXIT_FAILED if self.failures else EXIT_DONE

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        sizes: Counter[str] = Counter()
        for item in self.items:
            sizes[item.kind] += item.size_bytes
        counts = Counter(item.kind for item in self.items)
        return {
            "applied": self.applied,
            "found": len(self.items),
            "bytes": sum(sizes.values()),
            "kinds": {kind: {"found": counts[kind], "bytes": sizes[kind]} for kind in sorted(counts)},
            "record": self.record,
            "checkpoints": self.checkpoints,
            "kept": self.kept,
            "failures": self.failures,
            "items": [item.model_dump(exclude_none=True) for item in self.items],
        }


def collect_garbage(settings: Settings, table: TableName | None = None, *, apply: bool = False, now: datetime | None = None) -> Collection:
    """Find what may go, and delete it when told to `apply`; of one table, or of the whole lake, the spool and the local folders.

    A pipeline's `retention` decides about its loads; those of a pipeline whose file is gone are kept, but for superseded ones. Before raw
    files expire, a checkpoint of their table is written, and the warehouse stays open until they are gone, so that nobody commits in
    between. Raises `ConfigurationError` for a pipeline file that cannot be read, and `ManifestUnreadable` for a manifest of which nobody
    knows what it names: then nothing is deleted.
    """
    lake, spool = open_lake(settings), open_spool(settings)
    terms = Terms(now or datetime.now(UTC), _keeping(settings))
    seen = gc.look(lake, table)
    items = list(_found(lake, spool, settings, seen, terms, table))
    reach("gc.planned")
    if not apply:
        return Collection(False, items)
    expiring = sorted({item.table for item in items if item.kind == "expired" and item.table})
    with _open(settings, needed=bool(expiring)) as warehouse:
        checkpoints, failures = _checkpoints(warehouse, lake, expiring)
        going = [item for item in items if item.kind != "expired" or item.table in checkpoints]
        if not going:
            complete_interrupted(lake)
            return Collection(True, going, failures=failures)
        record = open_record(lake, going, checkpoints, terms.now)
        kept = sweep(lake, spool, going, checkpoints, terms, seen.manifests.keys())
    complete_record(lake, record, kept)
    complete_interrupted(lake)
    return Collection(True, going, lake.url_of(record), checkpoints, kept, failures)


def _keeping(settings: Settings) -> Callable[[str], Keeping]:
    @cache
    def keeping_of(pipeline: str) -> Keeping:
        known = pipeline in pipeline_names(settings)
        retention = load_pipeline(pipeline, settings).retention if known else Retention()
        raw = timedelta(seconds=retention.raw_s) if retention.raw_s else None
        return Keeping(raw, timedelta(seconds=retention.keep_superseded_s))

    return keeping_of


def _found(lake: Store, spool: SpoolPlace, settings: Settings, seen: Seen, terms: Terms, table: TableName | None) -> Iterator[Item]:
    yield from gc.orphans(seen, gc.spooled_files(spool), terms, table)
    yield from gc.superseded(seen, terms)
    yield from gc.expired(seen, terms)
    yield from gc.unlanded_slices(lake, seen, gc.under_way(spool, terms), terms, table)
    yield from gc.old_checkpoints(lake, seen, terms)
    yield from gc.old_versions(lake, terms, table)
    packages = gc.stale_packages(spool, seen, terms)
    yield from (item for item in packages if table is None or item.table == str(table))
    if table is None:
        yield from gc.unfinished_writes(lake, terms)
        yield from _loading_folders(settings)


def _loading_folders(settings: Settings) -> Iterator[Item]:
    from ducklift.warehouse.staging_folder import abandoned_folders

    for folder in abandoned_folders(settings.home / "loading"):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        yield Item(kind="loading", place=str(folder), reason="the process that loaded here is gone", size_bytes=size)


def _open(settings: Settings, needed: bool) -> AbstractContextManager[Warehouse | None]:
    from ducklift.warehouse.connect import open_warehouse

    return open_warehouse(settings) if needed else nullcontext()


def _checkpoints(warehouse: Warehouse | None, lake: Store, tables: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Write a checkpoint of each table; return the commits they hold, and why there is none of the others."""
    made: dict[str, int] = {}
    failures: dict[str, str] = {}
    if warehouse is None:
        return made, failures
    for name in tables:
        try:
            made[name] = _checkpoint(warehouse, lake, TableName.parse(name))
        except DuckliftError as err:
            failures[name] = str(err)
    return made, failures


def _checkpoint(warehouse: Warehouse, lake: Store, table: TableName) -> int:
    from ducklift.warehouse.checkpoints import write_checkpoint
    from ducklift.warehouse.loading import publish_missing
    from ducklift.warehouse.system import prepare_system

    prepare_system(warehouse)
    publish_missing(warehouse, lake, table, read_snapshot(lake, table))
    checkpoint = write_checkpoint(warehouse, lake, table)
    records = read_commits(lake, table)
    if superseded_later(records, superseded_loads(records), checkpoint.sequence):
        raise WriteConflict(warehouse.database, f"loads of {table} were superseded while its checkpoint was written")
    return checkpoint.sequence


def publish(settings: Settings, table: TableName, partition_by: Sequence[str] = ()) -> Published:
    """Publish a table of the warehouse to `curated/`; see `ducklift.warehouse.publishing.publish_table`."""
    from ducklift.lake.filesystem import ensure_lake
    from ducklift.warehouse.connect import open_warehouse
    from ducklift.warehouse.publishing import publish_table

    lake = open_lake(settings)
    ensure_lake(lake)
    with open_warehouse(settings, read_only=True) as warehouse:
        return publish_table(warehouse, lake, table, tuple(partition_by))

"""The steps of one deletion sweep, from its record: raw files, table, checkpoint, published versions; then everything old goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ducklift.assets.swept_values import SweptValues, sweep_values
from ducklift.assets.versions import RECORD
from ducklift.failpoints import reach
from ducklift.lake.attempts import blank_messages
from ducklift.lake.blanking import Blanker
from ducklift.lake.commits import read_snapshot
from ducklift.lake.curated import read_current, swap_current
from ducklift.lake.layout import checkpoint_prefix, curated_prefix, current_key, manifest_key, snapshot_key
from ducklift.lake.raw_sweeping import rewrite_raw
from ducklift.lake.spool_place import open_spool
from ducklift.lake.store import Store
from ducklift.lake.swept import SweepRecord, put_sweep
from ducklift.settings import Settings
from ducklift.specs import TableName

if TYPE_CHECKING:
    from ducklift.warehouse.connect import Warehouse


def carry_out(lake: Store, settings: Settings, sweep: SweepRecord) -> SweepRecord:
    """Do a sweep to its end, whatever of it was done before, and return its completed record.

    The warehouse stays open all the time, so that no load commits in between.
    """
    blanker = Blanker(sweep.fields, frozenset(sweep.keys), sweep.blanking)
    if sweep.target == "lake":
        rows, old = 0, _in_lake(lake, settings, sweep, blanker)
    else:
        from ducklift.warehouse.connect import open_warehouse
        from ducklift.warehouse.read_copy import check_read_copy, refresh_read_copy
        from ducklift.warehouse.system import prepare_system

        check_read_copy(settings)
        with open_warehouse(settings) as warehouse:
            prepare_system(warehouse)
            rows, old = _in_warehouse(warehouse, lake, sweep, blanker)
            refresh_read_copy(warehouse, settings)
    # What failed may have quoted what is gone now.
    blank_messages(lake, sweep.table)
    reach("sweep.notes_blanked")
    if sweep.blanked_at is None:
        sweep = sweep.model_copy(update={"blanked_at": datetime.now(UTC)})
        put_sweep(lake, sweep)
    values = sweep_values(settings, lake, sweep)
    sweep = _erased(lake, sweep, old, values)
    left = [*_discard_spooled(lake, settings, sweep.table), *_unnamed(lake, sweep.table), *values.left]
    done = sweep.model_copy(update={"completed_at": datetime.now(UTC), "rows": rows, "left": tuple(left)})
    put_sweep(lake, done)
    reach("sweep.completed")
    return done


def _erased(lake: Store, sweep: SweepRecord, old: Iterable[str], values: SweptValues) -> SweepRecord:
    """Erase what was replaced, and what an earlier try left of it, and return the record that tells so."""
    going = [*dict.fromkeys([*sweep.erased, *sorted(old), *values.old])]
    facts = {
        "rewritten": sum(key.startswith("raw/") for key in going),
        "values": sum(key.endswith(f"/{RECORD}") for key in going),
        "to_make": tuple(dict.fromkeys([*sweep.to_make, *values.to_make])),
        "erased": tuple(going),
    }
    sweep = sweep.model_copy(update=facts)
    # Noted before the first goes: a store that keeps versions would not list again what was deleted and not erased.
    put_sweep(lake, sweep)
    for place in going:
        if "://" in place:
            values.erase(place)
        else:
            lake.erase(place)
        reach("sweep.erased")
    values.erase_older()
    return sweep


def _in_lake(lake: Store, settings: Settings, sweep: SweepRecord, blanker: Blanker) -> list[str]:
    from ducklift.warehouse.staging_folder import staging_folder
    from ducklift.warehouse.targets import make_folder

    with staging_folder(make_folder(settings.home / "loading")) as folder:
        return rewrite_raw(lake, sweep, blanker, folder)


def _in_warehouse(warehouse: Warehouse, lake: Store, sweep: SweepRecord, blanker: Blanker) -> tuple[int, list[str]]:
    from ducklift.warehouse.checkpoints import write_checkpoint
    from ducklift.warehouse.ledger import check_in_step
    from ducklift.warehouse.loading import publish_missing
    from ducklift.warehouse.swept_rows import commit_sweep, sweep_commit

    published = read_snapshot(lake, sweep.table)
    check_in_step(warehouse, sweep.table, published)
    old = rewrite_raw(lake, sweep, blanker, warehouse.staging)
    rows = commit_sweep(warehouse, sweep, blanker, sweep_commit(sweep))
    reach("sweep.committed")
    publish_missing(warehouse, lake, sweep.table, published)
    lake.erase_older(snapshot_key(sweep.table))
    # A rebuild starts behind the sweep from now on: what it began with until now holds what was swept.
    checkpoint = write_checkpoint(warehouse, lake, sweep.table)
    reach("sweep.checkpointed")
    old += _other_checkpoints(lake, sweep.table, checkpoint.sequence)
    old += _republished(warehouse, lake, sweep.table)
    if warehouse.kind == "file":
        warehouse.connection.execute("CHECKPOINT")
    return rows, old


def _other_checkpoints(lake: Store, table: TableName, sequence: int) -> Iterator[str]:
    kept = checkpoint_prefix(table, sequence)
    return (item.key for item in list(lake.list(checkpoint_prefix(table))) if not item.key.startswith(kept))


def _republished(warehouse: Warehouse, lake: Store, table: TableName) -> Sequence[str]:
    """Publish a published table again, let its manifest name that version alone, and return the files of all others."""
    from ducklift.warehouse.publishing import publish_table

    known = read_current(lake, table)
    if known is None:
        return []
    publish_table(warehouse, lake, table, known.partition_by)
    current = read_current(lake, table)
    if current is None:
        return []
    swap_current(lake, current.model_copy(update={"versions": (current.version,)}))
    kept = {current_key(table), *(file.key for file in current.files)}
    return [item.key for item in lake.list(curated_prefix(table)) if item.key not in kept]


def _discard_spooled(lake: Store, settings: Settings, table: TableName) -> Iterable[str]:
    """Discard the table's packages in the spool that have landed, and yield the others: a run is under way with them."""
    spool = open_spool(settings)
    for package in [package for package in spool.packages() if package.name.table == table]:
        if lake.size(manifest_key(table, package.name.load_id)) is not None:
            spool.discard(package.path)
        else:
            yield package.path


def _unnamed(lake: Store, table: TableName) -> Iterator[str]:
    """Yield the raw files in the table's folder that no manifest names: an upload is under way, or was cut short."""
    from ducklift.lake.gc import look

    seen = look(lake, table)
    named = seen.named
    yield from (key for key in seen.raw if key.startswith(f"raw/{table.dataset}/{table.table}/") and key not in named)

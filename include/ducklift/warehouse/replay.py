"""Commits done again from their records, in order: what a rebuild does for every table, and a superseding load for its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ducklift.errors import CorruptObject, HistoryBroken, ManifestConflict
from ducklift.lake.blanking import Blanker
from ducklift.lake.commits import LOAD, SWEEP, CommitRecord
from ducklift.lake.layout import commit_prefix, manifest_key
from ducklift.lake.manifest import read_manifest, sha256_of
from ducklift.lake.store import Store
from ducklift.lake.swept import read_sweep
from ducklift.specs import TableName, TableSpec
from ducklift.warehouse import ledger, watermarks
from ducklift.warehouse.checkpoints import restore_checkpoint
from ducklift.warehouse.children import told_child_columns
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.fetching import Fetched, fetch
from ducklift.warehouse.identifiers import quote_identifier, quote_table
from ducklift.warehouse.intake import SecondLookNeeded, bring_in, refusals_named, take_in
from ducklift.warehouse.known_files import FollowedFiles
from ducklift.warehouse.swept_rows import blank_rows

_MOST_PATIENT = 2  # how many readers of JSON are quicker than the one that takes even what is no JSON


def replay(warehouse: Warehouse, lake: Store, records: Sequence[CommitRecord], superseded: Mapping[str, str]) -> None:
    """Do all of a table's commits again in an empty warehouse, one transaction each; `superseded` loads leave their ledger rows, no rows.

    Begins with the table's newest usable checkpoint where there is one. Raises `HistoryBroken`, `CorruptObject`, `RawExpired` or
    `ManifestConflict` when the lake no longer holds what the records tell.
    """
    if not records:
        return
    start = restore_checkpoint(warehouse, lake, records[0].table_name, records, superseded)
    followed = FollowedFiles(lake, records)
    for record in (record for record in records if record.sequence > start):
        if record.kind == LOAD and record.load_id not in superseded:
            _load_again(warehouse, lake, record, followed)
        else:
            with warehouse.transaction():
                _begin(warehouse, lake, record)
                if record.kind == SWEEP:
                    _sweep_again(warehouse, lake, record)
                _end(warehouse, record)
                if record.load_id in superseded:
                    ledger.mark_superseded(warehouse, record.table_name, [record.load_id], superseded[record.load_id])


def _load_again(warehouse: Warehouse, lake: Store, record: CommitRecord, followed: FollowedFiles) -> None:
    # What was committed was allowed: now a source would look stale, other tables may not be there yet, and a table that an empty load made
    # is there before it.
    spec = record.table_spec.model_copy(update={"checks": (), "allow_empty": True})
    import duckdb

    with _fetched(warehouse, lake, record, spec, followed) as fetched, refusals_named(warehouse, fetched.landed):
        manifest = fetched.manifest
        for patience in range(-1, _MOST_PATIENT + 1):
            try:
                with warehouse.transaction():
                    _begin(warehouse, lake, record)
                    highest = watermarks.highest_loaded(warehouse, manifest)
                    intake = take_in(warehouse, manifest, spec, fetched.files, highest, patience < 0, max(patience, 0))
                    brought = bring_in(warehouse, intake, record.loaded_at, highest).with_left_out(fetched.left_out)
                    fetched.refuse_changed()
                    ledger.check_accounting(record.load_id, brought.counts)
                    _end(warehouse, record)
                return
            except (SecondLookNeeded, duckdb.InvalidInputException, duckdb.ConversionException, duckdb.TransactionException):
                # A reader that stumbles ends the transaction, so the next one begins it anew.
                if patience == _MOST_PATIENT:
                    raise


def _sweep_again(warehouse: Warehouse, lake: Store, record: CommitRecord) -> None:
    """Take swept content out of what checkpoints and raw files from before the sweep may still have brought."""
    sweep = read_sweep(lake, record.table_name, record.load_id)
    blank_rows(warehouse, sweep.spec, Blanker(sweep.fields, frozenset(sweep.keys), sweep.blanking))


def _begin(warehouse: Warehouse, lake: Store, record: CommitRecord) -> None:
    if ledger.next_sequence(warehouse, record.table_name) != record.sequence:
        place = lake.url_of(commit_prefix(record.table_name))
        raise HistoryBroken(str(record.table_name), place, f"commit {record.sequence} does not follow the one before it")
    _assume_schema(warehouse, record)


def _end(warehouse: Warehouse, record: CommitRecord) -> None:
    watermarks.record(warehouse, record)
    ledger.write(warehouse, record)


def _assume_schema(warehouse: Warehouse, record: CommitRecord) -> None:
    """Give the table the columns that it had after this commit.

    They are told, not found out again: a load that is skipped may have brought them, and types were chosen by rows that are gone.
    """
    if record.columns is None:
        return
    _shape(warehouse, record.table_name, record.columns)
    for child, columns in told_child_columns(record).items():
        _shape(warehouse, child, columns)
    ledger.write_schema_changes(warehouse, record)


def _shape(warehouse: Warehouse, table: TableName, columns: Mapping[str, str]) -> None:
    target, known = quote_table(table), existing_columns(warehouse, table)
    if not known:
        listed = ", ".join(f"{quote_identifier(name)} {type_}" for name, type_ in columns.items())
        warehouse.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(table.dataset)}")
        warehouse.connection.execute(f"CREATE TABLE {target} ({listed})")
    for name, type_ in columns.items() if known else ():
        if name not in known:
            warehouse.connection.execute(f"ALTER TABLE {target} ADD COLUMN {quote_identifier(name)} {type_}")
        elif known[name] != type_:
            warehouse.connection.execute(f"ALTER TABLE {target} ALTER COLUMN {quote_identifier(name)} TYPE {type_}")


@contextmanager
def _fetched(warehouse: Warehouse, lake: Store, record: CommitRecord, spec: TableSpec, followed: FollowedFiles) -> Iterator[Fetched]:
    """Bring a committed package to this machine as long as the body needs it."""
    key = manifest_key(record.table_name, record.load_id)
    data = lake.read(key)
    if data is None:
        raise CorruptObject(lake.url_of(key), "a manifest", "none")
    if sha256_of(data) != record.manifest_sha256:
        raise ManifestConflict(record.load_id, "the commit record", record.manifest_sha256 or "", sha256_of(data))
    manifest = read_manifest(data, lake.url_of(key))
    folder = warehouse.staging / "replay" / record.load_id
    try:
        yield fetch(lake, manifest, spec, folder, warehouse.settings, followed.before(manifest, record, spec))
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Checkpoints of a table: written before its raw files go, restored where a rebuild would have begun with them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ducklift.errors import CopyDiffers, CorruptObject, DuckliftError, HistoryBroken, ManifestUnreadable
from ducklift.failpoints import reach
from ducklift.lake.checkpoints import Checkpoint, KeptTable, checkpoint_sequences, put_checkpoint, read_checkpoint, superseded_later
from ducklift.lake.commits import LOAD, CommitRecord, read_commits, read_snapshot, superseded_loads
from ducklift.lake.expiry import any_expired
from ducklift.lake.kept_files import KeptFile, get_kept, put_kept
from ducklift.lake.layout import checkpoint_prefix, commit_prefix
from ducklift.lake.store import Store
from ducklift.specs import TableName
from ducklift.warehouse import ledger
from ducklift.warehouse.children import family
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.content import SYSTEM, SYSTEM_TABLES, content_hash, relation_hash
from ducklift.warehouse.effects import take_out
from ducklift.warehouse.identifiers import quote_identifier, quote_literal, quote_table
from ducklift.warehouse.parquet_copy import copy_columns, copy_query, reading, restored, row_count_of

_Copied = tuple[TableName, dict[str, str], str, list[tuple[Path, int]]]
# The tables behind the views: the control row is the sequence itself, and a watermark is the last of its moves.
_KEPT_SYSTEM = tuple("watermark_moves" if name == "watermarks" else name for name in SYSTEM_TABLES if name != "control")


def write_checkpoint(warehouse: Warehouse, lake: Store, table: TableName) -> Checkpoint:
    """Write a checkpoint of the table as it is after its newest commit, and return it; one that is there already is returned as it is.

    Everything up to that commit has to be published: raises `WarehouseBehind` when the lake knows commits that the warehouse does not
    hold, `HistoryBroken` when the table has none, and `CopyDiffers` when Parquet does not give back what is in the table.
    """
    ledger.check_in_step(warehouse, table, read_snapshot(lake, table))
    folder = warehouse.staging / "checkpoint"
    try:
        with warehouse.transaction():
            newest = warehouse.rows(
                f'SELECT sequence, load_id FROM {SYSTEM}.loads WHERE dataset = ? AND "table" = ? ORDER BY sequence DESC LIMIT 1',
                [table.dataset, table.table],
            )
            if not newest:
                raise HistoryBroken(str(table), lake.url_of(commit_prefix(table)), "there is no commit to make a checkpoint of")
            sequence, load_id = newest[0]
            known = _usable(lake, table, sequence)
            if known is not None and known.load_id == load_id:
                return known
            members = [table, *(child for _, child in family(warehouse, table))]
            tables = [_copied(warehouse, member, folder) for member in members]
            system = {name: _system_copied(warehouse, members, name, folder) for name in _KEPT_SYSTEM}
        reach("checkpoint.copied")
        prefix = checkpoint_prefix(table, sequence)
        checkpoint = Checkpoint(
            table=table,
            sequence=sequence,
            load_id=load_id,
            made_at=datetime.now(UTC),
            tables=tuple(_put_table(lake, prefix, *copied) for copied in tables),
            system={name: tuple(_put(lake, prefix, name, *file) for file in found) for name, found in system.items()},
        )
        reach("checkpoint.files_put")
        put_checkpoint(lake, checkpoint)
        reach("checkpoint.manifest_put")
        return checkpoint
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _usable(lake: Store, table: TableName, sequence: int) -> Checkpoint | None:
    """Return the checkpoint when all of its files are there."""
    try:
        found = read_checkpoint(lake, table, sequence)
    except ManifestUnreadable:
        return None  # it is written anew
    if found is None:
        return None
    return found if all(lake.size(file.key) == file.size_bytes for file in found.files) else None


def _copied(warehouse: Warehouse, table: TableName, folder: Path) -> _Copied:
    columns, content = existing_columns(warehouse, table), content_hash(warehouse, table)
    folder.mkdir(exist_ok=True)
    if not columns:
        return table, columns, content, []
    files = copy_columns(warehouse, columns, quote_table(table), folder / table.table)
    found = relation_hash(warehouse, columns, f"(SELECT {restored(columns)} FROM {reading(files)})")
    if found != content:
        raise CopyDiffers(str(table), content, found)
    return table, columns, content, [(file, row_count_of(warehouse, file)) for file in files]


def _system_copied(warehouse: Warehouse, members: Sequence[TableName], name: str, folder: Path) -> list[tuple[Path, int]]:
    file = folder / f"{SYSTEM}.{name}.parquet"
    names = ", ".join(quote_literal(member.table) for member in members)
    which = f'dataset = {quote_literal(members[0].dataset)} AND "table" IN ({names})'
    rows = copy_query(warehouse, f"SELECT * FROM {SYSTEM}.{quote_identifier(name)} WHERE {which}", file)
    return [(file, rows)] if rows else []


def _put_table(
    lake: Store, prefix: str, table: TableName, columns: dict[str, str], content: str, files: Sequence[tuple[Path, int]]
) -> KeptTable:
    put = tuple(_put(lake, f"{prefix}tables/", table.table, *file) for file in files)
    return KeptTable(table=table, columns=columns, content_hash=content, files=put)


def _put(lake: Store, prefix: str, name: str, local: Path, rows: int) -> KeptFile:
    return put_kept(lake, local, rows, lambda sha256: f"{prefix}{name}.{sha256[:12]}.parquet")


def restore_checkpoint(
    warehouse: Warehouse,
    lake: Store,
    table: TableName,
    records: Sequence[CommitRecord] | None = None,
    superseded: Mapping[str, str] | None = None,
) -> int:
    """Fill an empty table from its newest usable checkpoint and return the commit it holds; 0 when there is none to start from.

    `records` are the table's commits and `superseded` the loads among them that are to be left out, as the lake tells them unless given.
    A checkpoint that is damaged, or that holds superseded rows which cannot be told from others, is passed over for the one before it.
    Raises what was wrong with the newest when none is usable and the raw files are gone.
    """
    commits = read_commits(lake, table) if records is None else records
    left_out = superseded_loads(commits) if superseded is None else superseded
    places = {record.sequence: record for record in commits}
    failures: list[DuckliftError] = []
    for sequence in checkpoint_sequences(lake, table):
        record = places.get(sequence)
        try:
            checkpoint = read_checkpoint(lake, table, sequence)
            if checkpoint is None or record is None or record.load_id != checkpoint.load_id:
                continue
            if _restored(warehouse, lake, checkpoint, commits, left_out):
                return sequence
        except (CorruptObject, ManifestUnreadable) as err:
            failures.append(err)
    if failures and any_expired(lake, table):
        raise failures[0]
    return 0


class _NotApart(Exception):
    """Rows of superseded loads cannot be told from others."""


def _restored(
    warehouse: Warehouse, lake: Store, checkpoint: Checkpoint, records: Sequence[CommitRecord], superseded: Mapping[str, str]
) -> bool:
    folder = warehouse.staging / "checkpoint"
    try:
        tables = [(kept, _fetched(lake, kept.files, folder / kept.table.table)) for kept in checkpoint.tables]
        system_files = {name: _fetched(lake, files, folder / f"{SYSTEM}.{name}") for name, files in checkpoint.system.items() if files}
        with warehouse.transaction():
            for kept, files in tables:
                _fill_table(warehouse, kept, files, lake.url_of(checkpoint_prefix(checkpoint.table, checkpoint.sequence)))
            for name, files in system_files.items():
                _fill_system(warehouse, name, files)
            ledger.begin_sequence(warehouse, checkpoint.table, checkpoint.sequence)
            _leave_out(warehouse, checkpoint, records, superseded)
    except _NotApart:
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _fetched(lake: Store, files: Sequence[KeptFile], folder: Path) -> list[Path]:
    found = []
    for number, file in enumerate(files):
        local = folder / f"{number:05d}.parquet"
        get_kept(lake, file, local)
        found.append(local)
    return found


def _fill_table(warehouse: Warehouse, kept: KeptTable, files: Sequence[Path], place: str) -> None:
    columns, target = kept.columns, quote_table(kept.table)
    if not columns:
        return
    listed = ", ".join(f"{quote_identifier(name)} {type_}" for name, type_ in columns.items())
    warehouse.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(kept.table.dataset)}")
    warehouse.connection.execute(f"CREATE TABLE {target} ({listed})")
    if files:
        warehouse.connection.execute(f"INSERT INTO {target} SELECT {restored(columns)} FROM {reading(files)}")
    found = content_hash(warehouse, kept.table)
    if found != kept.content_hash:
        raise CorruptObject(f"{place}: {kept.table}", f"content hash {kept.content_hash}", f"content hash {found}")


def _fill_system(warehouse: Warehouse, name: str, files: Sequence[Path]) -> None:
    # By name: a checkpoint may be older than a column that the system table has by now.
    warehouse.connection.execute(f"INSERT INTO {SYSTEM}.{quote_identifier(name)} BY NAME SELECT * FROM {reading(files)}")


def _leave_out(warehouse: Warehouse, checkpoint: Checkpoint, records: Sequence[CommitRecord], superseded: Mapping[str, str]) -> None:
    """Take the loads out of the restored table that a later commit superseded; raises `_NotApart` where the rows do not tell how."""
    gone = superseded_later(records, superseded, checkpoint.sequence)
    if not gone:
        return
    by_id = {record.load_id: record for record in records}
    load_ids = {record.load_id for record in gone}
    held = [record for record in records if record.sequence <= checkpoint.sequence and record.kind == LOAD]
    rest = [record for record in held if record.load_id not in superseded]
    last = by_id.get(superseded[gone[-1].load_id])
    spec = (last or gone[-1]).table_spec
    if not take_out(warehouse, spec, gone, rest):
        raise _NotApart
    for load_id in sorted(load_ids):
        ledger.mark_superseded(warehouse, checkpoint.table, [load_id], superseded[load_id])

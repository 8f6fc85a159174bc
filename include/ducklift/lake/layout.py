"""Where things lie in the lake. Every key but those of raw files is built here; these follow a template, see `ducklift.lake.templates`."""

from __future__ import annotations

from ducklift.specs import TableName

LAKE_MARKER = "_ducklift/lake.json"
DEFAULT_LAYOUT = "raw/{dataset}/{table}/{load_id}.{file_id}.{ext}"
PROBE = "raw/.ducklift-probe"
COMMITS = "_ducklift/commits/"
SLICES = "_ducklift/slices/"
CHECKPOINTS = "_ducklift/checkpoints/"
EXPIRED = "_ducklift/expired/"
GC_RECORDS = "_ducklift/gc/"
SWEEPS = "_ducklift/sweeps/"
SWEPT = "_ducklift/swept/"
ATTEMPTS = "_ducklift/attempts/"
TABLES = "_ducklift/tables/"
CURATED = "curated/"


def manifest_key(table: TableName, load_id: str) -> str:
    """Return the key of a load's manifest."""
    return f"raw/{table.dataset}/{table.table}/_loads/{load_id}.json"


def slice_key(table: TableName, load_id: str) -> str:
    """Return the key of the slice record, which is fixed before extraction."""
    return f"_ducklift/slices/{table}/{load_id}.json"


def commit_prefix(table: TableName) -> str:
    """Return the prefix of all commit records of a table."""
    return f"{COMMITS}{table}/"


def commit_key(table: TableName, sequence: int, load_id: str) -> str:
    """Return the key of the commit record with this place in the table's order."""
    return f"{commit_prefix(table)}{sequence:010d}-{load_id}.json"


def order_key(table: TableName, sequence: int) -> str:
    """Return the key of the claim to this place in the order of a table that lives in the lake alone."""
    return f"_ducklift/order/{table}/{sequence:010d}.json"


def committed_key(table: TableName, load_id: str) -> str:
    """Return the key that tells that a load of a table that lives in the lake alone is committed, and how."""
    return f"_ducklift/committed/{table}/{load_id}.json"


def snapshot_key(table: TableName) -> str:
    """Return the key of the table's published snapshot: watermarks and statistics."""
    return f"{TABLES}{table}.json"


def files_key(table: TableName, pipeline: str) -> str:
    """Return the key that tells which files of a source a pipeline brought into a table."""
    return f"_ducklift/files/{table}/{pipeline}.json"


def checkpoint_prefix(table: TableName, sequence: int | None = None) -> str:
    """Return the prefix of a table's checkpoints, or of the one that holds its state after the commit `sequence`."""
    prefix = f"{CHECKPOINTS}{table}/"
    return prefix if sequence is None else f"{prefix}{sequence:010d}/"


def checkpoint_key(table: TableName, sequence: int) -> str:
    """Return the key of a checkpoint's manifest, without which there is no checkpoint."""
    return f"{checkpoint_prefix(table, sequence)}manifest.json"


def expired_key(table: TableName, load_id: str) -> str:
    """Return the key of the note that a load's raw files were deleted on purpose, and why."""
    return f"{EXPIRED}{table}/{load_id}.json"


def curated_prefix(table: TableName, version: str | None = None) -> str:
    """Return the prefix of everything published of a table, or of one version."""
    prefix = f"{CURATED}{table.dataset}/{table.table}/"
    return prefix if version is None else f"{prefix}{version}/"


def current_key(table: TableName) -> str:
    """Return the key that tells which published version is current."""
    return f"{curated_prefix(table)}_current.json"


def sweep_key(table: TableName, sweep_id: str) -> str:
    """Return the key of the record of a deletion sweep."""
    return f"{SWEEPS}{table}/{sweep_id}.json"


def swept_key(table: TableName, load_id: str) -> str:
    """Return the key of the manifest that names the rewritten raw files of a load."""
    return f"{SWEPT}{table}/{load_id}.json"


def attempts_prefix(table: TableName) -> str:
    """Return the prefix of the notes of a table's failed tries."""
    return f"{ATTEMPTS}{table}/"


def attempts_key(table: TableName, load_id: str) -> str:
    """Return the key of the note of a load's failed tries."""
    return f"{attempts_prefix(table)}{load_id}.json"

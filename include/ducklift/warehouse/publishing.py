"""Publishing a table: its rows in a fixed order, as Parquet files that any reader of the lake can use without a warehouse."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ducklift.errors import ConfigurationError, CopyDiffers
from ducklift.failpoints import reach
from ducklift.lake.curated import (
    KEPT_VERSIONS,
    NULL_PARTITION,
    PARTITION_TYPES,
    CurrentVersion,
    PublishedColumn,
    partition_folder,
    read_current,
    swap_current,
)
from ducklift.lake.kept_files import KeptFile, put_kept
from ducklift.lake.layout import curated_prefix
from ducklift.lake.store import Store
from ducklift.lake.templates import LONGEST_KEY, LONGEST_NAME
from ducklift.specs import TableName
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.content import SYSTEM, relation_hash
from ducklift.warehouse.identifiers import quote_identifier, quote_table
from ducklift.warehouse.parquet_copy import copy_query, reading, restored, written

ROWS_PER_FILE = 1_000_000
MOST_PARTITIONS = 10_000
_SORTED = "temp.published"


@dataclass(frozen=True)
class Published:
    """What publishing did; `unchanged` says that the current version had this content already."""

    table: str
    version: str
    unchanged: bool
    rows: int
    files: int
    bytes: int
    content_hash: str
    url: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Part:
    """One file to be: a range of the sorted rows, and the Hive folder that it lies in."""

    folder: str
    first: int
    last: int


def publish_table(warehouse: Warehouse, lake: Store, table: TableName, partition_by: tuple[str, ...] = ()) -> Published:
    """Publish the table's rows and swap the current version; the same rows give the same files, and are not put again.

    The warehouse may be open for reading only. Raises `ConfigurationError` when there is no such table, or when it cannot be partitioned by
    these columns, and `CopyDiffers` when Parquet does not give back what is in the table.
    """
    columns = existing_columns(warehouse, table)
    if not columns:
        raise ConfigurationError(f"There is no table {table} in {warehouse.database}; `ducklift tables` shows those that are there.")
    _check_partitions(table, columns, partition_by)
    folder = warehouse.staging / "publish"
    try:
        _sort(warehouse, table, columns, partition_by)
        content = relation_hash(warehouse, columns, _SORTED)
        sequence = _sequence(warehouse, table)
        known = read_current(lake, table)
        version = _version(content, sequence, partition_by)
        if known is not None and known.content_hash == content and known.partition_by == partition_by:
            return _told(lake, known, unchanged=True)
        current = CurrentVersion(
            table=table,
            version=version,
            sequence=sequence,
            published_at=datetime.now(UTC),
            partition_by=partition_by,
            columns=_counted(warehouse, columns),
            rows=warehouse.value(f"SELECT count(*) FROM {_SORTED}"),
            content_hash=content,
            files=_put_files(warehouse, lake, table, version, columns, partition_by, folder, content),
            versions=(version, *(name for name in (known.versions if known else ()) if name != version))[:KEPT_VERSIONS],
        )
        reach("publish.files_put")
        swap_current(lake, current)
        reach("publish.swapped")
        return _told(lake, current, unchanged=False)
    finally:
        warehouse.connection.execute(f"DROP TABLE IF EXISTS {_SORTED}")
        shutil.rmtree(folder, ignore_errors=True)


def _check_partitions(table: TableName, columns: dict[str, str], partition_by: tuple[str, ...]) -> None:
    for name in partition_by:
        if name not in columns:
            raise ConfigurationError(f"{table} has no column {name!r} to partition by; it has: {', '.join(columns)}.")
        if columns[name] not in PARTITION_TYPES:
            raise ConfigurationError(
                f"{table} cannot be partitioned by {name!r}, which is of type {columns[name]}: "
                f"a partition's value is a text in a path. Use a column of type {', '.join(PARTITION_TYPES)}."
            )
    if len(set(partition_by)) < len(partition_by) or len(partition_by) >= len(columns):
        raise ConfigurationError("Name each column to partition by once, and leave one at least for the files.")


def _sort(warehouse: Warehouse, table: TableName, columns: dict[str, str], partition_by: tuple[str, ...]) -> None:
    order = ", ".join(quote_identifier(name) for name in (*partition_by, *(name for name in columns if name not in partition_by)))
    warehouse.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_SORTED} AS SELECT * FROM {quote_table(table)} ORDER BY {order}")


def _sequence(warehouse: Warehouse, table: TableName) -> int:
    known = existing_columns(warehouse, TableName(dataset=SYSTEM, table="control"))
    place = [table.dataset, table.table]
    found = warehouse.value(f'SELECT sequence FROM {SYSTEM}.control WHERE dataset = ? AND "table" = ?', place) if known else None
    return int(found or 0)


def _version(content: str, sequence: int, partition_by: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join((content, *partition_by)).encode()).hexdigest()
    return f"{sequence:010d}-{digest[:12]}"


def _counted(warehouse: Warehouse, columns: dict[str, str]) -> dict[str, PublishedColumn]:
    counts = ", ".join(f"count({quote_identifier(name)})" for name in columns)
    row = warehouse.rows(f"SELECT {counts} FROM {_SORTED}")[0]
    return {name: PublishedColumn(type=type_, values=count) for (name, type_), count in zip(columns.items(), row, strict=True)}


def _put_files(
    warehouse: Warehouse,
    lake: Store,
    table: TableName,
    version: str,
    columns: dict[str, str],
    partition_by: tuple[str, ...],
    folder: Path,
    content: str,
) -> tuple[KeptFile, ...]:
    """Write all files, compare them with the table, and put them; one at a time would be put before all are known to be right."""
    folder.mkdir()
    inner = {name: type_ for name, type_ in columns.items() if name not in partition_by}
    parts = [(part, folder / f"{number:06d}.parquet") for number, part in enumerate(_parts(warehouse, table, partition_by))]
    query = f"SELECT {written(inner)} FROM {_SORTED} WHERE rowid"
    rows = [copy_query(warehouse, f"{query} BETWEEN {part.first} AND {part.last} ORDER BY rowid", file) for part, file in parts]
    _compare(warehouse, table, inner, [file for _, file in parts], None if partition_by else content)
    reach("publish.written")
    prefix = curated_prefix(table, version)
    found = []
    for number, ((part, file), count) in enumerate(zip(parts, rows, strict=True)):
        found.append(put_kept(lake, file, count, partial(_key, f"{prefix}{part.folder}part-{number:06d}")))
        reach("publish.file_put")
    _remove_leftovers(lake, prefix, {file.key for file in found})
    return tuple(found)


def _key(stem: str, sha256: str) -> str:
    return f"{stem}.{sha256[:12]}.parquet"


def _compare(warehouse: Warehouse, table: TableName, inner: dict[str, str], files: list[Path], content: str | None) -> None:
    expected = content or relation_hash(warehouse, inner, _SORTED)
    found = relation_hash(warehouse, inner, f"(SELECT {restored(inner)} FROM {reading(files)})")
    if found != expected:
        raise CopyDiffers(str(table), expected, found)


def _remove_leftovers(lake: Store, prefix: str, named: set[str]) -> None:
    # Of an interrupted publication of this very content by another DuckDB, which may cut files differently.
    for found in [found for found in lake.list(prefix) if found.key not in named]:
        lake.delete(found.key)


def _parts(warehouse: Warehouse, table: TableName, partition_by: tuple[str, ...]) -> Iterator[_Part]:
    """Yield the files to be, in the order of their rows; an empty table is one file that tells its columns."""
    texts = [f"CAST({quote_identifier(name)} AS VARCHAR)" for name in partition_by]
    names = "".join(f"{text}, " for text in texts)
    groups = f"GROUP BY {', '.join(map(quote_identifier, partition_by))}" if partition_by else ""
    ranges = warehouse.rows(f"SELECT {names}min(rowid), max(rowid) FROM {_SORTED} {groups} ORDER BY min(rowid)")
    if len(ranges) > MOST_PARTITIONS:
        raise ConfigurationError(f"{table} would have {len(ranges)} partitions; more than {MOST_PARTITIONS} are of no use to a reader.")
    if any(value in ("", NULL_PARTITION) for *values, _, _ in ranges for value in values):
        raise ConfigurationError(f"{table} has an empty text where it is to be partitioned: in a path, that is the same as no value.")
    for *values, first, last in ranges or [(*(None for _ in partition_by), None, None)]:
        folder = partition_folder(partition_by, tuple(values))
        _check_length(table, folder)
        for start in range(first or 0, (last or 0) + 1, ROWS_PER_FILE) if last is not None else (0,):
            yield _Part(folder, start, min(start + ROWS_PER_FILE - 1, -1 if last is None else last))


def _check_length(table: TableName, folder: str) -> None:
    longest = max(folder.split("/"), key=len)
    if len(longest) > LONGEST_NAME or len(folder) > LONGEST_KEY - LONGEST_NAME:
        raise ConfigurationError(
            f"{table} has a value where it is to be partitioned that no path can carry: {longest[:60]}… makes a folder's name of "
            f"{len(longest)} bytes, and stores take {LONGEST_NAME}. Partition by a column of shorter values."
        )


def _told(lake: Store, current: CurrentVersion, unchanged: bool) -> Published:
    size = sum(file.size_bytes for file in current.files)
    url = lake.url_of(curated_prefix(current.table, current.version))
    return Published(str(current.table), current.version, unchanged, current.rows, len(current.files), size, current.content_hash, url)

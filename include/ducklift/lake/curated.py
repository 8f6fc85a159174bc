"""Published tables: whole versions of Parquet files under `curated/`, of which `_current.json` names the one to read.

Readers see the old version or the new one, never a mixture: files of a version are never changed, and the swap is one put.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import ValidationError

from ducklift.errors import ConfigurationError, ManifestUnreadable
from ducklift.lake.kept_files import KeptFile
from ducklift.lake.layout import current_key
from ducklift.lake.store import Store
from ducklift.specs import Spec, TableName

CURATED_VERSION = 1
KEPT_VERSIONS = 3
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
# A partition's value stands in a path as text; of these types the text gives the value back exactly.
PARTITION_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "bool_",
    "DATE": "date32",
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
}


class PublishedColumn(Spec):
    """A column of a published table: its DuckDB type, and how many of its values are not NULL."""

    type: str
    values: int


class CurrentVersion(Spec):
    """The content of `_current.json`; `versions` are those whose files are kept, newest first, the current one among them."""

    curated_version: int = CURATED_VERSION
    table: TableName
    version: str
    sequence: int
    published_at: datetime
    partition_by: tuple[str, ...]
    columns: dict[str, PublishedColumn]
    rows: int
    content_hash: str
    files: tuple[KeptFile, ...]
    versions: tuple[str, ...]


def read_current(lake: Store, table: TableName) -> CurrentVersion | None:
    """Return the version that readers see now, or None before the first; raises `ManifestUnreadable` on a damaged or newer manifest."""
    key = current_key(table)
    data = lake.read(key)
    if data is None:
        return None
    try:
        values = orjson.loads(data)
        if values["curated_version"] > CURATED_VERSION:
            raise ManifestUnreadable(lake.url_of(key), f"its version is {values['curated_version']}. Upgrade Ducklift.")
        return CurrentVersion.model_validate(values)
    except (ValidationError, ValueError, LookupError, TypeError) as err:
        raise ManifestUnreadable(lake.url_of(key), "it was damaged outside Ducklift. Delete it, and publish the table again.") from err


def swap_current(lake: Store, current: CurrentVersion) -> None:
    """Let readers see this version from now on."""
    lake.replace(current_key(current.table), orjson.dumps(current.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def partition_folder(names: tuple[str, ...], values: tuple[str | None, ...]) -> str:
    """Return the Hive folder of a partition, with its slash: `country=at/day=2026-01-01/`, special characters as percent signs and hex."""
    texts = [NULL_PARTITION if value is None else quote(value, safe="") for value in values]
    return "".join(f"{quote(name, safe='')}={text}/" for name, text in zip(names, texts, strict=True))


def read_curated(lake: Store, table: TableName) -> Any:
    """Return the current version of a published table as a `pyarrow.dataset.Dataset`; nothing is read of it yet.

    It stays what it was when a newer version is published, as long as its files are kept. Raises `ConfigurationError` when the table was
    never published.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    current = read_current(lake, table)
    if current is None:
        raise ConfigurationError(f"{table} was never published in {lake.url}. Publish it with: ducklift publish {table}")
    kinds = {name: getattr(pa, PARTITION_TYPES[current.columns[name].type])() for name in current.partition_by}
    partitioning = ds.HivePartitioning(pa.schema(kinds), null_fallback=NULL_PARTITION) if kinds else None
    paths = [lake.path(file.key) for file in current.files]
    base = lake.path(current.files[0].key.partition(f"/{current.version}/")[0]) + f"/{current.version}"
    return ds.dataset(paths, filesystem=lake.filesystem, format="parquet", partitioning=partitioning, partition_base_dir=base)

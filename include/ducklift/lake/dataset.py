"""A table that lives in the lake alone, read as one dataset: the files of its live loads, through their commits and manifests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ducklift.errors import ConfigurationError, CorruptObject, ManifestConflict
from ducklift.lake.columns import PADDING
from ducklift.lake.commits import CommitRecord, read_commits
from ducklift.lake.layout import manifest_key
from ducklift.lake.manifest import Manifest, RawFile, read_manifest, sha256_of
from ducklift.lake.order import live_commits
from ducklift.lake.store import Store
from ducklift.lake.swept import swept_loads
from ducklift.specs import TableName


@dataclass(frozen=True)
class LiveFile:
    """One raw file of a load that nothing superseded."""

    file: RawFile
    manifest: Manifest

    @property
    def kind(self) -> str:
        """Return the format without its compression; csv for what has tabs, json for whole documents."""
        return (self.file.format or self.manifest.format).partition(".")[0].replace("tsv", "csv")


def live_files(lake: Store, table: TableName) -> list[LiveFile]:
    """Return the raw files that make up a table, in commit order; raises `ConfigurationError` when the lake knows no such table.

    Works for any table whose commits are in the lake. One that a warehouse merges is more than its files, so that only those of
    dispositions `append` and `replace` read the same here and there.
    """
    records = read_commits(lake, table)
    if not records:
        raise ConfigurationError(f"The lake {lake.url} knows no commit to {table}. Check the name and DUCKLIFT_LAKE_URL.")
    swept = dict(swept_loads(lake, table))
    return [file for record in live_commits(records) for file in _files(lake, record, swept)]


def _files(lake: Store, record: CommitRecord, swept: Mapping[str, str]) -> list[LiveFile]:
    committed = manifest_key(record.table_name, record.load_id)
    key = swept.get(committed, committed)
    data = lake.read(key)
    if data is None:
        raise CorruptObject(lake.url_of(key), "a manifest", "none")
    if key == committed and sha256_of(data) != record.manifest_sha256:
        raise ManifestConflict(record.load_id, "the commit record", record.manifest_sha256 or "", sha256_of(data))
    manifest = read_manifest(data, lake.url_of(key))
    if any(file.in_place for file in manifest.files):
        raise ConfigurationError(f"{record.table_name} has files that are used in place: the lake holds no copy of them to read.")
    return [LiveFile(file, manifest) for file in manifest.files if file.rows]


def arrow_dataset(lake: Store, table: TableName) -> Any:
    """Return a table's Parquet files as one `pyarrow.dataset.Dataset`, whose schema holds the fields of all of them.

    A field whose types agree on no wider one is text. Raises `ConfigurationError` for other formats, which `ducklift.warehouse.lake_views`
    reads, and for a field that is a list in one file and a single value in another.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    files = live_files(lake, table)
    others = sorted({live.manifest.format for live in files if live.kind != "parquet"})
    if others:
        raise ConfigurationError(
            f"{table} has files in {', '.join(others)}; an Arrow dataset needs Parquet. Read it by `ducklift query --lake`."
        )
    paths = [lake.path(live.file.key) for live in files]
    types: dict[str, set[Any]] = {}
    for path in paths:
        for field in ds.dataset(path, filesystem=lake.filesystem, format="parquet").schema:
            types.setdefault(field.name, set()).add(field.type)
    schema = pa.schema([(name, _type_of_all(table, name, found)) for name, found in types.items() if name != PADDING])
    return ds.dataset(paths, schema=schema, filesystem=lake.filesystem, format="parquet")


def _type_of_all(table: TableName, name: str, found: Collection[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.unify_schemas([pa.schema([(name, each)]) for each in found], promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        if any(pa.types.is_nested(each) for each in found):
            shown = ", ".join(sorted(map(str, found)))
            raise ConfigurationError(
                f"field {name!r} of {table} has types that Arrow cannot read as one ({shown}). Where a field is now a list and now a "
                "single value, write format: jsonl.gz, and read what is there anew with --full-refresh."
            ) from None
        return pa.string()

"""Where a task's data come from and go to, told to Airflow's lineage collector, and its datasets by OpenLineage's rules for names.

Nothing is collected, and next to nothing is imported, until a reader of lineage is there: the OpenLineage provider with a transport.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from ducklift.pipeline import Pipeline
from ducklift.settings import Settings, load_settings
from ducklift.sources.bucket_files import BucketFilesSource
from ducklift.specs import TableName
from ducklift.warehouse.targets import warehouse_target

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset

# With x- in front a scheme is the user's own, see `ducklift.orchestration.dag.table_asset`; the provider's metadata name the converter.
TABLE, PLACE = "x-ducklift", "x-ducklift-place"
_PATTERN = re.compile(r"[^/]*[*?\[].*")


def tell_lineage(context: Any, *, reads: Iterable[str] = (), writes: Iterable[str] = (), tables: Iterable[str] = ()) -> None:
    """Tell from which folders (URLs) the task has read, to which it has written, and which tables it has changed."""
    from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins

    # The collector itself loads all providers, boto3 among what they import, even to collect nothing.
    if not get_hook_lineage_readers_plugins():
        return
    from airflow.sdk.lineage import get_hook_lineage_collector

    collector = get_hook_lineage_collector()
    for url in reads:
        collector.add_input_asset(context, uri=uri_of_place(url))
    for url in writes:
        collector.add_output_asset(context, uri=uri_of_place(url))
    for name in tables:
        table = TableName.parse(name)
        collector.add_output_asset(context, uri=f"{TABLE}://{table.dataset}/{table.table}")


def uri_of_place(url: str) -> str:
    """Return the asset's URI of a folder in a bucket or on a disk."""
    scheme, _, rest = url.partition("://")
    return f"{PLACE}://{scheme}/{quote(rest.lstrip('/'))}"


def source_folders(pipeline: Pipeline, stream: str) -> Sequence[str]:
    """Return the URL of the folder whose files a stream is, up to the first pattern in its path; nothing for an API or a database."""
    source = pipeline.source
    return [f"{urlsplit(source.place).scheme}://{_PATTERN.sub('', stream)}".rstrip("/")] if isinstance(source, BucketFilesSource) else []


def loaded_folders(pipeline: Pipeline, stream: str, table: str) -> Sequence[str]:
    """Return where the files lie that a load reads: in the lake, or still at their source."""
    return landed_folders(pipeline, table, load_settings()) or source_folders(pipeline, stream)


def landed_folders(pipeline: Pipeline, table: str, settings: Settings) -> Sequence[str]:
    """Return where an upload puts a table's raw files; nowhere for those that are used in place."""
    in_place = isinstance(pipeline.source, BucketFilesSource) and pipeline.source.in_place
    return [] if in_place else [raw_folder(table, settings)]


def raw_folder(table: str, settings: Settings) -> str:
    """Return the URL of a table's raw files."""
    name = TableName.parse(table)
    scheme, _, place = settings.lake_url.partition("://")
    return f"{scheme}://{settings.project / unquote(place) if scheme == 'file' else place}/raw/{name.dataset}/{name.table}"


def dataset_of(asset: Any, _context: Any) -> Dataset:
    """Return OpenLineage's dataset of a table's asset, or of a folder's; Airflow's OpenLineage provider calls this."""
    from openlineage.client.event_v2 import Dataset

    parts = urlsplit(asset.uri)
    if parts.scheme == PLACE:
        namespace, name = place_dataset(parts.netloc, unquote(parts.path.lstrip("/")))
    else:
        namespace, name = table_dataset(TableName(dataset=parts.netloc, table=parts.path.strip("/")), load_settings())
    return Dataset(namespace=namespace, name=name)


def place_dataset(scheme: str, place: str) -> tuple[str, str]:
    """Return namespace and name of a folder: `s3://bucket` and its key, or `file` and its path."""
    if scheme == "file":
        return "file", f"/{place}"
    container, _, key = place.partition("/")
    return f"{scheme}://{container}", key or "/"


def table_dataset(table: TableName, settings: Settings) -> tuple[str, str]:
    """Return namespace and name of a table: the warehouse, and `catalog.schema.table`.

    For a DuckDB file and MotherDuck they are those of `openlineage-dbt`, so that its models are seen to read what was loaded here.
    """
    target = warehouse_target(settings)
    kind, _, place = target.name.rpartition("://")
    if target.kind != "ducklake":
        return f"duckdb://{target.name}", f"{PurePosixPath(target.name).stem.removeprefix('md:')}.{table}"
    if kind.endswith("postgresql"):
        host, _, catalog = place.partition("/")
        return f"ducklake://{host}", f"{catalog.partition('?')[0]}.{table}"
    return f"ducklake://{place}", f"{PurePosixPath(place).stem}.{table}"

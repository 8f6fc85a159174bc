"""Where a task's data come from and go to, told to Airflow's lineage collector, and its datasets by OpenLineage's rules for names.

Nothing is collected, and next to nothing is imported, until a reader of lineage is there: the OpenLineage provider with a transport.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ducklift.settings import Settings, load_settings
from ducklift.specs import TableName
from ducklift.warehouse.targets import warehouse_target

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset

# With x- in front a scheme is the user's own, see `ducklift.orchestration.dag.table_asset`; the provider's metadata name the converter.
TABLE, RAW = "x-ducklift", "x-ducklift-raw"


def tell_lineage(context: Any, *, raw_in: Iterable[str] = (), raw_out: Iterable[str] = (), tables: Iterable[str] = ()) -> None:
    """Tell of which tables the task has read raw files, of which it has written some, and which tables it has changed."""
    from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins

    # The collector itself loads all providers, boto3 among what they import, even to collect nothing.
    if not get_hook_lineage_readers_plugins():
        return
    from airflow.sdk.lineage import get_hook_lineage_collector

    collector = get_hook_lineage_collector()
    for name in raw_in:
        collector.add_input_asset(context, uri=uri_of(RAW, name))
    for name in raw_out:
        collector.add_output_asset(context, uri=uri_of(RAW, name))
    for name in tables:
        collector.add_output_asset(context, uri=uri_of(TABLE, name))


def uri_of(scheme: str, table: str) -> str:
    """Return the asset's URI of a table `dataset.table`, or of its raw files."""
    name = TableName.parse(table)
    return f"{scheme}://{name.dataset}/{name.table}"


def dataset_of(asset: Any, _context: Any) -> Dataset:
    """Return OpenLineage's dataset of a table's asset, or of its raw files'; Airflow's OpenLineage provider calls this."""
    from openlineage.client.event_v2 import Dataset

    parts = urlsplit(asset.uri)
    table = TableName(dataset=parts.netloc, table=parts.path.strip("/"))
    namespace, name = raw_dataset(table, load_settings()) if parts.scheme == RAW else table_dataset(table, load_settings())
    return Dataset(namespace=namespace, name=name)


def raw_dataset(table: TableName, settings: Settings) -> tuple[str, str]:
    """Return namespace and name of a table's raw files: `s3://bucket` and the folder's key, or `file` and its path."""
    scheme, _, place = settings.lake_url.partition("://")
    folder = PurePosixPath("raw", table.dataset, table.table)
    if scheme == "file":
        return "file", str(settings.project / place / folder)
    container, _, prefix = place.partition("/")
    return f"{scheme}://{container}", str(prefix / folder)


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

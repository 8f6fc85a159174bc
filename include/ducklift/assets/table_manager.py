"""Tables of the warehouse as values: a DataFrame becomes a table by the same road as every other row, raw first and exactly once.

Each write is a load of the stream that its partition is, in the place of that stream's earlier ones: a partition is overwritten in one
transaction, a rebuild from the lake makes the table again, and readers see the old rows or the new ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from pydantic import Field, PrivateAttr

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import AssetMisnamed, NoSerializer, ValueMissing, ValueUnreadable
from ducklift.assets.keys import UNPARTITIONED, asset_key, derived_key
from ducklift.assets.managers import IOManager, Surroundings, io_manager
from ducklift.assets.serializers import full_name
from ducklift.assets.tables import TableSerializer, record_batches, table_as, table_of_records
from ducklift.errors import WarehouseMissing
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.manifest import sha256_of
from ducklift.pipeline import Run, extract, load, upload
from ducklift.pipeline_file import Pipeline
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.specs import LINEAGE_COLUMNS, PlainName, Spec, TableName
from ducklift.warehouse import open_warehouse
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.identifiers import quote_identifier, quote_table

PIPELINE = "_assets"


class TableConfig(Spec):
    """`dataset` is the schema that tables lie in; an asset `folder/name` lies in the dataset `folder`, `a/b/name` in `a__b`.

    `partition_column` is the column by which partitions are told apart; it is added to partitioned values that lack it.
    """

    dataset: PlainName = "assets"
    partition_column: str = Field(default="partition_key", min_length=1, max_length=255)


class ValueSource(Source):
    """One table in memory, or one reader, as a source."""

    type: str = "value"
    stream: str
    _batches: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, stream: str, batches: Any) -> ValueSource:
        """Return the source of these batches."""
        source = cls(stream=stream)
        source._batches = batches
        return source

    def streams(self) -> Sequence[str]:
        """Return the one stream."""
        return [self.stream]

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield the batches."""
        del request, settings, report
        yield from self._batches


class TableIOManager(IOManager):
    """Keeps DataFrames, Arrow tables and relations as tables of the warehouse; the current rows only, without versions."""

    def __init__(self, config: TableConfig, settings: Settings) -> None:
        self.config, self.settings = config, settings

    def handle_output(self, context: OutputContext, value: Any) -> None:
        """Put the value in the place of what its partition held; raises `NoSerializer` for what is no table, `AssetMisnamed`."""
        partition = context.partition_key
        if partition == UNPARTITIONED:
            raise AssetMisnamed(f"{UNPARTITIONED!r} is what a table without partitions has for one: name the partition otherwise.")
        stream, table = partition or UNPARTITIONED, self.table_of(context.key)
        source = ValueSource.of(stream, self._batches(value, partition))
        # Without inference of text: what has an Arrow type keeps it.
        pipeline = Pipeline.model_validate(
            {"name": PIPELINE, "source": source, "table": str(table), "format": "parquet", "allow_empty": True}
        )
        run = Run.now(mode="full_refresh")
        run = Run(f"{context.run_id or run.run_id}:{uuid.uuid4().hex}", run.slice_start, run.slice_end, mode="full_refresh")
        self._note_origins(context, table)
        manifest = upload(extract(pipeline, stream, run, self.settings), self.settings)
        summary = load(manifest, self.settings, pipeline)
        lake = open_lake(self.settings)
        context.add_output_metadata(
            {
                "table": str(table),
                "rows": summary.rows_extracted,
                "bytes": summary.bytes,
                "total_rows": summary.total_rows,
                "load_id": summary.load_id,
                "path": manifest,
                # Of the manifest, which holds that of every file.
                "sha256": sha256_of(lake.read(lake.key_of(manifest)) or b""),
                "format": "table",
                "seconds": summary.seconds,
            }
        )

    def load_input(self, context: InputContext) -> Any:
        """Return the rows of one partition, or all of an asset without partitions, without lineage columns; `columns` chooses."""
        if context.version or context.as_of:
            raise ValueUnreadable(context.key, "a table keeps its current rows only; store the asset by a filesystem manager for versions")
        context.lineage.add_table(str(self.table_of(context.key)))
        return table_as(self._rows(context), context.type)

    def partitions(self, key: str) -> list[str | None] | None:
        """Return the partitions that were loaded and not emptied."""
        sql = 'SELECT DISTINCT stream FROM _ducklift.loads WHERE pipeline = ? AND dataset = ? AND "table" = ? ORDER BY 1'
        table = self.table_of(key)
        try:
            with open_warehouse(self.settings, read_only=True) as warehouse:
                rows = warehouse.rows(sql, [PIPELINE, table.dataset, table.table])
        except WarehouseMissing:
            return []
        return [None if stream == UNPARTITIONED else stream for (stream,) in rows]

    def table_of(self, key: str) -> TableName:
        """Return the table of an asset, which no other asset's is; raises `AssetMisnamed` where its key is no table's name."""
        *folders, name = asset_key(key).split("/")
        if any("__" in folder for folder in folders):
            raise AssetMisnamed(f"{key!r}: '__' stands for '/' in the name of a table's dataset, so that no folder may hold it.")
        if folders == [self.config.dataset]:
            raise AssetMisnamed(f"{key!r} would be the table of {name!r}: call it that, or set another dataset for this manager.")
        try:
            return TableName(dataset="__".join(folders) or self.config.dataset, table=name)
        except ValueError as err:
            raise AssetMisnamed(f"{key!r} is no name of a table: write lower-case letters, digits and underscores.") from err

    def _note_origins(self, context: OutputContext, table: TableName) -> None:
        """Note what the rows are made of, where a deletion sweep looks for it."""
        lake = open_lake(self.settings)
        if context.lineage.tables:
            ensure_lake(lake)
        for origin in context.lineage.tables:
            lake.replace(derived_key(origin, asset_key(context.key)), orjson.dumps({"table": str(table)}))

    def _rows(self, context: InputContext) -> Any:
        import pyarrow as pa

        table, partition = self.table_of(context.key), context.partition_key
        try:
            with open_warehouse(self.settings, read_only=True) as warehouse:
                known = warehouse.value(
                    'SELECT count(*) FROM _ducklift.loads WHERE pipeline = ? AND dataset = ? AND "table" = ? AND stream = ?',
                    [PIPELINE, table.dataset, table.table, partition or UNPARTITIONED],
                )
                if not known:
                    raise ValueMissing(context.key, (partition,))
                names = list(existing_columns(warehouse, table))
                if not names:
                    return pa.table({})  # nothing but empty values was ever stored here
                hidden = {*LINEAGE_COLUMNS, *([] if context.columns else [self.config.partition_column] if partition else [])}
                wanted = list(context.columns) if context.columns else [name for name in names if name not in hidden]
                if unknown := sorted(set(wanted) - set(names)):
                    raise ValueUnreadable(str(table), f"it has no column {', '.join(unknown)}; it has {', '.join(names)}")
                chosen = ", ".join(map(quote_identifier, wanted))
                where = f" WHERE {quote_identifier(self.config.partition_column)} = ?" if partition else ""
                sql = f"SELECT {chosen} FROM {quote_table(table)}{where}"  # noqa: S608 — names are quoted, the partition is bound
                return warehouse.connection.execute(sql, [partition] if partition else []).to_arrow_table()
        except WarehouseMissing:
            raise ValueMissing(context.key, (partition,)) from None

    def _batches(self, value: Any, partition: str | None) -> Iterator[Any]:
        import pyarrow as pa

        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            value = table_of_records(value)
        if full_name(type(value)) not in TableSerializer.types and not isinstance(value, pa.Table | pa.RecordBatchReader):
            raise NoSerializer(full_name(type(value)), "a table is made of a DataFrame, an Arrow table, a relation or a list of records")
        found = record_batches(value)
        pieces = (
            found.to_batches(max_chunksize=250_000) or [pa.RecordBatch.from_pylist([], schema=found.schema)]
            if (isinstance(found, pa.Table))
            else found
        )
        for piece in pieces:
            table = pa.Table.from_batches([piece]).replace_schema_metadata(None)
            table = table.drop_columns([name for name in table.column_names if name.startswith("__index_level_")])
            yield self._with_partition(table, partition) if partition else table

    def _with_partition(self, table: Any, partition: str) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        name = self.config.partition_column
        if name not in table.column_names:
            return table.append_column(name, pa.repeat(pa.scalar(partition), table.num_rows))
        same = pc.fill_null(pc.equal(pc.cast(table.column(name), pa.string()), partition), False)
        if not pc.all(same, min_count=0).as_py():
            raise ValueUnreadable(partition, f"the value's own column {name!r} names other partitions; remove it, or set partition_column")
        return table


@io_manager(config=TableConfig, name="duckdb")
def duckdb(config: TableConfig, surroundings: Surroundings) -> TableIOManager:
    """Return the manager that keeps values as tables of the warehouse."""
    return TableIOManager(config, surroundings.settings)

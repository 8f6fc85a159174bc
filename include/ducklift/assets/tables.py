"""Tables as Parquet: pandas and polars DataFrames, Arrow tables and readers, DuckDB relations; loaded as whichever is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ducklift.assets.errors import NoSerializer, ValueUnreadable
from ducklift.assets.serializers import Serializer, full_name, root_module

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 1_000_000


class TableSerializer(Serializer):
    """Parquet, compressed by zstd's quickest level; what a library adds about its index or categories is kept in the schema."""

    name: ClassVar[str] = "parquet"
    extension: ClassVar[str] = "parquet"
    types: ClassVar[tuple[str, ...]] = (
        "pandas.core.frame.DataFrame",
        "pandas.DataFrame",
        "pandas.core.series.Series",
        "pandas.Series",
        "polars.dataframe.frame.DataFrame",
        "polars.DataFrame",
        "polars.series.series.Series",
        "polars.Series",
        "polars.lazyframe.frame.LazyFrame",
        "polars.LazyFrame",
        "pyarrow.lib.Table",
        "pyarrow.lib.RecordBatch",
        "pyarrow.lib.RecordBatchReader",
        "duckdb.DuckDBPyRelation",
        "_duckdb.DuckDBPyRelation",
    )

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the table batch by batch, so that a reader or a relation never is in memory whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        batches = record_batches(value)
        rows = 0
        with pq.ParquetWriter(
            path, batches.schema, compression="zstd", compression_level=1, use_dictionary=_repeating(batches.schema)
        ) as writer:
            if isinstance(batches, pa.Table):
                writer.write_table(batches, row_group_size=ROW_GROUP_ROWS)
                rows = batches.num_rows
            else:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        columns = {field.name: str(field.type) for field in batches.schema}
        return {"rows": rows, "columns": columns}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the table as Arrow, pandas or polars; without a wish as what it was stored from, if that library is here."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            known = file.schema_arrow.names
            if unknown := sorted(set(columns or ()) - set(known)):
                raise ValueUnreadable(path.name, f"it has no column {', '.join(unknown)}; it has {', '.join(known)}")
            table = file.read(list(columns)).select(list(columns)) if columns else file.read()
        return table_as(table, wanted)


def _repeating(schema: pa.Schema) -> list[str] | bool:
    """Return the columns whose values are likely to repeat; for the others a dictionary costs a third of the time, and makes more bytes."""
    import pyarrow as pa

    if any(pa.types.is_nested(field.type) for field in schema):
        return True  # their leaves have names of their own
    return [field.name for field in schema if not (pa.types.is_floating(field.type) or pa.types.is_temporal(field.type))]


def record_batches(value: Any) -> pa.Table | pa.RecordBatchReader:
    """Return a value of any library's table type as Arrow, without copying where the library can."""
    import pyarrow as pa

    kind = type(value).__name__
    match root_module(type(value)):
        case "pandas":
            frame = value.to_frame(value.name if value.name is not None else "value") if kind == "Series" else value
            return _from_pandas(frame)
        case "polars":
            frame = value.collect() if kind == "LazyFrame" else value.to_frame() if kind == "Series" else value
            return frame.to_arrow()
        case "duckdb" | "_duckdb":
            return value.to_arrow_reader(100_000)
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    return value


def _from_pandas(frame: Any) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as err:
        raise NoSerializer(
            "pandas.DataFrame", f"a column holds values that Parquet has no one type for: {str(err).splitlines()[0]}"
        ) from err


def table_as(table: pa.Table, wanted: Any) -> Any:
    """Return an Arrow table as the type that is wanted; raises `ValueUnreadable` for a type that is no table's."""
    if wanted is None:
        return table
    kind, library = getattr(wanted, "__name__", str(wanted)), root_module(wanted)
    match library, kind:
        case ("pyarrow", "Table"):
            return table
        case ("pyarrow", "RecordBatchReader"):
            return table.to_reader()
        case ("pandas", "DataFrame"):
            return table.to_pandas(split_blocks=True, self_destruct=True)
        case ("pandas", "Series"):
            return table.to_pandas().iloc[:, 0]
        case ("polars", "DataFrame" | "LazyFrame" | "Series"):
            import polars

            frame: Any = polars.from_arrow(table)
            return frame.lazy() if kind == "LazyFrame" else frame.to_series() if kind == "Series" else frame
        case ("builtins", "list"):
            return table.to_pylist()
        case ("builtins", "dict"):
            return table.to_pydict()
    raise ValueUnreadable("a stored table", f"cannot become {full_name(wanted)}; ask for pandas, polars or Arrow")

"""Tables as Parquet: pandas and polars DataFrames, Arrow tables and readers, DuckDB relations; loaded as whichever is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ducklift.assets.errors import NoSerializer, ValueUnreadable
from ducklift.assets.serializers import Serializer, full_name, root_module, single

if TYPE_CHECKING:
    import pyarrow as pa

    from ducklift.assets.contexts import InputContext

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

        batches = record_batches(value)
        try:
            rows = self._write(batches, path)
        except pa.ArrowNotImplementedError as err:
            raise NoSerializer(full_name(type(value)), f"Parquet cannot hold a column of it: {str(err).splitlines()[0]}") from err
        return {"rows": rows, "columns": {field.name: str(field.type) for field in batches.schema}}

    @staticmethod
    def _write(batches: pa.Table | pa.RecordBatchReader, path: Path) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

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
        return rows

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the table as Arrow, pandas or polars; without a wish as what it was stored from, if that library is here."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            known = file.schema_arrow.names
            if unknown := sorted(set(columns or ()) - set(known)):
                raise ValueUnreadable(path.name, f"it has no column {', '.join(unknown)}; it has {', '.join(known)}")
            # A DataFrame keeps its index, whichever of its columns are asked for.
            table = file.read(columns and list(columns), use_pandas_metadata=root_module(wanted) == "pandas")
        names = columns or ()
        return table_as(table.select([*names, *(each for each in table.column_names if each not in names)]) if columns else table, wanted)


def _repeating(schema: pa.Schema) -> list[str] | bool:
    """Return the columns whose values are likely to repeat; for the others a dictionary costs a third of the time, and makes more bytes."""
    import pyarrow as pa

    if any(pa.types.is_nested(field.type) for field in schema):
        return True  # their leaves have names of their own
    return [field.name for field in schema if not (pa.types.is_floating(field.type) or pa.types.is_temporal(field.type))]


def record_batches(value: Any) -> pa.Table | pa.RecordBatchReader:
    """Return a value of any library's table type as Arrow, without copying where the library can."""
    import pyarrow as pa

    # The library's own class: a value may be of a user's subclass.
    known = next((each for each in type(value).__mro__ if full_name(each) in TableSerializer.types), type(value))
    kind = known.__name__
    match root_module(known):
        case "pandas":
            frame = value.to_frame(value.name if value.name is not None else "value") if kind == "Series" else value
            return _from_pandas(frame)
        case "polars":
            return _from_polars(value.collect() if kind == "LazyFrame" else value.to_frame() if kind == "Series" else value)
        case "duckdb" | "_duckdb":
            return value.to_arrow_reader(100_000)
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    return value


def _from_pandas(frame: Any) -> pa.Table:
    import pyarrow as pa

    names = frame.columns.map(str)  # as they are stored: 1 and '1' are twins
    if twins := sorted(set(names[names.duplicated()])):
        raise NoSerializer("pandas.DataFrame", f"several of its columns have one name: {', '.join(twins)}")
    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowException, OverflowError, TypeError) as err:
        raise NoSerializer(
            "pandas.DataFrame", f"a column holds values that Parquet has no one type for: {str(err).splitlines()[0]}"
        ) from err


def _from_polars(frame: Any) -> pa.Table:
    import polars
    import pyarrow as pa

    # Polars would hand out the addresses of Python objects as their bytes.
    if objects := [name for name, type_ in frame.schema.items() if type_ == polars.Object]:
        raise NoSerializer("polars.DataFrame", f"Python objects lie in {', '.join(objects)}; give the column a type")
    try:
        table: pa.Table = frame.to_arrow()
    except pa.ArrowException as err:
        raise NoSerializer("polars.DataFrame", f"Arrow has no type for a column of it: {str(err).splitlines()[0]}") from err
    return table


def table_of_records(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return records as an Arrow table with the fields of all of them; raises `NoSerializer` where a field is of several types."""
    import pyarrow as pa

    # By themselves Arrow's readers take the first record's fields for all there are.
    names = list(dict.fromkeys(name for record in records for name in record))
    if odd := [name for name in names if not isinstance(name, str)]:
        raise NoSerializer("list", f"a field of its records is no text but {odd[0]!r}")
    table = {}
    for name in names:
        try:
            table[name] = pa.array([record.get(name) for record in records])
        except (pa.ArrowException, OverflowError) as err:
            raise NoSerializer("list", f"{name!r} holds values that a column has no one type for: {str(err).splitlines()[0]}") from err
    return pa.table(table)


def table_as(table: pa.Table, wanted: Any) -> Any:
    """Return an Arrow table as the type that is wanted; raises `ValueUnreadable` for a type that is no table's."""
    wanted = single(wanted)
    if wanted is None:
        return table
    kind, library = getattr(wanted, "__name__", str(wanted)), root_module(wanted)
    if library == "polars" or kind in ("list", "dict"):
        _refuse_twins(table)
    match library, kind:
        case ("pyarrow", "Table"):
            return table
        case ("pyarrow", "RecordBatchReader"):
            return table.to_reader()
        case ("pandas", "DataFrame"):
            return table.to_pandas(split_blocks=True, self_destruct=True)
        case ("pandas", "Series"):
            pandas_frame = table.to_pandas()
            return pandas_frame[_only(list(pandas_frame.columns))]
        case ("polars", "DataFrame" | "LazyFrame" | "Series"):
            import polars

            frame: Any = polars.from_arrow(table)
            return frame.lazy() if kind == "LazyFrame" else frame[_only(frame.columns)] if kind == "Series" else frame
        case ("builtins", "list"):
            return table.to_pylist()
        case ("builtins", "dict"):
            return table.to_pydict()
    raise ValueUnreadable("a stored table", f"cannot become {full_name(wanted)}; ask for pandas, polars or Arrow")


def _only(names: Sequence[Any]) -> Any:
    """Return the one column's name; raises `ValueUnreadable` where others would be left behind."""
    if len(names) != 1:
        raise ValueUnreadable("a stored table", f"has {len(names)} columns, and a Series has one; ask for a DataFrame, or for one column")
    return names[0]


def _refuse_twins(table: pa.Table) -> None:
    """Raise `ValueUnreadable` where columns of one name would become one."""
    names = table.column_names
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise ValueUnreadable("a stored table", f"has several columns named {', '.join(twins)}; ask for pyarrow.Table")


def chosen_columns(table: pa.Table, context: InputContext) -> pa.Table:
    """Return the columns of a query's result that are asked for; raises `ValueUnreadable` for one that it lacks."""
    if not context.columns:
        return table
    if unknown := sorted(set(context.columns) - set(table.column_names)):
        where, known = f"query of {context.parameter or context.key}", ", ".join(table.column_names)
        raise ValueUnreadable(where, f"it gives no column {', '.join(unknown)}, but {known}")
    return table.select(list(context.columns))

"""CSV and Parquet files written anew without the content of swept records."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.lake.blanking import Blanker, Key, opened
from ducklift.lake.hashed_file import HashedFile, file_sha256
from ducklift.lake.manifest import RawFile

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATOR = "\x1f"
_BATCH_BYTES = 16 * 2**20


def rewritten_csv(local: Path, target: Path, compression: str, blanker: Blanker) -> RawFile | None:
    """Write a CSV file anew, every value as the text that it was; None when it holds no swept record."""
    import pyarrow as pa
    from pyarrow import csv

    with opened(local, compression) as source:
        names = csv.open_csv(source, parse_options=csv.ParseOptions(newlines_in_values=True)).schema.names
    texts = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    out, rows, swept, header = HashedFile(target, compression), 0, 0, True
    with opened(local, compression) as source:
        options = csv.ReadOptions(block_size=_BATCH_BYTES)
        for batch in csv.open_csv(source, options, csv.ParseOptions(newlines_in_values=True), texts):
            table, found = _blanked(pa.Table.from_batches([batch]), blanker)
            sink = pa.BufferOutputStream()
            csv.write_csv(table, sink, csv.WriteOptions(include_header=header, quoting_style="needed"))
            out.put(memoryview(sink.getvalue()))
            rows, swept, header = rows + table.num_rows, swept + found, False
    sha256 = out.close()
    return RawFile(key="", size_bytes=out.size_bytes, sha256=sha256, rows=rows) if swept else None


def rewritten_parquet(local: Path, target: Path, blanker: Blanker) -> RawFile | None:
    """Write a Parquet file anew in the same schema and row groups; None when it holds no swept record."""
    import pyarrow.parquet as pq

    source, swept = pq.ParquetFile(local), 0
    with pq.ParquetWriter(target, source.schema_arrow, compression="zstd", compression_level=1) as out:
        for group in range(source.num_row_groups):
            table, found = _blanked(source.read_row_group(group), blanker)
            out.write_table(table, row_group_size=max(table.num_rows, 1))
            swept += found
    if not swept:
        return None
    return RawFile(key="", size_bytes=target.stat().st_size, sha256=file_sha256(target), rows=source.metadata.num_rows)


def rows_of_keys(table: pa.Table, fields: Sequence[str], keys: Set[Key]) -> Any:
    """Return for each row of a table, which has these columns, whether their texts make one of the keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [pc.cast(table.column(field), pa.string()) for field in fields]
    joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, _SEPARATOR)
    return pc.is_in(joined, pa.array([_SEPARATOR.join(key) for key in keys], pa.string()))


def _blanked(table: pa.Table, blanker: Blanker) -> tuple[pa.Table, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if any(field not in table.column_names for field in blanker.fields):
        return table, 0
    chosen = rows_of_keys(table, blanker.fields, blanker.keys)
    for place, name in enumerate(table.column_names):
        taken, text = blanker.column(name)
        if taken:
            column = table.column(place)
            table = table.set_column(place, table.schema.field(place), _emptied(column, chosen, text))
    return table, int(pc.sum(pc.cast(chosen, pa.int64())).as_py() or 0)


def _emptied(column: Any, chosen: Any, text: str | None) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.scalar(None, column.type)
    kept = pc.if_else(chosen, nothing, column)
    if text is None or not pa.types.is_string(column.type):
        return kept
    return pc.if_else(pc.and_(chosen, pc.is_valid(column)), pa.scalar(text, column.type), kept)

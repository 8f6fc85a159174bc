"""The formats of raw files: how batches become JSON lines, CSV or Parquet, one file at a time and in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ducklift.batches import Batch
from ducklift.lake.columns import ColumnTypes
from ducklift.lake.hashed_file import HashedFile
from ducklift.lake.kinds import FieldKinds, kinds_of_arrow
from ducklift.lake.manifest import RawFile
from ducklift.lake.records import LineEncoder

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["jsonl", "csv", "parquet"]

PIECE_ROWS = 20_000  # an Arrow table is cut into pieces of so many rows
GROUP_ROWS = 122_880  # of a Parquet row group: what DuckDB reads by one thread
GROUP_BYTES = 16 * 2**20  # of Arrow memory in all open files together


class OpenFile(ABC):
    """One raw file under way."""

    def __init__(self, path: Path, compression: str) -> None:
        self.file = HashedFile(path, compression)
        self.rows = self.longest_record_bytes = 0

    @property
    def path(self) -> Path:
        """Return where the file is being written."""
        return self.file.path

    @property
    def size_bytes(self) -> int:
        """Return the size so far, as it lies on the disk."""
        return self.file.size_bytes

    def takes(self, piece: Any) -> bool:
        """Tell whether the piece fits this file; if not, the next file begins."""
        del piece
        return True

    @abstractmethod
    def write(self, piece: Any) -> None:
        """Append a piece that the format's encoder made."""

    def close(self) -> RawFile:
        """Finish the file and return its facts, still without a key."""
        sha256 = self.file.close()
        longest = self.longest_record_bytes
        return RawFile(key="", size_bytes=self.size_bytes, sha256=sha256, rows=self.rows, longest_record_bytes=longest)

    def abandon(self) -> None:
        """Close the file as it is; the package is thrown away."""
        self.file.abandon()


class Encoder(ABC):
    """Turns batches into a format's pieces and opens its files; holds what a load's files share (types, counts).

    `tells_names_apart` says whether names that differ in case only, and the empty one, come back as they were written.
    """

    tells_names_apart = False

    def __init__(self, extension: str) -> None:
        kind, _, self.compression = extension.partition(".")
        self.kind = kind
        self.lines = LineEncoder()
        self.kinds = FieldKinds()

    @property
    def surrogates_replaced(self) -> int:
        """Return how many lone surrogates became U+FFFD so far."""
        return self.lines.surrogates_replaced

    @property
    def field_types(self) -> Mapping[str, str]:
        """Return the Arrow types of the fields, where the format has types."""
        return {}

    @property
    def value_kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Return what kinds of values the fields had, where the format has no types."""
        return self.kinds.known

    @abstractmethod
    def pieces(self, batch: Batch) -> Iterator[Any]:
        """Yield the batch as pieces of bounded size, none of them empty."""

    @abstractmethod
    def open(self, path: Path, open_files: int) -> OpenFile:
        """Start a file; `open_files` share the memory for rows not yet written."""


def encoder_of(extension: str) -> Encoder:
    """Return the encoder of a format such as `jsonl.gz` or `parquet`."""
    return JsonLines(extension) if extension.startswith("jsonl") else Columnar(extension)


class JsonLines(Encoder):
    """One JSON object a line, every field as the source had it."""

    tells_names_apart = True

    def pieces(self, batch: Batch) -> Iterator[list[bytes]]:
        """Yield the batch's lines."""
        if isinstance(batch, list):
            yield self.lines.lines(batch, self.kinds.note(batch))
            return
        for part in batch.to_batches(max_chunksize=PIECE_ROWS):
            if part.num_rows:
                records = part.to_pylist()
                yield self.lines.lines(records, self.kinds.note(records))

    def open(self, path: Path, open_files: int) -> OpenFile:
        """Start a file."""
        del open_files
        return _LinesFile(path, self.compression)


class _LinesFile(OpenFile):
    def write(self, piece: list[bytes]) -> None:
        self.rows += len(piece)
        self.longest_record_bytes = max(self.longest_record_bytes, max(map(len, piece)) - 1)
        self.file.put(b"".join(piece))


class Columnar(Encoder):
    """CSV and Parquet by way of Arrow; the types of a load's fields grow as batches show them."""

    def __init__(self, extension: str) -> None:
        super().__init__(extension)
        self.types = ColumnTypes(self.lines, least_columns=2 if self.kind == "csv" else 1, binary=self.kind == "parquet")

    @property
    def field_types(self) -> Mapping[str, str]:
        """Return the Arrow types of the fields that had a value."""
        return self.types.known if self.kind == "parquet" else {}

    @property
    def value_kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Return the kinds of values of CSV's numbers and booleans; its texts may look like anything."""
        return kinds_of_arrow(self.types.known) if self.kind == "csv" else {}

    def pieces(self, batch: Batch) -> Iterator[pa.Table]:
        """Yield the batch as tables that all have the load's fields known so far."""
        if isinstance(batch, list):
            for start in range(0, len(batch), PIECE_ROWS):
                yield self.types.table_of_records(batch[start : start + PIECE_ROWS])
            return
        for start in range(0, batch.num_rows, PIECE_ROWS):
            yield self.types.table_of_arrow(batch.slice(start, PIECE_ROWS))

    def open(self, path: Path, open_files: int) -> OpenFile:
        """Start a file."""
        if self.kind == "csv":
            return _CsvFile(path, self.compression)
        return _ParquetFile(path, GROUP_BYTES // open_files)


class _CsvFile(OpenFile):
    """Texts are quoted, so that an empty text (`""`) and no value (nothing) differ; the first line names the fields."""

    _names: list[str] | None = None

    def takes(self, piece: pa.Table) -> bool:
        return self._names in (None, piece.column_names)

    def write(self, piece: pa.Table) -> None:
        import pyarrow as pa
        from pyarrow import csv

        sink = pa.BufferOutputStream()
        csv.write_csv(piece, sink, csv.WriteOptions(include_header=self._names is None, quoting_style="needed"))
        self._names = piece.column_names
        self.rows += piece.num_rows
        self.longest_record_bytes = max(self.longest_record_bytes, _longest_csv_record(piece))
        self.file.put(memoryview(sink.getvalue()))


def _longest_csv_record(table: pa.Table) -> int:
    """Return a bound on the longest record's bytes, as if every character of a text were a quote."""
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    texts = [column for column in table.columns if kinds.is_string(column.type) or kinds.is_large_string(column.type)]
    lengths = None
    for column in texts:
        length = pc.cast(pc.fill_null(pc.binary_length(column), 0), "int64")
        lengths = length if lengths is None else pc.add(lengths, length)
    longest = 0 if lengths is None else pc.max(lengths).as_py()
    return 2 * int(longest or 0) + 50 * int(table.num_columns)


class _ParquetFile(OpenFile):
    """Row groups of bounded size, compressed with zstd."""

    def __init__(self, path: Path, group_bytes: int) -> None:
        super().__init__(path, "")
        self._group_bytes = group_bytes
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._writer: Any = None

    def takes(self, piece: pa.Table) -> bool:
        return (not self._waiting and self._writer is None) or self._schema.equals(piece.schema)

    def write(self, piece: pa.Table) -> None:
        self._schema = piece.schema
        self._waiting.append(piece)
        self.rows += piece.num_rows
        self._waiting_rows += piece.num_rows
        self._waiting_bytes += piece.nbytes
        if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= self._group_bytes:
            self._write_group()

    def close(self) -> RawFile:
        self._write_group()
        self._writer.close()
        return super().close()

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        super().abandon()

    def _write_group(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(pa.PythonFile(_Sink(self.file), "w"), self._schema, compression="zstd", compression_level=1)
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=self._waiting_rows)
        self._waiting = []
        self._waiting_rows = self._waiting_bytes = 0


class _Sink:
    """A hashed file as Arrow wants to see a Python file; closing it is left to the house."""

    closed = False

    def __init__(self, file: HashedFile) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        self._file.put(bytes(data))
        return len(data)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The house closes the file, with its hash."""

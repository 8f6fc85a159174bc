"""Foreign files on this machine: is one whole and no bomb, how many records are in it, and the SQL that reads it.

The queries run in a DuckDB of their own, shut off from everything but the file's folder; all values in them are bound.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from ducklift.errors import SourceFileRefused
from ducklift.source_files import FileFormat, ReadOptions, kind_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LONGEST_RECORD = 128 * 2**20
REJECTED = "__ducklift_rejected"  # the text of a CSV record that has not the header's columns
_CHUNK = 1 << 20
_HEAD = 1 << 20
_FREE_EXPANSION = 64 * 2**20  # bytes that any compressed file may expand to
_MEMORY = "1GB"

# An object's beginning that a person or a pretty-printer broke off: after the brace, after a comma or a colon, or before any of them.
_OPEN_OBJECT = re.compile(r'\{(\s*|\s*"(?:[^"\\]|\\.)*"\s*:?.*[,:\[{])')

JsonShape = Literal["lines", "array", "objects"]


@dataclass(frozen=True)
class Counted:
    """How many records a file has, and a bound on the longest one's bytes, where readers ask for it."""

    rows: int
    longest_record_bytes: int = 0


@dataclass(frozen=True)
class Query:
    """SQL with its bound values."""

    sql: str
    values: list[Any]


def count_rows(reader: FileDuckDB, local: Path, file_format: FileFormat, read: ReadOptions, name: str) -> Counted:
    """Return what is in a local copy of a file; reads all of it but for Parquet.

    Raises `SourceFileRefused`, which calls the file `name`, when it is cut, damaged, a bomb, or not of its format.
    """
    if file_format == "parquet":
        return Counted(_parquet_rows(local, name))
    lines = _expanded(local, file_format, read, name)
    if local.stat().st_size == 0 or not lines.rows:
        return Counted(0)
    if kind_of(file_format) == "csv":
        with reader.reading(name) as connection:
            query = csv_query(local, file_format, read, name)
            # Of columns that are not asked for, DuckDB would not see what is wrong with them.
            return Counted(_value(connection, f"SELECT count(*), count(COLUMNS(*)) FROM ({query.sql})", query) + rejects(connection))
    shape = json_shape(local, file_format)
    if file_format.startswith("jsonl") or shape == "lines":
        return lines
    with reader.reading(name) as connection:
        query = json_query(local, shape)
        rows = _value(connection, f"SELECT count(*) FROM ({query.sql})", query)
        return Counted(rows, _value(connection, f"SELECT coalesce(max(octet_length(encode(line))), 0) FROM ({query.sql})", query))


class FileDuckDB:
    """A DuckDB of its own that reads and writes files in one folder alone, opened at the first use; close it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._spill = folder, folder / "spill"
        self._connection: DuckDBPyConnection | None = None

    @contextmanager
    def reading(self, name: str) -> Iterator[DuckDBPyConnection]:
        """Yield the connection to read one file; what it cannot read is refused by `name`."""
        import duckdb

        if self._connection is None:
            self._connection = self._opened()
        try:
            yield self._connection
        except (duckdb.InvalidInputException, duckdb.ConversionException) as err:
            raise SourceFileRefused(name, f"DuckDB cannot read it: {str(err).splitlines()[0]}") from err
        finally:
            for table in ("reject_errors", "reject_scans"):
                self._connection.execute(f"DROP TABLE IF EXISTS {table}")

    def close(self) -> None:
        """End it, and leave nothing of it in the folder."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        shutil.rmtree(self._spill, ignore_errors=True)

    def _opened(self) -> DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": _MEMORY, "autoinstall_known_extensions": "false"})
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET temp_directory = ?", [str(self._spill)])
        connection.execute("SET allowed_directories = ?", [[str(self._folder)]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection


def csv_query(local: Path, file_format: FileFormat, read: ReadOptions, name: str) -> Query:
    """Return the query of a CSV file's records, all of them text; those that do not fit the header are left to `rejects`."""
    columns = csv_columns(local, file_format, read, name)
    options: dict[str, Any] = {
        "columns": dict.fromkeys(columns, "VARCHAR"),
        "header": read.header,
        "skip": read.skip,
        "delim": read.delimiter_of(file_format),
        "quote": read.quote,
        "escape": read.escape if read.quote else "",
        "nullstr": list(read.null),
        "encoding": read.encoding,
        "max_line_size": _longest_csv(local, file_format),
        "buffer_size": _longest_csv(local, file_format),  # DuckDB's own choice is sixteen times that, all of it taken at once
    }
    fixed = (
        "auto_detect = false, strict_mode = true, null_padding = false, allow_quoted_nulls = false, comment = '', "
        "store_rejects = true, rejects_limit = 0"
    )
    bound = ", ".join(f"{option} = ?" for option in options)
    return Query(f"SELECT * FROM read_csv(?, {fixed}, {bound})", [str(local), *options.values()])


def rejects(connection: DuckDBPyConnection) -> int:
    """Return how many records the CSV query that ran last could not fit to the header."""
    return _value(connection, "SELECT count(DISTINCT line) FROM reject_errors")


def csv_columns(local: Path, file_format: FileFormat, read: ReadOptions, name: str) -> list[str]:
    """Return the names of a CSV file's columns; raises `SourceFileRefused` when they do not tell the columns apart."""
    with opened(local, file_format, name) as source:
        text = codecs.getincrementaldecoder(read.encoding)("replace").decode(_head(source)).removeprefix("\ufeff")
    lines = io.StringIO(text, newline="")
    for _ in range(read.skip):
        lines.readline()
    delimiter = read.delimiter_of(file_format)
    if len(delimiter) > 1:
        found = lines.readline().rstrip("\r\n").split(delimiter)
    else:
        quoting: dict[str, Any] = {"quotechar": read.quote} if read.quote else {"quoting": csv.QUOTE_NONE}
        found = next(csv.reader(lines, delimiter=delimiter, **quoting), [])
    if not read.header and len(found) > len(read.names):
        raise SourceFileRefused(name, f"it has {len(found)} columns, and read.names has {len(read.names)}")
    _refuse_other_delimiter(found, delimiter, name)
    names = [*read.names] or [column.strip() or f"column_{place}" for place, column in enumerate(found, start=1)]
    lower = [column.lower() for column in names]
    if twins := sorted({column for column in lower if lower.count(column) > 1}):
        raise SourceFileRefused(name, f"its header names columns twice: {', '.join(twins)}. Name all of them with read.names")
    return names


def _refuse_other_delimiter(found: list[str], delimiter: str, name: str) -> None:
    other = next((mark for mark in (",", ";", "\t", "|") if mark != delimiter and mark in found[0]), None) if len(found) == 1 else None
    if other:
        raise SourceFileRefused(name, f"its one column is named {found[0][:60]!r}: the delimiter looks like {other!r}. Set read.delimiter")


def json_shape(local: Path, file_format: FileFormat) -> JsonShape:
    """Return whether a JSON file is an array, one record a line, or objects one after the other in any form."""
    with opened(local, file_format, str(local)) as source:
        head = _head(source).decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    if head.startswith("["):
        return "array"
    first = head.partition("\n")[0].rstrip()
    # Only a first line that opens an object and leaves it open is the beginning of a document; one that is merely broken is not.
    return "objects" if _OPEN_OBJECT.fullmatch(first) and len(first) < _HEAD else "lines"


def json_query(local: Path, shape: Literal["array", "objects"]) -> Query:
    """Return the query of a JSON file's records as `line`, each in one: a line feed can only stand between tokens, and becomes a space."""
    form = "array" if shape == "array" else "unstructured"
    return Query(
        "SELECT replace(replace(CAST(json AS VARCHAR), chr(10), ' '), chr(13), ' ') AS line "
        f"FROM read_json_objects(?, format = '{form}', maximum_object_size = ?)",
        [str(local), LONGEST_RECORD],
    )


def _longest_csv(local: Path, file_format: FileFormat) -> int:
    """Return a bound on a record's bytes; one buffer of the size is held for each thread."""
    return LONGEST_RECORD if "." in file_format else min(LONGEST_RECORD, max(2 * 2**20, local.stat().st_size))


def _value(connection: DuckDBPyConnection, sql: str, query: Query | None = None) -> int:
    # All of the answer: DuckDB writes down what it rejected when a query has ended.
    return int(connection.execute(sql, query.values if query else []).fetchall()[0][0])


def _parquet_rows(local: Path, name: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(local).num_rows)
    except (pa.ArrowInvalid, OSError) as err:
        raise SourceFileRefused(name, f"it is no whole Parquet file: {str(err).splitlines()[0]}") from err


def _expanded(local: Path, file_format: FileFormat, read: ReadOptions, name: str) -> Counted:
    """Read a file to its end and return its lines; a cut or damaged one is refused here, since DuckDB would take its beginning."""
    rows = longest = size = 0
    waiting = bytearray()
    packed = max(local.stat().st_size, 1)
    with opened(local, file_format, name) as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > read.limits.expanded_bytes or (size > _FREE_EXPANSION and size > packed * read.limits.ratio):
                raise SourceFileRefused(name, f"{packed} bytes expand to more than {size}: a bomb, or raise read.limits")
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                waiting += line
                rows, longest = rows + bool(waiting.strip()), max(longest, len(waiting))
                waiting.clear()
            waiting += rest
            if len(waiting) > LONGEST_RECORD and file_format.startswith("jsonl"):
                raise SourceFileRefused(name, f"a line is longer than {LONGEST_RECORD} bytes")
            if len(waiting) > LONGEST_RECORD:
                del waiting[1:]  # a document of one line
    return Counted(rows + bool(waiting.strip()), max(longest, len(waiting)))


@contextmanager
def opened(local: Path, file_format: FileFormat, name: str) -> Iterator[BinaryIO]:
    """Open a file's expanded bytes; raises `SourceFileRefused` when the compressed data are cut or damaged."""
    compression = file_format.partition(".")[2] if local.stat().st_size else ""
    with local.open("rb") as source:
        try:
            if compression == "gz":
                yield _gzip(source)
            elif compression == "zst":
                import pyarrow as pa

                # Tells a cut frame, unlike zstandard's own stream.
                yield cast(BinaryIO, io.BufferedReader(cast(Any, pa.CompressedInputStream(source, "zstd")), _CHUNK))
            else:
                yield source
        except (EOFError, zlib.error, OSError, ValueError) as err:
            if isinstance(err, OSError) and err.errno is not None:
                raise
            raise SourceFileRefused(name, f"its compressed data are cut or damaged ({err})") from err


def _gzip(source: BinaryIO) -> BinaryIO:
    try:
        from isal import igzip
    except ImportError:
        import gzip

        return cast(BinaryIO, gzip.GzipFile(fileobj=source))
    reader: Any = igzip.IGzipFile
    return cast(BinaryIO, reader(fileobj=source))


def _head(source: BinaryIO) -> bytes:
    return source.read(_HEAD)

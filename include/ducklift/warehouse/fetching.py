"""A load's files on this machine, as its readers take them: raw files of the lake as they are, whole files of a source made alike.

What a source gave whole becomes Parquet (of CSV: all texts) or JSON lines, with the columns that its path tells; of Parquet in place only
the wanted rows and columns are read. Everything is compared with the manifest first: a cut gzip would otherwise load in part, in silence.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from ducklift.errors import CorruptObject, RawExpired, SourceFileRefused
from ducklift.failpoints import reach
from ducklift.lake.expiry import refuse_expired
from ducklift.lake.file_reading import REJECTED, FileDuckDB, Query, count_rows, csv_query, json_query, json_shape, opened, rejects
from ducklift.lake.filesystem import open_place
from ducklift.lake.foreign_objects import fetch_object, refuse_changed
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.loaded_files import LoadedFiles
from ducklift.lake.manifest import Manifest, RawFile
from ducklift.lake.parquet_parts import Range, copy_part, with_values
from ducklift.lake.store import Store
from ducklift.lake.swept import as_swept
from ducklift.settings import Settings
from ducklift.source_files import FileFormat, Origin, ReadOptions, kind_of
from ducklift.specs import TableSpec
from ducklift.warehouse.identifiers import quote_literal
from ducklift.warehouse.naming import snake_case

_BATCH_ROWS = 122_880
_LINES_BYTES = 4 * 2**20
_EMPTY_OBJECT = re.compile(rb"^[ \t]*\{[ \t]*\}", re.MULTILINE)
_OBJECT = re.compile(rb"^[ \t]*\{(?![ \t]*\})", re.MULTILINE)


@dataclass(frozen=True)
class Fetched:
    """A load's manifest as it landed, and with the files that have rows to read; these are on this machine.

    `left_out` rows are in the table already. `followed` is the commit up to which that was looked up, where it was. `changed_ns` tells of
    raw files when each was last changed, as it was when their verification began: one may be the lake's own file, under another name.
    """

    landed: Manifest
    manifest: Manifest
    files: list[Path]
    left_out: int = 0
    followed: int | None = None
    changed_ns: Mapping[Path, int] = field(default_factory=dict)

    def refuse_changed(self) -> None:
        """Raise `CorruptObject` when a raw file was written to after it was verified; to be asked once its rows are read."""
        for local, changed_ns in self.changed_ns.items():
            if local.stat().st_mtime_ns != changed_ns:
                raise CorruptObject(local.name, "a raw file that nobody changes", "one that was changed while it was loaded")


def fetch(lake: Store, manifest: Manifest, spec: TableSpec, folder: Path, settings: Settings, there: LoadedFiles | None = None) -> Fetched:
    """Bring a load's files to `folder`, but for those of a source that are `there` already.

    Raises `CorruptObject` when a raw file is not what the manifest says, `RawExpired` when it was deleted on purpose, `SourceFileChanged`
    when a file in place is another one by now, and `SourceFileRefused` when it cannot be read.
    """
    if not any(file.origin for file in manifest.files):
        changed_ns = _raw_files(lake, manifest, folder)
        reach("load.downloaded")
        return Fetched(manifest, manifest, list(changed_ns), changed_ns=changed_ns)
    known = {file.key for file in there.among(manifest.files)} if there is not None else set()
    wanted = [file for file in manifest.files if file.key not in known]
    fetcher = _Fetcher(lake, manifest, needed_fields(spec), folder, settings)
    with closing(fetcher.reader):
        pairs = [pair for index, file in enumerate(wanted) if (pair := fetcher.fetched(index, file)) is not None]
    reach("load.downloaded")
    left_out = sum(file.rows for file in manifest.files) - sum(file.rows for file in wanted)
    read = manifest.model_copy(update={"files": tuple(file for file, _ in pairs), "rows": sum(file.rows for file, _ in pairs)})
    return Fetched(manifest, read, [local for _, local in pairs], left_out, there.sequence if there is not None else None)


def needed_fields(spec: TableSpec) -> frozenset[str] | None:
    """Return the fields that a table is made of, as they may be called; None where every field of a record is wanted."""
    if spec.fields == "all" or spec.record_column:
        return None
    named = [*spec.primary_key, *spec.merge_key, *(column.field for column in spec.columns)]
    named += spec.synthetic_key.columns if spec.synthetic_key else ()
    named += [spec.incremental.cursor] if spec.incremental else []
    return frozenset([*named, *([spec.deleted_column] if spec.deleted_column else [])])


def _raw_files(lake: Store, manifest: Manifest, folder: Path) -> dict[Path, int]:
    """Bring a load's raw files here, or those that a deletion sweep put in their place: as many records each, in the same order.

    Returns when each was last changed, in nanoseconds.
    """
    try:
        return dict(_verified(lake, manifest, index, file, folder, lake.share_file) for index, file in enumerate(manifest.files))
    except CorruptObject as err:
        missing = not isinstance(err, RawExpired) and err.found == "none"
        swept = as_swept(lake, manifest) if missing else None
        if swept is None:
            raise
        return dict(_verified(lake, swept, index, file, folder, lake.share_file) for index, file in enumerate(swept.files))


def _verified(
    lake: Store, manifest: Manifest, index: int, file: RawFile, folder: Path, get: Callable[[str, Path], None]
) -> tuple[Path, int]:
    """Bring a file here by `get`, compare it with the manifest, and return it with the time of its last change before that."""
    # Layouts may give two files of one load the same last name.
    local = folder / f"{index:05d}" / file.key.rpartition("/")[2]
    try:
        get(file.key, local)
    except CorruptObject as err:
        refuse_expired(lake, manifest.table, manifest.load_id, err.url)
        raise
    stat = local.stat()
    if stat.st_size != file.size_bytes:
        raise CorruptObject(lake.url_of(file.key), f"{file.size_bytes} bytes", f"{stat.st_size} bytes")
    found = file_sha256(local)
    if found != file.sha256:
        raise CorruptObject(lake.url_of(file.key), f"sha256 {file.sha256}", f"sha256 {found}")
    return local, stat.st_mtime_ns


class _Fetcher:
    """Fetches the files of one load; places are opened once."""

    def __init__(self, lake: Store, manifest: Manifest, needed: frozenset[str] | None, folder: Path, settings: Settings) -> None:
        self._lake, self._manifest, self._needed, self._folder = lake, manifest, needed, folder
        self._read = manifest.read or ReadOptions()
        self.reader = FileDuckDB(folder)
        self._opened = cache(lambda place, access: open_place(settings, place, access))

    def fetched(self, index: int, file: RawFile) -> tuple[RawFile, Path] | None:
        """Return a file as it is to be read, and its rows; None when there is nothing in it."""
        if file.counted and not file.rows:
            return None
        folder = self._folder / f"{index:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        file_format: FileFormat = file.format or self._manifest.format
        origin = file.origin
        if origin is not None and origin.in_place and file_format == "parquet":
            return file, self._part(file, origin, folder / "part.parquet")
        if origin is not None and origin.in_place:
            local = folder / f"object.{file_format}"
            fetch_object(self._place(origin), origin, local)
            counted = count_rows(self.reader, local, file_format, self._read, file.source)
            sizes = {"rows": counted.rows, "longest_record_bytes": counted.longest_record_bytes}
            file = file.model_copy(update={**sizes, "counted": True})
            if not file.rows:
                return None
        else:
            local, _ = _verified(self._lake, self._manifest, index, file, self._folder, self._lake.get_file)
        return file, self._alike(local, file, file_format)

    def _place(self, origin: Origin) -> Store:
        return self._opened(origin.place, origin.access)

    def _part(self, file: RawFile, origin: Origin, target: Path) -> Path:
        store = self._place(origin)
        refuse_changed(store, origin)
        wanted = Range(origin.cursor, origin.cursor_from, origin.cursor_to)
        with store.opened(origin.key) as source:
            rows = copy_part(source, target, wanted, origin.url, origin.row_groups, self._is_needed, file.values)
        refuse_changed(store, origin)
        if rows != file.rows:
            raise CorruptObject(origin.url, f"{file.rows} rows", f"{rows} rows")
        return target

    def _is_needed(self, field: str) -> bool:
        return self._needed is None or field in self._needed or snake_case(field) in self._needed

    def _alike(self, local: Path, file: RawFile, file_format: FileFormat) -> Path:
        """Return a local file as the readers take it; the one it was made from goes."""
        kind, target = kind_of(file_format), local.parent / "alike"
        if kind == "parquet":
            if not file.values:
                return local
            with local.open("rb") as source:
                copy_part(source, target, Range(), file.source, None, None, file.values)
        elif kind == "csv":
            with self.reader.reading(file.source) as connection:
                query = csv_query(local, file_format, self._read, file.source)
                _csv_as_parquet(connection, query, target, file, self._read.header)
        else:
            shape = "lines" if file_format.startswith("jsonl") else json_shape(local, file_format)
            if shape == "lines" and not file.values:
                return _named_as_lines(local, file_format)
            if shape == "lines":
                _lines_with_values(local, file_format, target, file)
            else:
                with self.reader.reading(file.source) as connection:
                    _json_as_lines(connection, json_query(local, shape), target, file)
        local.unlink()
        return target


def _named_as_lines(local: Path, file_format: FileFormat) -> Path:
    """Give a file the ending by which DuckDB knows its compression."""
    _, dot, compression = file_format.partition(".")
    return local.rename(local.parent / f"alike.jsonl{dot}{compression}")


def _csv_as_parquet(connection: Any, query: Query, target: Path, file: RawFile, has_header: bool) -> None:
    """Write the records of a CSV file as texts; the text of one that does not fit the header stands in a column of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = connection.execute(query.sql, query.values).to_arrow_reader(_BATCH_ROWS)
    names = [*reader.schema.names, *file.values]
    if twins := sorted({name for name in names if [each.lower() for each in names].count(name.lower()) > 1}):
        raise SourceFileRefused(file.source, f"its path tells {', '.join(twins)}, and so do its records: set source.hive to false")
    with pq.ParquetWriter(target, pa.schema([(name, pa.string()) for name in names])) as writer:
        for batch in reader:
            writer.write_batch(with_values(batch, file.values))
    if rejects(connection):
        _put_rejected_in(connection, target, has_header)


def _put_rejected_in(connection: Any, target: Path, has_header: bool) -> None:
    """Put the records that did not fit the header among the others, where they stood in the file."""
    good = target.rename(target.with_suffix(".good"))
    connection.execute(
        f"""
        COPY (
            SELECT * EXCLUDE (__ducklift_after, __ducklift_then) FROM (
                SELECT *, row_number() OVER () AS __ducklift_after, 0 AS __ducklift_then FROM read_parquet({quote_literal(str(good))})
                UNION ALL BY NAME
                SELECT text AS {REJECTED}, greatest(line - {int(has_header)} - nth, 0) AS __ducklift_after, nth AS __ducklift_then
                FROM (SELECT line, any_value(csv_line) AS text, row_number() OVER (ORDER BY line) AS nth FROM reject_errors GROUP BY line)
            ) ORDER BY __ducklift_after, __ducklift_then
        ) TO {quote_literal(str(target))} (FORMAT parquet)
        """
    )
    good.unlink()


def _lines_with_values(local: Path, file_format: FileFormat, target: Path, file: RawFile) -> None:
    """Write JSON lines anew with the columns of their path put in front of each record; a line that is no object stays as it is."""
    spliced = orjson.dumps(file.values)[1:-1]
    told_too = re.compile(b"|".join(re.escape(orjson.dumps(name)) + rb"\s*:" for name in file.values))
    with opened(local, file_format, file.source) as source, target.open("wb") as sink:
        before = codecs.BOM_UTF8
        while lines := source.readlines(_LINES_BYTES):
            text = b"".join(lines).removeprefix(before)
            before = b""
            for match in told_too.finditer(text):
                start, end = text.rfind(b"\n", 0, match.start()) + 1, text.find(b"\n", match.end())
                _refuse_told_twice(text[start : end if end >= 0 else len(text)], file)
            text = _OBJECT.sub(lambda _: b"{" + spliced + b",", text)
            sink.write(_EMPTY_OBJECT.sub(lambda _: b"{" + spliced + b"}", text))


def _refuse_told_twice(line: bytes, file: RawFile) -> None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return  # goes to quarantine
    if twins := sorted(set(record) & set(file.values) if isinstance(record, dict) else ()):
        raise SourceFileRefused(file.source, f"its path tells {', '.join(twins)}, and so do its records: set source.hive to false")


def _json_as_lines(connection: Any, query: Query, target: Path, file: RawFile) -> None:
    """Write the records of a JSON document one a line, each as it stood there, and then as JSON lines that were one from the start."""
    lines = target.with_suffix(".jsonl")
    connection.execute(
        f"COPY ({query.sql}) TO {quote_literal(str(lines if file.values else target))} "
        "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01')",
        query.values,
    )
    if file.values:
        _lines_with_values(lines, "jsonl", target, file)
        lines.unlink()

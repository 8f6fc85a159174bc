"""Raw files as SQL. Each format gives a relation with `position` (place in the load, from 1), `filename`, and the wanted fields.

Order is that of the files and of the records in them.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from ducklift.lake.file_reading import REJECTED
from ducklift.lake.manifest import Manifest
from ducklift.source_files import kind_of
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_literal

_SMALLEST_OBJECT_LIMIT = 16 * 2**20  # DuckDB's own default, in bytes
_SMALLEST_LINE_LIMIT = 2 * 2**20  # the same for CSV; each thread's buffers grow with it
_GREATEST_LINE_LIMIT = 64 * 2**20
_FILE = "__ducklift_file"
_NUMBER = "file_row_number"  # as DuckDB calls the place of a row in a Parquet file, from 0

Shape = Literal["VARCHAR", "JSON", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ"]
"""How a field is wanted: as its text, as JSON (a string with its quotes), or as a type that its values are known to have."""

_UNTYPED = ("VARCHAR", "JSON")


@dataclass(frozen=True)
class Relation:
    """SQL of a relation, and the SQL of each wanted field in it. `broken` is true for a record that cannot be read at all, for `reason`.

    `whole` is the record's text, where the relation was asked for it. `types` names the fields that came as the type that was asked for.
    """

    sql: str
    fields: Mapping[str, str]
    broken: str = "false"
    whole: str = "CAST(record AS VARCHAR)"
    reason: str = "the record is not a JSON object"
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Reader(ABC):
    """The raw files of one load; `kinds` is what their manifest tells of their values.

    Without `numbered` the records' position is NULL: to count them costs as much as to read them.
    """

    files: tuple[str, ...]
    kinds: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, kw_only=True)
    numbered: bool = dataclasses.field(default=True, kw_only=True)

    typed = False
    texts_only = False

    @abstractmethod
    def relation(self, warehouse: Warehouse, wanted: Mapping[str, Shape], *, with_record: bool = False) -> Relation:
        """Return the relation of the wanted fields; `with_record` adds `record`, the whole record as JSON."""

    @abstractmethod
    def fields(self, warehouse: Warehouse) -> list[str]:
        """Return the names of all fields in the files, read from the files themselves."""

    def types(self, warehouse: Warehouse) -> dict[str, str]:
        """Return the types that the files themselves give their fields; empty for formats without types."""
        del warehouse
        return {}

    def slower(self) -> Reader | None:
        """Return a reader that takes what this one stumbles over, or None."""
        return None

    def _place(self) -> str:
        return "row_number() OVER ()" if self.numbered else "CAST(NULL AS BIGINT)"

    def _listed(self) -> str:
        return f"[{', '.join(quote_literal(file) for file in self.files)}]"


@dataclass(frozen=True)
class JsonReader(Reader):
    """JSON lines. `fields` reads the wanted ones alone and is the quickest; `records` reads all; `lines` takes even what is no JSON."""

    longest_record_bytes: int = _SMALLEST_OBJECT_LIMIT
    mode: Literal["fields", "records", "lines"] = "fields"

    def slower(self) -> Reader | None:
        """Return the next more patient way."""
        following: dict[str, Literal["records", "lines"]] = {"fields": "records", "records": "lines"}
        return replace(self, mode=following[self.mode]) if self.mode in following else None

    def relation(self, warehouse: Warehouse, wanted: Mapping[str, Shape], *, with_record: bool = False) -> Relation:
        """Return the relation. Names that differ in case only need whole records, and so does the empty one: columns tell neither."""
        del warehouse
        twins = len({field.lower() for field in wanted}) < len(wanted) or "" in wanted
        if self.mode == "fields" and not with_record and not twins and wanted:
            columns = ", ".join(f"{quote_literal(field)}: {quote_literal(shape)}" for field, shape in wanted.items())
            aliased = ", ".join(f"{quote_identifier(field)} AS f{index}" for index, field in enumerate(wanted))
            return Relation(
                f"SELECT {aliased}, {quote_identifier(_FILE)} AS filename, {self._place()} AS position "
                # Left to guess, DuckDB takes whole records for the value of a lone column when one line is no object, or the first is {}.
                f"FROM read_json({self._listed()}, format = 'newline_delimited', records = 'true', columns = {{{columns}}}, "
                f"{self._options()})",
                {field: f"f{index}" for index, field in enumerate(wanted)},
                types={field: shape for field, shape in wanted.items() if shape not in _UNTYPED},
            )
        return self._whole(wanted)

    def _whole(self, wanted: Mapping[str, Shape]) -> Relation:
        texts = [field for field, shape in wanted.items() if shape != "JSON"]
        jsons = [field for field, shape in wanted.items() if shape == "JSON"]
        # All texts by one pass over the record, and all JSON values by another: extracting field by field parses it each time.
        taken = f"json_extract_string(record, {_paths(texts)}) AS texts, json_extract(record, {_paths(jsons)}) AS jsons"
        expressions = {field: f"texts[{index}]" for index, field in enumerate(texts, start=1)}
        expressions |= {field: f"nullif(jsons[{index}], 'null'::JSON)" for index, field in enumerate(jsons, start=1)}
        whole = "line" if self.mode == "lines" else "CAST(record AS VARCHAR)"
        sql = f"SELECT record, filename, position, {whole} AS whole, {taken} FROM ({self.records()})"
        return Relation(sql, expressions, broken="(record::VARCHAR)[1] <> '{'", whole="whole")

    def records(self) -> str:
        """Return the SQL of the whole records, as JSON, with file and position; and the line, where lines are read."""
        if self.mode == "lines":
            return (
                f"SELECT CASE WHEN json_valid(line) THEN CAST(line AS JSON) ELSE to_json(line) END AS record, filename, position, line "
                f"FROM ({self._lines()})"
            )
        return (
            f"SELECT json AS record, {quote_identifier(_FILE)} AS filename, {self._place()} AS position "
            f"FROM read_ndjson_objects({self._listed()}, {self._options()})"
        )

    def fields(self, warehouse: Warehouse) -> list[str]:
        """Return the union of the records' top-level names, by a pass over all of them."""
        whole = self._whole({}).sql
        rows = warehouse.rows(f"SELECT DISTINCT unnest(json_keys(record)) FROM ({whole}) WHERE (record::VARCHAR)[1] = '{{'")
        return sorted(row[0] for row in rows)

    def _options(self) -> str:
        return f"filename = {quote_literal(_FILE)}, maximum_object_size = {self.longest_record_bytes}"

    def _lines(self) -> str:
        # A delimiter and quotes that cannot stand in a line of JSON make CSV's reader a reader of lines.
        return (
            f"SELECT line, {quote_identifier(_FILE)} AS filename, row_number() OVER () AS position FROM read_csv({self._listed()}, "
            f"columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, delim = '{chr(1)}', quote = '', escape = '', "
            f"filename = {quote_literal(_FILE)}, max_line_size = {self.longest_record_bytes}, null_padding = false) WHERE trim(line) <> ''"
        )


def _paths(fields: Sequence[str]) -> str:
    """Return the fields as a SQL list of JSON pointers, which take any name; without fields, one that leads nowhere."""
    pointers = ["/" + field.replace("~", "~0").replace("/", "~1") for field in fields] or ["/ /none"]
    return f"[{', '.join(quote_literal(pointer) for pointer in pointers)}]"


@dataclass(frozen=True)
class _TableReader(Reader):
    """Formats that are tables: fields are columns, read by name over all files."""

    rows: tuple[int, ...] = dataclasses.field(default=(), kw_only=True)

    @abstractmethod
    def _source(self, types: Mapping[str, str] | None = None) -> str:
        """Return the table function's call; its file name column is `_FILE`. `types` are wanted of columns that would be texts."""

    def relation(self, warehouse: Warehouse, wanted: Mapping[str, Shape], *, with_record: bool = False) -> Relation:
        """Return the relation; a wanted field that no file has is NULL."""
        known = self._known(warehouse)
        typed = {field: shape for field, shape in wanted.items() if shape not in _UNTYPED and field in known}
        selected, expressions = [], {}
        for index, (field, shape) in enumerate(wanted.items()):
            if field not in known:
                expressions[field] = f"CAST(NULL AS {shape})"
                continue
            name = quote_identifier(field)
            selected.append(f"{_json_of(name, known[field]) if shape == 'JSON' else name} AS f{index}")
            expressions[field] = f"f{index}"
        if with_record:
            names = [quote_identifier(field) for field in known if field != REJECTED]
            selected.append(f"to_json({{{', '.join(f'{name}: {name}' for name in names)}}}) AS record")
        places = [f"{quote_identifier(_FILE)} AS filename", f"{self._place()} AS position"]
        return Relation(f"SELECT {', '.join([*selected, *places])} FROM {self._source(typed)}", expressions, types=typed)

    def fields(self, warehouse: Warehouse) -> list[str]:
        """Return the names of the files' columns."""
        return list(self._described(warehouse))

    def _known(self, warehouse: Warehouse) -> dict[str, str]:
        return self.types(warehouse) or dict.fromkeys(self.fields(warehouse), "VARCHAR")

    def _described(self, warehouse: Warehouse) -> dict[str, str]:
        rows = warehouse.rows(f"DESCRIBE SELECT * FROM {self._source()}")
        return {name: type_ for name, type_, *_ in rows if name not in (_FILE, _NUMBER if self.rows else None)}


def _json_of(name: str, type_: str) -> str:
    if type_ == "JSON":
        return name
    if type_ == "VARCHAR":
        return f"CASE WHEN json_valid({name}) THEN {name}::JSON ELSE to_json({name}) END"
    return f"to_json({name})"


@dataclass(frozen=True)
class CsvReader(_TableReader):
    """CSV with a header; every value is text until it is converted, unless its type is known."""

    longest_record_bytes: int = _SMALLEST_LINE_LIMIT
    texts_only = True

    def slower(self) -> Reader | None:
        """Return the reader that relies on nothing that is told of the records."""
        patient = replace(self, kinds={}, longest_record_bytes=max(self.longest_record_bytes, _GREATEST_LINE_LIMIT))
        return patient if patient != self else None

    def _source(self, types: Mapping[str, str] | None = None) -> str:
        listed = ", ".join(f"{quote_literal(field)}: {quote_literal(type_)}" for field, type_ in (types or {}).items())
        options = "header = true, all_varchar = true, union_by_name = true" + (f", types = {{{listed}}}" if listed else "")
        return (
            f"read_csv({self._listed()}, {options}, delim = ',', quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, "
            f"max_line_size = {self.longest_record_bytes}, filename = {quote_literal(_FILE)})"
        )


@dataclass(frozen=True)
class ParquetReader(_TableReader):
    """Parquet; columns have types, and nested ones are read as JSON where JSON is wanted.

    `rows` are those of each file, where records can be numbered by their place in it.
    """

    typed = True

    def _place(self) -> str:
        if not self.numbered or not self.rows:
            return super()._place()
        # By the file's own numbers: a window would read all files by one thread.
        before = dict(zip(self.files, accumulate(self.rows, initial=1), strict=False))
        first = f"map {{{', '.join(f'{quote_literal(name)}: {number}' for name, number in before.items())}}}[{quote_identifier(_FILE)}]"
        return f"{_NUMBER} + {first if len(self.files) > 1 else 1}"

    def types(self, warehouse: Warehouse) -> dict[str, str]:
        """Return the files' columns and their types."""
        return self._described(warehouse)

    def _source(self, types: Mapping[str, str] | None = None) -> str:
        del types
        numbers = "file_row_number = true, " if self.rows else ""
        return f"read_parquet({self._listed()}, union_by_name = true, {numbers}filename = {quote_literal(_FILE)})"


@dataclass(frozen=True)
class TextParquetReader(ParquetReader):
    """What was fetched of CSV: Parquet whose columns are all texts; a record that did not fit the header stands in one of its own."""

    typed = False
    texts_only = True

    def relation(self, warehouse: Warehouse, wanted: Mapping[str, Shape], *, with_record: bool = False) -> Relation:
        """Return the relation; a record that did not fit has no fields and is broken, and its text is the record."""
        if REJECTED not in self._known(warehouse):
            return super().relation(warehouse, wanted, with_record=with_record)
        found = super().relation(warehouse, {**wanted, REJECTED: "VARCHAR"}, with_record=with_record)
        rejected = found.fields[REJECTED]
        whole = f"CASE WHEN {rejected} IS NULL THEN CAST(record AS VARCHAR) ELSE to_json({rejected})::VARCHAR END"
        return Relation(found.sql, found.fields, f"{rejected} IS NOT NULL", whole, "the record has not the columns of the header")

    def types(self, warehouse: Warehouse) -> dict[str, str]:
        """Return the columns without the one of rejected records."""
        return dict.fromkeys(self.fields(warehouse), "VARCHAR")

    def fields(self, warehouse: Warehouse) -> list[str]:
        """Return the names of the columns that records have."""
        return [name for name in self._described(warehouse) if name != REJECTED]

    def _known(self, warehouse: Warehouse) -> dict[str, str]:
        return self._described(warehouse)


def reader_for(manifest: Manifest, files: Sequence[Path], whole_records: bool) -> Reader | None:
    """Return the reader of a load's files, or None when it has none."""
    names = tuple(str(file) for file in files)
    if not names:
        return None
    kind = kind_of(manifest.format)
    longest = 1024 + max(file.longest_record_bytes for file in manifest.files)
    if kind == "csv":
        reader = CsvReader(names, max(longest, _SMALLEST_LINE_LIMIT), kinds=manifest.value_kinds)
        return reader if manifest.read is None else TextParquetReader(names)
    if kind == "parquet":
        # A column of the reader's own name would stand in the way of its numbers.
        known = manifest.read is None and manifest.fields and _NUMBER not in map(str.lower, manifest.fields)
        return ParquetReader(names, rows=tuple(file.rows for file in manifest.files) if known else ())
    mode: Literal["fields", "records"] = "records" if whole_records else "fields"
    return JsonReader(names, max(longest, _SMALLEST_OBJECT_LIMIT), mode, kinds=manifest.value_kinds)

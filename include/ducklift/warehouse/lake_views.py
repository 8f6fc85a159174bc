"""Tables that live in the lake alone as DuckDB views over the raw files of their live loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ducklift.lake.columns import PADDING
from ducklift.lake.dataset import LiveFile, live_files
from ducklift.lake.folder import LocalStore
from ducklift.lake.store import Store
from ducklift.specs import TableName, TableSpec
from ducklift.warehouse.identifiers import quote_identifier, quote_literal, quote_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FILE = "_ducklift_file"
_PLACE = "_ducklift_place"


def create_view(connection: DuckDBPyConnection, lake: Store, table: TableName) -> None:
    """Make a view `dataset.table` of the table's live files in a DuckDB connection, as the lake knows them now.

    Its columns are the fields as they stand in the files, typed by DuckDB over all of them, and `_load_id`, `_extracted_at` and
    `_source_file`. With disposition `merge` it shows the newest version of each key, and every record without one. Later loads need the
    view made again.

    The files of a store that is no folder are read by Python: give such a connection one thread (`SET threads = 1`), since some of its
    methods (`relation.project`) hold on to Python while threads of DuckDB's own wait for it.
    """
    if not isinstance(lake, LocalStore):
        connection.register_filesystem(lake.filesystem)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(table.dataset)}")
    connection.execute(f"CREATE OR REPLACE VIEW {quote_table(table)} AS {dataset_sql(lake, table)}")


def dataset_sql(lake: Store, table: TableName) -> str:
    """Return the query that reads a table's live files; its result is empty, without columns of its own, when there is no file."""
    files = live_files(lake, table)
    if not files:
        return "SELECT CAST(NULL AS VARCHAR) AS _load_id, CAST(NULL AS TIMESTAMPTZ) AS _extracted_at, '' AS _source_file WHERE false"
    groups: dict[tuple[str, bool], list[LiveFile]] = {}
    for live in files:
        groups.setdefault((live.kind, live.file.origin is None), []).append(live)
    spec = files[-1].manifest.spec
    merged = spec.disposition == "merge" and bool(spec.primary_key)
    # Only where it is asked for: to number the rows, DuckDB reads with one thread.
    place = f"row_number() OVER () AS {_PLACE}" if merged else f"NULL AS {_PLACE}"
    reads = (f"(SELECT *, {place} FROM {_reader(lake, kind, own, chosen)})" for (kind, own), chosen in groups.items())
    read = " UNION ALL BY NAME ".join(reads)
    lineage = ", ".join(
        f"({quote_literal(_path(lake, live))}, {quote_literal(live.manifest.load_id)}, "
        f"CAST({quote_literal(live.manifest.extracted_at.isoformat())} AS TIMESTAMPTZ), {quote_literal(live.file.source)})"
        for live in files
    )
    joined = (
        f"SELECT rows.* EXCLUDE ({_FILE}, {_PLACE}), _load_id, _extracted_at, _source_file FROM ({read}) AS rows "
        f"JOIN (VALUES {lineage}) AS loads({_FILE}, _load_id, _extracted_at, _source_file) USING ({_FILE})"
    )
    return _newest(joined, spec) if merged else joined


def _reader(lake: Store, kind: str, own: bool, files: Sequence[LiveFile]) -> str:
    """Return the SQL that reads files of one kind; those that Ducklift wrote as they were written, a source's as DuckDB finds them."""
    paths = f"[{', '.join(quote_literal(_path(lake, live)) for live in files)}]"
    # A folder named as a field is would hide what the records hold.
    options = f"union_by_name = true, hive_partitioning = false, filename = '{_FILE}'"
    longest = max(live.file.longest_record_bytes for live in files) + 1024
    if kind == "parquet":
        return _without_padding(f"read_parquet({paths}, {options})")
    if kind == "csv":
        written = "delim = ',', quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, " if own else ""
        limit = f"max_line_size = {max(2 * 2**20, longest)}"
        return _without_padding(f"read_csv({paths}, {options}, sample_size = -1, header = true, {written}{limit})")
    form = "auto" if kind == "json" else "newline_delimited"
    return f"read_json({paths}, {options}, format = '{form}', sample_size = -1, maximum_object_size = {max(16 * 2**20, longest)})"


def _without_padding(read: str) -> str:
    return f"(SELECT COLUMNS(name -> name <> {quote_literal(PADDING)}) FROM {read})"


def _newest(sql: str, spec: TableSpec) -> str:
    fields = {column.name: column.field for column in spec.columns}
    keys = [_key(name, fields, spec) for name in spec.primary_key]
    cursor = f"{quote_identifier(spec.incremental.cursor)} DESC NULLS LAST, " if spec.incremental else ""
    order = f"{cursor}_extracted_at DESC, _load_id DESC, {_PLACE} DESC"
    keyless = " OR ".join(f"{key} IS NULL" for key in keys)
    return f"{sql} QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {order}) = 1 OR {keyless}"


def _key(name: str, fields: Mapping[str, str], spec: TableSpec) -> str:
    """Return the SQL of a key column, from the fields that it is made of."""
    made = spec.synthetic_key
    if made is None or name != made.name:
        return quote_identifier(fields.get(name, name))
    return f"concat_ws('|', {', '.join(f'CAST({quote_identifier(field)} AS VARCHAR)' for field in made.columns)})"


def _path(lake: Store, live: LiveFile) -> str:
    path = lake.path(live.file.key)
    if isinstance(lake, LocalStore):
        return path
    return str(lake.filesystem.unstrip_protocol(path))

"""What every disposition works with: one load about to be applied, and the SQL pieces that its statements share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ducklift.cursors import Cursor
from ducklift.errors import ConfigurationError
from ducklift.specs import TableSpec
from ducklift.warehouse.columns import Column, conversion
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.evolution import PLAIN_NESTED, Plan
from ducklift.warehouse.identifiers import quote_identifier, quote_literal, quote_table
from ducklift.warehouse.staging import STAGED


@dataclass(frozen=True)
class Landing:
    """One load: its plan, the values of its lineage columns, and the stream's watermark before it.

    `stream` is the pipeline and its stream; `is_retry` says that the rows are those of an earlier load that were quarantined.
    """

    plan: Plan
    load_id: str
    loaded_at: datetime
    extracted_at: datetime
    stream: tuple[str, str]
    watermark: Cursor | None = None
    is_retry: bool = False

    @property
    def spec(self) -> TableSpec:
        """Return the table's specification."""
        return self.plan.spec

    @property
    def target(self) -> str:
        """Return the quoted name of the table."""
        return quote_table(self.spec.name)

    @property
    def keys(self) -> list[str]:
        """Return the quoted key columns."""
        return [quote_identifier(name) for name in self.plan.keys]

    @property
    def same_key(self) -> str:
        """Return the SQL that joins `t` and `s` on the key."""
        return " AND ".join(f"t.{key} = s.{key}" for key in self.keys)

    @property
    def same_data(self) -> str:
        """Return the SQL that is true when `t` and `s` agree in all columns but lineage."""
        return " AND ".join(f"t.{name} IS NOT DISTINCT FROM s.{name}" for name in self.plan.data_columns) or "true"

    @property
    def loads_of_stream(self) -> str:
        """Return the SQL of the ids of the stream's loads: what other streams brought may be equal, but is not the same."""
        pipeline, stream = map(quote_literal, self.stream)
        return f"SELECT load_id FROM _ducklift.loads WHERE pipeline = {pipeline} AND stream = {stream}"

    @property
    def data_hash(self) -> str:
        """Return the SQL of 64 bits by which two versions of a row are told apart in all columns but lineage.

        A join of these holds on to a number where one of the columns would hold on to whole rows.
        """
        # DuckDB gives an empty list the hash of NULL; as JSON the two differ.
        is_nested = {
            quote_identifier(name): type_.endswith("]") or type_.startswith(PLAIN_NESTED) for name, type_ in self.plan.types().items()
        }
        return f"hash({', '.join(f'to_json({name})' if is_nested[name] else name for name in self.plan.data_columns)})"

    @property
    def cursor(self) -> str:
        """Return the quoted cursor column, or a constant when there is none."""
        column = cursor_column(self.plan)
        # Not a bare number: ORDER BY would take that for a column's place.
        return quote_identifier(column.name) if column else "CAST(NULL AS BIGINT)"

    @property
    def extracted_at_sql(self) -> str:
        """Return the load's extraction time as SQL."""
        return f"CAST({quote_literal(self.extracted_at.isoformat())} AS TIMESTAMPTZ)"

    def lineage(self) -> str:
        """Return the lineage columns as SQL values, and the row's key where child tables lean on it."""
        return f"{self.row_key} AS _row_key, {self.origin()}" if "_row_key" in self.plan.links else self.origin()

    def origin(self, of_child: bool = False) -> str:
        """Return the lineage columns as SQL values; child tables have them under their own names only."""
        wanted = {name: value for name, value in self.origins().items() if not (of_child and name in self.plan.aliases)}
        return ", ".join(f"{value} AS {quote_identifier(name)}" for name, value in wanted.items())

    def origins(self) -> dict[str, str]:
        """Return the SQL values of the lineage columns, also under the other names that the table has for them."""
        found = {
            "_load_id": quote_literal(self.load_id),
            "_loaded_at": f"CAST({quote_literal(self.loaded_at.isoformat())} AS TIMESTAMPTZ)",
            "_extracted_at": self.extracted_at_sql,
            "_source_file": "_source_file",
        }
        return found | {name: found[source] for name, source in self.plan.aliases.items()}

    @property
    def row_key(self) -> str:
        """Return the SQL of a staged row's key: of its primary key, or of its place in the load where rows may share that."""
        if not self.keys or self.spec.disposition == "append":
            return f"md5({quote_literal(self.load_id + '|')} || _position)"
        return f"md5(CAST(to_json([{', '.join(f'CAST({key} AS VARCHAR)' for key in self.keys)}]) AS VARCHAR))"

    def order(self, side: str) -> str:
        """Return the SQL row by which the newer of two versions is told; NULL cursors are the oldest."""
        cursor = f"{side}.{self.cursor}" if cursor_column(self.plan) else self.cursor
        if side == "s":
            return f"row({cursor} IS NOT NULL, {cursor}, {self.extracted_at_sql}, {quote_literal(self.load_id)})"
        return f"row({cursor} IS NOT NULL, {cursor}, {side}._extracted_at, {side}._load_id)"

    def watermark_sql(self) -> str | None:
        """Return the watermark as a value of the cursor column's type, or None when there is none."""
        column = cursor_column(self.plan)
        if column is None or self.watermark is None:
            return None
        return conversion(quote_literal(str(self.watermark)), column.type).value


def cursor_column(plan: Plan) -> Column | None:
    """Return the column that the cursor field fills, or None when the table has no cursor or keeps it in the record only."""
    if plan.spec.incremental is None:
        return None
    cursor = plan.spec.incremental.cursor
    own = [column for column in plan.columns if not column.variant_of]
    return next((column for column in own if column.field == cursor), next((column for column in own if column.name == cursor), None))


def refuse_unclear_cursor(plan: Plan) -> None:
    """Raise `ConfigurationError` where the cursor is called by its column: records are read by their field, and would have none."""
    column = cursor_column(plan)
    if plan.spec.incremental and column and column.field != plan.spec.incremental.cursor:
        told = f"{plan.spec.name}: incremental.cursor {column.name!r} is a column, which is filled from the field {column.field!r}"
        raise ConfigurationError(f"{told}. Name the field: incremental: {{cursor: {column.field}}}.")


def changed(warehouse: Warehouse, sql: str) -> int:
    """Run a statement and return how many rows it changed."""
    count: int = warehouse.value(sql)
    return count


def insert_staged(warehouse: Warehouse, landing: Landing) -> int:
    """Insert the staged rows with lineage, in their order (which DuckDB keeps); return how many."""
    columns = ", ".join([*landing.plan.data_columns, landing.lineage()])
    return changed(warehouse, f"INSERT INTO {landing.target} BY NAME SELECT {columns} FROM {STAGED}")


def remove_duplicates(warehouse: Warehouse, landing: Landing, keep_first: bool = False, keep_versions: bool = False) -> int:
    """Keep one staged row per key, the greatest (cursor, position) or the first, or one per key and cursor; return how many went."""
    versions = [landing.cursor] if keep_versions and cursor_column(landing.plan) else []
    keys = ", ".join([*landing.keys, *versions])
    # Most loads have none, and counting is a third of the cost of ranking.
    if warehouse.value(f"SELECT count(*) = count(DISTINCT ({keys})) FROM {STAGED}"):
        return 0
    cursor = landing.cursor
    order = "_position" if keep_first else f"({cursor}) IS NOT NULL DESC, {cursor} DESC, _position DESC"
    return changed(
        warehouse,
        f"DELETE FROM {STAGED} WHERE _position IN (SELECT _position FROM {STAGED} "
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) > 1)",
    )

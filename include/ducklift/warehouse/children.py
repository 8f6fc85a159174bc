"""Child tables: the lists of a table's records as tables of their own, `parent__child`, one row per element, in the same transaction.

A child row belongs to one version of a parent row: `_parent_key` and `_load_id` name it. When that version goes, its children go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ducklift.errors import ContractBroken
from ducklift.lake.commits import CommitRecord
from ducklift.specs import TableName, TableSpec
from ducklift.summary import RowCounts
from ducklift.warehouse.columns import LINEAGE_TYPES, existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.evolution import CHILD_TABLE_ADDED, Plan, apply_plan, json_fields, plan_columns, settle_types
from ducklift.warehouse.identifiers import quote_literal, quote_table
from ducklift.warehouse.landing import Landing, changed
from ducklift.warehouse.naming import column_names
from ducklift.warehouse.nesting import LISTS, NestedReader, column_name_of, parts_of, pointer_of, unfolded
from ducklift.warehouse.readers import JsonReader, Reader
from ducklift.warehouse.staging import STAGED, Staged, stage

PARENT_LINKS = {"_row_key": "VARCHAR"}
CHILD_LINKS = {"_parent_key": "VARCHAR", "_index": "BIGINT", **PARENT_LINKS}
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Child:
    """One child table of a load: where its lists were found, its plan, and its elements as they were read and as they were staged."""

    owner: TableName
    field: str
    plan: Plan
    elements: str
    staged: str
    is_new: bool

    @property
    def changes(self) -> bool:
        """Return whether the load changes the table's columns."""
        return self.plan.types().items() != self.plan.before.items()


@dataclass(frozen=True)
class _ElementReader(JsonReader):
    """The elements of lists, each as a record of its own."""

    table: str = ""

    def slower(self) -> Reader | None:
        return None

    def records(self) -> str:
        return f"SELECT record, filename, position FROM {self.table}"


def unfold(warehouse: Warehouse, spec: TableSpec, reader: Reader | None, names: Sequence[str]) -> Reader | None:
    """Return the reader with objects spread over columns and lists set apart; formats other than JSON have neither."""
    if not isinstance(reader, JsonReader):
        return reader
    cursor = [spec.incremental.cursor] if spec.incremental else []
    hashed = spec.synthetic_key.columns if spec.synthetic_key else ()
    kept = {*spec.primary_key, *spec.merge_key, *cursor, *hashed, *(column.field for column in spec.columns if column.type)}
    found = unfolded(warehouse, reader, names or reader.fields(warehouse), kept | json_fields(warehouse, spec))
    # Elsewhere the contract has its say about each list itself.
    may_be_new = spec.contract == "evolve" or not existing_columns(warehouse, spec.name)
    return replace(found, found=(*found.found, LISTS)) if found.lists and may_be_new else found


def take_in_children(warehouse: Warehouse, staged: Staged, keys: dict[str, str]) -> tuple[Staged, tuple[Child, ...]]:
    """Stage the elements of the lists in the staged records; a record with an element that cannot be loaded has a problem itself.

    Raises `ContractBroken` where the contract is `freeze`.
    """
    if not isinstance(staged.reader, NestedReader):
        return staged, ()
    places = f"SELECT _position AS position, _position AS root, '' AS path FROM {STAGED}"
    children = tuple(_Family(warehouse, keys, staged.plan.spec).of(staged.plan, staged.reader, places))
    return replace(staged, problems=warehouse.value(f"SELECT count(_problem) FROM {STAGED}")), children


@dataclass
class _Family:
    """The child tables of one load, their own child tables, and so on."""

    warehouse: Warehouse
    keys: dict[str, str]
    spec: TableSpec
    count: int = 0
    named: set[str] = field(default_factory=set)

    def of(self, plan: Plan, reader: NestedReader, places: str) -> Iterator[Child]:
        """Stage and yield the child tables of one table; `places` is SQL of where its records lie in those of the load."""
        known = child_tables(self.warehouse, plan.spec.name)
        lists = self._admitted(plan, reader, places, known)
        names = self._names(plan.spec.name, [name for name in lists if name not in known])
        for name in lists:
            table = known.get(name) or TableName(dataset=plan.spec.name.dataset, table=names[name])
            elements = self._elements(reader, name, places)
            inner = _ElementReader((), table=elements, mode="records")
            depth = reader.depth + len(parts_of(name))
            spec = TableSpec(name=table, contract=self.spec.contract, nested="tables")
            within = unfolded(self.warehouse, inner, inner.fields(self.warehouse), json_fields(self.warehouse, spec), depth)
            planned = plan_columns(self.warehouse, spec, within, within.found, CHILD_LINKS)
            staged = stage(self.warehouse, settle_types(self.warehouse, planned), within, self.keys, f"temp.staged_{self.count}")
            child = Child(plan.spec.name, name, staged.plan, elements, f"temp.staged_{self.count}", name not in known)
            self._tell_parents(child)
            yield child
            yield from self.of(child.plan, within, f"SELECT position, root, path FROM {elements}")

    def _names(self, owner: TableName, new: Sequence[str]) -> dict[str, str]:
        rows = self.warehouse.rows(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = ? AND database_name = current_database()", [owner.dataset]
        )
        taken = self.named | {name for (name,) in rows} | {self.spec.name.table}
        names = column_names(new, taken, lambda name: f"{owner.table}__{column_name_of(name)}", _LONGEST_NAME)
        self.named.update(names.values())
        return names

    def _admitted(self, plan: Plan, reader: NestedReader, places: str, known: dict[str, TableName]) -> list[str]:
        """Return the lists that the contract lets into child tables; records with others get a problem."""
        new = [name for name in reader.lists if name not in known]
        if plan.is_new or plan.spec.contract == "evolve" or not new:
            return list(reader.lists)
        if plan.spec.contract == "freeze":
            raise ContractBroken(str(plan.spec.name), f"the contract is 'freeze', but these lists are new: {', '.join(new)}")
        for name in new:
            relation = reader.whole(self.warehouse, [name])
            value = relation.fields[name]
            self._mark(
                f"SELECT root, {quote_literal(f'field {name}: not in the table')} AS problem "
                f"FROM ({relation.sql}) JOIN ({places}) USING (position) WHERE json_array_length({value}) > 0"
            )
        return [name for name in reader.lists if name in known]

    def _elements(self, reader: NestedReader, name: str, places: str) -> str:
        """Make the temporary table of a list's elements; one that is no object becomes an object with a `value`."""
        self.count += 1
        table = f"temp.elements_{self.count}"
        relation = reader.whole(self.warehouse, [name])
        below = quote_literal(pointer_of(parts_of(name)) + "/")
        self.warehouse.run(f"""
            CREATE OR REPLACE TEMPORARY TABLE {table} AS
            SELECT row_number() OVER () AS position, root, parent_path, parent_path || {below} || place AS path, place, filename,
                CASE WHEN (element::VARCHAR)[1] = '{{' THEN element
                    ELSE CAST('{{"value":' || element::VARCHAR || '}}' AS JSON) END AS record
            FROM (
                SELECT root, path AS parent_path, filename, unnest(json_extract(list, '$[*]')) AS element,
                    unnest(range(CAST(json_array_length(list) AS BIGINT))) AS place
                FROM (SELECT root, path, filename, {relation.fields[name]} AS list FROM ({relation.sql}) JOIN ({places}) USING (position))
                WHERE (list::VARCHAR)[1] = '['
            )
        """)
        return table

    def _tell_parents(self, child: Child) -> None:
        label = quote_literal(f"table {child.plan.spec.name.table}, element ")
        self._mark(
            f"SELECT e.root, {label} || e.path || ': ' || s._problem AS problem FROM {child.staged} AS s "
            f"JOIN {child.elements} AS e ON e.position = s._position WHERE s._problem IS NOT NULL"
        )

    def _mark(self, problems: str) -> None:
        changed(
            self.warehouse,
            f"UPDATE {STAGED} SET _problem = found.problem FROM (SELECT root, min(problem) AS problem FROM ({problems}) GROUP BY root) "
            "AS found WHERE _position = found.root AND _problem IS NULL",
        )


def make_children(warehouse: Warehouse, children: Sequence[Child], load_id: str, now: datetime) -> None:
    """Create the child tables, or change their columns, before any row is written; record which list each one holds."""
    for child in children:
        apply_plan(warehouse, child.plan, load_id, now)
        if child.is_new:
            warehouse.run(
                'INSERT INTO _ducklift.schema_changes (dataset, "table", "column", change, field, load_id, changed_at) '
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [child.owner.dataset, child.owner.table, child.plan.spec.name.table, CHILD_TABLE_ADDED, child.field, load_id, now],
            )


def bring_in_children(warehouse: Warehouse, landing: Landing, children: Sequence[Child], counts: RowCounts) -> None:
    """Insert the elements of the parent rows that were written: those that are left in `staged`. Children of replaced rows go."""
    rewritten = counts.rows_updated or counts.rows_unchanged or counts.rows_deleted
    if rewritten and landing.spec.disposition in ("replace", "merge"):
        remove_orphans(warehouse, landing.spec.name)
    parents = f"SELECT _position AS root, {landing.row_key} AS root_key FROM {STAGED}" if children else ""
    for child in children:
        columns = "".join(f"s.{name}, " for name in child.plan.data_columns)
        warehouse.run(f"""
            INSERT INTO {quote_table(child.plan.spec.name)} BY NAME
            SELECT {columns} CASE WHEN parent_path = '' THEN root_key ELSE md5(root_key || parent_path) END AS _parent_key,
                place AS _index, md5(root_key || path) AS _row_key, {landing.origin(of_child=True)}
            FROM {child.staged} AS s JOIN {child.elements} AS e ON e.position = s._position JOIN ({parents}) AS p ON p.root = e.root
        """)
    for child in children:
        warehouse.run(f"DROP TABLE {child.staged}; DROP TABLE {child.elements}")


def remove_orphans(warehouse: Warehouse, table: TableName) -> None:
    """Delete the rows of child tables whose parent row is gone, or there in another version."""
    for owner, child in family(warehouse, table):
        warehouse.run(
            f"DELETE FROM {quote_table(child)} AS c WHERE NOT EXISTS "
            f"(SELECT 1 FROM {quote_table(owner)} AS p WHERE p._row_key = c._parent_key AND p._load_id = c._load_id)"
        )


def child_tables(warehouse: Warehouse, table: TableName) -> dict[str, TableName]:
    """Return the child tables of a table, by the field whose lists they hold."""
    rows = warehouse.rows(
        'SELECT field, "column" FROM _ducklift.schema_changes WHERE dataset = ? AND "table" = ? AND change = ? ORDER BY ALL',
        [table.dataset, table.table, CHILD_TABLE_ADDED],
    )
    return {field: TableName(dataset=table.dataset, table=name) for field, name in rows}


def family(warehouse: Warehouse, table: TableName) -> list[tuple[TableName, TableName]]:
    """Return all child tables below a table, each behind its owner and after it."""
    found = []
    for child in child_tables(warehouse, table).values():
        found += [(table, child), *family(warehouse, child)]
    return found


def told_child_columns(record: CommitRecord) -> dict[TableName, dict[str, str]]:
    """Return the columns that a commit's record tells of child tables: new and widened ones, and those that every child table has."""
    tables = [change["column" if change["change"] == CHILD_TABLE_ADDED else "table"] for change in record.schema_changes]
    found = {}
    for name in dict.fromkeys(str(table) for table in tables if table != record.table):
        told = [change for change in record.schema_changes if change["table"] == name and change["change"] != CHILD_TABLE_ADDED]
        columns = {str(change["column"]): str(change["type_after"]) for change in told}
        found[TableName(dataset=record.dataset, table=name)] = {**columns, **CHILD_LINKS, **LINEAGE_TYPES}
    return found

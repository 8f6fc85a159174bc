"""What columns a load brings, what that changes in its table, and what becomes of values that do not fit: by the contract, and recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ducklift.errors import ContractBroken
from ducklift.specs import ColumnSpec, TableSpec
from ducklift.warehouse.columns import ADDED_TYPES, EXACT_IN_DOUBLE, LINEAGE_TYPES, VALIDITY_TYPES, Column, canonical_type, existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_table
from ducklift.warehouse.inference import infer, widened
from ducklift.warehouse.naming import column_names, snake_case
from ducklift.warehouse.nesting import NestedReader, column_name_of
from ducklift.warehouse.proven import inferred_type
from ducklift.warehouse.readers import Reader, Shape

PLAIN_NESTED = ("STRUCT", "MAP", "UNION")
CHILD_TABLE_ADDED = "child table added"


@dataclass(frozen=True)
class Plan:
    """The columns of a load and the table's types before it. `refused` are fields that the contract `quarantine` does not admit.

    `links` are the columns, and their types, by which rows of child tables find their parents.
    """

    spec: TableSpec
    columns: tuple[Column, ...]
    before: dict[str, str]
    refused: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Return whether there is no table yet."""
        return not self.before

    def named(self, name: str) -> str:
        """Return the name of the column that a specification calls by its own name or by its field's."""
        fields = {column.field: column.name for column in reversed(self.columns) if not column.variant_of}
        return name if any(name == column.name for column in self.columns) else fields.get(name, name)

    @property
    def keys(self) -> list[str]:
        """Return the names of the key columns."""
        return [self.named(name) for name in self.spec.primary_key]

    @property
    def partitions(self) -> list[str]:
        """Return the names of the columns whose values name the partitions that a merge replaces."""
        return [self.named(name) for name in self.spec.merge_key]

    @property
    def essential(self) -> set[str]:
        """Return the names of the columns that a disposition works with."""
        spec = self.spec
        named = [spec.incremental.cursor if spec.incremental else None, spec.deleted_column]
        return {*self.keys, *self.partitions, *(self.named(name) for name in named if name)}

    def with_column(self, column: Column) -> Plan:
        """Return the plan with a column replaced (same name) or added."""
        names = [known.name for known in self.columns]
        if column.name not in names:
            return replace(self, columns=(*self.columns, column))
        return replace(self, columns=tuple(column if known.name == column.name else known for known in self.columns))

    @property
    def aliases(self) -> dict[str, str]:
        """Return the columns that are lineage columns under another name, each with that column's name."""
        return {column.name: column.field for column in self.spec.columns if column.is_lineage}

    def types(self) -> dict[str, str]:
        """Return all columns of the table after the load, lineage last."""
        found = {column.name: column.type for column in self.columns}
        if self.spec.synthetic_key:
            found = {self.spec.synthetic_key.name: "VARCHAR", **found}
        if self.spec.record_column:
            found[self.spec.record_column] = "JSON"
        found |= {name: LINEAGE_TYPES[source] for name, source in self.aliases.items()}
        if self.spec.disposition == "scd2":
            return {**found, **VALIDITY_TYPES, **LINEAGE_TYPES}
        return {**found, **self.links, **LINEAGE_TYPES}

    @property
    def added(self) -> set[str]:
        """Return the names of the columns that do not come from the records."""
        return {*ADDED_TYPES, *self.links, *self.aliases}

    @property
    def data_columns(self) -> list[str]:
        """Return the quoted columns that come from the records."""
        return [quote_identifier(name) for name in self.types() if name not in self.added]


@dataclass
class _Known:
    """What the table has: its types, and from which field each column came."""

    types: dict[str, str]
    fields: dict[str, str] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)


def plan_columns(
    warehouse: Warehouse, spec: TableSpec, reader: Reader | None, fields: Sequence[str] | None, links: Mapping[str, str] | None = None
) -> Plan:
    """Return the columns that a load brings into its table.

    Declared columns come first, then what the table has, then new fields with types inferred from all the data. A specification with a
    record column takes declared columns only. Raises `ContractBroken` when a field is new and the contract is `freeze`.
    """
    known, links = _known(warehouse, spec), links or {}
    _refuse_taken_aliases(spec, known)
    declared = [_declared(warehouse, column, known) for column in spec.columns if column.pii != "drop" and not column.is_lineage]
    untyped = [column for column in declared if not column.type]
    columns = [column for column in declared if column.type]
    refused: tuple[str, ...] = ()
    if spec.record_column is None:
        columns += _dynamic(known, spec, declared, links)
        covered = {column.field for column in columns} | {column.field for column in spec.columns if column.pii == "drop"}
        found = fields if fields is not None else reader.fields(warehouse) if reader else []
        new = [name for name in found if name not in covered and (spec.fields == "all" or _is_leaned_on(spec, name))]
        columns += _new_columns(warehouse, spec, reader, new, untyped, [*known.types, *links, *(column.name for column in columns)])
        if known.types and spec.contract != "evolve":
            added = [column.field for column in columns if column.name.lower() not in _lower(known.types) and not column.declared]
            if added and spec.contract == "freeze":
                raise ContractBroken(str(spec.name), f"the contract is 'freeze', but these fields are new: {', '.join(added)}")
            refused = tuple(added)
            columns = [column for column in columns if column.field not in refused or column.declared]
    else:
        columns += [replace(column, type="VARCHAR") for column in untyped]
    if reader is not None:
        columns += _missing(spec, columns)
    return Plan(spec, tuple(columns), known.types, refused, links)


def _known(warehouse: Warehouse, spec: TableSpec) -> _Known:
    known = _Known(existing_columns(warehouse, spec.name))
    if known.types:
        rows = warehouse.rows(
            'SELECT "column", field, variant_of FROM _ducklift.schema_changes WHERE dataset = ? AND "table" = ? AND field IS NOT NULL '
            "AND change <> ? ORDER BY changed_at",
            [spec.name.dataset, spec.name.table, CHILD_TABLE_ADDED],
        )
        known.fields = {column: source for column, source, _ in rows}
        known.variants = {column: variant_of for column, _, variant_of in rows if variant_of}
    return known


def _declared(warehouse: Warehouse, column: ColumnSpec, known: _Known) -> Column:
    type_ = canonical_type(warehouse, column.type) if column.type else _lower(known.types).get(column.name.lower(), "")
    return Column(column.name, column.field, type_, column)


def _is_leaned_on(spec: TableSpec, field_name: str) -> bool:
    """Return whether a key, a partition, the deletion mark or the cursor is named after the field."""
    cursor = spec.incremental.cursor if spec.incremental else None
    return bool({field_name, snake_case(field_name)} & {*spec.primary_key, *spec.merge_key, spec.deleted_column, cursor})


def _refuse_taken_aliases(spec: TableSpec, known: _Known) -> None:
    for column in (column for column in spec.columns if column.is_lineage):
        before = _lower(known.types).get(column.name.lower(), LINEAGE_TYPES[column.field])
        if before != LINEAGE_TYPES[column.field]:
            reason = (
                f"column {column.name!r} is to be {column.field!r}, a {LINEAGE_TYPES[column.field]}, but the table has it as {before}. "
            )
            raise ContractBroken(str(spec.name), reason + "Name another column.")


def _dynamic(known: _Known, spec: TableSpec, declared: Sequence[Column], links: Collection[str]) -> list[Column]:
    """Return the columns that earlier loads added by themselves."""
    apart = {column.name.lower() for column in declared} | {*ADDED_TYPES, *links}
    if spec.synthetic_key:
        apart.add(spec.synthetic_key.name.lower())
    apart |= {column.name.lower() for column in spec.columns if column.is_lineage}
    return [
        Column(name, known.fields.get(name, name), type_, None, known.variants.get(name))
        for name, type_ in known.types.items()
        if name.lower() not in apart
    ]


def _new_columns(
    warehouse: Warehouse, spec: TableSpec, reader: Reader | None, new: Sequence[str], untyped: Sequence[Column], taken: Sequence[str]
) -> list[Column]:
    renamed = {column.field: column for column in untyped}
    wanted = list(dict.fromkeys([*new, *renamed]))
    if reader is None or not wanted:
        return []
    types = _inferred(warehouse, reader, wanted)
    plain = column_name_of if isinstance(reader, NestedReader) else snake_case
    names = column_names([name for name in wanted if name not in renamed], taken, plain)
    found = []
    for name in wanted:
        if name in types:
            known = renamed.get(name)
            found.append(replace(known, type=types[name]) if known else Column(names[name], name, types[name]))
    return found


def _missing(spec: TableSpec, columns: Sequence[Column]) -> list[Column]:
    """Return the key columns that no record has: they are needed all the same, and tell that the key is missing."""
    present = {column.name for column in columns} | {column.field for column in columns}
    if spec.synthetic_key:
        present.add(spec.synthetic_key.name)
    wanted = dict.fromkeys([*spec.primary_key, *spec.merge_key])
    return [Column(name, name, "VARCHAR") for name in wanted if name not in present]


def json_fields(warehouse: Warehouse, spec: TableSpec) -> set[str]:
    """Return the fields that have a JSON column in the table already."""
    known = _known(warehouse, spec)
    return {known.fields.get(name, name) for name, type_ in known.types.items() if type_ == "JSON" and name not in known.variants}


def _inferred(warehouse: Warehouse, reader: Reader, fields: Sequence[str]) -> dict[str, str]:
    if reader.typed:
        types = reader.types(warehouse)
        return {name: stored_type(types[name]) for name in fields if name in types}
    told = {name: inferred_type(reader.kinds[name]) for name in fields if name in reader.kinds}
    known = {name: type_ for name, type_ in told.items() if type_}
    # A field without any kind has no value, and makes no column.
    fields = [name for name in fields if name not in known and reader.kinds.get(name) != ()]
    if not fields:
        return known
    shape: Shape = "VARCHAR" if reader.texts_only else "JSON"
    relation = replace(reader, numbered=False).relation(warehouse, dict.fromkeys(fields, shape))
    aliased = ", ".join(f"{relation.fields[name]} AS {quote_identifier(f'c{index}')}" for index, name in enumerate(fields))
    types = infer(warehouse, f"SELECT {aliased} FROM ({relation.sql})", [f"c{index}" for index in range(len(fields))], reader.texts_only)
    return known | {name: types[f"c{index}"] for index, name in enumerate(fields) if f"c{index}" in types}


def stored_type(type_: str) -> str:
    """Return the type in which a Parquet column is stored: nested values are JSON, so that no unknown struct field can get lost."""
    return "JSON" if type_.startswith(PLAIN_NESTED) or type_.endswith("]") else "VARCHAR" if type_.startswith("ENUM") else type_


def settle_types(warehouse: Warehouse, plan: Plan) -> Plan:
    """Return the plan with declared types that differ from the table's settled: widened, or `ContractBroken`."""
    before = _lower(plan.before)
    for column in plan.columns:
        type_ = before.get(column.name.lower(), column.type)
        if type_ == column.type:
            continue
        wider = widened(type_, column.type)
        if wider is None or not fits_widened(warehouse, plan, column.name, type_, wider):
            reason = f"column {column.name!r} is {type_} in the table, but {column.type} in the load, and no type holds both. "
            raise ContractBroken(str(plan.spec.name), reason + "Name another column, or rebuild the table.")
        plan = plan.with_column(replace(column, type=wider))
    return plan


def fits_widened(warehouse: Warehouse, plan: Plan, name: str, before: str, after: str) -> bool:
    """Return whether the table's own values survive the wider type: integers beyond 2^53 would lose digits in a DOUBLE."""
    if after != "DOUBLE" or before in ("DOUBLE", "FLOAT") or plan.is_new:
        return True
    greatest = warehouse.value(f"SELECT max(abs({quote_identifier(name)})) FROM {quote_table(plan.spec.name)}")
    return greatest is None or greatest < EXACT_IN_DOUBLE


def apply_plan(warehouse: Warehouse, plan: Plan, load_id: str, now: datetime) -> None:
    """Create the table, or add and widen its columns, inside the load's transaction and before any row is written; record each change."""
    target = quote_table(plan.spec.name)
    wanted = plan.types()
    by_name = {column.name: column for column in plan.columns}
    if plan.is_new:
        columns = ", ".join(f"{quote_identifier(name)} {type_}" for name, type_ in wanted.items())
        warehouse.run(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(plan.spec.name.dataset)}")
        warehouse.run(f"CREATE TABLE {target} ({columns})")
    before = _lower(plan.before)
    changes: list[list[Any]] = []
    for name, type_ in wanted.items():
        known = before.get(name.lower())
        if known == type_:
            continue
        if known is not None:
            warehouse.run(f"ALTER TABLE {target} ALTER COLUMN {quote_identifier(name)} TYPE {type_}")
        elif not plan.is_new:
            warehouse.run(f"ALTER TABLE {target} ADD COLUMN {quote_identifier(name)} {type_}")
        if name not in plan.added:
            column = by_name.get(name)
            change = "type widened" if known else "variant added" if column and column.variant_of else "column added"
            source = [column.field, column.variant_of] if column else [None, None]
            changes.append([plan.spec.name.dataset, plan.spec.name.table, name, change, known, type_, *source, load_id, now])
    if changes:
        # In one statement: in a catalog on a server, each is a round trip.
        marks = ", ".join([f"({', '.join('?' for _ in changes[0])})"] * len(changes))
        warehouse.run(f"INSERT INTO _ducklift.schema_changes VALUES {marks}", [value for change in changes for value in change])


def _lower(types: dict[str, str]) -> dict[str, str]:
    return {name.lower(): type_ for name, type_ in types.items()}

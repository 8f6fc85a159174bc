"""A load's raw files as one temporary table of typed rows, each with its place in the files and what is wrong with it, if anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ducklift.errors import ContractBroken
from ducklift.failpoints import reach
from ducklift.warehouse.columns import INTEGERS, TIMES, Column, Conversion, conversion, moment_of, without_null_words
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.evolution import PLAIN_NESTED, Plan, fits_widened, stored_type
from ducklift.warehouse.identifiers import quote_identifier, quote_literal
from ducklift.warehouse.inference import offered_type, widened
from ducklift.warehouse.naming import column_names
from ducklift.warehouse.proven import is_time, native_type, serves
from ducklift.warehouse.readers import Reader, Relation, Shape

STAGED = "temp.staged"
_ROUNDS = 4
_MOMENT = "TIMESTAMP WITH TIME ZONE"
_NO_CURSOR = "the cursor is missing"


@dataclass(frozen=True)
class Staged:
    """What staging made: the plan that its columns follow, the reader that could read the files, rows, and rows with a problem."""

    plan: Plan
    reader: Reader | None
    rows: int
    problems: int

    @property
    def nothing_fits(self) -> bool:
        """Return whether there are rows, and all of them have a problem."""
        return 0 < self.rows == self.problems


def stage(warehouse: Warehouse, plan: Plan, reader: Reader | None, keys: dict[str, str], staged: str = STAGED) -> Staged:
    """Make the temporary table `staged`, letting columns widen and variants appear until the contract is met.

    Its columns are the table's without lineage, and `_position` (place in the load, from 1), `_source_file`, `_cursor_text` (the cursor as
    it stood in the record) and `_problem` (NULL, or why the row cannot be loaded). `keys` maps local files to their keys in the lake.
    Raises `ContractBroken` where a contract is `freeze` and values do not fit, or where `null_cursor` is `fail` and one is missing.
    """
    for _ in range(_ROUNDS):
        reader = _read_into(warehouse, staged, plan, reader, keys)
        rows, problems = warehouse.rows(f"SELECT count(*), count(_problem) FROM {staged}")[0]
        evolved = _evolved(warehouse, staged, plan, reader) if problems and reader else plan
        if evolved == plan:
            break
        plan = evolved
    if problems:
        _refuse_missing_cursors(warehouse, staged, plan)
    reach("load.staged")
    return Staged(plan, reader, rows, problems)


def _refuse_missing_cursors(warehouse: Warehouse, staged: str, plan: Plan) -> None:
    incremental = plan.spec.incremental
    if incremental is None or incremental.null_cursor != "fail":
        return
    count, first = warehouse.rows(f"SELECT count(*), min(_position) FROM {staged} WHERE _problem = ?", [_NO_CURSOR])[0]
    if count:
        reason = f"null_cursor is 'fail', and {count} records have no {incremental.cursor!r}; the first is record {first} of the load"
        raise ContractBroken(str(plan.spec.name), f"{reason}. Nothing was loaded.")


def stream(warehouse: Warehouse, plan: Plan, reader: Reader, keys: dict[str, str], target: str, lineage: str) -> int:
    """Insert a load's rows straight into `target`, without staging them, and return how many; rows with a problem are left out.

    Quicker by half for loads that need no second look. The caller compares the count: when rows are missing, it rolls back and stages.
    """
    columns = ", ".join([*plan.data_columns, lineage])
    unnumbered = replace(reader, numbered=False)
    selected = f"SELECT {columns} FROM ({_staging_sql(warehouse, plan, unnumbered, keys)}) WHERE _problem IS NULL"
    count: int = warehouse.value(f"INSERT INTO {target} BY NAME {selected}")
    return count


def greatest_cursor_text(warehouse: Warehouse, plan: Plan, reader: Reader, column: Column) -> tuple[str | None, int]:
    """Return the text of the greatest cursor in the files, and how many records have none, by a pass over that one field."""
    relation = replace(reader, numbered=False).relation(warehouse, {column.field: "VARCHAR"})
    text = relation.fields[column.field]
    greatest, missing = warehouse.rows(
        f"SELECT arg_max(CAST({text} AS VARCHAR), {conversion(text, column.type).value}), count(*) - count({text}) FROM ({relation.sql})"
    )[0]
    return greatest, missing


def _read_into(warehouse: Warehouse, staged: str, plan: Plan, reader: Reader | None, keys: dict[str, str]) -> Reader | None:
    """Fill `staged`, with a more patient reader where the quickest one stumbles; return the reader that did it."""
    import duckdb

    while True:
        try:
            warehouse.connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE {staged} AS {_staging_sql(warehouse, plan, reader, keys)}")
            return reader
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            slower = reader.slower() if reader else None
            if slower is None:
                raise
            reader = slower


def _staging_sql(warehouse: Warehouse, plan: Plan, reader: Reader | None, keys: dict[str, str]) -> str:
    spec = plan.spec
    cursor = spec.incremental.cursor if spec.incremental else None
    if reader is None:
        return _empty_sql(plan)
    wanted = _wanted(plan, reader, cursor)
    relation = reader.relation(warehouse, wanted, with_record=spec.record_column is not None)
    fields = _Fields(relation, plan, wanted, reader.types(warehouse))
    typed, problems = [], [f"WHEN {relation.broken} THEN {quote_literal(relation.reason)}"] if relation.broken != "false" else []
    if spec.incremental and spec.incremental.null_cursor != "load":
        # Before the others: where this one stops the load, no other may hide it.
        problems.append(f"WHEN {fields.text(spec.incremental.cursor)} IS NULL THEN {quote_literal(_NO_CURSOR)}")
    variants = {column.variant_of: column for column in plan.columns if column.variant_of}
    if spec.synthetic_key:
        typed.append(f"{fields.synthetic_key()} AS {quote_identifier(spec.synthetic_key.name)}")
    for column in plan.columns:
        if column.variant_of:
            continue
        converted = fields.conversion(column)
        typed += _selected(column, converted, variants.get(column.name), fields)
        problems += _problems(column, fields.shown(column), converted.misfit, plan, column.name in variants)
    if spec.record_column:
        typed.append(f"record AS {quote_identifier(spec.record_column)}")
    problems += [f"WHEN {fields.text(name)} IS NOT NULL THEN {quote_literal(f'field {name}: not in the table')}" for name in plan.refused]
    problem = f"CASE {' '.join(problems)} END" if problems else "NULL"
    return f"""
        SELECT {", ".join([*typed, ""])} position AS _position, {_source_file(keys)} AS _source_file,
            {f"CAST({fields.text(cursor)} AS VARCHAR)" if cursor else "CAST(NULL AS VARCHAR)"} AS _cursor_text,
            CAST({problem} AS VARCHAR) AS _problem
        FROM ({relation.sql})
    """


def _empty_sql(plan: Plan) -> str:
    columns = [f"CAST(NULL AS {type_}) AS {quote_identifier(name)}" for name, type_ in plan.types().items() if name not in plan.added]
    places = [
        "CAST(NULL AS BIGINT) AS _position",
        *(f"CAST(NULL AS VARCHAR) AS {name}" for name in ("_source_file", "_cursor_text", "_problem")),
    ]
    return f"SELECT {', '.join([*columns, *places])} WHERE false"


def _source_file(keys: dict[str, str]) -> str:
    """Return the SQL of the key of the file that a row came from."""
    if len(keys) == 1:
        return quote_literal(next(iter(keys.values())))
    return f"map {{{', '.join(f'{quote_literal(local)}: {quote_literal(key)}' for local, key in keys.items())}}}[filename]"


def _wanted(plan: Plan, reader: Reader, cursor: str | None) -> dict[str, Shape]:
    wanted: dict[str, Shape] = {}
    for column in plan.columns:
        shape: Shape = "JSON" if column.type == "JSON" and not column.variant_of else "VARCHAR"
        wanted[column.field] = "JSON" if "JSON" in (shape, wanted.get(column.field)) else "VARCHAR"
    for name in [*plan.refused, *([cursor] if cursor else []), *(plan.spec.synthetic_key.columns if plan.spec.synthetic_key else ())]:
        wanted.setdefault(name, "VARCHAR")
    return wanted | _known_types(plan, reader, [name for name, shape in wanted.items() if shape == "VARCHAR"], cursor)


def _known_types(plan: Plan, reader: Reader, names: Sequence[str], cursor: str | None) -> dict[str, Shape]:
    """Return the fields that can be read as the type of their values, for all that is made of them."""
    found: dict[str, Shape] = {}
    hashed = plan.spec.synthetic_key.columns if plan.spec.synthetic_key else ()
    for name in names:
        native = native_type(reader.kinds.get(name, ()))
        columns = [column for column in plan.columns if column.field == name]
        # A watermark is the cursor's text, as it stood in its record.
        if native is None or name in hashed or (name == cursor and is_time(native)):
            continue
        if columns and all(serves(native, column) for column in columns):
            found[name] = native
    return found


def _selected(column: Column, converted: Conversion, variant: Column | None, fields: _Fields) -> list[str]:
    name = quote_identifier(column.name)
    if variant is None:
        return [f"{converted.value} AS {name}"]
    misfit = f"coalesce({converted.misfit}, false)"
    stray = fields.json(column.field) if variant.type == "JSON" else fields.plain(column.field)
    return [
        f"CASE WHEN {misfit} THEN NULL ELSE {converted.value} END AS {name}",
        f"CASE WHEN {misfit} THEN {stray} END AS {quote_identifier(variant.name)}",
    ]


def _problems(column: Column, text: str, misfit: str, plan: Plan, has_variant: bool) -> list[str]:
    label = quote_literal(f"column {column.name}: not a {column.called}: ")
    found = []
    if misfit != "false" and not has_variant:
        found.append(f"WHEN {text} IS NOT NULL AND ({misfit}) THEN {label} || left(CAST({text} AS VARCHAR), 80)")
    is_key = column.name in (*plan.keys, *plan.partitions)
    if is_key or (column.spec is not None and not column.spec.nullable):
        missing = "the key is missing" if is_key else "a value is missing"
        found.append(f"WHEN {text} IS NULL THEN {quote_literal(f'column {column.name}: {missing}')}")
    return found


class _Fields:
    """The SQL of fields and of the columns made from them."""

    def __init__(self, relation: Relation, plan: Plan, wanted: Mapping[str, Shape], types: Mapping[str, str]) -> None:
        self._relation, self.types = relation, {**types, **relation.types}
        self._json = {name for name, shape in wanted.items() if shape == "JSON"}
        self._key = plan.spec.synthetic_key

    def text(self, name: str) -> str:
        """Return a field's text (its value, where the format is typed)."""
        expression = self._relation.fields[name]
        return f"({expression} ->> '$')" if name in self._json else expression

    def plain(self, name: str) -> str:
        """Return a field as a text: of a list or an object, that of its JSON."""
        return f"CAST(to_json({self._relation.fields[name]}) AS VARCHAR)" if _is_nested(self.types.get(name)) else self.text(name)

    def json(self, name: str) -> str:
        """Return a field as JSON: a text that is none is a string of it."""
        text = self.text(name)
        if self.types.get(name, "VARCHAR") != "VARCHAR":
            return f"to_json({text})"
        return f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) ELSE to_json({text}) END"

    def shown(self, column: Column) -> str:
        """Return what tells whether a value is there, and what it is."""
        if column.type == "JSON":
            return self._relation.fields[column.field]
        return without_null_words(self.text(column.field), column, self.types.get(column.field))

    def conversion(self, column: Column) -> Conversion:
        """Return how a field becomes the column's value."""
        native = self.types.get(column.field)
        native = _MOMENT if native == "TIMESTAMPTZ" else native
        expression = self._relation.fields[column.field]
        if column.type == "JSON":
            return Conversion(expression)
        text = without_null_words(self.text(column.field), column, native)
        if native is None or native == "VARCHAR":
            return conversion(text, column.type, column.declared)
        if native == column.type:
            return Conversion(text)
        if _is_nested(native):
            made = f"TRY_CAST(to_json({expression}) AS {column.type})"
            return Conversion(made, "false" if column.type == "VARCHAR" else f"{made} IS NULL")
        return _native_conversion(text, native, column)

    def synthetic_key(self) -> str:
        """Return the md5 of the key columns' texts, joined by '|'."""
        assert self._key is not None  # noqa: S101 — the caller asks only when there is one
        return f"md5(concat_ws('|', {', '.join(f'CAST({self.text(name)} AS VARCHAR)' for name in self._key.columns)}))"


def _is_nested(native: str | None) -> bool:
    return native is not None and (native.startswith(PLAIN_NESTED) or native.endswith("]"))


def _native_conversion(value: str, native: str, column: Column) -> Conversion:
    """Return how a typed value becomes another type; one that does not come back as it was does not fit.

    Where no type was asked for, a truth is no number, a number no moment, and a moment without its zone another one.
    """
    wanted = column.type
    if wanted == "VARCHAR":
        return Conversion(f"CAST({value} AS VARCHAR)")
    if not column.declared and ("BOOLEAN" in (native, wanted) or (native == _MOMENT and wanted in TIMES)):
        return Conversion(f"CAST(NULL AS {wanted})", "true")
    if column.declared and native in ("BIGINT", "DOUBLE", "INTEGER", "HUGEINT") and wanted == _MOMENT:
        made = moment_of(f"CAST({value} AS DOUBLE)")
        return Conversion(made, f"{made} IS NULL")
    cast = f"TRY_CAST({value} AS {wanted})"
    return Conversion(cast, f"{cast} IS NULL OR TRY_CAST({cast} AS {native}) IS DISTINCT FROM {value}")


def _evolved(warehouse: Warehouse, staged: str, plan: Plan, reader: Reader) -> Plan:
    """Return the plan with the columns whose values do not fit widened, or given a variant column, as their contract says."""
    wanted = _wanted(plan, reader, None)
    relation = reader.relation(warehouse, wanted)
    fields = _Fields(relation, plan, wanted, reader.types(warehouse))
    variants = {column.variant_of for column in plan.columns if column.variant_of}
    at_stake = [column for column in plan.columns if not column.variant_of and column.name not in variants]
    conditions = {
        column.name: f"{fields.shown(column)} IS NOT NULL AND ({fields.conversion(column).misfit})"
        for column in at_stake
        if fields.conversion(column).misfit != "false"
    }
    if not conditions:
        return plan
    bad = f"FROM ({relation.sql}) WHERE position IN (SELECT _position FROM {staged} WHERE _problem IS NOT NULL)"
    flags = warehouse.rows(f"SELECT {', '.join(f'coalesce(bool_or({condition}), false)' for condition in conditions.values())} {bad}")[0]
    misfits = [name for name, flag in zip(conditions, flags, strict=True) if flag]
    for column in (column for column in at_stake if column.name in misfits):
        contract = column.contract(plan.spec.contract)
        if contract == "freeze":
            example = warehouse.value(f"SELECT CAST({fields.text(column.field)} AS VARCHAR) {bad} AND ({conditions[column.name]}) LIMIT 1")
            reason = f"the contract is 'freeze', but column {column.name!r} ({column.called}) got {str(example)[:80]!r}"
            raise ContractBroken(str(plan.spec.name), reason)
        if contract == "evolve" and not column.declared:
            offered = _offered_type(warehouse, reader, column, f"{bad} AND ({conditions[column.name]})", fields)
            plan = _widened_or_variant(warehouse, plan, column, offered)
    return plan


def _offered_type(warehouse: Warehouse, reader: Reader, column: Column, bad: str, fields: _Fields) -> str:
    if reader.typed:
        return stored_type(fields.types[column.field])
    numeric = column.type in (*INTEGERS, "DOUBLE", "FLOAT") or column.type.startswith("DECIMAL")
    if reader.texts_only:
        values = f"SELECT CAST({fields.text(column.field)} AS VARCHAR) AS value {bad}"
    else:
        as_json = reader.relation(warehouse, {column.field: "JSON"})
        positions = f"SELECT position {bad}"
        values = f"SELECT {as_json.fields[column.field]} AS value FROM ({as_json.sql}) WHERE position IN ({positions})"

    def is_wider(type_: str) -> bool:
        return widened(column.type, type_) not in (None, column.type)

    return offered_type(warehouse, values, reader.texts_only, numeric, is_wider) or "VARCHAR"


def _widened_or_variant(warehouse: Warehouse, plan: Plan, column: Column, offered: str) -> Plan:
    wider = widened(column.type, offered)
    if wider and wider != column.type and fits_widened(warehouse, plan, column.name, column.type, wider):
        return plan.with_column(replace(column, type=wider))
    if column.name in plan.essential:
        return plan  # a key or cursor of another type is no key: such rows go to quarantine
    type_ = "JSON" if offered == "JSON" else "VARCHAR"
    wanted = f"{column.name}__v_{'json' if type_ == 'JSON' else 'text'}"
    # A field may have that very name.
    name = column_names([wanted], [*plan.types(), *plan.before], plain=str)[wanted]
    return plan.with_column(Column(name, column.field, type_, None, column.name))

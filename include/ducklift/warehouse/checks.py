"""Checks of the pipeline file on the staged rows, before anything is committed: a failed one rolls the load back, or warns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ducklift.errors import CheckFailed, ConfigurationError
from ducklift.specs import Check, TableName, duration_s
from ducklift.warehouse.check_queries import failing_rows
from ducklift.warehouse.columns import conversion, existing_columns
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.dispositions import already_there
from ducklift.warehouse.identifiers import quote_identifier, quote_literal, quote_table
from ducklift.warehouse.landing import Landing
from ducklift.warehouse.staging import STAGED

_SHOWN = 3
_ADDS_ROWS = ("append", "insert_only")


def run_checks(warehouse: Warehouse, landing: Landing) -> tuple[str, ...]:
    """Run the table's checks on the staged rows and return what those of level `warn` found; rows with a problem must be gone.

    Raises `CheckFailed` with all that failed, and `ConfigurationError` for a check that names what is not there. A load without rows has
    nothing to check but `min_rows`, `freshness` and what a query asks of a table that exists.
    """
    run = _Run(warehouse, landing, int(warehouse.value(f"SELECT count(*) FROM {STAGED}")))
    found = [(check.level, failure) for check in landing.spec.checks for failure in run.failures(check)]
    failures = [failure for level, failure in found if level == "fail"]
    if failures:
        raise CheckFailed(str(landing.spec.name), failures)
    return tuple(failure for _, failure in found)


@dataclass(frozen=True)
class _Run:
    """One load's staged rows under examination."""

    warehouse: Warehouse
    landing: Landing
    rows: int

    def failures(self, check: Check) -> Iterator[str]:
        """Yield a text for each thing that the check finds wrong."""
        if check.min_rows is not None and self.rows < check.min_rows:
            yield f"min_rows {check.min_rows}: the load brings {self.rows} rows"
        for column, age in (check.freshness or {}).items():
            yield from self._freshness(column, age)
        if check.sql is not None and (self.rows or not self.landing.plan.is_new):
            yield from self._query(check.sql)
        if self.rows:
            yield from self._of_rows(check)

    def _of_rows(self, check: Check) -> Iterator[str]:
        if check.not_null is not None:
            name = self._quoted("not_null", check.not_null)
            yield from self._told(f"not_null {check.not_null}", f"SELECT _position FROM {STAGED} WHERE {name} IS NULL", "without a value")
        if check.unique is not None:
            yield from self._unique((check.unique,) if isinstance(check.unique, str) else check.unique)
        for column, values in (check.accepted_values or {}).items():
            yield from self._accepted(column, [_text(value) for value in values])
        for column, reference in (check.relationship or {}).items():
            yield from self._relationship(column, reference)

    def _column(self, kind: str, name: str) -> str:
        """Return the column that a check means; raises `ConfigurationError` when neither the load nor the table has it."""
        known = {column: None for column in self.landing.plan.types() if column not in self.landing.plan.added}
        column = self.landing.plan.named(name)
        if column not in known:
            there = ", ".join(known) or "none"
            raise ConfigurationError(f"{self.landing.spec.name}: check {kind}: there is no column {name!r}. There are: {there}.")
        return column

    def _quoted(self, kind: str, name: str) -> str:
        return quote_identifier(self._column(kind, name))

    def _told(self, label: str, positions: str, what: str) -> Iterator[str]:
        """Yield how many rows `positions` selects, and the first of them."""
        count, first = self.warehouse.rows(f"SELECT count(*), min(_position) FROM ({positions})")[0]
        if count:
            yield f"{label}: {count} of {self.rows} rows {what}, the first is record {first} of the load"

    def _stray(self, column: str, side: str = "") -> str | None:
        """Return the SQL of the text of a value that went to the column's variant; None when the column has none."""
        variant = next((each for each in self.landing.plan.columns if each.variant_of == column), None)
        name = f"{side}{quote_identifier(variant.name)}" if variant else ""
        return (f"({name} ->> '$')" if variant.type == "JSON" else name) if variant else None

    def _value(self, column: str, side: str = "") -> str:
        """Return the SQL of a field's value: of the column, or the text that stands in its variant."""
        name, stray = f"{side}{quote_identifier(column)}", self._stray(column, side)
        return f"coalesce(CAST({name} AS VARCHAR), {stray})" if stray else name

    def _unique(self, names: tuple[str, ...]) -> Iterator[str]:
        columns = [self._column("unique", name) for name in names]
        listed, label = ", ".join(f"{self._value(name)} AS v{place}" for place, name in enumerate(columns)), f"unique {', '.join(names)}"
        present = " AND ".join(f"{self._value(name)} IS NOT NULL" for name in columns)
        # Several versions of one key are no duplicates: one of them stays.
        counted = f"DISTINCT ({', '.join(self.landing.keys)})" if self.landing.keys else "*"
        twice = f"SELECT {listed} FROM {STAGED} WHERE {present} GROUP BY ALL HAVING count({counted}) > 1"
        same = " AND ".join(f"{self._value(name, 's.')} = d.v{place}" for place, name in enumerate(columns))
        within = f"SELECT s._position FROM {STAGED} AS s JOIN ({twice}) AS d ON {same}"
        yield from self._told(label, within, "share their values with others of the load")
        if self.landing.spec.disposition in _ADDS_ROWS and not self.landing.plan.is_new:
            same = " AND ".join(f"{self._value(name, 't.')} = {self._value(name, 's.')}" for name in columns)
            left_out = already_there(self.landing)
            new = f"s._position NOT IN ({left_out})" if left_out else "true"
            known = f"EXISTS (SELECT 1 FROM {self.landing.target} AS t WHERE {same})"
            yield from self._told(label, f"SELECT s._position FROM {STAGED} AS s WHERE {known} AND {new}", "are in the table already")

    def _accepted(self, column: str, values: list[str]) -> Iterator[str]:
        name = self._column("accepted_values", column)
        type_ = self.landing.plan.types()[name]
        value = f"({quote_identifier(name)} ->> '$')" if type_ == "JSON" else quote_identifier(name)
        wanted = "VARCHAR" if type_ == "JSON" else type_
        accepted = ", ".join(f"TRY_CAST({quote_literal(text)} AS {wanted})" for text in values)
        refused, shown_value = f"{value} IS NOT NULL AND NOT list_contains([{accepted}], {value})", f"CAST({value} AS VARCHAR)"
        if stray := self._stray(name):
            texts = ", ".join(map(quote_literal, values))
            refused = f"{refused} OR {stray} IS NOT NULL AND NOT list_contains([{texts}], {stray})"
            shown_value = f"coalesce({shown_value}, {stray})"
        what = "have another value"
        if not self.landing.spec.is_private:
            shown = self.warehouse.rows(f"SELECT DISTINCT left({shown_value}, 80) FROM {STAGED} WHERE {refused} ORDER BY 1 LIMIT {_SHOWN}")
            what += f", such as {', '.join(repr(text) for (text,) in shown)}"
        yield from self._told(f"accepted_values {column}", f"SELECT _position FROM {STAGED} WHERE {refused}", what)

    def _relationship(self, column: str, reference: str) -> Iterator[str]:
        name = self._column("relationship", column)
        dataset, table, key = reference.split(".")
        place = TableName(dataset=dataset, table=table)
        types = existing_columns(self.warehouse, place)
        own = place == self.landing.spec.name
        if key not in types and not (own and key in self.landing.plan.types()):
            raise ConfigurationError(f"{self.landing.spec.name}: check relationship {column}: there is no {reference} in the warehouse.")
        sources = [f"SELECT CAST({quote_identifier(key)} AS VARCHAR) AS key FROM {quote_table(place)}"] if key in types else []
        if own:
            sources.append(f"SELECT CAST({quote_identifier(key)} AS VARCHAR) AS key FROM {STAGED}")
        text = f"CAST({self._value(name, 's.')} AS VARCHAR)"
        orphans = f"SELECT s._position FROM {STAGED} AS s ANTI JOIN ({' UNION ALL '.join(sources)}) AS r ON r.key = {text}"
        yield from self._told(f"relationship {column}", f"{orphans} WHERE {text} IS NOT NULL", f"point to nothing in {reference}")

    def _freshness(self, column: str, age: str) -> Iterator[str]:
        """Compare the newest value, of the load or of the rows that stay in the table, with the time of loading."""
        plan = self.landing.plan
        if plan.is_new and not self.rows:
            return
        name = self._quoted("freshness", column)
        moment = conversion(f"CAST({name} AS VARCHAR)", "TIMESTAMP WITH TIME ZONE").value
        places = [STAGED] if plan.is_new or plan.spec.disposition == "replace" else [STAGED, self.landing.target]
        # The greatest value is converted, not every one: a table may be long.
        newest: datetime | None = self.warehouse.value(
            f"SELECT max({moment}) FROM ({' UNION ALL '.join(f'SELECT max({name}) AS {name} FROM {place}' for place in places)})"
        )
        if newest is not None and (self.landing.loaded_at - newest).total_seconds() > duration_s(age):
            yield f"freshness {column}: the newest value is {newest.isoformat()}, older than {age}"

    def _query(self, sql: str) -> Iterator[str]:
        count, examples = failing_rows(self.warehouse, sql, str(self.landing.spec.name), _SHOWN)
        if count:
            label = " ".join(sql.split())
            told = "" if self.landing.spec.is_private else f", such as {'; '.join(examples)}"
            yield f"sql {label[:100]}: {count} rows{told}"


def _text(value: bool | int | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""Child tables against a model: put together again, they give the records that stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from installations import TABLE, Installation

from ducklift.warehouse.rebuild import verify

NESTED: dict[str, Any] = {
    "nested": "tables",
    "record_column": None,
    "columns": (),
    "primary_key": ["id"],
    "incremental": {"cursor": "seen"},
}
SYSTEM = {"_row_key", "_parent_key", "_index", "_lists_hash", "_load_id", "_loaded_at", "_extracted_at", "_source_file"}

names = st.sampled_from(["n", "m"])
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
integers = st.integers(-(10**25), 10**25)
nested = st.recursive(
    integers | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.builds(lambda t, o: {"t": t, **o}, text | st.none(), st.dictionaries(names, inner)),
    max_leaves=12,
)


def settled(value: Any) -> Any:
    """Return a value as a table can tell it: nothing, an empty list and an empty object are alike."""
    if isinstance(value, dict):
        kept = {key: found for key, inner in value.items() if (found := settled(inner)) is not None}
        return kept or None
    if isinstance(value, list):
        return [settled(inner) for inner in value] or None
    return value


class Family:
    """The tables of an installation, read back into the records that they were made of."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        changes = installation.query('SELECT "table", "column", field, change, type_after FROM _ducklift.schema_changes')
        self._fields = {(table, column): (field, type_) for table, column, field, change, type_ in changes if "child" not in change}
        self._children = [(table, column, field) for table, column, field, change, _ in changes if "child" in change]

    def records(self, table: str) -> list[tuple[dict[str, Any], Any]]:
        """Return a table's rows as pairs of the row and the value that it was made of."""
        columns = [name for (name,) in self._installation.query(f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'")]
        rows = [dict(zip(columns, row, strict=True)) for row in self._installation.query(f"SELECT * FROM {TABLE.dataset}.{table}")]
        below = [(field, self.records(child)) for owner, child, field in self._children if owner == table]
        return [(row, self._value(table, row, below)) for row in rows]

    def _value(self, table: str, row: dict[str, Any], below: list[Any]) -> Any:
        record: dict[str, Any] = {}
        for name, value in row.items():
            if name not in SYSTEM and value is not None:
                field, type_ = self._fields[table, name]
                put(record, field, json.loads(value) if type_ == "JSON" else value)
        for field, children in below:
            own = sorted((child["_index"], place) for place, (child, _) in enumerate(children) if child["_parent_key"] == row["_row_key"])
            if own:
                assert [index for index, _ in own] == list(range(len(own)))
                put(record, field, [children[place][1] for _, place in own])
        return record["value"] if set(record) == {"value"} else record


def put(record: dict[str, Any], field: str, value: Any) -> None:
    *way, last = field.strip("/").split("/")
    for part in way:
        record = record.setdefault(part, {})
    record[last] = value


@settings(max_examples=12, deadline=None)
@given(values=st.lists(nested, min_size=1, max_size=8))
def test_child_tables_put_together_again_give_the_records(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    installation = Installation(tmp_path_factory.mktemp("project"))

    installation.land([{"id": f"{number}", "seen": number, "n": value} for number, value in enumerate(values)], **NESTED)

    found = {row["id"]: record.get("n") for row, record in Family(installation).records(TABLE.table)}
    assert {key: settled(value) for key, value in found.items()} == {f"{number}": settled(value) for number, value in enumerate(values)}


def expected(disposition: str, before: dict[str, Any], load: list[tuple[int, Any]]) -> dict[str, Any]:
    """Return what each key holds after a load in the order of its cursor."""
    newest = {str(key): value for key, value in load}
    first = {str(key): value for key, value in reversed(load)}
    return {"merge": {**before, **newest}, "insert_only": {**first, **before}, "replace": newest}[disposition]


@settings(max_examples=8, deadline=None)
@given(
    loads=st.lists(st.lists(st.tuples(st.integers(0, 4), nested), min_size=1, max_size=5), min_size=1, max_size=4),
    disposition=st.sampled_from(["merge", "insert_only", "replace"]),
)
def test_children_of_many_loads_are_those_of_the_records_that_stand_and_a_rebuild_agrees(
    tmp_path_factory: pytest.TempPathFactory, loads: list[list[tuple[int, Any]]], disposition: str
) -> None:
    installation = Installation(tmp_path_factory.mktemp("project"))
    standing: dict[str, Any] = {}

    for day, batch in enumerate(loads):
        records = [{"id": str(key), "seen": 100 * day + place, "n": value} for place, (key, value) in enumerate(batch)]
        installation.land(records, day=day, **{**NESTED, "disposition": disposition})
        standing = expected(disposition, standing, batch)

    found = {row["id"]: record.get("n") for row, record in Family(installation).records(TABLE.table)}
    assert {key: settled(value) for key, value in found.items()} == {key: settled(value) for key, value in standing.items()}
    verify(installation.lake, installation.settings)

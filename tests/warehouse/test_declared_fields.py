"""Which fields become columns when only declared ones may, and lineage columns under other names."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from trials import Ground

from ducklift.errors import ContractBroken
from ducklift.specs import TableSpec

RECORDS = [{"id": 1, "Began": "2026-01-01", "extra": "x"}, {"id": 2, "Began": "2026-01-02", "extra": "y", "more": [1]}]
DECLARED: dict[str, Any] = {"fields": "declared", "columns": [{"name": "began", "from": "Began", "type": "date"}]}
ALIASED = [
    {"name": "source_file", "from": "_source_file"},
    {"name": "loaded_at", "from": "_loaded_at"},
    {"name": "load", "from": "_load_id"},
]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_only_declared_fields_become_columns(ground: Ground, format: str) -> None:
    trial = ground.table(**DECLARED)

    trial.load([{name: value for name, value in record.items() if name != "more"} for record in RECORDS], format=format)

    assert trial.types() == {"began": "DATE"}
    assert [str(day) for (day,) in trial.rows()] == ["2026-01-01", "2026-01-02"]


def test_what_a_disposition_leans_on_becomes_a_column_all_the_same(ground: Ground) -> None:
    trial = ground.table(**DECLARED, disposition="merge", primary_key=["id"], incremental={"cursor": "seq"}, deleted_column="gone")

    summary = trial.load([{**record, "seq": 7, "gone": False} for record in RECORDS])

    assert trial.types() == {"began": "DATE", "gone": "BOOLEAN", "id": "BIGINT", "seq": "BIGINT"}
    assert summary.watermark == 7


def test_a_declared_column_without_a_type_takes_that_of_its_values(ground: Ground) -> None:
    trial = ground.table(fields="declared", columns=[{"name": "began", "from": "Began"}])

    trial.load(RECORDS)

    assert trial.types() == {"began": "DATE"}


@pytest.mark.parametrize("contract", ["evolve", "freeze", "quarantine"])
def test_a_new_field_that_is_not_declared_breaks_no_contract(ground: Ground, contract: str) -> None:
    trial = ground.table(**DECLARED, contract=contract)

    trial.load(RECORDS[:1])
    trial.load([{**RECORDS[1], "unheard_of": 1}])

    assert trial.types() == {"began": "DATE"}
    assert len(trial.rows()) == 2
    assert trial.quarantine() == []


def test_columns_that_a_table_has_go_on_being_filled(ground: Ground) -> None:
    trial = ground.table(columns=DECLARED["columns"])
    trial.load(RECORDS[:1])

    trial.spec = trial.spec.model_copy(update={"fields": "declared"})
    trial.load([{**RECORDS[1], "unheard_of": 1}])

    assert trial.rows("id, extra") == [(1, "x"), (2, "y")]
    assert "unheard_of" not in trial.types()


@pytest.mark.parametrize("disposition", ["append", "merge", "scd2", "insert_only", "replace"])
def test_an_alias_always_equals_its_lineage_column(ground: Ground, disposition: str) -> None:
    extracted = {"name": "read_at", "from": "_extracted_at"}
    trial = ground.table(disposition=disposition, primary_key=["id"], columns=[*ALIASED, extracted])

    trial.load(RECORDS)
    again = trial.load([RECORDS[0], {**RECORDS[1], "extra": "z"}, {"id": 3}])

    differing = "(source_file, loaded_at, load, read_at) IS DISTINCT FROM (_source_file, _loaded_at, _load_id, _extracted_at)"
    assert trial.rows(f"DISTINCT {differing}") == [(False,)]
    assert len(trial.rows("DISTINCT load")) == (1 if disposition in ("replace", "merge") else 2)
    if disposition == "merge":
        assert (again.rows_inserted, again.rows_updated, again.rows_unchanged) == (1, 1, 1)


def test_an_alias_is_added_to_a_table_that_is_there(ground: Ground) -> None:
    trial = ground.table()
    trial.load(RECORDS[:1])

    trial.spec = TableSpec.model_validate({**trial.spec.model_dump(by_alias=True), "columns": ALIASED})
    trial.load(RECORDS[1:])

    assert trial.rows("id, source_file IS NULL") == [(1, True), (2, False)]


def test_an_alias_does_not_take_the_name_of_a_column_with_other_values(ground: Ground) -> None:
    trial = ground.table()
    trial.load([{"id": 1, "loaded_at": "yesterday"}])

    trial.spec = TableSpec.model_validate({**trial.spec.model_dump(by_alias=True), "columns": ALIASED})
    with pytest.raises(ContractBroken, match=r"'loaded_at' is to be '_loaded_at'.*the table has it as VARCHAR"):
        trial.load([{"id": 2}])


def test_a_table_without_rows_yet_gets_its_aliases(ground: Ground) -> None:
    trial = ground.table(columns=[{"name": "id", "type": "bigint"}, *ALIASED])

    trial.load([])
    trial.load(RECORDS[:1])

    assert trial.rows("source_file = _source_file") == [(True,)]


REFUSED = [
    ({"columns": [{"name": "loaded_at", "from": "_loaded_at", "type": "varchar"}]}, "write nothing but name and from"),
    ({"columns": ALIASED, "disposition": "merge", "primary_key": ["load"]}, "neither key nor cursor"),
    ({"columns": ALIASED, "incremental": {"cursor": "loaded_at"}}, "neither key nor cursor"),
    ({"fields": "declared"}, "list them"),
    ({**DECLARED, "nested": "tables"}, "write one of them"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TableSpec.model_validate({"name": {"dataset": "d", "table": "t"}, **given})

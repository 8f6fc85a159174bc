"""What becomes of values: first loads that make a column, later ones that fit it or do not, by contract; in JSON lines, CSV and Parquet."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf, isfinite, isnan
from typing import Any

import pytest
from hypothesis import given, strategies as st
from trials import Ground, Trial

from ducklift.errors import ContractBroken, LoadFailed
from ducklift.warehouse import ledger
from ducklift.warehouse.connect import open_warehouse
from ducklift.warehouse.content import content_hash
from ducklift.warehouse.replay import replay
from ducklift.warehouse.system import prepare_system

ZONED = "TIMESTAMP WITH TIME ZONE"
BIG = 12345678901234567890123
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
LOCAL_NOON = NOON.replace(tzinfo=None)


@pytest.fixture(autouse=True, params=[True, False], ids=["kinds told", "kinds not told"])
def _tells_kinds(ground: Ground, request: pytest.FixtureRequest) -> None:
    ground.tells_kinds = request.param


def records(*values: Any) -> list[dict[str, Any]]:
    return [{"x": value} for value in values]


def values(trial: Trial, column: str = "x") -> list[Any]:
    """Return a column in the order in which its rows were loaded."""
    return [value for (value,) in trial.ground.query(f'SELECT "{column}" FROM {trial.spec.name} ORDER BY rowid')]


INFERRED: list[tuple[list[Any], str, list[Any]]] = [
    ([1, -2], "BIGINT", [1, -2]),
    ([1, 2.5], "DOUBLE", [1.0, 2.5]),
    ([2**63], "DECIMAL(38,0)", [2**63]),
    ([BIG, 1], "DECIMAL(38,0)", [BIG, 1]),
    ([10**38 - 1, 1 - 10**38], "DECIMAL(38,0)", [10**38 - 1, 1 - 10**38]),
    ([10**38], "VARCHAR", [str(10**38)]),
    ([10**40], "VARCHAR", [str(10**40)]),
    ([2**53 + 1, 0.5], "VARCHAR", [str(2**53 + 1), "0.5"]),
    ([1e300], "DOUBLE", [1e300]),
    ([1, float("inf"), None, -float("inf")], "DOUBLE", [1.0, float("inf"), None, -float("inf")]),
    ([float("inf"), "a", True], "VARCHAR", ["Infinity", "a", "true"]),
    ([{"a": [float("inf"), None]}], "JSON", ['{"a":["Infinity",null]}']),
    ([True, None, False], "BOOLEAN", [True, None, False]),
    ([True, 1], "VARCHAR", ["true", "1"]),
    (["1", "2"], "VARCHAR", ["1", "2"]),
    (["007"], "VARCHAR", ["007"]),
    (["a", 1, 2.5, None], "VARCHAR", ["a", "1", "2.5", None]),
    (["true"], "VARCHAR", ["true"]),
    (["", None], "VARCHAR", ["", None]),
    (["NaN"], "VARCHAR", ["NaN"]),
    (["2024-01-01", "2024-02-29"], "DATE", [date(2024, 1, 1), date(2024, 2, 29)]),
    (["2023-02-29"], "VARCHAR", ["2023-02-29"]),
    (["2024-01-01", "2024-01-01T12:00:00"], "TIMESTAMP", [LOCAL_NOON.replace(hour=0), LOCAL_NOON]),
    (["2024-01-01T12:00:00Z", "2024-01-01T14:00:00+02:00"], ZONED, [NOON, NOON]),
    (["2024-01-01T12:00:00Z", "2024-01-01T12:00:00"], "VARCHAR", ["2024-01-01T12:00:00Z", "2024-01-01T12:00:00"]),
    (["2024-01-01T12:00:00.123456789"], "VARCHAR", ["2024-01-01T12:00:00.123456789"]),
    ([{"a": 1}, {"a": [None, "ü"]}], "JSON", ['{"a":1}', '{"a":[null,"ü"]}']),
    ([[1, "a"], []], "JSON", ['[1,"a"]', "[]"]),
    (["a", 1, {"b": 2}], "JSON", ['"a"', "1", '{"b":2}']),
    (["\x00", "a\r\nb", "'\"\\", "🦆"], "VARCHAR", ["\x00", "a\r\nb", "'\"\\", "🦆"]),
]


@pytest.mark.parametrize(("given_values", "type_", "stored"), INFERRED, ids=[str(case[0])[:40] for case in INFERRED])
def test_a_new_column_takes_the_narrowest_type_that_keeps_every_value(
    ground: Ground, given_values: list[Any], type_: str, stored: list[Any]
) -> None:
    trial = ground.table()

    trial.load(records(*given_values))

    assert trial.types() == {"x": type_}
    assert values(trial) == stored


WIDENED: list[tuple[Any, Any, str, list[Any]]] = [
    (1, 2**63, "DECIMAL(38,0)", [1, 2**63]),
    (1, 1.5, "DOUBLE", [1.0, 1.5]),
    (1, float("inf"), "DOUBLE", [1.0, float("inf")]),
    (1, 1e300, "DOUBLE", [1.0, 1e300]),
    ("2024-01-01", "2024-01-01T12:00:00", "TIMESTAMP", [LOCAL_NOON.replace(hour=0), LOCAL_NOON]),
    ("2024-01-01", "2024-01-01T12:00:00Z", ZONED, [datetime(2024, 1, 1, tzinfo=UTC), NOON]),
    ("2024-01-01T12:00:00", "2024-01-01T12:00:00Z", ZONED, [NOON, NOON]),
]


@pytest.mark.parametrize(("first", "later", "type_", "stored"), WIDENED)
def test_a_column_widens_for_later_values_and_says_so(ground: Ground, first: Any, later: Any, type_: str, stored: list[Any]) -> None:
    trial = ground.table()
    trial.load(records(first))
    before = trial.types()["x"]

    trial.load(records(later))

    assert trial.types() == {"x": type_}
    assert values(trial) == stored
    assert trial.changes() == [("x", "type widened", before, type_)]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_column_widens_for_the_values_that_ask_for_it_whatever_comes_beside_them(ground: Ground, format: str) -> None:
    trial = ground.table(disposition="merge", primary_key=["id"])
    trial.load([{"id": 1, "x": 1}], format=format)

    told = trial.load([{"id": 1.5, "x": 2.5}, {"id": "two", "x": 3}, {"id": 4, "x": "many"}], format=format)

    assert trial.types() == {"id": "DOUBLE", "x": "DOUBLE", "x__v_text": "VARCHAR"}
    assert trial.rows() == [(1, 1, None), (1.5, 2.5, None), (4, None, "many")]
    assert (told.rows_inserted, [reason for _, reason, _ in trial.quarantine()]) == (2, ["column id: not a DOUBLE: two"])


FITTING: list[tuple[Any, Any, Any]] = [
    (1, 2.0, 2),
    (1, "2", 2),
    (1.5, 2, 2.0),
    (1.5, -float("inf"), -float("inf")),
    (BIG, 10**37 + 1, 10**37 + 1),
    (BIG, "7", 7),
    ("a", 1, "1"),
    ("a", True, "true"),
    ("a", {"b": 1}, '{"b":1}'),
    ({"a": 1}, 5, "5"),
    ({"a": 1}, "text", '"text"'),
    ("2024-01-01T12:00:00Z", "2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
]


@pytest.mark.parametrize(("first", "later", "stored"), FITTING)
def test_a_later_value_that_fits_changes_nothing(ground: Ground, first: Any, later: Any, stored: Any) -> None:
    trial = ground.table()
    trial.load(records(first))

    trial.load(records(later))

    assert values(trial)[1] == stored
    assert trial.changes() == []


FLIPS: list[tuple[Any, Any, str, str]] = [
    (1, "many", "x__v_text", "many"),
    (1, "007", "x__v_text", "007"),
    (1, " 5", "x__v_text", " 5"),
    (1, True, "x__v_text", "true"),
    (1, 10**40, "x__v_text", str(10**40)),
    (1, "2024-01-01", "x__v_text", "2024-01-01"),
    (1, {"a": 1}, "x__v_json", '{"a":1}'),
    (2**53 + 1, 0.5, "x__v_text", "0.5"),
    (0.5, 2**53 + 1, "x__v_text", str(2**53 + 1)),
    (0.5, "007", "x__v_text", "007"),
    (True, 0, "x__v_text", "0"),
    (True, 5, "x__v_text", "5"),
    (True, "yes", "x__v_text", "yes"),
    ("2024-01-01", "soon", "x__v_text", "soon"),
    ("2024-01-01", 20240101, "x__v_text", "20240101"),
    ("2024-01-01T12:00:00", "2024-01-01T12:00:00.123456789", "x__v_text", "2024-01-01T12:00:00.123456789"),
    ("2024-01-01T12:00:00Z", 1704110400, "x__v_text", "1704110400"),
    ("2024-01-01T12:00:00Z", [1], "x__v_json", "[1]"),
]


@pytest.mark.parametrize(("first", "later", "column", "stored"), FLIPS)
def test_a_value_of_another_kind_goes_to_a_variant_beside_its_column(
    ground: Ground, first: Any, later: Any, column: str, stored: str
) -> None:
    trial = ground.table()
    trial.load(records(first))
    before = trial.types()["x"]

    trial.load(records(later, first))
    trial.load(records(later))

    assert trial.types() == {"x": before, column: "JSON" if column.endswith("json") else "VARCHAR"}
    assert values(trial, column) == [None, stored, None, stored]
    assert [value is None for value in values(trial)] == [False, True, False, True]
    assert trial.changes() == [(column, "variant added", None, trial.types()[column])]


@given(batches=st.lists(st.lists(st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["007", "2024-01-01", "2024-01-01T12:00:00Z", "1.5", "true", "null", "NaN", " 1", "1e5", "-0"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.booleans(), max_size=2),
), min_size=1, max_size=4), min_size=1, max_size=4))  # fmt: skip
def test_every_value_can_be_read_back_whatever_came_before_it(ground: Ground, batches: list[list[Any]]) -> None:
    trial = ground.table(columns=[{"name": "n", "type": "bigint"}])
    number = 0
    for batch in batches:
        trial.load([{"n": (number := number + 1), "x": value} for value in batch])

    columns = [name for name in trial.types() if name != "n"]
    found = trial.ground.query(f"SELECT {', '.join([*columns, 'n'])} FROM {trial.spec.name} ORDER BY n")
    assert len(found) == number
    assert trial.quarantine() == []
    for original, row in zip([value for batch in batches for value in batch], found, strict=True):
        stored = [value for value in row[:-1] if value is not None]
        assert len(stored) == (original is not None)
        assert original is None or faithful(original, stored[0]), (original, stored)


def faithful(original: Any, stored: Any) -> bool:
    """Return whether a stored value is the original one, be it as a value or as its text."""
    if isinstance(stored, float) and isnan(stored):
        return original == "NaN" or isnan(original)
    if isinstance(original, float) and not isfinite(original):
        return str(stored).strip('"') == {inf: "Infinity", -inf: "-Infinity"}.get(original, "NaN") or stored == original
    if isinstance(original, str) and isinstance(stored, datetime | date):
        moment = datetime.fromisoformat(original)
        return stored == moment.date() if type(stored) is date else stored.replace(tzinfo=None) == moment.replace(tzinfo=None)
    if isinstance(original, str):
        return stored in (original, json.dumps(original, ensure_ascii=False)) or read(str(stored)) in (original, read(original))
    if isinstance(stored, str):
        return bool(read(stored) == original)
    return bool(stored == original)


def read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("values_given", [[1.5, float("nan")], [float("nan"), 1], [float("nan"), None]])
def test_nan_arrives_as_nan_in_a_column_of_doubles(ground: Ground, values_given: list[Any]) -> None:
    trial = ground.table(columns=[{"name": "x", "type": "double"}])
    trial.load(records(2.5))
    inferred = ground.table()
    inferred.load(records(7.0, *values_given))

    trial.load(records(*values_given))

    assert [str(value) for value in values(trial)[1:]] == [str(float(v)) if v is not None else "None" for v in values_given]
    assert inferred.types() == {"x": "DOUBLE"}
    assert [str(value) for value in values(inferred)[1:]] == [str(value) for value in values(trial)[1:]]


NAMES: list[tuple[list[str], list[str]]] = [
    (["tripDistance"], ["trip_distance"]),
    (["Trip Distance"], ["trip_distance"]),
    (["HTTPServer"], ["http_server"]),
    (["a b", "a-b"], ["a_b", "a_b_"]),
    (["select", "order", "group"], ["select", "order", "group"]),
    (["a.b", "$.a", "a[0]"], ["a_b", "a", "a_0"]),
    (["ü"], ["field"]),
    (["1st"], ["_1st"]),
    (['quo"te', "quo'te"], ["quo_te", "quo_te_"]),
    (["_load_id"], ["_load_id_"]),
    (["_position", "_problem", "_source_file"], []),
    (["rowid"], ["rowid"]),
]


@pytest.mark.parametrize(("fields", "columns"), NAMES, ids=[",".join(case[0]) for case in NAMES])
@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_every_name_becomes_a_column_of_its_own_that_holds_its_values(
    ground: Ground, fields: list[str], columns: list[str], format: str
) -> None:
    trial = ground.table()

    trial.load([{field: f"v{place}" for place, field in enumerate(fields)}], format=format)
    trial.load([{field: f"w{place}" for place, field in reversed(list(enumerate(fields)))}], format=format)

    sources = dict(trial.ground.query(f'SELECT field, "column" FROM _ducklift.schema_changes WHERE "table" = \'{trial.spec.name.table}\''))
    assert set(fields) <= set(sources)
    assert len(set(sources.values())) == len(sources)
    for place, field in enumerate(fields):
        assert values(trial, sources[field]) == [f"v{place}", f"w{place}"]
    for field, column in zip(fields, columns, strict=False):
        assert sources[field].startswith(column)


@pytest.mark.parametrize("fields", [["name", "Name"], ["x", "X", "x__v_text"], ["", "a"]])
def test_json_lines_tell_case_twins_and_the_empty_name_apart_and_other_formats_refuse_them(ground: Ground, fields: list[str]) -> None:
    trial = ground.table()

    trial.load([{field: place for place, field in enumerate(fields)}])
    trial.load([{field: 10 + place for place, field in reversed(list(enumerate(fields)))}])

    assert sorted(map(sorted, trial.rows())) == [list(range(len(fields))), [10 + place for place in range(len(fields))]]
    for format in ("csv", "parquet"):
        with pytest.raises(ContractBroken, match="jsonl"):
            ground.table().load([dict.fromkeys(fields, 1)], format=format)


@pytest.mark.parametrize("disposition", ["merge", "scd2", "insert_only", "append"])
@pytest.mark.parametrize("name", ["fate", "moment", "version", "data", "place", "record", "filename", "position", "value", "t", "s", "key"])
def test_no_field_is_taken_for_a_name_that_loading_uses_itself(ground: Ground, disposition: str, name: str) -> None:
    trial = ground.table(disposition=disposition, primary_key=[name])

    trial.load([{name: 1, "v": 1}])
    told = trial.load([{name: 1, "v": 2}, {name: 2, "v": 2}, {"v": 3}])

    assert told.rows_quarantined == 1
    assert {row[0] for row in trial.rows(name)} == {1, 2}


@pytest.mark.parametrize("field", ["n" * 300, "ü" * 300, "a\nb", "a\tb", "\x7f", "💥"])
def test_long_and_odd_names_are_shortened_and_the_original_is_kept(ground: Ground, field: str) -> None:
    trial = ground.table()

    trial.load([{field: 1, f"{field}2": 2}])

    assert all(len(name) <= 255 for name in trial.types())
    assert [value for (value,) in trial.system("schema_changes", "field ORDER BY rowid")] == [field, f"{field}2"]
    assert sorted(trial.rows()[0]) == [1, 2]


def test_a_field_without_any_value_makes_no_column_until_it_has_one(ground: Ground) -> None:
    trial = ground.table()

    trial.load([{"id": 1, "x": None}])
    assert trial.types() == {"id": "BIGINT"}
    trial.load([{"id": 2, "x": "a"}])

    assert trial.rows() == [(1, None), (2, "a")]


def test_a_field_that_no_longer_comes_is_null_and_its_column_stays(ground: Ground) -> None:
    trial = ground.table()
    trial.load([{"id": 1, "x": "a"}])

    trial.load([{"id": 2}])

    assert trial.rows() == [(1, "a"), (2, None)]


DECLARED: list[tuple[str, Any, Any]] = [
    ("bigint", "12", 12),
    ("bigint", 5.0, 5),
    ("decimal(10,2)", 1.25, Decimal("1.25")),
    ("decimal(10,2)", "12345678.90", Decimal("12345678.90")),
    ("decimal(10,2)", "1.2345e2", Decimal("123.45")),
    ("decimal(38,10)", "1234567890123456789.0123456789", Decimal("1234567890123456789.0123456789")),
    ("double", 5, 5.0),
    ("varchar", 5, "5"),
    ("varchar", {"a": 1}, '{"a":1}'),
    ("boolean", 0, False),
    ("boolean", 1704110400.5, True),
    ("timestamptz", 1704110400, NOON),
    ("timestamptz", "1704110400", NOON),
    ("timestamptz", "2024-01-01T14:00:00+02:00", NOON),
    ("timestamp", "2024-01-01T12:00:00", LOCAL_NOON),
    ("date", "2024-01-01", date(2024, 1, 1)),
    ("bigint", "007", 7),
    ("bigint", "-01", -1),
    ("double", "01.50", 1.5),
    ("json", "text", '"text"'),
]


@pytest.mark.parametrize(("type_", "value", "stored"), DECLARED)
def test_a_declared_type_takes_what_it_can_hold(ground: Ground, type_: str, value: Any, stored: Any) -> None:
    trial = ground.table(columns=[{"name": "x", "type": type_}])

    trial.load(records(value))

    assert values(trial) == [stored]


MISFITS: list[tuple[str, Any]] = [
    ("bigint", 1.5),
    ("bigint", "0x10"),
    ("bigint", "1_000"),
    ("bigint", "9223372036854775808"),
    ("bigint", 2**63),
    ("integer", 2**31),
    ("utinyint", -1),
    ("decimal(10,2)", 1.255),
    ("decimal(10,2)", "123456789.00"),
    ("decimal(38,2)", "12345678901234567890.125"),
    ("double", "1,5"),
    ("double", 2**53 + 1),
    ("boolean", "maybe"),
    ("timestamptz", "soon"),
    ("timestamptz", 1e18),
    ("timestamp", "2024-01-01T12:00:00Z"),
    ("timestamp", "2024-01-01T12:00:00.1234567"),
    ("date", "2024-01-01T00:00:00"),
    ("date", "2023-02-29"),
    ("bigint", [1]),
]


@pytest.mark.parametrize(("type_", "value"), MISFITS)
@pytest.mark.parametrize("contract", ["evolve", "quarantine"])
def test_a_declared_type_never_widens_and_what_it_cannot_hold_is_quarantined(ground: Ground, type_: str, value: Any, contract: str) -> None:
    trial = ground.table(columns=[{"name": "x", "type": type_}], contract=contract)

    told = trial.load(records(value, None))

    assert (told.rows_inserted, told.rows_quarantined) == (1, 1)
    [(line, reason, record)] = trial.quarantine()
    assert line == 1
    assert reason.startswith(f"column x: not a {type_}: ")
    assert json.loads(record) == {"x": value}


@pytest.mark.parametrize(("first", "later"), [({"x": 1}, {"x": "a"}), ({"x": 1}, {"x": 1.5}), ({"x": 1}, {"x": 1, "new": 2})])
def test_freeze_refuses_the_load_whole_and_leaves_the_table_as_it_was(ground: Ground, first: dict[str, Any], later: dict[str, Any]) -> None:
    trial = ground.table(contract="freeze")
    trial.load([first])

    with pytest.raises(ContractBroken, match="freeze"):
        trial.load([first, later])

    assert trial.rows() == [(1,)]
    assert trial.changes() == []
    assert trial.quarantine() == []


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ({"x": "a"}, "column x: not a BIGINT: a"),
        ({"x": 1.5}, "column x: not a BIGINT: 1.5"),
        ({"x": 1, "new": 2}, "field new: not in the table"),
    ],
)
def test_quarantine_keeps_the_shape_and_sets_aside_what_would_change_it(ground: Ground, later: dict[str, Any], reason: str) -> None:
    trial = ground.table(contract="quarantine")
    trial.load([{"x": 1}])

    told = trial.load([{"x": 2}, later])

    assert trial.rows() == [(1,), (2,)]
    assert trial.changes() == []
    assert trial.quarantine() == [(2, reason, json.dumps(later, separators=(",", ":")))]
    assert (told.rows_inserted, told.rows_quarantined) == (1, 1)


def test_a_columns_own_contract_comes_before_the_tables(ground: Ground) -> None:
    columns = [{"name": "fixed", "contract": "freeze"}, {"name": "strict", "contract": "quarantine"}]
    trial = ground.table(columns=columns)
    trial.load([{"fixed": 1, "strict": 1, "loose": 1}])

    told = trial.load([{"fixed": 2, "strict": "a", "loose": 2}, {"fixed": 3, "strict": 3, "loose": "b"}])
    assert (told.rows_inserted, told.rows_quarantined) == (1, 1)
    assert trial.changes() == [("loose__v_text", "variant added", None, "VARCHAR")]
    with pytest.raises(ContractBroken, match="'fixed'"):
        trial.load([{"fixed": "a", "strict": 4}])


def test_a_declared_column_that_is_wider_than_the_tables_widens_it(ground: Ground) -> None:
    narrow = ground.table(columns=[{"name": "x", "type": "integer"}])
    narrow.load(records(1))
    narrow.spec = narrow.spec.model_validate({**narrow.spec.model_dump(), "columns": [{"name": "x", "type": "bigint"}]})

    narrow.load(records(2**40))

    assert narrow.types() == {"x": "BIGINT"}
    assert values(narrow) == [1, 2**40]


def test_a_declared_column_that_neither_holds_is_refused(ground: Ground) -> None:
    trial = ground.table(columns=[{"name": "x", "type": "boolean"}])
    trial.load(records(True))
    trial.spec = trial.spec.model_validate({**trial.spec.model_dump(), "columns": [{"name": "x", "type": "date"}]})

    with pytest.raises(ContractBroken, match="no type holds both"):
        trial.load(records("2024-01-01"))


def test_a_declared_column_that_is_narrower_than_the_tables_changes_nothing(ground: Ground) -> None:
    trial = ground.table()
    trial.load(records(2**40))
    trial.spec = trial.spec.model_validate({**trial.spec.model_dump(), "columns": [{"name": "x", "type": "integer"}]})

    trial.load(records(1))

    assert trial.types() == {"x": "BIGINT"}
    assert values(trial) == [2**40, 1]


TABULAR: list[tuple[list[Any], str, str, list[Any]]] = [
    ([1, 2], "BIGINT", "BIGINT", [1, 2]),
    ([1.5, None], "DOUBLE", "DOUBLE", [1.5, None]),
    ([True, False], "BOOLEAN", "BOOLEAN", [True, False]),
    (["007", "8"], "VARCHAR", "VARCHAR", ["007", "8"]),
    (["", "a"], "VARCHAR", "VARCHAR", ["", "a"]),
    ([2**53 + 1, 0.5], "VARCHAR", "VARCHAR", [str(2**53 + 1), "0.5"]),
    (["a\r\nb", 'say "hi", please'], "VARCHAR", "VARCHAR", ["a\r\nb", 'say "hi", please']),
    (["=1+1", "NULL", "null"], "VARCHAR", "VARCHAR", ["=1+1", "NULL", "null"]),
    ([1, "a"], "VARCHAR", "VARCHAR", ["1", "a"]),
    ([float("nan"), float("inf"), 1.5], "DOUBLE", "DOUBLE", []),
]


@pytest.mark.parametrize(("given_values", "csv", "parquet", "stored"), TABULAR, ids=[str(case[0])[:40] for case in TABULAR])
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_csv_and_parquet_keep_values_as_json_lines_do(
    ground: Ground, format: str, given_values: list[Any], csv: str, parquet: str, stored: list[Any]
) -> None:
    trial = ground.table()

    trial.load([{"n": place, "x": value} for place, value in enumerate(given_values)], format=format)

    assert trial.types()["x"] == (csv if format == "csv" else parquet)
    assert not stored or values(trial) == stored
    assert [str(value).lower() for value in values(trial) if value is not None] == [
        str(value).lower() for value in given_values if value is not None
    ]


@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("first", "later", "types", "rows"),
    [
        (1, 1.5, {"x": "DOUBLE"}, [(1.0,), (1.5,)]),
        (1, "a", {"x": "BIGINT", "x__v_text": "VARCHAR"}, [(1, None), (None, "a")]),
        (True, "a", {"x": "BOOLEAN", "x__v_text": "VARCHAR"}, [(True, None), (None, "a")]),
        ("a", 1, {"x": "VARCHAR"}, [("1",), ("a",)]),
        (1.5, 2, {"x": "DOUBLE"}, [(1.5,), (2.0,)]),
    ],
)
def test_csv_and_parquet_evolve_as_json_lines_do(
    ground: Ground, format: str, first: Any, later: Any, types: dict[str, str], rows: list[Any]
) -> None:
    trial = ground.table()

    trial.load(records(first), format=format)
    trial.load(records(later), format=format)

    assert trial.types() == types
    assert trial.rows() == rows


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_bad_value_in_csv_or_parquet_is_quarantined_with_its_line(ground: Ground, format: str) -> None:
    trial = ground.table(columns=[{"name": "x", "type": "bigint"}])

    told = trial.load([{"x": "1", "y": "a"}, {"x": "many", "y": "b"}], format=format)

    assert (told.rows_inserted, told.rows_quarantined) == (1, 1)
    [(line, reason, record)] = trial.quarantine()
    assert (line, reason, json.loads(record)) == (2, "column x: not a bigint: many", {"x": "many", "y": "b"})


def test_an_empty_list_that_becomes_no_list_is_an_update(ground: Ground) -> None:
    trial = ground.table(disposition="merge", primary_key=["n"], columns=[{"name": "x", "type": "bigint[]"}])

    told = [trial.load([{"n": 1, "x": value}]) for value in ([], None, None, [None])]

    assert [(each.rows_updated, each.rows_unchanged) for each in told] == [(0, 0), (1, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("told", [True, False], ids=["of the length that is told", "of a length that nobody told"])
def test_a_long_record_of_csv_is_loaded(ground: Ground, told: bool) -> None:
    trial = ground.table()
    longest = 5_000_000
    data = b'n,x\n1,a\n2,"' + longest * b"b" + b'"\n'

    trial.load_bytes(data, 2, format="csv", longest=len(data) if told else 0)

    assert trial.rows("n, length(x)") == [(1, 1), (2, longest)]


@pytest.mark.parametrize("names", [("x", "y"), ("file_row_number", "filename")])
def test_a_bad_value_in_a_later_parquet_file_is_quarantined_with_its_own_line(ground: Ground, names: tuple[str, str]) -> None:
    trial = ground.table(columns=[{"name": names[0], "type": "bigint"}])
    first, later = ([{names[0]: "1", names[1]: "a"}] * 3, [{names[0]: "2", "z": 1}, {names[0]: "many"}])

    told = trial.load_spooled([first, later], format="parquet")

    assert (told.files, told.rows_inserted, told.rows_quarantined) == (2, 4, 1)
    assert [line for line, _, _ in trial.quarantine()] == [2]


def test_nested_values_of_parquet_are_json(ground: Ground) -> None:
    import pyarrow as pa

    trial = ground.table()

    trial.load_spooled([pa.table({"s": [{"a": 1, "b": [1, 2]}], "l": [["x"]], "d": [Decimal("1.50")]})], format="parquet")

    assert trial.types()["d"] == "DECIMAL(3,2)"
    assert [json.loads(value) for value in trial.rows("s, l")[0]] == [{"a": 1, "b": [1, 2]}, ["x"]]


FOREIGN: list[tuple[bytes, int, list[Any], list[tuple[int, str, str]]]] = [
    (b'{"x":1}\r\n{"x":2}\r\n', 2, [1, 2], []),
    (b'{"x":1}\n\n{"x":2}', 2, [1, 2], []),
    (b'\xef\xbb\xbf{"x":1}\n{"x":2}\n', 2, [1, 2], []),
    (b'{"x":1}\n{"x":2\n{"x":3}\n', 3, [1, 3], [(2, "", '{"x":2')]),
    (b'{"x":1}\nnonsense\n{"x":3}\n', 3, [1, 3], [(2, "", "nonsense")]),
    (b'{"x":1}\n[1,2]\n"text"\n5\n{"x":3}\n', 5, [1, 3], [(2, "", "[1,2]"), (3, "", '"text"'), (4, "", "5")]),
    (b'[1]\n{"x":1}\n', 2, [1], [(1, "", "[1]")]),
    (b'{}\n{"x":1}\n', 2, [None, 1], []),
    (b'{"x":1} {"x":2}\n{"x":3}\n', 2, [3], [(1, "", '{"x":1} {"x":2}')]),
    (b'{"x":1,"x":2}\n', 1, [1], []),
    (b'\xef\xbb\xbf{"x":1}\r\n\r\nbad\r\n{"x":2}\r\n', 3, [1, 2], [(2, "", "bad")]),
]


@pytest.mark.parametrize("known_fields", [("x",), ()])
@pytest.mark.parametrize(("data", "rows", "stored", "bad"), FOREIGN)
@pytest.mark.parametrize("spec", [{}, {"columns": [{"name": "x", "type": "bigint"}]}], ids=["inferred", "declared"])
def test_foreign_lines_are_loaded_or_quarantined_each_by_itself(
    ground: Ground,
    known_fields: tuple[str, ...],
    spec: dict[str, Any],
    data: bytes,
    rows: int,
    stored: list[Any],
    bad: list[tuple[int, str, str]],
) -> None:
    trial = ground.table(**spec)

    told = trial.load_bytes(data, rows, fields=known_fields)

    assert values(trial) == stored
    assert [(line, record) for line, _, record in trial.quarantine()] == [(line, record) for line, _, record in bad]
    assert {reason for _, reason, _ in trial.quarantine()} <= {"the record is not a JSON object"}
    assert told.rows_quarantined == len(bad)


def test_a_file_that_is_no_text_fails_by_name_and_loads_nothing(ground: Ground) -> None:
    trial = ground.table(columns=[{"name": "x", "type": "bigint"}])

    with pytest.raises(LoadFailed, match="rolled back"):
        trial.load_bytes(b'{"x":1}\n\xff\xfe\x01\n', 2)

    assert not trial.exists()


def test_a_rebuild_reads_foreign_lines_as_the_load_did(ground: Ground) -> None:
    trial = ground.table(columns=[{"name": "x", "type": "bigint"}])
    trial.load_bytes(b'{"x":1}\nnonsense\n{"x":3,"y":2}\n', 3)
    trial.load_bytes(b'{"x":1,"z":1}\n[1]\n', 2)
    records = ledger.commit_records(ground.warehouse, trial.spec.name)

    with open_warehouse(ground.settings) as other:
        prepare_system(other)
        replay(other, ground.lake, records, {})

        assert content_hash(other, trial.spec.name) == content_hash(ground.warehouse, trial.spec.name)
        assert other.rows("SELECT line, reason, record FROM _ducklift.quarantine ORDER BY ALL") == sorted(trial.quarantine())

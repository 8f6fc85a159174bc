"""`nested: tables`: objects become columns, lists become child tables, and a child row lives exactly as long as its parent's version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, TABLE, Installation, Record, slice_run

from ducklift.errors import ContractBroken
from ducklift.pipeline import Run, extract, load, upload
from ducklift.specs import TableSpec
from ducklift.warehouse.rebuild import verify

TAKEN_APART: dict[str, Any] = {"nested": "tables", "record_column": None, "columns": ()}
NESTED: dict[str, Any] = {**TAKEN_APART, "primary_key": ["id"], "incremental": {"cursor": "seen"}}
KEYLESS: dict[str, Any] = {**NESTED, "disposition": "append", "primary_key": ()}
SYSTEM = {"_row_key", "_parent_key", "_index", "_lists_hash", "_load_id", "_loaded_at", "_extracted_at", "_source_file"}


def bird(name: str, seen: int, **fields: Any) -> Record:
    return {"id": name, "seen": seen, **fields}


def tables(installation: Installation) -> list[str]:
    found = installation.query(f"SELECT table_name FROM duckdb_tables() WHERE schema_name = '{TABLE.dataset}' ORDER BY ALL")
    return [name for (name,) in found]


def joined(installation: Installation, child: str = "eggs", columns: str = "p.id, c._index, c.colour") -> list[tuple[Any, ...]]:
    """Return child rows as the documentation tells to join them."""
    join = f"FROM {TABLE} AS p JOIN {TABLE}__{child} AS c ON c._parent_key = p._row_key"
    rows = installation.query(f"SELECT {columns} {join} ORDER BY p.id, c._index")
    orphans = installation.query(f"SELECT * FROM {TABLE}__{child} WHERE _parent_key NOT IN (SELECT _row_key FROM {TABLE})")
    assert orphans == []
    return rows


def eggs(*colours: Any) -> list[dict[str, Any]]:
    return [{"colour": colour} for colour in colours]


def test_a_list_of_objects_becomes_a_table_with_a_row_per_element_in_order(installation: Installation) -> None:
    summary = installation.land([bird("a", 1, eggs=eggs("blue", "white")), bird("b", 2, eggs=eggs("red"))], **NESTED)

    assert (summary.rows_extracted, summary.rows_inserted, summary.total_rows) == (2, 2, 2)
    assert tables(installation) == ["sightings", "sightings__eggs"]
    assert joined(installation) == [("a", 0, "blue"), ("a", 1, "white"), ("b", 0, "red")]
    assert installation.query(f"SELECT DISTINCT _load_id, _source_file FROM {TABLE}__eggs") == [
        (summary.load_id, installation.manifest()["files"][0]["key"])
    ]


@pytest.mark.parametrize(
    ("values", "column_type", "stored"),
    [
        ([1, 2], "BIGINT", [1, 2]),
        ([12345678901234567890123456789, 1], "DECIMAL(38,0)", [12345678901234567890123456789, 1]),
        (['say "hi"', "it's", "back\\slash", ""], "VARCHAR", ['say "hi"', "it's", "back\\slash", ""]),
        ([True, None, False], "BOOLEAN", [True, None, False]),
        ([1.5, 2], "DOUBLE", [1.5, 2.0]),
        (["007", "8"], "VARCHAR", ["007", "8"]),
        (["2026-01-02"], "DATE", None),
        ([1, "one"], "VARCHAR", ["1", "one"]),
    ],
)
def test_scalars_of_a_list_stand_in_the_column_value_exactly(
    installation: Installation, values: list[Any], column_type: str, stored: list[Any] | None
) -> None:
    installation.land([bird("a", 1, rings=values)], **NESTED)

    assert installation.query(f"SELECT typeof(value) FROM {TABLE}__rings LIMIT 1") == [(column_type,)]
    if stored is not None:
        assert joined(installation, "rings", "c.value") == [(value,) for value in stored]


def test_an_object_is_spread_over_columns_of_the_parent_named_by_both_fields(installation: Installation) -> None:
    installation.land([bird("a", 1, place={"cityName": "Ulm", "geo": {"lat": 48.4}}), bird("b", 2, place=None)], **NESTED)

    assert installation.rows("id, place__city_name, place__geo__lat") == [("a", "Ulm", 48.4), ("b", None, None)]


def test_lists_within_elements_and_within_objects_and_within_lists_become_tables_below(installation: Installation) -> None:
    record = bird("a", 1, nests=[{"eggs": eggs("blue")}, {"eggs": eggs("red", "white")}], place={"tags": ["x"]}, grid=[[1], [2, 3]])

    installation.land([record], **NESTED)

    assert tables(installation) == [
        "sightings",
        *(f"sightings__{name}" for name in ("grid", "grid__value", "nests", "nests__eggs", "place__tags")),
    ]
    two_levels = "FROM nature.sightings__nests AS n JOIN nature.sightings__nests__eggs AS e ON e._parent_key = n._row_key"
    assert installation.query(f"SELECT n._index, e._index, colour {two_levels} ORDER BY ALL") == [
        (0, 0, "blue"),
        (1, 0, "red"),
        (1, 1, "white"),
    ]


def test_what_lies_deeper_than_five_levels_stays_json(installation: Installation) -> None:
    installation.land([bird("a", 1, one={"two": {"three": {"four": {"five": {"six": 6}}}}})], **NESTED)

    assert installation.rows("one__two__three__four__five") == [('{"six":6}',)]


def test_an_empty_list_and_no_list_have_no_rows_and_are_alike(installation: Installation) -> None:
    installation.land([bird("a", 1, eggs=[]), bird("b", 2, eggs=None), bird("c", 3), bird("d", 4, eggs=eggs("blue"))], **NESTED)

    again = installation.land([bird("a", 1, eggs=None), bird("b", 2, eggs=[])], day=1, **NESTED)

    assert again.rows_unchanged == 2
    assert joined(installation) == [("d", 0, "blue")]


def test_a_field_that_is_now_a_list_now_an_object_now_a_scalar_goes_by_each_value(installation: Installation) -> None:
    installation.land([bird("a", 1, x=5), bird("b", 2, x=[6]), bird("c", 3, x={"y": 7})], **NESTED)

    assert installation.rows("id, x, x__y") == [("a", 5, None), ("b", None, None), ("c", None, 7)]
    assert joined(installation, "x", "p.id, c.value") == [("b", 6)]


def test_a_column_declared_as_json_is_not_taken_apart(installation: Installation) -> None:
    columns = ({"name": "eggs", "type": "json"}, {"name": "place", "type": "varchar"})

    installation.land([bird("a", 1, eggs=[1], place={"x": 1})], **{**NESTED, "columns": columns})

    assert tables(installation) == ["sightings"]
    assert installation.rows("eggs, place") == [("[1]", '{"x":1}')]


DISPOSITIONS: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
    "append": (KEYLESS, [("a", 0, "blue"), ("a", 1, "white"), ("a", 0, "red"), ("b", 0, "black"), ("c", 0, "grey")]),
    "merge": (NESTED, [("a", 0, "red"), ("b", 0, "black"), ("c", 0, "grey")]),
    "insert_only": ({**NESTED, "disposition": "insert_only"}, [("a", 0, "blue"), ("a", 1, "white"), ("b", 0, "black"), ("c", 0, "grey")]),
    "replace": ({**NESTED, "disposition": "replace"}, [("a", 0, "red"), ("c", 0, "grey")]),
}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_children_follow_the_disposition_of_their_parents(installation: Installation, disposition: str) -> None:
    spec, expected = DISPOSITIONS[disposition]

    installation.land([bird("a", 1, eggs=eggs("blue", "white")), bird("b", 2, eggs=eggs("black"))], **spec)
    installation.land([bird("a", 3, eggs=eggs("red")), bird("c", 4, eggs=eggs("grey"))], day=1, **spec)

    assert sorted(joined(installation)) == sorted(expected)
    verify(installation.lake, installation.settings)


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_a_load_that_runs_twice_has_its_children_once(installation: Installation, disposition: str) -> None:
    spec, _ = DISPOSITIONS[disposition]
    installation.land([bird("a", 1, eggs=eggs("blue"))], **spec)

    again = installation.land([bird("a", 1, eggs=eggs("blue"))], **spec)

    assert again.state == "already_loaded"
    assert joined(installation) == [("a", 0, "blue")]


def test_an_older_version_of_a_parent_leaves_the_children_of_the_newer_one(installation: Installation) -> None:
    installation.land([bird("a", 9, eggs=eggs("blue"))], **NESTED)

    summary = installation.land([bird("a", 1, eggs=eggs("old", "older"))], day=1, **NESTED)

    assert summary.rows_unchanged == 1
    assert joined(installation) == [("a", 0, "blue")]


def test_only_the_newest_of_several_versions_in_one_load_has_children(installation: Installation) -> None:
    installation.land([bird("a", 2, eggs=eggs("new")), bird("a", 1, eggs=eggs("old"))], **NESTED)

    assert joined(installation) == [("a", 0, "new")]


def test_a_parent_whose_list_alone_changed_counts_as_updated(installation: Installation) -> None:
    installation.land([bird("a", 1, eggs=eggs("blue"))], **NESTED)

    summary = installation.land([bird("a", 1, eggs=eggs("red"))], day=1, **NESTED)

    assert (summary.rows_updated, summary.rows_unchanged) == (1, 0)
    assert joined(installation) == [("a", 0, "red")]


def test_a_parent_that_lost_its_list_loses_its_children_at_every_level(installation: Installation) -> None:
    installation.land([bird("a", 1, nests=[{"eggs": eggs("blue")}]), bird("b", 1, nests=[{"eggs": eggs("red")}])], **NESTED)

    installation.land([bird("a", 2)], day=1, **NESTED)

    assert joined(installation, "nests", "p.id") == [("b",)]
    assert installation.query("SELECT colour FROM nature.sightings__nests__eggs") == [("red",)]


def test_the_children_of_a_deleted_parent_are_deleted(installation: Installation) -> None:
    spec = {**NESTED, "deleted_column": "gone"}
    installation.land([bird("a", 1, gone=False, eggs=eggs("blue")), bird("b", 1, gone=False, eggs=eggs("red"))], **spec)

    installation.land([bird("a", 2, gone=True, eggs=eggs("blue"))], day=1, **spec)

    assert joined(installation) == [("b", 0, "red")]
    assert installation.query(f"SELECT count(*) FROM {TABLE}__eggs") == [(1,)]


def test_rows_that_share_a_key_in_an_appended_table_have_their_own_children(installation: Installation) -> None:
    spec = {**KEYLESS, "primary_key": ["id"]}
    installation.land([bird("a", 1, eggs=eggs("blue"))], **spec)
    installation.land([bird("a", 2, eggs=eggs("red"))], day=1, **spec)

    assert joined(installation, columns="p.seen, c.colour") == [(1, "blue"), (2, "red")]


def test_a_partition_that_is_replaced_takes_its_children_along(installation: Installation) -> None:
    spec = {**NESTED, "primary_key": (), "merge_key": ["seen"]}
    installation.land([bird("a", 1, eggs=eggs("blue")), bird("b", 1, eggs=eggs("red")), bird("c", 2, eggs=eggs("grey"))], **spec)

    installation.land([bird("d", 1, eggs=eggs("green"))], day=1, **spec)

    assert joined(installation) == [("c", 0, "grey"), ("d", 0, "green")]
    assert installation.query(f"SELECT count(*) FROM {TABLE}__eggs") == [(2,)]


def test_an_empty_extraction_that_replaces_a_table_empties_its_child_tables(installation: Installation) -> None:
    spec = {**NESTED, "disposition": "replace", "allow_empty": True}
    installation.land([bird("a", 1, eggs=eggs("blue"))], **spec)

    installation.land([], day=1, **spec)

    assert installation.query(f"SELECT count(*) FROM {TABLE}__eggs") == [(0,)]


def test_an_overlap_of_appends_tells_records_apart_that_differ_in_their_lists_alone(installation: Installation) -> None:
    spec = {**KEYLESS, "incremental": {"cursor": "seen", "overlap": "1h"}}
    installation.land([bird("a", 5, eggs=eggs("blue")), bird("a", 5, eggs=[])], **spec)

    summary = installation.land([bird("a", 5, eggs=[]), bird("a", 5, eggs=eggs("red"))], day=1, **spec)

    assert (summary.rows_inserted, summary.rows_unchanged) == (1, 1)
    assert joined(installation) == [("a", 0, "blue"), ("a", 0, "red")]


def test_columns_of_a_child_table_appear_widen_and_get_variants_and_are_recorded(installation: Installation) -> None:
    installation.land([bird("a", 1, eggs=[{"size": 1}])], **NESTED)
    installation.land([bird("b", 2, eggs=[{"size": 1.5, "colour": "blue"}])], day=1, **NESTED)
    installation.land([bird("c", 3, eggs=[{"size": "big"}])], day=2, **NESTED)

    assert joined(installation, columns="p.id, c.size, c.colour, c.size__v_text") == [
        ("a", 1.0, None, None),
        ("b", 1.5, "blue", None),
        ("c", None, None, "big"),
    ]
    changes = installation.query(
        'SELECT "column", change, type_after FROM _ducklift.schema_changes WHERE "table" = \'sightings__eggs\' ORDER BY changed_at, 1'
    )
    assert changes == [
        ("size", "column added", "BIGINT"),
        ("colour", "column added", "VARCHAR"),
        ("size", "type widened", "DOUBLE"),
        ("size__v_text", "variant added", "VARCHAR"),
    ]
    verify(installation.lake, installation.settings)


def test_a_list_that_appears_later_gets_its_table_then(installation: Installation) -> None:
    installation.land([bird("a", 1)], **NESTED)
    installation.land([bird("a", 2, eggs=eggs("blue"))], day=1, **NESTED)

    assert joined(installation) == [("a", 0, "blue")]
    verify(installation.lake, installation.settings)


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ([{"size": "big"}, {"size": 2}], "table sightings__eggs, element /eggs/0: column size: not a BIGINT: big"),
        ([{"size": 3}, {"size": 2, "colour": "red"}], "table sightings__eggs, element /eggs/1: field colour: not in the table"),
    ],
)
def test_a_record_with_an_element_that_does_not_fit_goes_to_quarantine_whole(
    installation: Installation, later: list[Any], reason: str
) -> None:
    spec = {**NESTED, "contract": "quarantine"}
    installation.land([bird("a", 1, eggs=[{"size": 1}])], **spec)

    summary = installation.land([bird("b", 2, eggs=later), bird("c", 3, eggs=[{"size": 5}])], day=1, **spec)

    assert (summary.rows_inserted, summary.rows_quarantined) == (1, 1)
    assert joined(installation, columns="p.id, c.size") == [("a", 1), ("c", 5)]
    assert installation.query("SELECT reason, record FROM _ducklift.quarantine") == [
        (reason, json.dumps(bird("b", 2, eggs=later), separators=(",", ":")))
    ]


def test_a_record_with_a_new_list_goes_to_quarantine_where_the_contract_says_so(installation: Installation) -> None:
    spec = {**NESTED, "contract": "quarantine"}
    installation.land([bird("a", 1)], **spec)

    summary = installation.land([bird("b", 2, eggs=eggs("blue")), bird("c", 3, eggs=[])], day=1, **spec)

    assert (summary.rows_inserted, summary.rows_quarantined) == (1, 1)
    assert installation.query("SELECT reason FROM _ducklift.quarantine") == [("field eggs: not in the table",)]
    assert tables(installation) == ["sightings"]


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (bird("b", 2, eggs=[{"size": "big"}]), ["nature.sightings__eggs", "size", "'big'"]),
        (bird("b", 2, eggs=[{"size": 1, "colour": "red"}]), ["nature.sightings__eggs", "colour"]),
        (bird("b", 2, rings=[1]), ["nature.sightings", "these lists are new: rings"]),
    ],
)
def test_a_frozen_table_refuses_elements_that_do_not_fit_by_name(installation: Installation, later: Record, words: list[str]) -> None:
    spec = {**NESTED, "contract": "freeze"}
    installation.land([bird("a", 1, eggs=[{"size": 1}])], **spec)

    with pytest.raises(ContractBroken) as refused:
        installation.land([later], day=1, **spec)

    assert [word for word in words if word not in str(refused.value)] == []
    assert installation.rows("id") == [("a",)]
    assert joined(installation, columns="c.size") == [(1,)]


def test_a_deliberate_re_extraction_takes_the_children_of_the_earlier_one_along(installation: Installation) -> None:
    installation.land([bird("a", 1, eggs=eggs("blue")), bird("b", 1, eggs=eggs("red"))], **KEYLESS)
    pipeline = installation.pipeline([bird("a", 1, eggs=eggs("green"))], **KEYLESS)
    again = slice_run()
    run = Run(run_id="again", slice_start=again.slice_start, slice_end=again.slice_end, by_slice=True, mode="reextract")

    summary = load(upload(extract(pipeline, STREAM, run, installation.settings), installation.settings), installation.settings, pipeline)

    assert summary.load_id.endswith("-r2")
    assert joined(installation) == [("a", 0, "green")]
    assert installation.query(f"SELECT count(*) FROM {TABLE}__eggs") == [(1,)]
    verify(installation.lake, installation.settings)


def test_a_re_extraction_that_other_loads_built_upon_gives_them_their_children_back(installation: Installation) -> None:
    installation.land([bird("a", 1, eggs=eggs("blue"))], **NESTED)
    installation.land([bird("a", 2, eggs=eggs("red"))], day=1, **NESTED)
    pipeline = installation.pipeline([bird("b", 2, eggs=eggs("green"))], **NESTED)
    second = slice_run(1)
    run = Run(run_id="again", slice_start=second.slice_start, slice_end=second.slice_end, by_slice=True, mode="reextract")

    load(upload(extract(pipeline, STREAM, run, installation.settings), installation.settings), installation.settings, pipeline)

    assert joined(installation) == [("a", 0, "blue"), ("b", 0, "green")]
    verify(installation.lake, installation.settings)


def test_names_that_meet_are_kept_apart_and_stay_the_same_in_later_loads(installation: Installation) -> None:
    records = [bird("a", 1, eggList=[1], egg_list=[2], _index=3, place={"list": [4]}, place__list=[5])]
    installation.land(records, **NESTED)
    found = tables(installation)

    installation.land([bird("b", 2, **{key: value for key, value in records[0].items() if key not in ("id", "seen")})], day=1, **NESTED)

    assert len(found) == 5
    assert tables(installation) == found
    assert all(installation.query(f"SELECT count(*), count(DISTINCT value) FROM {TABLE.dataset}.{name}") == [(2, 1)] for name in found[1:])
    assert [name for name in found if len(name) > 63] == []


def test_odd_field_names_find_their_values(installation: Installation) -> None:
    odd = {'say "hi"': 1, "it's": 2, "a/b": 3, "c~d": 4, "0": 5, "back\\slash": 6, "$.x": 7}

    installation.land([bird("a", 1, odd=odd, list=[odd]), bird("b", 2, odd=[8])], **NESTED)

    values = installation.query(f"SELECT * EXCLUDE ({', '.join(sorted(SYSTEM - {'_lists_hash'}))}) FROM {TABLE}__list")
    assert sorted(values[0]) == [1, 2, 3, 4, 5, 6, 7]
    parents = installation.query(f"SELECT COLUMNS('odd__.*') FROM {TABLE} ORDER BY id")
    assert sorted(parents[0]) == [1, 2, 3, 4, 5, 6, 7]
    assert set(parents[1]) == {None}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"disposition": "scd2", "primary_key": ["id"], "nested": "tables"}, "keeps no history of child tables"),
        ({"record_column": "raw", "nested": "tables"}, "record_column"),
    ],
)
def test_a_table_that_cannot_have_children_is_refused_when_it_is_specified(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TableSpec.model_validate({"name": {"dataset": "nature", "table": "sightings"}, **spec})


def test_child_tables_of_a_format_without_lists_are_refused(installation: Installation) -> None:
    with pytest.raises(ValueError, match="write format: jsonl"):
        installation.pipeline([bird("a", 1)], **{**NESTED, "format": "parquet"})


def test_the_worked_example_of_the_documentation_gives_what_it_says(installation: Installation) -> None:
    page = (Path(__file__).parents[2] / "docs" / "nested.md").read_text()
    [lines, query] = [page.partition(f"```{language}\n")[2].partition("```")[0] for language in ("json", "sql")]
    spec = {"table": "shop.orders", "disposition": "merge", "primary_key": ["id"], "incremental": None, **TAKEN_APART}

    installation.land([json.loads(line) for line in lines.splitlines()], **spec)

    assert installation.query("SELECT id, buyer__name, buyer__address__city FROM shop.orders ORDER BY id") == [
        (1, "Ada", "Ulm"),
        (2, "Ben", None),
    ]
    assert installation.query(query) == [(1, "tea", "gift"), (1, "tea", "fragile"), (1, "cup", None)]

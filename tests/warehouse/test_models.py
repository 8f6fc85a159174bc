"""Every disposition against its model in plain Python: rows, lineage, counts, quarantine and watermark after random loads.

`HYPOTHESIS_PROFILE=slow` tries many more histories, as the test marked slow does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from models import Model, plain
from trials import LINEAGE, Ground, Record, Trial

from ducklift.summary import COUNT_NAMES, RowCounts

Loads = list[list[Record]]

RULES = ["append", "replace", "insert_only", "merge", "scd2"]
TIMES = [None, *(f"2024-01-0{day}T00:00:00+00:00" for day in range(1, 5))]
KEYS = {"id": st.sampled_from([1, 2, 3, None])}
COMPOUND = {**KEYS, "part": st.sampled_from(["x", "y"])}
CURSORS = {"u": st.sampled_from([1, 2, 3, 4, 2.5, None])}
GONE = {"gone": st.sampled_from([True, False, None])}
# Of these a history has two or three, and no value: equal rows are as likely as columns that widen or get a variant beside them.
VALUES = ["a", "b", 1, 2.5, 2**70, True, "2026-01-01", [1]]
# The first load makes the columns `id` and `u` ones of numbers; what comes later and is none is set aside.
SETTLING = [{"id": 1, "u": 1}]
MISFITS = {"id": st.sampled_from([1, 2, 2.5, "x", [1], None]), "u": st.sampled_from([1, 2.5, 3, "soon", True, None])}


@st.composite
def histories(draw: st.DrawFn, **fields: st.SearchStrategy[Any]) -> Loads:
    """Return loads of records with these fields and a value; a field may be absent, which is as good as null."""
    values = draw(st.lists(st.sampled_from(VALUES), min_size=2, max_size=3, unique_by=repr))
    record = st.fixed_dictionaries({}, optional={"v": st.sampled_from([*values, None]), **fields})
    return draw(st.lists(st.lists(record, max_size=6), min_size=1, max_size=4))


def shown(trial: Trial) -> list[dict[str, Any]]:
    """Return the table's rows without what they have no value for; their lineage is the load's number."""
    if not trial.exists():
        return []
    result = trial.ground.warehouse.connection.execute(f"SELECT * FROM {trial.spec.name}")
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    lineage = [name for name in LINEAGE.split(", ") if name != "_load_id"]
    for row in rows:
        row["_load_id"] = int(row["_load_id"].rpartition("-")[2])
    found = []
    for row in rows:
        told = [(name.partition("__v_")[0], plain(value)) for name, value in row.items() if value is not None and name not in lineage]
        assert len(dict(told)) == len(told), f"a value stands in a column and in its variant as well: {row}"
        found.append(dict(told))
    return ordered(found)


def expected(model: Model, *, history: bool = False) -> list[dict[str, Any]]:
    """Return the model's rows as `shown` shows the table's."""
    rows = []
    for row in model.rows:
        data: dict[str, Any] = {**row.data, "_load_id": row.load}
        if history:
            data |= {"_valid_from": row.valid_from, "_valid_to": row.valid_to}
        rows.append({name: plain(value) for name, value in data.items() if value is not None})
    return ordered(rows)


def ordered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def counts_of(summary: RowCounts) -> dict[str, int]:
    return {name: getattr(summary, name) for name in COUNT_NAMES}


def compared(trial: Trial, model: Model, rule: str, loads: Loads, data: st.DataObject, settling: int = 0) -> None:
    """Load the same into the table and into the model, in any order, and any load again after each; compare all that is told.

    The first loads, `settling` of them, stay the first.
    """
    trial.ground.tells_kinds = data.draw(st.booleans(), "manifests tell kinds")
    order = [*range(settling), *data.draw(st.permutations(range(settling, len(loads))), "order")]
    for place, number in enumerate(order):
        told = trial.load(loads[number], number)
        assert counts_of(told) == counts_of(model.load(rule, loads[number], number))
        again = data.draw(st.sampled_from(order[: place + 1]), "loaded again")
        assert trial.load(loads[again], again).state == "already_loaded"
        assert shown(trial) == expected(model, history=rule == "scd2")
        watermark = trial.watermark()
        assert (plain(json.loads(watermark)) if watermark else None) == plain(model.watermark)
    assert len(trial.quarantine()) == sum(not model.fits(row) for load in loads for row in load)


@given(loads=histories(n=st.integers(0, 1)), data=st.data())
def test_append_adds_each_loads_rows_once(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    compared(ground.table(disposition="append"), Model(), "append", loads, data)


@given(loads=histories(**CURSORS), data=st.data())
def test_append_with_an_overlap_adds_what_is_read_again_only_once(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="append", incremental={"cursor": "u", "overlap": 5})

    compared(trial, Model(cursor="u"), "append", loads, data)


@given(loads=histories(**KEYS, **CURSORS), data=st.data())
def test_append_with_a_key_tells_by_it_what_is_read_again(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="append", primary_key=["id"], incremental={"cursor": "u", "overlap": 5})

    compared(trial, Model(key=("id",), cursor="u"), "append", loads, data)


@given(loads=histories(**COMPOUND), data=st.data())
def test_replace_leaves_the_last_load_alone(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="replace", primary_key=["id", "part"], allow_empty=True)

    compared(trial, Model(key=("id", "part")), "replace", loads, data)


@given(loads=histories(**KEYS), data=st.data())
def test_insert_only_keeps_the_first_row_of_each_key(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    compared(ground.table(disposition="insert_only", primary_key=["id"]), Model(key=("id",)), "insert_only", loads, data)


@given(loads=histories(**COMPOUND), data=st.data())
def test_merge_without_a_cursor_keeps_the_row_extracted_last(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    compared(ground.table(disposition="merge", primary_key=["id", "part"]), Model(key=("id", "part")), "merge", loads, data)


@given(loads=histories(**COMPOUND, **CURSORS), data=st.data())
def test_merge_keeps_the_row_with_the_greatest_cursor_of_each_key(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="merge", primary_key=["id", "part"], incremental={"cursor": "u"})

    compared(trial, Model(key=("id", "part"), cursor="u"), "merge", loads, data)


@given(loads=histories(**KEYS, **CURSORS, **GONE), data=st.data())
def test_merge_deletes_by_a_column_and_no_replay_brings_a_row_back(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="merge", primary_key=["id"], incremental={"cursor": "u"}, deleted_column="gone")

    compared(trial, Model(key=("id",), cursor="u", deleted="gone"), "merge", loads, data)


@pytest.mark.parametrize("deleted", [None, "gone"])
@given(loads=histories(**KEYS, **CURSORS, **GONE), data=st.data())
def test_merge_gives_the_same_table_in_whatever_order_loads_come(
    ground: Ground, deleted: str | None, loads: Loads, data: st.DataObject
) -> None:
    spec = {"disposition": "merge", "primary_key": ["id"], "incremental": {"cursor": "u"}, "deleted_column": deleted}
    tables = [ground.table(**spec) for _ in range(2)]
    for number in range(len(loads)):
        tables[0].load(loads[number], number)
    for number in data.draw(st.permutations(range(len(loads)))):
        tables[1].load(loads[number], number)

    assert shown(tables[0]) == shown(tables[1])


@given(loads=histories(day=st.sampled_from(["d1", "d2", "d3", None])), data=st.data())
def test_merge_replaces_partitions_whole_by_the_load_extracted_last(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    compared(ground.table(disposition="merge", merge_key=["day"]), Model(partition=("day",)), "merge_partitions", loads, data)


@given(loads=histories(**KEYS, day=st.sampled_from(["d1", "d2"]), **CURSORS), data=st.data())
def test_merge_replaces_partitions_and_keeps_keys_apart(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="merge", primary_key=["id"], merge_key=["day"], incremental={"cursor": "u"})

    compared(trial, Model(key=("id",), cursor="u", partition=("day",)), "merge_partitions", loads, data)


@given(loads=histories(**KEYS, u=st.sampled_from(TIMES)), data=st.data())
def test_scd2_keeps_every_version_of_a_row_from_cursor_to_cursor(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    columns = [{"name": "u", "type": "timestamptz"}]
    trial = ground.table(disposition="scd2", primary_key=["id"], incremental={"cursor": "u"}, columns=columns)

    compared(trial, Model(key=("id",), cursor="u", cursor_is_time=True), "scd2", loads, data)


@given(loads=histories(**KEYS, **CURSORS), data=st.data())
def test_scd2_without_times_keeps_versions_from_extraction_to_extraction(ground: Ground, loads: Loads, data: st.DataObject) -> None:
    trial = ground.table(disposition="scd2", primary_key=["id"], incremental={"cursor": "u"})

    compared(trial, Model(key=("id",), cursor="u"), "scd2", loads, data)


@given(loads=histories(**MISFITS, **GONE), rule=st.sampled_from(RULES), data=st.data())
def test_keys_and_cursors_of_another_kind_are_set_aside(ground: Ground, loads: Loads, rule: str, data: st.DataObject) -> None:
    deleted = "gone" if rule == "merge" else None
    spec = {"disposition": rule, "primary_key": ["id"], "incremental": {"cursor": "u"}, "deleted_column": deleted, "allow_empty": True}

    model = Model(key=("id",), cursor="u", numbers=("id", "u"), deleted=deleted)
    compared(ground.table(**spec), model, rule, [SETTLING, *loads], data, settling=1)


@settings(max_examples=max(2, settings().max_examples // 2))
@given(loads=histories(**MISFITS, **GONE), rule=st.sampled_from(RULES), data=st.data())
def test_a_load_that_others_supersede_is_as_if_it_had_never_been(ground: Ground, loads: Loads, rule: str, data: st.DataObject) -> None:
    deleted = "gone" if rule == "merge" else None
    spec = {"disposition": rule, "primary_key": ["id"], "incremental": {"cursor": "u"}, "deleted_column": deleted, "allow_empty": True}
    trial, loads, live = ground.table(**spec), [SETTLING, *loads], []
    for number in [0, *data.draw(st.permutations(range(1, len(loads))), "order")]:
        gone = data.draw(st.sampled_from([None, *live[1:]]), "superseded")
        trial.load(loads[number], number, supersedes=[f"{trial.spec.name.table}-{gone:04d}"] if gone else [])
        live = [each for each in live if each != gone] + [number]

        model = Model(key=("id",), cursor="u", numbers=("id", "u"), deleted=deleted)
        for each in live:
            model.load(rule, loads[each], each)
        assert shown(trial) == expected(model, history=rule == "scd2")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_more_histories_agree_with_the_models() -> None:
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "slow"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=3600", __file__]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-20_000:]

"""Whatever hypothesis can think of: documents, tables and arrays come back as they were, and hostile values are refused by name."""

from __future__ import annotations

import math
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from ducklift.assets import NoSerializer, ValueUnreadable
from ducklift.assets.serializers import serializer_for, serializer_named

FOLDER = TemporaryDirectory()  # one for all examples: a folder each takes longer than the value
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=20), st.binary(max_size=20), st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC])), st.times(), st.timedeltas(), st.decimals(allow_nan=False), st.uuids(),
    st.complex_numbers(allow_nan=False),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=8), st.just("$type"), st.integers(), st.dates(), st.tuples(st.integers(), st.text(max_size=3)))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4), st.tuples(inner, inner), st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


def through_a_file(value: Any, wanted: Any = None) -> Any:
    serializer = serializer_for(value)
    path = Path(FOLDER.name) / f"value.{serializer.extension}"
    serializer.dump(value, path)
    return serializer_named(serializer.name, "here").load(path, wanted, None)


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_any_plain_value_comes_back_as_it_was(value):
    assert same(value, through_a_file(value))


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(st.sampled_from(["i1", "u8", "f4", "f8", "?", "M8[ns]", "U5", "c16"]), hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
)
def test_any_array_comes_back_as_it_was(array):
    loaded = through_a_file(array)
    assert loaded.dtype == array.dtype
    assert loaded.tobytes() == array.tobytes()


TABLES = st.lists(
    st.fixed_dictionaries({"n": st.none() | st.integers(-(2**63), 2**63 - 1), "s": st.none() | st.text(max_size=9), "f": st.floats()})
).map(lambda rows: pa.Table.from_pylist(rows, schema=pa.schema([("n", pa.int64()), ("s", pa.string()), ("f", pa.float64())])))


@settings(max_examples=30, deadline=None)
@given(TABLES)
def test_any_table_comes_back_as_it_was(table):
    loaded = through_a_file(table)
    assert loaded.schema == table.schema
    assert same(loaded.to_pylist(), table.to_pylist())


@pytest.mark.parametrize("value", [np.array([object()]), {"m": np.array([{}], dtype=object)}], ids=["array", "arrays"])
def test_an_array_of_objects_is_refused_since_it_would_be_pickled(value):
    with pytest.raises(NoSerializer, match="pickle"):
        through_a_file(value)


def test_the_place_of_what_cannot_be_stored_is_named():
    with pytest.raises(NoSerializer, match=r"value\.posts\[1\]\.author"):
        through_a_file({"posts": [{}, {"author": object()}]})


def test_a_value_that_holds_itself_is_refused():
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NoSerializer, match="holds itself"):
        through_a_file(circle)


def test_a_pickle_under_an_arrays_name_is_not_run(tmp_path):
    np.save(tmp_path / "value.npy", np.array([{"would": "run"}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        serializer_named("npy", "here").load(tmp_path / "value.npy", None, None)


def test_a_type_that_a_value_cannot_become_is_named():
    with pytest.raises(ValueUnreadable, match="cannot become int"):
        through_a_file(pa.table({"n": [1]}), int)

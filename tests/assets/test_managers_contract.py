"""One contract for all managers, on all stores, for all types of values. A store is opened once; each test has keys of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel
from value_stores import BACKENDS, settings_for

from ducklift.assets import NoSerializer, OutputContext, Storage, ValueMissing
from ducklift.assets.storage import input_context


@dataclass
class Point:
    at: date
    price: Decimal


class Model(BaseModel):
    name: str
    seen: datetime


FRAME = pd.DataFrame({"title": ["first", "é", None], "score": [1, 2, 3], "at": pd.to_datetime(["2026-01-01"] * 3, utc=True)})
VALUES: dict[str, tuple[Any, Any]] = {
    "pandas": (FRAME, None),
    "pandas with an index": (FRAME.set_index("score"), None),
    "an empty frame": (FRAME.head(0), None),
    "polars": (pl.DataFrame({"n": [1, None], "s": ["a", "b"]}), None),
    "arrow": (pa.table({"n": pa.array([1, 2], pa.int8()), "price": pa.array([Decimal("1.10"), None])}), None),
    "an array": (np.arange(6, dtype="float32").reshape(2, 3), None),
    "a Fortran array": (np.asfortranarray(np.eye(3)), None),
    "arrays": ({"m": np.eye(2), "labels": np.array(["a", "b"])}, None),
    "a dictionary": ({"n": 1, "nested": [{"x": None}], "price": Decimal("1.10"), "day": date(2026, 1, 1), 7: (1, 2)}, None),
    "a list": ([1, "a", 2.5, True, None, b"\x00\xff"], None),
    "a text": ("line\r\nsecond €", None),
    "bytes": (bytes(range(256)), None),
    "a number": (3, None),
    "nothing": (None, None),
    "a dataclass": (Point(date(2026, 1, 1), Decimal("1.5")), Point),
    "a model": (Model(name="x", seen=datetime(2026, 1, 1, tzinfo=UTC)), Model),
}
TABLES = ("pandas", "polars", "arrow")
OTHER_AS_TABLES = ("pandas with an index", "an empty frame")  # an index becomes a column, and a table without rows has none
STORAGE = """
io_managers:
  routed: {type: router, default: lake, rules: [{type: DataFrame, to: lake}, {larger_than: 1MB, to: memory}]}
  tables: {type: duckdb}
"""


PLACES = [
    *(("lake", backend) for backend in BACKENDS),
    ("memory", "file"),
    *(("routed", backend) for backend in BACKENDS),
    ("tables", "file"),
    ("lake", "gcs"),
    pytest.param(("lake", "azure"), marks=pytest.mark.needs_program("npm")),
]


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: "-".join(place))
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Storage, str]]:
    manager, backend = request.param
    project = tmp_path_factory.mktemp("values")
    (project / "include").mkdir()
    (project / "include" / "storage.yaml").write_text(STORAGE)
    with Storage(settings_for(backend, project, request)) as opened:
        yield opened, manager


_numbers = itertools.count()


@pytest.fixture
def key() -> str:
    """An asset's key that no other test has."""
    return f"folder/value_{next(_numbers)}"


def same(left: Any, right: Any) -> bool:
    if isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right)
        return True
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.flags.f_contiguous == right.flags.f_contiguous and bool(np.array_equal(left, right))
    if isinstance(left, dict) and any(isinstance(each, np.ndarray) for each in left.values()):
        return left.keys() == right.keys() and all(same(each, right[name]) for name, each in left.items())
    return bool(left.equals(right)) if hasattr(left, "equals") else left == right


@pytest.mark.parametrize("name", VALUES)
def test_what_was_stored_comes_back_as_it_was(storage, key, name):
    opened, manager = storage
    value, wanted = VALUES[name]
    if manager == "tables" and name in OTHER_AS_TABLES:
        return
    if manager == "tables" and name not in TABLES:
        with pytest.raises(NoSerializer):
            opened.store(OutputContext(key, ("2026-01-01",), "run"), value, manager)
        return
    opened.store(OutputContext(key, ("2026-01-01",), "run"), value, manager)

    # A table of the warehouse is what it is asked for; it keeps no type of any library.
    wanted = type(value) if manager == "tables" else wanted
    loaded = opened.load(input_context(key, "2026-01-01", type=wanted), manager)
    assert type(loaded) is type(value)
    assert same(value, loaded)


def test_what_was_never_stored_is_an_error_by_name(storage, key):
    opened, manager = storage
    with pytest.raises(ValueMissing, match=key):
        opened.load(input_context(key), manager)


def test_the_second_write_is_what_is_read(storage, key):
    opened, manager = storage
    for number in (1, 2):
        opened.store(OutputContext(key, (), "run"), pa.table({"n": [number]}), manager)
    assert opened.load(input_context(key), manager).to_pydict() == {"n": [2]}


def test_partitions_are_apart_and_come_by_their_key(storage, key):
    opened, manager = storage
    keys = ["2026-01-02", "2026-01-01", "a/b?*%2F", ".."]
    for each in keys:
        opened.store(OutputContext(key, (each,), "run"), pa.table({"of": [each]}), manager)

    loaded = opened.load(input_context(key, keys), manager)
    assert {each: table.to_pydict() for each, table in loaded.items()} == {each: {"of": [each]} for each in keys}
    assert sorted(opened.partitions(key, manager)) == sorted(keys)


def test_missing_partitions_are_all_named_or_left_out(storage, key):
    opened, manager = storage
    opened.store(OutputContext(key, ("1",), "run"), pa.table({"n": [1]}), manager)
    with pytest.raises(ValueMissing, match=r"2 partition.*: 2, 3"):
        opened.load(input_context(key, ["1", "2", "3"]), manager)
    assert list(opened.load(input_context(key, ["1", "2"]), manager, missing="skip")) == ["1"]


def test_a_table_is_loaded_as_the_receiver_asks(storage, key):
    opened, manager = storage
    opened.store(OutputContext(key, (), "run"), pd.DataFrame({"n": [1, 2]}), manager)
    for wanted in (pl.DataFrame, pa.Table, pd.DataFrame):
        assert isinstance(opened.load(input_context(key, type=wanted), manager), wanted)


def test_some_columns_alone_are_loaded_in_the_order_asked_for(storage, key):
    opened, manager = storage
    opened.store(OutputContext(key, (), "run"), pa.table({"n": [1], "m": [2], "m.x": [3], "k": [4]}), manager)
    assert opened.load(input_context(key, columns=["m", "n"]), manager).to_pydict() == {"m": [2], "n": [1]}


class Unheardof:
    pass


def test_a_value_of_an_unknown_type_is_refused_by_its_name_and_nothing_is_stored(storage, key):
    opened, manager = storage
    if manager == "memory":
        return  # keeps anything, as long as nobody asks for another type
    with pytest.raises(NoSerializer, match="Unheardof"):
        opened.store(OutputContext(key, (), "run"), Unheardof(), manager)
    with pytest.raises(ValueMissing):
        opened.load(input_context(key), manager)


def test_what_is_known_about_a_stored_table_is_told(storage, key):
    opened, manager = storage
    facts = opened.store(OutputContext(key, (), "run"), FRAME, manager)
    if manager != "memory":
        assert facts["rows"] == 3
        assert set(facts) >= {"path", "bytes", "sha256", "seconds", "format"}

"""One contract for all managers, on all stores, for all types of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from value_stores import BACKENDS

from ducklift.assets import NoSerializer, OutputContext, Storage, ValueMissing
from ducklift.assets.storage import input_context
from ducklift.settings import Settings


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
MANAGERS = ("lake", "memory", "routed")
ROUTED = """
io_managers:
  routed: {type: router, default: lake, rules: [{type: DataFrame, to: lake}, {larger_than: 1MB, to: memory}]}
"""


@pytest.fixture(params=[(manager, backend) for manager in MANAGERS for backend in BACKENDS if manager != "memory" or backend == "file"])
def storage(request: pytest.FixtureRequest, settings_on: Callable[[str], Settings], declare: Any) -> Iterator[tuple[Storage, str]]:
    manager, backend = request.param
    declare(ROUTED)
    with Storage(settings_on(backend)) as opened:
        yield opened, manager


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
def test_what_was_stored_comes_back_as_it_was(storage, name):
    opened, manager = storage
    value, wanted = VALUES[name]
    opened.store(OutputContext("a/value", ("2026-01-01",), "run"), value, manager)

    loaded = opened.load(input_context("a/value", "2026-01-01", type=wanted), manager)
    assert type(loaded) is type(value)
    assert same(value, loaded)


def test_what_was_never_stored_is_an_error_by_name(storage):
    opened, manager = storage
    with pytest.raises(ValueMissing, match="never/there"):
        opened.load(input_context("never/there"), manager)


def test_the_second_write_is_what_is_read(storage):
    opened, manager = storage
    for text in ("first", "second"):
        opened.store(OutputContext("a", (), "run"), text, manager)
    assert opened.load(input_context("a"), manager) == "second"


def test_partitions_are_apart_and_come_by_their_key(storage):
    opened, manager = storage
    keys = ["2026-01-02", "2026-01-01", "a/b?*%2F", ".."]
    for key in keys:
        opened.store(OutputContext("a", (key,), "run"), f"value of {key}", manager)

    assert opened.load(input_context("a", keys), manager) == {key: f"value of {key}" for key in keys}
    assert sorted(opened.partitions("a", manager)) == sorted(keys)


def test_missing_partitions_are_all_named_or_left_out(storage):
    opened, manager = storage
    opened.store(OutputContext("a", ("1",), "run"), 1, manager)
    with pytest.raises(ValueMissing, match=r"2 partition.*: 2, 3"):
        opened.load(input_context("a", ["1", "2", "3"]), manager)
    assert opened.load(input_context("a", ["1", "2"]), manager, missing="skip") == {"1": 1}


@pytest.mark.parametrize(("wanted", "kind"), [(pl.DataFrame, pl.DataFrame), (pa.Table, pa.Table), (pd.DataFrame, pd.DataFrame)])
def test_a_table_is_loaded_as_the_receiver_asks(storage, wanted, kind):
    opened, manager = storage
    opened.store(OutputContext("a", (), "run"), pd.DataFrame({"n": [1, 2]}), manager)
    assert isinstance(opened.load(input_context("a", type=wanted), manager), kind)


def test_some_columns_alone_are_loaded(storage):
    opened, manager = storage
    opened.store(OutputContext("a", (), "run"), pa.table({"n": [1], "m": [2]}), manager)
    assert opened.load(input_context("a", columns=["m"]), manager).column_names == ["m"]


class Unheardof:
    pass


def test_a_value_of_an_unknown_type_is_refused_by_its_name_and_nothing_is_stored(storage):
    opened, manager = storage
    if manager == "memory":
        return  # keeps anything, as long as nobody asks for another type
    with pytest.raises(NoSerializer, match="Unheardof"):
        opened.store(OutputContext("a", (), "run"), Unheardof(), manager)
    with pytest.raises(ValueMissing):
        opened.load(input_context("a"), manager)


def test_what_is_known_about_a_stored_table_is_told(settings_on):
    with Storage(settings_on("file")) as opened:
        facts = opened.store(OutputContext("a", (), "run"), FRAME)
    assert facts["rows"] == 3
    assert facts["format"] == "parquet"
    assert set(facts) >= {"path", "bytes", "sha256", "seconds", "version", "columns"}

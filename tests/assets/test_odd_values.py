"""Values, inputs and names that are easily lost or mistaken on the way: each comes back as it was, or is refused by name."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field, RootModel

from ducklift.assets import (
    AssetIn,
    AssetMisnamed,
    AssetValueLoader,
    NoSerializer,
    OutputContext,
    Storage,
    ValueUnreadable,
    asset,
    materialize,
    materialize_to_memory,
)
from ducklift.assets.sql import asset_calls, fetch_assets, show_assets
from ducklift.assets.storage import input_context
from ducklift.settings import Settings


class Post(BaseModel):
    author_name: str = Field(alias="authorName")


class Counts(RootModel[dict[str, Any]]):
    pass


class OwnFrame(pd.DataFrame):
    pass


def come_back(settings: Settings, value: Any, as_type: Any = None, manager: str | None = None, columns: Any = None) -> Any:
    with Storage(settings) as storage:
        storage.store(OutputContext("odd"), value, manager)
        return storage.load(input_context("odd", type=as_type, columns=columns), manager)


@pytest.mark.parametrize(
    ("value", "as_type"),
    [(Post(authorName="Ada"), Post), (Counts({"root": {"a": 1}}), Counts), (Counts({"a": 1}), Counts)],
    ids=["an alias", "a root named root", "a root"],
)
def test_a_model_comes_back_as_it_was(settings: Settings, value: Any, as_type: Any) -> None:
    assert come_back(settings, value, as_type) == value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"at": np.datetime64("2026-01-01T00:00:00.000000001")}, "at value.at"),
        ({"took": np.timedelta64(5, "ns")}, "at value.took"),
        (np.ma.array([1, 2], mask=[0, 1]), "the mask would be lost"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "have one name: a"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "have one name: 1"),
        (pd.DataFrame({"a": [1j]}), "Parquet has no one type for"),
        (pd.DataFrame({"a": [2**70]}), "Parquet has no one type for"),
        (pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}), "Python objects lie in a"),
        (pa.table({"a": pa.array([{}])}), "Parquet cannot hold a column"),
    ],
    ids=["nanoseconds", "a span in nanoseconds", "mask", "twins", "twins as texts", "complex", "large", "objects", "empty struct"],
)
def test_what_would_not_come_back_is_refused_and_nothing_is_stored(settings: Settings, value: Any, told: str) -> None:
    with pytest.raises(NoSerializer, match=told):
        come_back(settings, value)
    with Storage(settings) as storage:
        assert storage.partitions("odd") == []


TWO_COLUMNS = pa.table({"a": [1], "b": [2]})
TWINS = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])


@pytest.mark.parametrize(
    ("value", "as_type", "columns", "told"),
    [
        (TWO_COLUMNS, pd.Series, None, "has 2 columns"),
        (TWO_COLUMNS, pl.Series, None, "has 2 columns"),
        (TWINS, list, None, "several columns named a"),
        (TWINS, dict, None, "several columns named a"),
        (TWINS, pl.DataFrame, None, "several columns named a"),
        (np.arange(3.0), np.float64, None, "has 1 dimensions"),
        ({"a": np.arange(3)}, None, ["b"], "hold no b, but a"),
        ({"a": 3}, None, ["b"], "it has no b; it has a"),
    ],
    ids=["Series", "Series of polars", "records", "columns", "polars", "scalar", "array's name", "document's name"],
)
def test_nothing_is_left_behind_when_a_value_is_loaded(settings: Settings, value: Any, as_type: Any, columns: Any, told: str) -> None:
    with pytest.raises(ValueUnreadable, match=told):
        come_back(settings, value, as_type, columns=columns)


def test_a_series_comes_back_with_its_index(settings: Settings) -> None:
    series = pd.Series([1.5, 2.5], index=pd.Index(["x", "y"], name="day"), name="score")
    pd.testing.assert_series_equal(come_back(settings, series, pd.Series), series)


def test_a_dataframe_keeps_its_index_when_some_columns_are_asked_for(settings: Settings) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=pd.Index(["x", "y"], name="day"))
    pd.testing.assert_frame_equal(come_back(settings, frame, columns=["b"]), frame[["b"]])


def test_a_dataframe_of_ones_own_class_is_stored(settings: Settings) -> None:
    pd.testing.assert_frame_equal(come_back(settings, OwnFrame({"a": [1]}), pd.DataFrame), pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize("make", [materialize, materialize_to_memory])
def test_an_input_that_may_be_none_is_loaded_as_what_it_is_otherwise(settings: Settings, make: Any) -> None:
    @asset
    def table() -> Any:
        return pl.DataFrame({"a": [1]})

    @asset
    def nothing() -> None:
        return None

    @asset
    def numbers() -> Any:
        return {"a": np.arange(3)}

    @asset
    def kinds(table: pd.DataFrame | None, nothing: dict[str, int] | None, numbers: dict[str, np.ndarray]) -> list[str]:
        return [type(table).__module__.partition(".")[0], repr(nothing), str(numbers["a"].sum())]

    assert make([table, nothing, numbers, kinds], settings=settings).values["kinds"] == ["pandas", "None", "3"]


def test_all_partitions_of_a_value_without_any_are_that_value(settings: Settings) -> None:
    @asset
    def plain() -> int:
        return 1

    @asset(ins={"plain": AssetIn(partitions="all")})
    def all_of_it(plain: dict[str, int]) -> Any:
        return list(plain.items())

    assert materialize([plain, all_of_it], settings=settings).values["all_of_it"] == [(None, 1)]
    assert AssetValueLoader(settings).load_asset_value("plain", partition_key="all") == {None: 1}


def test_a_value_routed_by_how_its_asset_is_declared_is_found_by_its_key_alone(settings: Settings, declare: Any, tmp_path: Path) -> None:
    rules = "rules: [{metadata: {storage: local}, to: local}, {group: drafts, to: local}]"
    declare(
        f"default: router\nio_managers:\n  local: {{type: filesystem, url: 'file://{tmp_path}/other'}}\n"
        f"  router: {{type: router, default: lake, {rules}}}\n"
    )

    @asset(metadata={"storage": "local"})
    def first() -> int:
        return 1

    @asset(group="drafts")
    def second(first: int) -> int:
        return first + 1

    @asset
    def third(second: int) -> int:
        return second + 1

    made = materialize([first, second, third], settings=settings)

    assert [made.metadata[name]["routed_to"] for name in ("first", "second", "third")] == ["local", "local", "lake"]
    assert AssetValueLoader(settings).load_asset_values(["first", "second", "third"]) == {"first": 1, "second": 2, "third": 3}


RECORDS = [{"a": 1}, {"a": 2, "b": "late"}]


def test_a_field_that_the_first_record_lacks_is_stored_in_a_table(settings: Settings, declare: Any) -> None:
    declare("io_managers: {tables: {type: duckdb}}\n")
    assert come_back(settings, RECORDS, list, "tables") == [{"a": 1, "b": None}, {"a": 2, "b": "late"}]
    with pytest.raises(NoSerializer, match="'a' holds values that a column has no one type for"):
        come_back(settings, [{"a": 1}, {"a": "x"}], list, "tables")


def test_a_row_whose_own_partition_column_is_null_is_refused(settings: Settings, declare: Any) -> None:
    declare("io_managers: {tables: {type: duckdb}}\n")
    with Storage(settings) as storage, pytest.raises(ValueUnreadable, match="names other partitions"):
        storage.store(OutputContext("odd", ("p",)), pa.table({"partition_key": ["p", None]}), "tables")


def test_no_two_assets_share_a_table(settings: Settings, declare: Any) -> None:
    declare("io_managers: {tables: {type: duckdb, dataset: own}}\n")
    with Storage(settings) as storage:
        for key in ("name", "a/b/name", "a_b/name"):
            storage.store(OutputContext(key), pa.table({"key": [key]}), "tables")
        found = {key: storage.load(input_context(key, type=list), "tables") for key in ("name", "a/b/name", "a_b/name")}
        assert found == {key: [{"key": key}] for key in found}
        for key, why in (("a__b/name", "'__' stands for '/'"), ("own/name", "the table of 'name'"), ("Name", "no name of a table")):
            with pytest.raises(AssetMisnamed, match=why):
                storage.store(OutputContext(key), pa.table({"a": [1]}), "tables")
        with pytest.raises(AssetMisnamed, match="'_all' is what a table without partitions has"):
            storage.store(OutputContext("name", ("_all",)), pa.table({"a": [1]}), "tables")


def test_columns_of_one_name_in_a_query_are_refused(settings: Settings, declare: Any, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "shop.db").close()
    declare(f"input_managers: {{shop: {{type: sql, url: 'sqlite:///{tmp_path}/shop.db'}}}}\n")

    def asked(query: str, columns: Any = None) -> Any:
        with Storage(settings) as storage:
            return storage.load(input_context("rows", metadata={"query": query}, columns=columns), "shop")

    with pytest.raises(ValueUnreadable, match="several of its columns are named id"):
        asked("SELECT 1 AS id, 2 AS id")
    with pytest.raises(ValueUnreadable, match="gives no column b, but a"):
        asked("SELECT 1 AS a", ["b"])


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT a FROM asset('v1.2/day')", [(1,)]),
        ("SELECT a FROM asset('Top') UNION ALL SELECT a FROM asset('top') ORDER BY 1", [(2,), (3,)]),
        ("SELECT a FROM asset('by', 'a.b')", [(4,)]),
        ("SELECT a FROM asset('by', 'EU') UNION ALL SELECT a FROM asset('by', 'eu') ORDER BY 1", [(5,), (6,)]),
        ("SELECT a, _partition FROM asset('by') ORDER BY 1", [(4, "a.b"), (5, "EU"), (6, "eu")]),
        ("SELECT b FROM asset('records') ORDER BY a", [(None,), ("late",)]),
    ],
    ids=["dots", "upper and lower case", "dots in a partition", "case of a partition", "all partitions", "records"],
)
def test_values_are_queried_whatever_their_names(settings: Settings, tmp_path: Path, sql: str, rows: list[Any]) -> None:
    import duckdb

    names = [("v1.2/day", ()), ("Top", ()), ("top", ()), ("by", ("a.b",)), ("by", ("EU",)), ("by", ("eu",))]
    with Storage(settings) as storage, duckdb.connect() as connection:
        for number, (key, partition) in enumerate(names, 1):
            storage.store(OutputContext(key, partition), pa.table({"a": [number]}))
        storage.store(OutputContext("records"), RECORDS)
        (tmp_path / "there").mkdir()
        show_assets(connection, fetch_assets(asset_calls(sql), storage, tmp_path), tmp_path / "there")
        assert connection.sql(sql).fetchall() == rows

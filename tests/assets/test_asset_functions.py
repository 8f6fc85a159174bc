"""Asset functions in plain Python: order, inputs by parameter, partitions, tables of the warehouse, and loading a value from anywhere."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ducklift.assets import (
    AssetIn,
    AssetMisnamed,
    AssetValueLoader,
    MultiPartitions,
    NoSerializer,
    OutputContext,
    StaticPartitions,
    Storage,
    ValueMissing,
    ValueUnreadable,
    asset,
    daily,
    materialize,
    materialize_to_memory,
    time_partitions,
)
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.warehouse import open_warehouse

TABLES = "io_managers:\n  tables: {type: duckdb, dataset: analytics}\n"


@asset
def numbers() -> pd.DataFrame:
    return pd.DataFrame({"n": [1, 2, 3]})


@asset
def doubled(numbers: pl.DataFrame) -> pl.DataFrame:
    return numbers.with_columns(twice=pl.col("n") * 2)


@asset
def total(doubled: pa.Table, extra: int = 0) -> int:
    return sum(doubled["twice"].to_pylist()) + extra


def test_assets_are_made_in_the_order_of_what_they_need_and_typed_as_asked(settings):
    run = materialize([total, doubled, numbers], settings=settings)
    assert run.output_for_node("total") == 12
    assert run.metadata["doubled"]["rows"] == 3


def test_an_input_that_is_not_made_in_the_run_is_loaded_from_storage(settings):
    materialize([numbers, doubled], settings=settings)
    assert materialize([total], settings=settings).output_for_node("total") == 12


def test_a_selection_makes_these_alone(settings):
    materialize([numbers, doubled, total], settings=settings)
    assert list(materialize([numbers, doubled, total], settings=settings, selection=["total"]).values) == ["total"]


def test_in_memory_nothing_is_stored(settings):
    assert materialize_to_memory([total, doubled, numbers], settings=settings).output_for_node("total") == 12
    with pytest.raises(ValueMissing):
        AssetValueLoader(settings).load_asset_value("numbers")


def test_an_asset_is_a_plain_function(settings):
    assert total(pa.table({"twice": [1, 2]}), extra=4) == 7


def test_a_circle_is_named():
    @asset
    def egg(hen): ...

    @asset
    def hen(egg): ...

    with pytest.raises(ConfigurationError, match="circle"):
        materialize([egg, hen])


def test_an_input_that_nobody_stored_is_named(settings):
    with pytest.raises(ValueMissing, match="doubled"):
        materialize([total], settings=settings)


DAYS = daily("2026-01-01")


@asset(partitions=DAYS)
def counts(context: OutputContext) -> dict:
    return {"day": context.partition_key, "posts": int(context.partition_key[-2:])}


@asset(partitions=DAYS)
def change(counts: dict, before: dict | None = None) -> int:
    return counts["posts"]


@asset
def overall(counts: dict[str, dict]) -> int:
    return sum(each["posts"] for each in counts.values())


@asset(partitions=DAYS, ins={"window": AssetIn("counts", partitions=lambda own: ["2026-01-01", own])})
def windowed(window: dict[str, dict]) -> list[str]:
    return list(window)


def test_partitions_flow_from_one_asset_to_the_next(settings):
    for day in ("2026-01-01", date(2026, 1, 2)):
        materialize([counts, change], partition_key=day, settings=settings)

    loader = AssetValueLoader(settings)
    assert loader.load_asset_value("change", partition_key=["2026-01-02", "2026-01-01"]) == {"2026-01-02": 2, "2026-01-01": 1}
    assert materialize([overall], settings=settings).output_for_node("overall") == 3
    assert materialize([windowed], partition_key="2026-01-02", settings=settings).output_for_node("windowed") == [
        "2026-01-01",
        "2026-01-02",
    ]


def test_all_partitions_come_by_their_keys_and_missing_ones_by_name(settings):
    materialize([counts], partition_key="2026-01-01", settings=settings)
    with AssetValueLoader(settings) as loader:
        assert list(loader.load_asset_value("counts", partition_key="all")) == ["2026-01-01"]
        with pytest.raises(ValueMissing, match="2026-01-05"):
            loader.load_asset_value("counts", partition_key=["2026-01-01", "2026-01-05"])
        assert list(loader.load_asset_value("counts", partition_key=["2026-01-01", "2026-01-05"], missing="skip")) == ["2026-01-01"]


@pytest.mark.parametrize("key", ["2025-12-31", "2026-1-1", "yesterday", "", None])
def test_a_partition_that_an_asset_does_not_have_is_refused(settings, key):
    with pytest.raises(AssetMisnamed):
        materialize([counts], partition_key=key, settings=settings)


def test_several_dimensions_are_one_key(settings):
    @asset(partitions=MultiPartitions({"day": DAYS, "region": StaticPartitions(["eu", "us"])}))
    def sales(context: OutputContext) -> str:
        return context.partition_key

    key = {"region": "eu", "day": "2026-01-01"}
    assert materialize([sales], partition_key=key, settings=settings).output_for_node("sales") == "day=2026-01-01|region=eu"
    assert AssetValueLoader(settings).load_asset_value("sales", partition_key=key) == "day=2026-01-01|region=eu"


def test_slices_of_time_end_before_they_count():
    assert DAYS.keys(datetime(2026, 1, 3, 12, tzinfo=UTC)) == ["2026-01-01", "2026-01-02"]
    assert time_partitions("month", "2026-01-15").keys(datetime(2026, 4, 1, tzinfo=UTC)) == ["2026-01", "2026-02", "2026-03"]
    assert time_partitions("week", "2026-01-01").between("2025-12-29", "2026-01-05") == ["2025-12-29", "2026-01-05"]
    assert time_partitions("hour", "2026-01-01").checked(datetime(2026, 1, 1, 5, 59, tzinfo=UTC)) == "2026-01-01T05:00"


def warehouse_rows(settings: Settings, sql: str) -> list:
    with open_warehouse(settings, read_only=True) as warehouse:
        return warehouse.rows(sql)


def store(settings: Settings, value: object, *partition: str) -> dict:
    with Storage(settings) as storage:
        return storage.store(OutputContext("daily_scores", partition, "run"), value, "tables")


def test_a_table_of_the_warehouse_is_a_value_and_its_partition_is_overwritten_whole(settings, declare):
    declare(TABLES)
    store(settings, pd.DataFrame({"n": [1, 2]}), "monday")
    store(settings, pl.DataFrame({"n": [3]}), "tuesday")
    facts = store(settings, pa.table({"n": [4]}), "monday")

    assert facts["total_rows"] == 2
    assert warehouse_rows(settings, "SELECT n, partition_key FROM analytics.daily_scores ORDER BY n") == [(3, "tuesday"), (4, "monday")]
    loaded = AssetValueLoader(settings).load_asset_value("daily_scores", partition_key=["monday", "tuesday"], as_type=pd.DataFrame)
    assert {key: frame.to_dict("list") for key, frame in loaded.items()} == {"monday": {"n": [4]}, "tuesday": {"n": [3]}}


def test_an_empty_table_empties_its_partition(settings, declare):
    declare(TABLES)
    store(settings, pd.DataFrame({"n": [1, 2]}), "monday")
    store(settings, pd.DataFrame({"n": pd.Series([], dtype="int64")}), "monday")
    assert warehouse_rows(settings, "SELECT count(*) FROM analytics.daily_scores") == [(0,)]
    assert AssetValueLoader(settings).load_asset_value("daily_scores", partition_key="monday").num_rows == 0


def test_an_empty_table_that_was_never_filled_is_loaded_as_one_without_columns(settings, declare):
    declare(TABLES)
    store(settings, pd.DataFrame({"n": pd.Series([], dtype="int64")}))
    assert AssetValueLoader(settings).load_asset_value("daily_scores", as_type=pd.DataFrame).shape == (0, 0)


def test_a_table_that_a_function_stored_is_rebuilt_from_the_lake(settings, declare):
    from ducklift.lake.filesystem import open_lake
    from ducklift.warehouse.rebuild import rebuild

    declare(TABLES)
    store(settings, pd.DataFrame({"n": [1, 2]}))
    before = warehouse_rows(settings, "SELECT n FROM analytics.daily_scores ORDER BY n")
    rebuild(open_lake(settings), settings, replacing=True)
    assert warehouse_rows(settings, "SELECT n FROM analytics.daily_scores ORDER BY n") == before == [(1,), (2,)]


def test_a_relation_of_duckdb_becomes_a_table_without_being_in_memory_whole(settings, declare):
    import duckdb

    declare(TABLES)
    store(settings, duckdb.sql("SELECT i AS n FROM range(300000) t(i)"))
    assert warehouse_rows(settings, "SELECT count(*), sum(n) FROM analytics.daily_scores") == [(300_000, 44_999_850_000)]


@pytest.mark.parametrize("value", [{"n": 1}, "text", [1, 2]])
def test_what_is_no_table_is_refused_by_its_type(settings, declare, value):
    declare(TABLES)
    with pytest.raises(NoSerializer, match=type(value).__name__):
        store(settings, value)


def test_a_table_has_no_versions_and_says_so(settings, declare):
    declare(TABLES)
    store(settings, pd.DataFrame({"n": [1]}))
    with pytest.raises(ValueUnreadable, match="versions"):
        AssetValueLoader(settings).load_asset_value("daily_scores", version="x")

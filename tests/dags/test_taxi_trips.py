"""DAG `taxi_trips` as it ships, run whole by Airflow itself on the sandbox: a capped first run, the rest, nothing, and a day later."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dags_on_sandbox import run_by_airflow, stand_on

from ducklift.sandbox import Sandbox
from ducklift.sandbox.trips import BUCKET, LATE_PER_DAY, PREFIX

pytestmark = pytest.mark.airflow

PIPELINES = Path(__file__).parents[2] / "include" / "pipelines"
KEY = "md5(concat_ws('|', VendorID, tpep_pickup_datetime, tpep_dropoff_datetime, PULocationID, DOLocationID, total_amount))"
COLUMNS = ["trip_id", "pickup_at", "dropoff_at", "passenger_count", "trip_distance", "total_amount", "source_file", "loaded_at"]


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Any:
    """The outcome of four runs in a row, and the folder of the trips that they read."""
    folder = tmp_path_factory.mktemp("taxi")
    with pytest.MonkeyPatch.context() as monkeypatch, Sandbox(folder / "sandbox", trips=True) as sandbox:
        stand_on(sandbox, folder, monkeypatch)
        shutil.copy(PIPELINES / "taxi_trips.yaml", folder / "pipelines")
        trips = sandbox.s3_folder / BUCKET / PREFIX
        cap = min(file.stem for file in trips.iterdir())[-7:] + "-04"
        requests: list[dict[str, Any]] = [{"form": {"end": cap}}, {"form": {}}, {"form": {}}, {"form": {}, "advance_hours": 24}]
        yield {**run_by_airflow(folder, requests, "taxi_trips"), "cap": cap, "trips": trips, "warehouse": folder / "warehouse.duckdb"}


def summary(told: dict[str, Any], number: int) -> dict[str, Any]:
    return next(task["xcom"] for task in told["runs"][number]["tasks"] if task["task"] == "duckdb_load")


def of_files(told: dict[str, Any], sql: str, files: str = "*.parquet") -> Any:
    """Return what DuckDB finds in the bucket's files themselves."""
    return duckdb.sql(f"SELECT {sql} FROM read_parquet('{told['trips'] / files}') WHERE tpep_pickup_datetime < '2090-01-01'").fetchone()


def test_all_runs_are_green_and_have_three_tasks(told):
    assert [run["state"] for run in told["runs"]] == ["success"] * 4
    assert {task["task"] for task in told["runs"][0]["tasks"]} == {"bucket_files_extraction", "s3_upload", "duckdb_load"}


def test_a_first_run_stops_before_the_day_that_the_form_names(told):
    before = f"FILTER (tpep_pickup_datetime < '{told['cap']}')"
    rows, last = of_files(told, f"count(*) {before}, max(tpep_pickup_datetime) {before}")

    first = summary(told, 0)

    assert (first["rows_loaded"], first["total_rows"]) == (rows, rows)
    assert datetime.fromisoformat(first["last_pickup_at"]) == last


def test_the_next_run_goes_on_from_there_and_the_one_after_it_loads_nothing(told):
    second, third = summary(told, 1), summary(told, 2)

    assert second["rows_loaded"] > 100_000
    assert second["total_rows"] > 200_000
    assert third["rows_loaded"] == 0
    assert third["total_rows"] == second["total_rows"]
    assert third["last_pickup_at"] == second["last_pickup_at"]


def test_a_day_later_its_trips_and_the_late_ones_under_the_watermark_arrive(told):
    newest = max(file.name for file in told["trips"].iterdir())
    rows, last = of_files(told, "count(*), max(tpep_pickup_datetime)", newest)

    third, fourth = summary(told, 2), summary(told, 3)

    assert (fourth["rows_inserted"], fourth["rows_updated"]) == (rows, 0)
    assert datetime.fromisoformat(fourth["last_pickup_at"]) == last
    with duckdb.connect(str(told["warehouse"]), read_only=True) as connection:
        late = f"source_file LIKE '%{newest}' AND pickup_at < TIMESTAMP '{third['last_pickup_at']}'"
        ((count,),) = connection.execute(f"SELECT count(*) FROM taxi.trips WHERE {late}").fetchall()
    assert count >= LATE_PER_DAY


def test_the_table_holds_the_trips_of_the_files_under_the_guides_names(told):
    renamed = f"{KEY}, tpep_pickup_datetime, tpep_dropoff_datetime, passenger_count, trip_distance, total_amount"
    files = f"read_parquet('{told['trips'] / '*.parquet'}')"
    with duckdb.connect(str(told["warehouse"]), read_only=True) as connection:
        columns = [name for name, *_ in connection.execute("DESCRIBE taxi.trips").fetchall() if not name.startswith("_")]
        rows = f"SELECT {', '.join(COLUMNS[:6])} FROM taxi.trips"
        expected = f"SELECT {renamed} FROM {files} WHERE tpep_pickup_datetime < '2090-01-01'"
        differing = connection.execute(f"({rows} EXCEPT ALL {expected}) UNION ALL ({expected} EXCEPT ALL {rows})").fetchall()
        ((places,),) = connection.execute("SELECT count(DISTINCT source_file) FROM taxi.trips WHERE source_file = _source_file").fetchall()

    assert columns == COLUMNS
    assert differing == []
    assert places == len(list(told["trips"].iterdir()))


def test_the_asset_event_tells_rows_total_and_the_last_pickup(told):
    for number, event in enumerate(told["events"]):
        assert event["asset"] == "taxi.trips"
        for name in ("rows_loaded", "total_rows", "last_pickup_at"):
            assert event[name] == summary(told, number)[name]
    assert len(told["events"]) == 4

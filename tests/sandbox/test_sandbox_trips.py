"""The sandbox's taxi trips: real in schema and in oddities, the same on every machine, and growing with the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from sandbox_clients import s3_client

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox import TRIPS_URL, Sandbox
from ducklift.sandbox.clock import SandboxClock
from ducklift.sandbox.trips import BUCKET, LATE_PER_DAY, PREFIX, TRIPS_PER_DAY, TripFeed

ORIGIN = datetime(2026, 3, 3, 12, tzinfo=UTC)
# As the city's own files have it since 2023.
SCHEMA = {
    "VendorID": "INTEGER",
    "tpep_pickup_datetime": "TIMESTAMP",
    "tpep_dropoff_datetime": "TIMESTAMP",
    "passenger_count": "BIGINT",
    "trip_distance": "DOUBLE",
    "RatecodeID": "BIGINT",
    "store_and_fwd_flag": "VARCHAR",
    "PULocationID": "INTEGER",
    "DOLocationID": "INTEGER",
    "payment_type": "BIGINT",
    "fare_amount": "DOUBLE",
    "extra": "DOUBLE",
    "mta_tax": "DOUBLE",
    "tip_amount": "DOUBLE",
    "tolls_amount": "DOUBLE",
    "improvement_surcharge": "DOUBLE",
    "total_amount": "DOUBLE",
    "congestion_surcharge": "DOUBLE",
    "Airport_fee": "DOUBLE",
}
TRIP_KEY = "md5(concat_ws('|', VendorID, tpep_pickup_datetime, tpep_dropoff_datetime, PULocationID, DOLocationID, total_amount))"


def clock_at(folder: Path, origin: datetime = ORIGIN) -> SandboxClock:
    folder.mkdir(parents=True, exist_ok=True)
    moment = origin.isoformat()
    (folder / "clock.json").write_text(f'{{"origin": "{moment}", "now": "{moment}"}}')
    return SandboxClock(folder / "clock.json")


@pytest.fixture(scope="module")
def february(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a feed whose clock began on the third of March: the shortest month, and two days."""
    feed = TripFeed(tmp_path_factory.mktemp("trips") / "s3", clock_at(tmp_path_factory.mktemp("clock")))
    feed.publish()
    return feed.folder


def one(sql: str, files: Path | str) -> Any:
    return duckdb.sql(f"SELECT {sql} FROM read_parquet('{files}')").fetchone()


def test_a_month_has_the_citys_schema_and_two_hundred_thousand_trips(february: Path) -> None:
    month = february / "yellow_tripdata_2026-02.parquet"

    described = duckdb.sql(f"DESCRIBE FROM read_parquet('{month}')").fetchall()

    assert {name: type_ for name, type_, *_ in described} == SCHEMA
    assert one("count(*)", month)[0] > 200_000
    assert one(f"count(*) = count(DISTINCT {TRIP_KEY})", month)[0]


def test_the_oddities_of_real_trips_are_there(february: Path) -> None:
    oddities = {
        "without passengers counted": "count(*) FILTER (passenger_count IS NULL AND payment_type = 0)",
        "refunds": "count(*) FILTER (total_amount < 0 AND payment_type IN (3, 4))",
        "ended before they began": "count(*) FILTER (tpep_dropoff_datetime < tpep_pickup_datetime)",
        "years before": "count(*) FILTER (tpep_pickup_datetime < '2010-01-01')",
        "years ahead": "count(*) FILTER (tpep_pickup_datetime > '2090-01-01')",
        "unknown rate": "count(*) FILTER (RatecodeID = 99)",
    }

    counts = dict(zip(oddities, one(", ".join(oddities.values()), february / "yellow_tripdata_2026-02.parquet"), strict=True))

    assert counts["without passengers counted"] > 10_000
    assert counts["refunds"] > 1_000
    assert counts["ended before they began"] > 10
    assert (counts["years before"], counts["years ahead"]) == (3, 1)
    assert counts["unknown rate"] > 1_000


def test_row_groups_are_in_order_of_pickup_but_for_wrong_clocks(february: Path) -> None:
    groups = duckdb.sql(
        "SELECT CAST(stats_min_value AS TIMESTAMP), CAST(stats_max_value AS TIMESTAMP) "
        f"FROM parquet_metadata('{february / 'yellow_tripdata_2026-02.parquet'}') "
        "WHERE path_in_schema = 'tpep_pickup_datetime' ORDER BY row_group_id"
    ).fetchall()
    plain = [(low, high) for low, high in groups if low.year == high.year == 2026]

    assert len(groups) >= 10
    assert len(plain) >= len(groups) - 4
    assert plain == sorted(plain)


def test_each_finished_day_brings_its_trips_and_some_late_ones(tmp_path: Path) -> None:
    clock = clock_at(tmp_path)
    feed = TripFeed(tmp_path / "s3", clock)
    before = feed.publish()

    clock.advance(timedelta(hours=11))
    same_day = feed.publish()
    clock.advance(timedelta(hours=2))
    next_day = feed.publish()

    days = ["yellow_tripdata_2026-03-01.parquet", "yellow_tripdata_2026-03-02.parquet"]
    assert before == ["yellow_tripdata_2026-02.parquet", *days]
    assert same_day == []
    assert next_day == ["yellow_tripdata_2026-03-03.parquet"]
    late = "count(*) FILTER (tpep_pickup_datetime < '2026-03-03' AND total_amount > 0), min(tpep_pickup_datetime) >= '2026-03-01'"
    trips, *told = one(f"count(*) FILTER (total_amount > 0), {late}", feed.folder / next_day[0])
    assert (trips, told) == (TRIPS_PER_DAY + LATE_PER_DAY, [LATE_PER_DAY, True])


def test_the_same_clock_gives_the_same_bytes_and_another_seed_other_trips(february: Path, tmp_path: Path) -> None:
    again, other = TripFeed(tmp_path / "again", clock_at(tmp_path)), TripFeed(tmp_path / "other", clock_at(tmp_path), seed=7)
    again.publish()
    other.publish()

    def digests(folder: Path) -> dict[str, str]:
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}

    assert digests(again.folder) == digests(february)
    assert digests(other.folder).keys() == digests(february).keys()
    assert not set(digests(other.folder).values()) & set(digests(february).values())


def test_the_bucket_follows_the_clock_that_a_client_moves_on(start: Callable[..., Sandbox]) -> None:
    sandbox = start(trips=True)
    s3 = s3_client(sandbox)
    before = s3.ls(TRIPS_URL, refresh=True)

    httpx.post(f"{sandbox.reddit_url}/sandbox/advance", json={"hours": 24}, trust_env=False).raise_for_status()

    new = sorted(set(s3.ls(TRIPS_URL, refresh=True)) - set(before))
    assert [name.removeprefix(f"{BUCKET}/{PREFIX}")[:16] for name in new] == ["yellow_tripdata_"]
    assert TRIPS_URL in sandbox.describe()


def test_a_sandbox_makes_no_trips_unless_asked(shared: Sandbox) -> None:
    assert not (shared.s3_folder / BUCKET).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    feed = TripFeed(tmp_path / "s3", clock_at(tmp_path))
    (tmp_path / "s3").mkdir()
    (tmp_path / "s3" / BUCKET).write_bytes(b"in the way")

    with pytest.raises(SandboxUnavailable, match="ducklift-sandbox-trips"):
        feed.publish()


def test_a_flowing_clock_brings_out_its_files_when_it_is_asked(start: Callable[..., Sandbox]) -> None:
    sandbox = start(trips=True)
    folder = sandbox.s3_folder / BUCKET / PREFIX
    sandbox._started.clock.after_advance = None  # as time flows: nobody moves it on
    sandbox.advance(timedelta(days=2))
    before = len(list(folder.iterdir()))

    sandbox.catch_up()

    assert len(list(folder.iterdir())) == before + 2

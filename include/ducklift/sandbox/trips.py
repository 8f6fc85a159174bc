"""The sandbox's taxi trips: Parquet files in a bucket of their own, in the shape of New York's yellow cabs, all of them invented.

A whole month lies there from the start, and then a file for each day that the sandbox's clock has finished. A file is never changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox.clock import SandboxClock

BUCKET = "ducklift-sandbox-trips"
PREFIX = "yellow/"
TRIPS_PER_DAY = 7_400
# Trips that were recorded a day or two after they ended: every day's file brings some.
LATE_PER_DAY = 60
ROW_GROUP_ROWS = 20_480
_HOURS = (
    [0] * 3 + [1, 1, 2, 3, 4, 5, 5] + [6] * 2 + [7] * 4 + [8] * 5 + [9] * 5 + [10] * 5 + [11] * 5 + [12] * 5 + [13] * 5 + [14] * 6
    + [15] * 6 + [16] * 6 + [17] * 7 + [18] * 7 + [19] * 7 + [20] * 6 + [21] * 5 + [22] * 4 + [23] * 4
)  # fmt: skip


@dataclass(frozen=True)
class TripFile:
    """One object of the feed: the trips of `days` days from `first` on, and `late` ones of the two days before."""

    first: date
    days: int
    late: int

    @property
    def name(self) -> str:
        """Return the object's name; a month's lacks the day."""
        return f"yellow_tripdata_{self.first:%Y-%m}.parquet" if self.days > 1 else f"yellow_tripdata_{self.first:%Y-%m-%d}.parquet"


class TripFeed:
    """Puts trips into the bucket's folder as the clock goes on. Thread-safe."""

    def __init__(self, buckets: Path, clock: SandboxClock, seed: int = 2026) -> None:
        self.folder = buckets / BUCKET / PREFIX
        self._clock, self._seed, self._lock = clock, seed, threading.Lock()

    def publish(self) -> list[str]:
        """Write the files that are due and not there yet; return their names. Raises `SandboxUnavailable` when that fails."""
        with self._lock:
            missing = [file for file in self.due() if not (self.folder / file.name).exists()]
            if missing:
                self._write(missing)
            return [file.name for file in missing]

    def due(self) -> Iterator[TripFile]:
        """Yield the files that the clock has finished: the month before it began, then day by day."""
        begin = self._clock.origin.date().replace(day=1)
        month_before = (begin - timedelta(days=1)).replace(day=1)
        yield TripFile(month_before, (begin - month_before).days, late=0)
        day, today = begin, self._clock.now().date()
        while day < today:
            yield TripFile(day, 1, LATE_PER_DAY)
            day += timedelta(days=1)

    def _write(self, files: list[TripFile]) -> None:
        import duckdb

        scratch = self.folder.parents[2] / f".trips.{os.getpid()}.parquet"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with duckdb.connect(config={"threads": 1}) as connection:
                connection.execute("SET enable_progress_bar = false")
                connection.execute(_MACRO)
                for file in files:
                    connection.execute(_copy_sql(file, self._seed, scratch))
                    # In one step: the bucket must never show half a file.
                    scratch.replace(self.folder / file.name)
        except (duckdb.Error, OSError) as err:
            raise SandboxUnavailable(f"The sandbox cannot write its taxi trips into {self.folder}: {str(err).splitlines()[0]}") from err
        finally:
            scratch.unlink(missing_ok=True)


# A number from 0 to 1 for each trip and purpose, the same on every machine.
_MACRO = "CREATE TEMPORARY MACRO chance(trip, purpose) AS hash(32 * trip + purpose) / 18446744073709551616.0"
# Meters whose clock was wrong: a few trips of every real month lie years away. Place in the month's file: pickup.
_WRONG_CLOCKS = {1_000: "2002-12-31 22:59:39", 50_000: "2009-01-01 00:24:09", 90_000: "2098-09-11 02:23:31", 150_000: "2008-12-31 23:02:25"}


# In the order of their meters. Most are paid, some refunded by a second, negative one; those booked by an app lack half of the fields,
# and one in ten thousand ends before it began.
_TRIPS = """
WITH numbered AS (
    SELECT {first_trip} + range AS trip, range AS n, {hours}[1 + CAST(floor(chance(trip, 1) * {hour_count}) AS INT)] AS hour,
        CAST(floor(chance(trip, 2) * CASE WHEN n < {on_time} THEN {days} ELSE -2 END) AS INT) AS day
    FROM range({all})
), meters AS (
    SELECT *, TIMESTAMP '{first_day}' + to_days(day) + to_hours(hour) + to_seconds(floor(chance(trip, 3) * 3600)) AS began,
        round(CASE WHEN chance(trip, 4) < 0.015 THEN 0 ELSE 0.4 - 2.8 * ln(1 - 0.999 * chance(trip, 4)) END, 2) AS miles,
        chance(trip, 5) < 0.055 AS by_app
    FROM numbered
), fares AS (
    SELECT *, CASE WHEN n % 9_973 = 7 THEN -7 ELSE 120 + floor(miles * 60 * (3.2 + 4.5 * chance(trip, 6))) END AS seconds,
        round(3 + 3.1 * miles + 1.4 * floor(4 * chance(trip, 7)), 2) AS fare,
        CASE WHEN hour BETWEEN 16 AND 19 THEN 2.5 WHEN hour >= 20 OR hour < 6 THEN 1.0 ELSE 0.0 END AS extra,
        CASE WHEN by_app THEN 0 WHEN chance(trip, 8) < 0.8 THEN 1 ELSE 2 END AS paid_by,
        CASE WHEN miles > 14 AND chance(trip, 9) < 0.6 THEN 6.94 ELSE 0.0 END AS tolls,
        CASE WHEN miles > 10 AND chance(trip, 10) < 0.5 THEN 1.75 ELSE 0.0 END AS airport
    FROM meters
), bills AS (
    SELECT *, CASE WHEN paid_by = 1 THEN round((fare + extra) * (0.1 + 0.2 * chance(trip, 11)), 2) ELSE 0.0 END AS tip, 1 AS sign
    FROM fares
), booked AS (
    SELECT * FROM bills UNION ALL
    SELECT * REPLACE (-1 AS sign, CASE WHEN n % 2 = 0 THEN 3 ELSE 4 END AS paid_by)
    FROM bills WHERE paid_by = 2 AND chance(trip, 12) < 0.06
)
SELECT CASE WHEN chance(trip, 13) < 0.75 THEN 2 ELSE 1 END::INTEGER AS VendorID,
    CASE {wrong_clocks} WHEN true THEN began END AS tpep_pickup_datetime, began + to_seconds(seconds) AS tpep_dropoff_datetime,
    CASE WHEN NOT by_app THEN [1, 1, 1, 1, 1, 1, 1, 2, 2, 0, 3, 4, 5, 6][1 + floor(chance(trip, 14) * 14)::INT] END::BIGINT
        AS passenger_count,
    miles::DOUBLE AS trip_distance,
    CASE WHEN by_app THEN NULL WHEN airport > 0 THEN 2 WHEN chance(trip, 15) < 0.01 THEN 99 ELSE 1 END::BIGINT AS RatecodeID,
    CASE WHEN NOT by_app THEN CASE WHEN chance(trip, 16) < 0.005 THEN 'Y' ELSE 'N' END END AS store_and_fwd_flag,
    (1 + (floor(263 * pow(chance(trip, 17), 1.7)) * 37) % 263)::INTEGER AS PULocationID,
    (1 + (floor(263 * pow(chance(trip, 18), 1.4)) * 37) % 263)::INTEGER AS DOLocationID,
    paid_by::BIGINT AS payment_type, (sign * fare)::DOUBLE AS fare_amount, (sign * extra)::DOUBLE AS extra,
    (sign * 0.5)::DOUBLE AS mta_tax, tip::DOUBLE AS tip_amount, (sign * tolls)::DOUBLE AS tolls_amount,
    sign::DOUBLE AS improvement_surcharge,
    round(sign * (fare + extra + tolls + airport + 4) + tip, 2)::DOUBLE AS total_amount,
    CASE WHEN NOT by_app THEN sign * 2.5 END::DOUBLE AS congestion_surcharge,
    CASE WHEN NOT by_app THEN sign * airport END::DOUBLE AS Airport_fee
FROM booked ORDER BY began, n, sign
"""


def _copy_sql(file: TripFile, seed: int, target: Path) -> str:
    first_trip = (seed * 100_000 + file.first.toordinal()) * 1_000_000
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
    quoted = str(target).replace("'", "''")
    return f"COPY ({_trips_sql(file, first_trip)}) TO '{quoted}' ({options})"


def _trips_sql(file: TripFile, first_trip: int) -> str:
    on_time = file.days * TRIPS_PER_DAY
    wrong = [f"WHEN n = {place} THEN TIMESTAMP '{moment}'" for place, moment in _WRONG_CLOCKS.items() if file.days > 1]
    return _TRIPS.format(
        first_trip=first_trip,
        first_day=file.first,
        days=file.days,
        on_time=on_time,
        all=on_time + file.late,
        hours=_HOURS,
        hour_count=len(_HOURS),
        wrong_clocks=" ".join(wrong),
    )

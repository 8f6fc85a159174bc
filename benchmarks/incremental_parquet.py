"""How much of a bucket an incremental run over Parquet reads: `python -m benchmarks.incremental_parquet [--rows 10000000]`.

One object of `rows` rows in the order of its cursor lies on a local S3 endpoint (rclone), behind a relay that counts what is fetched. It is
loaded; then it is replaced by one with 1 % more rows, and loaded again. Beside it, what DuckDB's own httpfs fetches for the new rows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.relay import CountingRelay
from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.sandbox.s3 import S3Server
from ducklift.settings import Settings, load_settings
from ducklift.warehouse.extensions import load_extension

BUCKET, KEY_ID, SECRET = "trips", "benchmark-key", "benchmark-secret"
PIPELINE = f"""
name: trips
source: {{type: bucket_files, buckets: ["s3://{BUCKET}"], path: yellow/*.parquet, in_place: true}}
table: taxi.trips
disposition: merge
primary_key: [trip_id]
synthetic_key: {{name: trip_id, columns: [VendorID, tpep_pickup_datetime, tpep_dropoff_datetime, PULocationID, DOLocationID, total_amount]}}
incremental: {{cursor: tpep_pickup_datetime}}
fields: declared
columns:
  - {{name: pickup_at, from: tpep_pickup_datetime, type: timestamp}}
  - {{name: dropoff_at, from: tpep_dropoff_datetime, type: timestamp}}
  - {{name: passenger_count, type: bigint}}
  - {{name: trip_distance, type: double}}
  - {{name: total_amount, type: double}}
"""
# One trip every three seconds; as many columns as the city's files have, and as hard to compress.
ROWS = """
    SELECT (1 + i % 2)::INTEGER AS VendorID, TIMESTAMP '2020-01-01' + to_seconds(i * 3) AS tpep_pickup_datetime,
        tpep_pickup_datetime + to_seconds(120 + hash(i) % 3000) AS tpep_dropoff_datetime, (hash(i + 1) % 6)::BIGINT AS passenger_count,
        (hash(i + 2) % 3000) / 100.0::DOUBLE AS trip_distance, 1::BIGINT AS RatecodeID, 'N' AS store_and_fwd_flag,
        (hash(i + 3) % 263)::INTEGER AS PULocationID, (hash(i + 4) % 263)::INTEGER AS DOLocationID,
        (hash(i + 5) % 4)::BIGINT AS payment_type, (hash(i + 6) % 9000) / 100.0::DOUBLE AS fare_amount,
        (hash(i + 7) % 4)::DOUBLE AS extra, 0.5::DOUBLE AS mta_tax,
        (hash(i + 8) % 900) / 100.0::DOUBLE AS tip_amount, 0.0::DOUBLE AS tolls_amount, 1.0::DOUBLE AS improvement_surcharge,
        (hash(i + 9) % 9900) / 100.0::DOUBLE AS total_amount, 2.5::DOUBLE AS congestion_surcharge, 0.0::DOUBLE AS Airport_fee
    FROM range({rows}) AS t(i)
"""


def write_object(folder: Path, rows: int) -> int:
    """Put the object with its first `rows` rows into the bucket and return its size."""
    target = folder / "s3" / BUCKET / "yellow" / "yellow_tripdata.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder / "scratch.parquet"
    duckdb.connect().execute(f"COPY ({ROWS.format(rows=rows)}) TO '{scratch}' (FORMAT parquet, COMPRESSION zstd)")
    scratch.replace(target)
    return target.stat().st_size


def fetched_by_httpfs(endpoint: str, relay: CountingRelay, newer_than: object) -> tuple[int, int]:
    """Return bytes and requests of the same reading by DuckDB itself, as a hand-written DAG has it."""
    connection = duckdb.connect()
    load_extension(connection, "httpfs", "the comparison")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{KEY_ID}', SECRET '{SECRET}', ENDPOINT '{endpoint.removeprefix('http://')}', "
        "USE_SSL false, URL_STYLE path)"
    )
    relay.taken()
    connection.execute(
        "CREATE TABLE new AS SELECT md5(concat_ws('|', VendorID, tpep_pickup_datetime, tpep_dropoff_datetime, PULocationID, DOLocationID, "
        "total_amount)) AS trip_id, tpep_pickup_datetime, tpep_dropoff_datetime, passenger_count, trip_distance, total_amount "
        f"FROM read_parquet('s3://{BUCKET}/yellow/*.parquet') WHERE tpep_pickup_datetime > ?",
        [newer_than],
    )
    return relay.taken()


def run(settings: Settings, relay: CountingRelay, name: str, object_bytes: int) -> object:
    """Run the pipeline, print a line about it and return the watermark."""
    relay.taken()
    started, before = time.monotonic(), os.times()
    summary = run_pipeline(load_pipeline("trips", settings), Run.now(), settings)
    after = os.times()
    assert not summary.failures, summary
    fetched, requests = relay.taken()
    (load,) = summary.loads
    cpu = after.user + after.system - before.user - before.system
    share = f"{fetched:,} | {100 * fetched / object_bytes:.2f} % | {requests}"
    print(f"| {name} | {load.rows_loaded:,} | {share} | {cpu:.2f} | {time.monotonic() - started:.1f} |", flush=True)
    return load.watermark


def main() -> None:
    """Prepare, run three times, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.incremental_parquet", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="ducklift-bench-") as scratch:
        folder = Path(scratch)
        size = write_object(folder, rows - rows // 100)
        server = S3Server(folder / "s3", folder / "s3.log", KEY_ID, SECRET)
        server.start()
        try:
            with CountingRelay(server.url) as relay:
                keys = {
                    "AWS_ACCESS_KEY_ID": KEY_ID,
                    "AWS_SECRET_ACCESS_KEY": SECRET,
                    "AWS_REGION": "us-east-1",
                    "AWS_ENDPOINT_URL": relay.url,
                }
                settings = load_settings(environment=keys, project=folder)
                settings.pipelines.mkdir(parents=True)
                (settings.pipelines / "trips.yaml").write_text(PIPELINE)
                print("| run | rows loaded | bytes fetched | of the object | requests | CPU s | s |")
                print("| --- | --- | --- | --- | --- | --- | --- |")
                watermark = run(settings, relay, "first", size)
                run(settings, relay, "nothing new", size)
                size = write_object(folder, rows)
                run(settings, relay, "1 % new", size)
                fetched, requests = fetched_by_httpfs(relay.url, relay, watermark)
                print(f"| DuckDB httpfs, 1 % new | | {fetched:,} | {100 * fetched / size:.2f} % | {requests} | | |")
                print(f"\nThe object has {rows:,} rows and {size:,} bytes.")
        finally:
            server.stop()


if __name__ == "__main__":
    main()

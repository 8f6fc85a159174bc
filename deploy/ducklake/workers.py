"""Several workers that load six tables of one DuckLake at once, and the count of what has come of it.

    python workers.py work 1 3      the first of three workers: a third of the hours of each table, two loads at a time
    python workers.py check 3       every row once, in tables and ledger? As JSON, with exit code 1 if not

The places come from the environment (DUCKLIFT_LAKE_URL, DUCKLIFT_WAREHOUSE_URL, AWS_*, PGPASSWORD, DUCKLIFT_PIPELINES), and this folder
is on PYTHONPATH. READINGS_HOURS (4) is how many hours each worker loads into each table, READINGS_ROWS (20000) how many rows an hour has.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any

from readings import ROWS

from ducklift.pipeline import Run, extract, load, load_pipeline, upload
from ducklift.settings import load_settings

HOURS = int(os.environ.get("READINGS_HOURS", "4"))
AT_ONCE = 2
FIRST_HOUR = datetime(2026, 1, 1, tzinfo=UTC)
TABLES = {"wind": "readings", "wind_now": "stations", "rain": "readings", "rain_now": "stations", "sun": "readings", "sun_now": "stations"}


def load_hour(stream: str, hour: int) -> dict[str, Any]:
    """Take one hour of one table through all three steps, as three tasks of a DAG do."""
    settings = load_settings()
    pipeline = load_pipeline(TABLES[stream], settings)
    start = FIRST_HOUR + timedelta(hours=hour)
    run = Run(run_id=f"hour-{hour}", slice_start=start, slice_end=start + timedelta(hours=1), by_slice=True)
    manifest = upload(extract(pipeline, stream, run, settings), settings)
    began = time.monotonic()
    summary = load(manifest, settings, pipeline)
    return {"stream": stream, "state": summary.state, "rows": summary.rows_extracted, "load_seconds": time.monotonic() - began}


def work(worker: int, workers: int) -> int:
    """Load this worker's hours of all six tables; each worker begins with another table."""
    streams = list(TABLES)[2 * (worker - 1) :] + list(TABLES)[: 2 * (worker - 1)]
    hours = range(worker - 1, workers * HOURS, workers)
    began = time.time()
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn")) as pool:
        loads = [each.result() for each in [pool.submit(load_hour, stream, hour) for hour in hours for stream in streams]]
    told = {"worker": worker, "began": began, "ended": time.time(), "loads": len(loads), "rows": sum(each["rows"] for each in loads)}
    sys.stdout.write(json.dumps({**told, "longest_load_s": round(max(each["load_seconds"] for each in loads), 2)}) + "\n")
    return 0 if {each["state"] for each in loads} <= {"loaded", "already_loaded"} else 1


def check(workers: int) -> int:
    """Count rows, keys and ledger entries of all six tables."""
    from ducklift.warehouse import open_warehouse

    loads = workers * HOURS
    each_once = {"rows": loads * ROWS, "keys": loads * ROWS, "hours": loads}
    newest_alone = {"rows": ROWS, "keys": ROWS, "hours": 1}
    of_all = {"newest": loads - 1, "loads": loads, "extracted": loads * ROWS}
    expected = {stream: {**(each_once if pipeline == "readings" else newest_alone), **of_all} for stream, pipeline in TABLES.items()}
    with open_warehouse(load_settings(), read_only=True) as warehouse:
        found = {stream: _counted(warehouse, stream) for stream in TABLES}
    sys.stdout.write(json.dumps({"complete": found == expected, "tables": found}) + "\n")
    return 0 if found == expected else 1


def _counted(warehouse: Any, stream: str) -> dict[str, int]:
    key = "id" if TABLES[stream] == "readings" else "station"
    hour = f"id // {ROWS} - {int(FIRST_HOUR.timestamp()) // 3600}"
    table = f"SELECT count(*), count(DISTINCT {key}), count(DISTINCT {hour}), max({hour}) FROM weather.{stream}"  # noqa: S608 - names of this file
    ((rows, keys, hours, newest),) = warehouse.rows(table)
    ledger = 'SELECT count(DISTINCT load_id), sum(rows_extracted)::BIGINT FROM _ducklift.loads WHERE "table" = ?'
    ((loads, extracted),) = warehouse.rows(ledger, [stream])
    return {"rows": rows, "keys": keys, "hours": hours, "newest": newest, "loads": loads, "extracted": extracted}


if __name__ == "__main__":
    verb, *numbers = sys.argv[1:]
    sys.exit({"work": work, "check": check}[verb](*map(int, numbers)))

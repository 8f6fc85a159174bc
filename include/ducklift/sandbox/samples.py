"""Small files to try DAG `bucket_file` on, in a bucket of their own: the same invented prices as CSV, as JSON and as Parquet."""

from __future__ import annotations

import json
import os
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ducklift.sandbox.files import write_atomically

BUCKET = "ducklift-sandbox-files"
PREFIX = "samples/"
DAYS = 60
_COLUMNS = {"date": "DATE", "share_price": "DOUBLE", "amount": "DOUBLE", "spend": "DOUBLE", "shift": "DOUBLE", "spread": "DOUBLE"}


def put_samples(buckets: Path) -> None:
    """Put the samples that are not there yet; one that a person changed or deleted in part stays as it is."""
    folder = buckets / BUCKET / PREFIX
    if folder.exists():
        return
    building = folder.with_name(f".samples.{os.getpid()}")
    building.mkdir(parents=True, exist_ok=True)
    rows = list(_prices())
    lines = [",".join(_COLUMNS), *(",".join(str(value) for value in row.values()) for row in rows)]
    write_atomically(building / "prices.csv", "\n".join([*lines, ""]).encode())
    write_atomically(building / "prices.json", json.dumps(rows, indent=1).encode())
    _write_parquet(rows, building / "prices.parquet")
    try:
        building.rename(folder)
    except OSError:  # another sandbox in this folder was first
        for file in building.iterdir():
            file.unlink()
        building.rmdir()


def _prices() -> list[dict[str, Any]]:
    dice, price, found = random.Random(2026), 100.0, []  # noqa: S311 - invented prices, the same in every sandbox
    for day in range(DAYS):
        price = round(price * (1 + dice.gauss(0, 0.02)), 2)
        amount = float(dice.randint(1, 40))
        found.append({
            "date": (date(2026, 1, 1) + timedelta(days=day)).isoformat(),
            "share_price": price,
            "amount": amount,
            "spend": round(price * amount, 2),
            "shift": round(dice.gauss(0, 1), 4),
            "spread": round(abs(dice.gauss(0, 0.2)), 4),
        })  # fmt: skip
    return found


def _write_parquet(rows: list[dict[str, Any]], file: Path) -> None:
    import duckdb

    columns = ", ".join(f"CAST(row ->> '{name}' AS {kind}) AS {name}" for name, kind in _COLUMNS.items())
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET VARIABLE rows = ?", [json.dumps(rows)])
        connection.execute(
            f"COPY (SELECT {columns} FROM (SELECT unnest(CAST(getvariable('rows') AS JSON[])) AS row)) "  # noqa: S608 - names of our own
            f"TO '{str(file).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)"
        )

"""A lake as a thousand tables leave it, without loading anything: snapshots, commit records, manifests and notes of failures."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from ducklift.lake.commits import (
    RECENT_LOADS,
    ColumnMoment,
    ColumnStatistics,
    CommitRecord,
    QuarantinedRecord,
    Snapshot,
    snapshot_bytes,
)
from ducklift.lake.folder import LocalStore
from ducklift.lake.layout import attempts_key, commit_key, manifest_key, snapshot_key
from ducklift.lake.manifest import Manifest, RawFile, Slice, compact_utc
from ducklift.lake.store import Store
from ducklift.specs import TableName, TableSpec

COLUMNS, SAMPLE, MOMENTS = 20, 50, 12
MANIFESTS = 20  # of the newest loads of each table; older ones are looked at one by one only
Object = tuple[str, bytes]


def table_name(number: int) -> TableName:
    """Return the name of the table of this number; ten datasets share them."""
    return TableName(dataset=f"shop_{number % 10}", table=f"orders_{number:04d}")


def big_lake(tables: int, loads_each: int, long_table: int = 0, *, seed: int = 7, now: datetime | None = None) -> Iterator[Object]:
    """Yield the objects of a lake; the first table has `long_table` loads. Every tenth table failed last, every twentieth is weeks old."""
    chance, now = random.Random(seed), now or datetime.now(UTC)
    for number in range(tables):
        loads = long_table if long_table and number == 0 else loads_each
        yield from _table(number, loads, now - timedelta(days=21 if number % 20 == 5 else 0), chance)


def fill(lake: Store, objects: Iterator[Object]) -> int:
    """Put the objects and return how many; into a folder without waiting for the disk, since nobody needs this lake after a crash."""
    if isinstance(lake, LocalStore):
        count = 0
        for key, data in objects:
            count += 1
            target = Path(lake.path(key))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return count
    with ThreadPoolExecutor(16) as pool:
        return sum(1 for _ in pool.map(lambda each: lake.replace(*each), objects))


def _table(number: int, count: int, newest: datetime, chance: random.Random) -> Iterator[Object]:
    name = table_name(number)
    spec = TableSpec(name=name, disposition="merge", primary_key=("id",))
    every = timedelta(hours=24 / max(1, count // 60)) if count > 60 else timedelta(days=1)
    records = [_record(name, spec, place, newest - every * (count - place), chance) for place in range(1, count + 1)]
    place_of_last = len(records)
    for record in records:
        yield commit_key(name, record.sequence, record.load_id), orjson.dumps(record.model_dump(mode="json"))
        if place_of_last - record.sequence < MANIFESTS:
            yield manifest_key(name, record.load_id), _manifest(name, spec, record).to_bytes()
    yield snapshot_key(name), snapshot_bytes(_snapshot(name, records, chance))
    if number % 10 == 3:
        failed = {
            "step": "load",
            "at": datetime.now(UTC).isoformat(),
            "seconds": 1.5,
            "error": "CheckFailed",
            "message": "no",
            "retryable": False,
        }
        load_id = f"{compact_utc(newest)}-ffffffff"
        note = {"load_id": load_id, "table": str(name), "pipeline": f"shop_{number % 10}", "stream": "orders", "tries": [failed]}
        yield attempts_key(name, load_id), orjson.dumps({"attempts_version": 1, **note})


def _record(name: TableName, spec: TableSpec, place: int, at: datetime, chance: random.Random) -> CommitRecord:
    rows = chance.randint(0, 5_000)
    quarantined = chance.randint(0, 9) if place % 7 == 0 else 0
    load_id = f"{compact_utc(at)}-{hashlib.sha256(f'{name}{place}'.encode()).hexdigest()[:8]}"
    return CommitRecord(
        sequence=place,
        load_id=load_id,
        pipeline=name.dataset,
        stream="orders",
        dataset=name.dataset,
        table=name.table,
        state="loaded" if rows else "empty",
        manifest=f"s3://lake/{manifest_key(name, load_id)}",
        manifest_sha256="0" * 64,
        rows_extracted=rows + quarantined,
        rows_inserted=rows,
        rows_quarantined=quarantined,
        total_rows=place * 2_500,
        bytes=rows * 80,
        files=1,
        slice_start=at,
        slice_end=at,
        extracted_at=at,
        loaded_at=at,
        seconds=1.25,
        watermark=int(at.timestamp()),
        spec=spec.model_dump(mode="json", by_alias=True),
        airflow={
            "dag_id": name.dataset,
            "run_id": f"scheduled__{at.isoformat()}",
            "task_id": "x_extraction",
            "try_number": 1,
            "map_index": 0,
        },
    )


def _manifest(name: TableName, spec: TableSpec, record: CommitRecord) -> Manifest:
    key = f"raw/{name.dataset}/{name.table}/{record.load_id}.0123456789ab.jsonl.gz"
    return Manifest(
        load_id=record.load_id,
        pipeline=record.pipeline,
        stream=record.stream,
        spec=spec,
        slice=Slice(load_id=record.load_id, pipeline=record.pipeline, stream=record.stream, start=record.loaded_at, end=record.loaded_at),
        format="jsonl.gz",
        files=(RawFile(key=key, size_bytes=record.bytes, sha256="0" * 64, rows=record.rows_extracted),),
        fields=tuple(f"field_{number}" for number in range(COLUMNS)),
        rows=record.rows_extracted,
        size_bytes=record.bytes,
        extracted_at=record.loaded_at,
        finished_at=record.loaded_at,
        extractor="ducklift 0.1.0 rest_api",
    )


def _snapshot(name: TableName, records: list[CommitRecord], chance: random.Random) -> Snapshot:
    last = records[-1]
    listed: list[dict[str, Any]] = []
    for record in reversed(records[-RECENT_LOADS:]):
        told = record.model_dump(mode="json", exclude={"spec", "columns", "manifest", "manifest_sha256", "supersedes", "schema_changes"})
        listed.append(told)
    history = tuple(ColumnMoment(place, last.loaded_at, 0.1, 1_000 + place, "aaaa", "zzzz") for place in range(MOMENTS))
    columns = tuple(
        ColumnStatistics(
            name=f"field_{number}",
            type="VARCHAR",
            null_share=0.1,
            distinct=chance.randint(1, 10_000),
            least="a",
            greatest="z",
            history=history,
        )
        for number in range(COLUMNS)
    )
    quarantined = sum(record.rows_quarantined for record in records[-RECENT_LOADS:])
    quarantine = tuple(
        QuarantinedRecord(
            load_id=last.load_id, source_file="raw/x", line=line, reason="not a bigint", record="x" * 200, quarantined_at=last.loaded_at
        )
        for line in range(min(quarantined, 50))
    )
    return Snapshot(
        table=str(name),
        sequence=last.sequence,
        published_at=last.loaded_at,
        rows=last.total_rows or 0,
        watermarks={f"{name.dataset}/orders": int(last.loaded_at.timestamp())},
        loads=tuple(listed),
        bytes=10_000_000,
        columns=columns,
        sample=tuple(tuple(f"value {row} {number}" for number in range(COLUMNS)) for row in range(SAMPLE)),
        quarantined=quarantined,
        quarantined_loads=1,
        quarantine=quarantine,
    )

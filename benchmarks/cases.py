"""What is measured. Each case has the side `ours` and the side `floor`; each side runs in a process of its own, on a prepared folder."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from benchmarks import by_hand, dumps, rest_pages
from benchmarks.landed import land, load_landed, settings_in
from benchmarks.rows import COLUMNS, dicts, write
from ducklift.lake.commits import publish_snapshot
from ducklift.lake.filesystem import open_lake
from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.sandbox.s3 import S3Server
from ducklift.settings import Settings
from ducklift.specs import TableName
from ducklift.warehouse.connect import open_warehouse
from ducklift.warehouse.snapshots import snapshot_of

Side = Callable[[Path, int], None]
ALONE = "took-alone"  # the file in which a side tells the CPU seconds and MB of the one process that it is about
Check = Callable[[Path, int], None]


def file_to_table(kind: str) -> tuple[Check, Side, Side]:
    """Return the case of one file into a new table."""

    def prepare(folder: Path, rows: int) -> None:
        land(folder, write(folder.parent / f"{rows}.{kind}", rows, kind), kind, rows, "append", "load-1")

    def ours(folder: Path, rows: int) -> None:
        _alone(folder, f"from benchmarks.landed import load_landed; load_landed({str(folder)!r}, 'load-1', {rows})")

    def floor(folder: Path, rows: int) -> None:
        file = str(folder.parent / f"{rows}.{kind}")
        _alone(folder, f"from benchmarks.by_hand import file_to_table; file_to_table({str(folder)!r}, {file!r})")

    return prepare, ours, floor


def merge() -> tuple[Check, Side, Side]:
    """Return the case of a batch merged into a table ten times its size, half of it updates."""

    def batch_of(folder: Path, rows: int) -> Path:
        return write(folder.parent / f"{rows}-half.parquet", rows, "parquet", first=rows * 10 - rows // 2, version=1)

    def prepare(folder: Path, rows: int) -> None:
        base = write(folder.parent / f"{rows * 10}.parquet", rows * 10, "parquet")
        land(folder, base, "parquet", rows * 10, "merge", "load-1")
        load_landed(folder, "load-1", rows * 10)
        land(folder, batch_of(folder, rows), "parquet", rows, "merge", "load-2")
        by_hand.file_to_table(str(folder), str(base))

    def ours(folder: Path, rows: int) -> None:
        _alone(folder, f"from benchmarks.landed import load_landed; load_landed({str(folder)!r}, 'load-2', {rows})")

    def floor(folder: Path, rows: int) -> None:
        batch = str(batch_of(folder, rows))
        _alone(folder, f"from benchmarks.by_hand import merge; merge({str(folder)!r}, {batch!r})")

    return prepare, ours, floor


_PIPELINE = """
name: bench
source: {type: rows, rows: ROWS}
table: bench.rows
target: TARGET
format: jsonl
columns:
"""


def _register_rows() -> None:
    """Make the source type `rows`: batches of dicts, and nothing on a second reading."""
    from benchmarks import source
    from ducklift.sources import registry

    registry.SOURCE_TYPES["rows"] = f"{source.__name__}:RowsSource"


def _run(folder: Path, rows: int, target: str = "warehouse") -> None:
    _register_rows()
    settings = settings_in(folder)
    _write_pipeline(settings, rows, target)
    summary = run_pipeline(load_pipeline("bench", settings), Run.now(), settings)
    assert summary.state in ("loaded", "empty"), summary


def _write_pipeline(settings: Settings, rows: int, target: str) -> None:
    pipelines = settings.pipelines
    pipelines.mkdir(parents=True, exist_ok=True)
    columns = "".join(f"  - {{name: {name}, type: {type_}}}\n" for name, type_ in COLUMNS.items())
    (pipelines / "bench.yaml").write_text(_PIPELINE.replace("ROWS", str(rows)).replace("TARGET", target) + columns)


def dicts_to_table() -> tuple[Check, Side, Side]:
    """Return the case of an iterator of dicts through the lake into a table."""

    def prepare(folder: Path, rows: int) -> None:
        del folder, rows

    def floor(folder: Path, rows: int) -> None:
        raw = folder / "hand.jsonl"
        with raw.open("wb") as target:
            for batch in dicts(rows):
                target.write(b"\n".join(map(orjson.dumps, batch)) + b"\n")
        typed = by_hand.TYPED.replace("'created': 'TIMESTAMP WITH TIME ZONE'", "'created': 'BIGINT'")
        connection = by_hand.connected(str(folder))
        connection.execute(
            "CREATE TABLE rows AS SELECT * REPLACE (to_timestamp(created) AS created) "
            f"FROM read_json('{raw}', format = 'newline_delimited', columns = {{{typed}}})"
        )
        connection.close()

    return prepare, _run, floor


def nothing_new() -> tuple[Check, Side, Side]:
    """Return the case of a run that finds nothing, as a whole process; the floor opens DuckDB and counts."""

    def prepare(folder: Path, rows: int) -> None:
        _run(folder, rows)
        _write_pipeline(settings_in(folder), 0, "warehouse")

    def ours(folder: Path, rows: int) -> None:
        del rows
        code = "from ducklift.sources import registry; registry.SOURCE_TYPES['rows'] = 'benchmarks.source:RowsSource'; "
        code += "import sys; from ducklift.cli import main; sys.argv[1:] = ['run', 'bench']; main()"
        _become(folder, code)

    def floor(folder: Path, rows: int) -> None:
        del rows
        found = "duckdb.connect('.ducklift/warehouse.duckdb', read_only=True).sql('select max(created) from bench.rows')"
        _become(folder, f"import duckdb; print({found}.fetchone())")

    return prepare, ours, floor


def _become(folder: Path, code: str) -> None:
    """Run code in a process of its own, and tell what that took alone."""
    settings = settings_in(folder)
    chosen = {
        "DUCKLIFT_LAKE_URL": settings.lake_url,
        "DUCKLIFT_WAREHOUSE_URL": settings.warehouse_url,
        "DUCKLIFT_SPOOL": settings.spool,
        "DUCKLIFT_PIPELINES": str(settings.pipelines),
    }
    _alone(folder, code, **chosen)


def _alone(folder: Path, code: str, **environment: str) -> None:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    (folder / ALONE).write_text(f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss / 1024}")


def nothing_new_in_a_long_history() -> tuple[Check, Side, Side]:
    """Return the case of a run that finds nothing, with 100,000 loads in the ledger."""
    prepared, ours, floor = nothing_new()

    def prepare(folder: Path, rows: int) -> None:
        prepared(folder, rows)
        settings, table = settings_in(folder), TableName.parse("bench.rows")
        with open_warehouse(settings) as warehouse:
            warehouse.run(
                "INSERT INTO _ducklift.loads SELECT loads.* REPLACE (i AS sequence, load_id || '-' || i AS load_id) "
                "FROM _ducklift.loads, range(2, 100001) AS numbers(i)"
            )
            warehouse.run('UPDATE _ducklift."control.bench.rows" SET sequence = 100000')
            publish_snapshot(open_lake(settings), table, snapshot_of(warehouse, table, None))

    return prepare, ours, floor


def extract_and_upload() -> tuple[Check, Side, Side]:
    """Return the case of dicts into the lake alone, as files; the floor writes JSON lines by orjson."""

    def prepare(folder: Path, rows: int) -> None:
        del folder, rows

    def ours(folder: Path, rows: int) -> None:
        _run(folder, rows, target="lake")

    def floor(folder: Path, rows: int) -> None:
        with (folder / "hand.jsonl").open("wb") as target:
            for batch in dicts(rows):
                target.write(b"\n".join(map(orjson.dumps, batch)) + b"\n")

    return prepare, ours, floor


@contextmanager
def on_s3(scratch: Path) -> Iterator[None]:
    """Serve a bucket on loopback, and have the processes of both sides find it."""
    server = S3Server(scratch / "s3", scratch / "s3.log", "bench", "bench-secret")
    server.start()
    chosen = {
        "DUCKLIFT_LAKE_URL": "s3://bench",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = dict(os.environ)
    os.environ.update(chosen)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()


CASES: dict[str, tuple[Check, Side, Side]] = {
    "parquet to table": file_to_table("parquet"),
    "csv to table": file_to_table("csv"),
    "jsonl to table": file_to_table("jsonl"),
    "jsonl.gz to table": file_to_table("jsonl.gz"),
    "merge, half updates": merge(),
    "dicts to table": dicts_to_table(),
    "dicts to lake": extract_and_upload(),
    "nothing new": nothing_new(),
    "nothing new, 100,000 loads": nothing_new_in_a_long_history(),
    "nothing new on S3": nothing_new(),
    "reddit dump, two subreddits": dumps.sides(dumps.WANTED),
    "reddit dump, all": dumps.sides(()),
    "REST pages": (rest_pages.prepare, rest_pages.ours, rest_pages.floor),
}
AROUND = {"nothing new on S3": on_s3}

"""The DuckLake example as it is shipped: three workers, six tables, PostgreSQL and a strict S3 endpoint, every row counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from postgres_server import USER, running_postgres
from store_servers import S3_KEY, S3_SECRET, seaweedfs

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "ducklake"
WORKERS, HOURS, ROWS = 3, 1, 50_000
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts the example's script on one DuckLake."""
    (tmp_path / "s3").mkdir()
    with running_postgres() as server, seaweedfs(tmp_path / "s3", S3_KEY, S3_SECRET) as s3:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(EXAMPLE), os.environ.get("PYTHONPATH", "")]),
            "DUCKLIFT_PIPELINES": str(EXAMPLE / "pipelines"),
            "DUCKLIFT_LAKE_URL": "s3://lake",
            "DUCKLIFT_SPOOL": "s3://lake/spool",
            "DUCKLIFT_WAREHOUSE_URL": f"ducklake:postgresql://{USER}@127.0.0.1:{server.port}/{server.create_database()}",
            "PGPASSWORD": server.password,
            "AWS_ENDPOINT_URL": s3,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "READINGS_HOURS": str(HOURS),
            "READINGS_ROWS": str(ROWS),
        }
        command = [sys.executable, str(EXAMPLE / "workers.py")]
        yield lambda *words: subprocess.Popen([*command, *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_three_workers_that_load_six_tables_at_once_lose_no_row_and_double_none(start: Start, capsys: pytest.CaptureFixture[str]):
    workers = [start("work", number, WORKERS) for number in range(1, WORKERS + 1)]
    lines = [worker.communicate(timeout=500)[0].strip() for worker in workers]
    told = [json.loads(line) for line in lines]
    checked, _ = (counting := start("check", WORKERS)).communicate(timeout=60)
    of_one_more, _ = (wrong := start("check", WORKERS + 1)).communicate(timeout=60)
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{line}" for line in (*lines, checked.strip())) + "\n")

    assert [worker.returncode for worker in workers] == [0] * WORKERS
    assert max(each["began"] for each in told) < min(each["ended"] for each in told)
    assert [each["rows"] for each in told] == [6 * HOURS * ROWS] * WORKERS
    assert counting.returncode == 0
    assert json.loads(checked)["complete"]
    assert (wrong.returncode, json.loads(of_one_more)["complete"]) == (1, False)

"""A million posts through `ducklift run`, in memory that does not grow with their number: over HTTP, through S3, into DuckDB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ducklift.sandbox import RedditOptions, Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

COMMAND = Path(sys.executable).with_name("ducklift")
MEASURED = Path(__file__).with_name("measured.py")
MILLION = 1_000_000
EXTRACTION_MB = 200
# DuckDB's buffers have 512 MB; readers, JSON and sorting allocate beside them, and Python with its libraries comes on top: 957 to 1,183
# were measured, the more the busier the machine.
LOAD_MB = 1_400
YAML = """\
name: firehose
source: {{type: reddit, subreddits: [firehose], listing: new}}
table: reddit.posts
disposition: {disposition}
{key}incremental: {{cursor: created_utc, overlap: 48h}}
target: {target}
"""


@dataclass(frozen=True)
class Taken:
    """What a run told, and what its process took."""

    told: dict[str, Any]
    greatest_memory_mb: float
    project: Path


Take = Callable[[int, str], Taken]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """A function that takes so many posts into the warehouse or the lake, by the installed command on a sandbox without cap and quota."""

    def run(posts: int, target: str) -> Taken:
        project = tmp_path / f"{target}-{posts}"
        (project / "pipelines").mkdir(parents=True)
        disposition, key = ("merge", "primary_key: [name]\n") if target == "warehouse" else ("append", "")
        (project / "pipelines" / "firehose.yaml").write_text(YAML.format(disposition=disposition, key=key, target=target), "utf-8")
        with Sandbox(project / "sandbox", options=RedditOptions(synthetic_posts=posts, requests_per_minute=None)) as sandbox:
            environment = {
                **os.environ,
                **sandbox.environment,
                "DUCKLIFT_PIPELINES": str(project / "pipelines"),
                "DUCKLIFT_WAREHOUSE_URL": f"duckdb:///{project}/warehouse.duckdb",
                "DUCKLIFT_SPOOL": str(project / "spool"),
                "DUCKLIFT_MEMORY_LIMIT": "512MB",
            }
            command = [sys.executable, str(MEASURED), str(project / "took.json"), str(COMMAND), "run", "firehose", "--json"]
            done = subprocess.run(command, env=environment, cwd=project, capture_output=True, text=True, check=True)
        took = json.loads((project / "took.json").read_text("utf-8"))
        assert took["exit_code"] == 0, done.stderr[-2000:]
        print(f"{posts:,} posts → {target}: {took}")
        return Taken(json.loads(done.stdout), took["greatest_memory_mb"], project)

    return run


def test_a_million_posts_are_in_the_table_each_once_and_memory_stays_bounded(take: Take) -> None:
    taken = take(MILLION, "warehouse")

    assert (taken.told["state"], taken.told["rows_extracted"], taken.told["rows_inserted"]) == ("loaded", MILLION, MILLION)
    with duckdb.connect(str(taken.project / "warehouse.duckdb"), read_only=True) as connection:
        counts = connection.execute(
            "SELECT count(*), count(DISTINCT name), count(title), epoch(max(created_at) - min(created_at)) FROM reddit.posts"
        ).fetchone()
    assert counts == (MILLION, MILLION, MILLION, MILLION - 1)
    assert taken.greatest_memory_mb < LOAD_MB


def test_memory_on_the_way_into_the_lake_is_the_same_for_a_hundred_thousand_posts_and_a_million(take: Take) -> None:
    fewer, more = take(MILLION // 10, "lake"), take(MILLION, "lake")

    assert (fewer.told["rows_extracted"], more.told["rows_extracted"]) == (MILLION // 10, MILLION)
    assert more.greatest_memory_mb < EXTRACTION_MB
    assert more.greatest_memory_mb < 1.1 * fewer.greatest_memory_mb

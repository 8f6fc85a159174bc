"""Runs over whole files that are cut short at every boundary and run again: the end is the same as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets import Bucket, moments
from installations import Installation, slice_run

from ducklift import failpoints
from ducklift.failpoints import FAILPOINTS, FailpointReached
from ducklift.pipeline import extract, load, upload
from ducklift.planning import Run

SPEC: dict[str, Any] = {"disposition": "append"}
POINTS = [point for point in FAILPOINTS if point != "extract.batch_written"]
# Between these lies all that whole files do differently.
OWN_POINTS = [
    "extract.slice_fixed",
    "extract.file_closed",
    "upload.file_put",
    "load.downloaded",
    "load.committed",
    "load.commit_record_put",
]


def bucket_in(folder: Path) -> Bucket:
    for name in ("project", "bucket"):
        (folder / name).mkdir(parents=True)
    return Bucket(Installation(folder / "project"), folder / "bucket")


def tasks(bucket: Bucket, in_place: bool) -> list[Callable[[Any], Any]]:
    """Return the tasks of two runs; the second finds a file more, and one that was changed."""
    settings = bucket.installation.settings
    one = bucket.pipeline("**/*.parquet", {"in_place": in_place}, **SPEC)

    def steps(run: Run) -> list[Callable[[Any], Any]]:
        return [
            lambda _: extract(one, one.streams()[0], run, settings),
            lambda package: upload(package, settings),
            lambda url: load(url, settings, one).state,
        ]

    def put(**files: int) -> None:
        for name, first in files.items():
            bucket.put_parquet(f"day={first}/{name}.parquet", id=list(range(first, first + 3)), at=moments(first, first + 1, first + 2))

    return [lambda _: put(a=0, b=10), *steps(slice_run(0)), lambda _: put(c=20), *steps(slice_run(1)), *steps(slice_run(2))]


def run_through(bucket: Bucket, in_place: bool) -> int:
    value, interrupted = None, 0
    for step in tasks(bucket, in_place):
        try:
            value = step(value)
        except FailpointReached:
            interrupted += 1
            value = step(value)
    return interrupted


def state(bucket: Bucket) -> Any:
    ledger = "SELECT state, rows_extracted, rows_inserted, rows_deduplicated, files FROM _ducklift.loads ORDER BY sequence"
    return bucket.rows("id, day"), bucket.file_rows(), bucket.installation.query(ledger)


@pytest.mark.parametrize("points", [OWN_POINTS, pytest.param(POINTS, marks=pytest.mark.slow)], ids=["own boundaries", "all boundaries"])
@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_a_task_that_failed_at_any_boundary_and_is_retried_ends_as_an_undisturbed_one(
    tmp_path: Path, in_place: bool, points: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = bucket_in(tmp_path / "clean")
    assert run_through(clean, in_place) == 0
    expected = state(clean)
    assert expected[2] == [("loaded", 6, 6, 0, 2), ("loaded", 3, 3, 0, 1), ("empty", 0, 0, 0, 0)]

    passed = 0
    for point in points:
        failpoints._passes.clear()
        monkeypatch.setenv("DUCKLIFT_FAILPOINTS", f"{point}@{2 if point in ('extract.file_closed', 'upload.file_put') else 1}:raise")
        bucket = bucket_in(tmp_path / point)
        passed += run_through(bucket, in_place)
        assert state(bucket) == expected, point
        assert [path for path in (bucket.installation.project / ".ducklift" / "spool").rglob("*") if path.is_file()] == []
    assert passed >= len(points) - (3 if in_place else 0)

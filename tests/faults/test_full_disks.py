"""A disk that is full, at the spool, the lake and the warehouse: named, rolled back, and mended by the next run.

A limit on the size of files (RLIMIT_FSIZE) in a process of its own stands for a full disk.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, Installation, sighting, sightings, slice_run

from ducklift.errors import DiskFull, DuckliftError
from ducklift.pipeline import extract, load, upload
from ducklift.sources.registry import SOURCE_TYPES

SPAWNING = multiprocessing.get_context("forkserver")
NOISE = [sighting(number, note=f"{number * 2654435761 % 2**64:x}" * 40) for number in range(3000)]
"""About 2 MB as JSON, 80 KB packed."""


def _limited(project: Path, lake_url: str, step: Callable[..., Any], size_limit: int, arguments: tuple[Any, ...], answer: Any) -> None:
    SOURCE_TYPES["listed"] = "listed_source:ListedSource"
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, resource.RLIM_INFINITY))
    try:
        answer.send(step(Installation(project, lake_url), *arguments))
    except DuckliftError as err:
        answer.send(err)


def with_full_disk(installation: Installation, size_limit: int, step: Callable[..., Any], *arguments: Any) -> Any:
    """Run a step in a process that cannot write files above a size; return what it returned or raised."""
    installation.pipeline(NOISE)  # its records are written while there is room
    receiving, sending = SPAWNING.Pipe(duplex=False)
    place = (installation.project, installation.lake_url)
    process = SPAWNING.Process(target=_limited, args=(*place, step, size_limit, arguments, sending))
    process.start()
    sending.close()
    try:
        return receiving.recv()
    finally:
        process.join()


def extracted(installation: Installation) -> str:
    return extract(installation.pipeline(NOISE), STREAM, slice_run(), installation.settings)


def uploaded(installation: Installation, package: str) -> str:
    return upload(package, installation.settings)


def loaded(installation: Installation, url: str) -> dict[str, Any]:
    return load(url, installation.settings, installation.pipeline(NOISE)).as_dict()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_full_spool_is_named_and_leaves_nothing_behind(installation: Installation) -> None:
    error = with_full_disk(installation, 20_000, extracted)

    assert isinstance(error, DiskFull)
    assert str(installation.project / ".ducklift" / "spool") in str(error)
    assert "DUCKLIFT_SPOOL" in str(error)
    assert files_below(installation.project / ".ducklift" / "spool") == []
    assert installation.keys("raw/") == []


def test_a_full_disk_under_the_lake_leaves_no_object(installation: Installation) -> None:
    package = extracted(installation)

    error = with_full_disk(installation, 20_000, uploaded, package)

    assert isinstance(error, DiskFull)
    assert [path.name for path in files_below(installation.project / "lake" / "raw")] == []
    assert loaded(installation, uploaded(installation, package))["rows_inserted"] == 3000


@pytest.mark.parametrize("size_limit", [300_000, 700_000, 1_500_000])
def test_a_full_disk_under_the_warehouse_is_named_and_rolled_back(installation: Installation, size_limit: int) -> None:
    installation.land(sightings(9001))
    pipeline = installation.pipeline(NOISE)
    url = installation.put(pipeline, day=1)
    before = installation.state()

    error = with_full_disk(installation, size_limit, loaded, url)

    assert isinstance(error, DiskFull)
    assert installation.state() == before
    assert load(url, installation.settings, pipeline).rows_inserted == 3000
    assert installation.inconsistencies() == []


def test_a_full_disk_while_raw_files_come_down_is_named(installation: Installation) -> None:
    url = uploaded(installation, extracted(installation))

    error = with_full_disk(installation, 20_000, loaded, url)

    assert isinstance(error, DiskFull)
    assert installation.rows() == []
    assert files_below(installation.project / ".ducklift" / "loading") == []

"""Request 12 (ingestr#688): only new files, with the source path and Hive keys as columns. On S3 over real HTTP, copied and in place."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from installations import Installation, slice_run

from ducklift.lake.filesystem import open_place
from ducklift.lake.store import Store
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.source_files import Access
from ducklift.summary import LoadSummary
from ducklift.warehouse.rebuild import verify


@pytest.fixture
def place(installation: Installation, moto_s3: Any) -> tuple[Installation, Store]:
    """An installation with its own lake in S3, and a bucket of somebody else's files beside it."""
    name = uuid.uuid4().hex[:12]
    own = replace(installation, lake_url=f"s3://lake-{name}", environment=moto_s3.environment)
    exports = open_place(own.settings, f"s3://exports-{name}", Access())
    exports.ensure_container()
    return own, exports


def go(installation: Installation, exports: Store, day: int, in_place: bool) -> LoadSummary:
    source = {"type": "bucket_files", "buckets": [exports.url], "path": "sales/**/*.csv", "path_column": "file_path", "in_place": in_place}
    pipeline = Pipeline.model_validate({"name": "sales", "source": source, "table": "shop.sales"})
    package = extract(pipeline, pipeline.streams()[0], slice_run(day), installation.settings)
    return load(upload(package, installation.settings), installation.settings, pipeline)


@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_only_new_files_with_their_path_and_hive_keys_as_columns(place: tuple[Installation, Store], in_place: bool, tmp_path: Path) -> None:
    installation, exports = place
    exports.replace("sales/country=de/day=2026-01-02/b.csv", b"id\n1\n2\n")
    first = go(installation, exports, 0, in_place)
    exports.replace("sales/country=de/day=2026-01-01/a.csv", b"id\n3\n")  # late, and before the other by name
    exports.replace("sales/country=at/day=2026-01-03/c.csv", b"id\n4\n")
    second = go(installation, exports, 1, in_place)
    third = go(installation, exports, 2, in_place)

    assert [first.rows_inserted, second.rows_inserted, third.rows_extracted] == [2, 2, 0]
    rows = installation.query("SELECT id, country, CAST(day AS VARCHAR), file_path, _source_file FROM shop.sales ORDER BY id")
    assert rows[0] == (
        1,
        "de",
        "2026-01-02",
        "sales/country=de/day=2026-01-02/b.csv",
        f"{exports.url}/sales/country=de/day=2026-01-02/b.csv",
    )
    assert [row[:3] for row in rows[1:]] == [(2, "de", "2026-01-02"), (3, "de", "2026-01-01"), (4, "at", "2026-01-03")]
    verify(installation.lake, installation.settings)

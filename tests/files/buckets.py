"""A bucket of files beside an installation's lake, and pipelines over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from installations import Installation, slice_run

from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.planning import Mode
from ducklift.summary import LoadSummary

TABLE = "shop.sales"


@dataclass(frozen=True)
class Bucket:
    """A folder that stands for a bucket; an object that is put again has another time, and so another etag."""

    installation: Installation
    folder: Path

    def put(self, key: str, data: bytes | str) -> None:
        file = self.folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)

    def put_parquet(self, key: str, group_rows: int = 1_000, **columns: Any) -> None:
        file = self.folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), file, row_group_size=group_rows)

    def pipeline(self, path: str, source: dict[str, Any] | None = None, **spec: Any) -> Pipeline:
        described = {"type": "bucket_files", "buckets": [self.folder.as_uri()], "path": path, **(source or {})}
        return Pipeline.model_validate({"name": "sales", "source": described, "table": TABLE, **spec})

    def land(self, pipeline: Pipeline, day: int = 0, mode: Mode = "new") -> str:
        """Extract and upload; return the manifest's URL."""
        settings = self.installation.settings
        return upload(extract(pipeline, pipeline.streams()[0], replace(slice_run(day), mode=mode), settings), settings)

    def load(self, pipeline: Pipeline, day: int = 0, mode: Mode = "new") -> LoadSummary:
        """Run the three steps as the run of one day."""
        return load(self.land(pipeline, day, mode), self.installation.settings, pipeline)

    def rows(self, columns: str = "*") -> list[tuple[Any, ...]]:
        if columns == "*":
            columns = "* EXCLUDE (_load_id, _loaded_at, _extracted_at, _source_file)"
        return self.installation.query(f"SELECT {columns} FROM {TABLE} ORDER BY ALL")

    def file_rows(self) -> list[tuple[str, int]]:
        """Return how many rows came from each file, by its key."""
        found = self.installation.query(f"SELECT _source_file, count(*) FROM {TABLE} GROUP BY ALL ORDER BY ALL")
        return [(url.removeprefix(f"{self.folder.as_uri()}/"), count) for url, count in found]


def moments(*seconds: float) -> pa.Array:
    return pa.array([datetime.fromtimestamp(second, UTC).replace(tzinfo=None) for second in seconds], pa.timestamp("us"))

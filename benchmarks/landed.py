"""Packages that are in the lake already, and their loads; nothing is imported that a load does not need."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rows import COLUMNS
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.layout import manifest_key
from ducklift.lake.manifest import Manifest, RawFile, Slice
from ducklift.settings import Settings, load_settings
from ducklift.specs import ColumnSpec, TableName, TableSpec
from ducklift.warehouse.loading import load_package

# What Ducklift's own writer notes of such rows, by format.
_OF_TYPE = {"BIGINT": "integer", "VARCHAR": "text", "DOUBLE": "float", "BOOLEAN": "boolean", "TIMESTAMP WITH TIME ZONE": "zoned_timestamp"}
_KINDS = {
    "jsonl": {name: (_OF_TYPE[type_],) for name, type_ in COLUMNS.items()},
    "csv": {name: (_OF_TYPE[type_],) for name, type_ in COLUMNS.items() if type_ in ("BIGINT", "DOUBLE", "BOOLEAN")},
}


def settings_in(folder: Path) -> Settings:
    """Return the settings of a side's folder."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith(("DUCKLIFT_", "AWS_"))}
    if "DUCKLIFT_LAKE_URL" in chosen:
        chosen["DUCKLIFT_LAKE_URL"] += f"/{folder.name}"  # a lake for each side
    return load_settings(environment=chosen, project=folder)


def land(folder: Path, file: Path, kind: str, rows: int, disposition: str, load_id: str) -> None:
    """Put a file into the lake with a manifest, as an upload would have (not measured)."""
    lake = open_lake(settings_in(folder))
    ensure_lake(lake)
    with file.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    size = file.stat().st_size
    key = f"raw/bench/rows/{load_id}.{sha256[:12]}.{kind}"
    lake.put_file(file, key, size, sha256)
    now = datetime.now(UTC)
    spec = TableSpec(
        name=TableName.parse("bench.rows"),
        disposition=disposition,  # type: ignore[arg-type]
        primary_key=("id",) if disposition == "merge" else (),
        columns=tuple(ColumnSpec(name=name, type=type_) for name, type_ in COLUMNS.items()),
    )
    manifest = Manifest(
        load_id=load_id,
        pipeline="bench",
        stream="rows",
        spec=spec,
        slice=Slice(load_id=load_id, pipeline="bench", stream="rows", start=now, end=now),
        format=kind,  # type: ignore[arg-type]
        files=(RawFile(key=key, size_bytes=size, sha256=sha256, rows=rows, longest_record_bytes=2_000),),
        rows=rows,
        size_bytes=size,
        fields=tuple(COLUMNS),
        value_kinds=_KINDS.get(kind.partition(".")[0], {}),
        extracted_at=now,
        extractor="benchmark",
    )
    lake.create(manifest_key(spec.name, load_id), manifest.to_bytes())


def load_landed(folder: Path | str, load_id: str, rows: int) -> None:
    """Load what `land` put, verification included."""
    settings = settings_in(Path(folder))
    lake = open_lake(settings)
    data = lake.read(manifest_key(TableName.parse("bench.rows"), load_id))
    assert data is not None
    manifest = Manifest.model_validate_json(data)
    summary = load_package(lake, manifest, data, manifest.spec, settings)
    assert summary.rows_inserted + summary.rows_updated == rows, summary

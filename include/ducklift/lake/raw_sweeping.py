"""The raw files of a table without the content of swept records: rewritten ones, named by manifests of their own; then the old ones go."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ducklift.errors import ConfigurationError, CorruptObject
from ducklift.failpoints import reach
from ducklift.lake.blanking import Blanker, rewritten
from ducklift.lake.gc import is_manifest
from ducklift.lake.hashed_file import file_sha256
from ducklift.lake.layout import swept_key
from ducklift.lake.manifest import Manifest, RawFile, read_manifests
from ducklift.lake.store import Store
from ducklift.lake.swept import SweepRecord, as_swept
from ducklift.specs import TableName

_SWEEPS, _EARLIER = "sweeps", "swept_files"


def rewrite_raw(lake: Store, sweep: SweepRecord, blanker: Blanker, folder: Path) -> list[str]:
    """Rewrite every raw file of the table that holds a swept record, of whatever load, and return the keys of the old ones.

    What an interrupted sweep of this id rewrote before is among them. A file that expired is passed over.
    """
    old: list[str] = []
    for manifest in _manifests(lake, sweep.table):
        if sweep.since is None or manifest.extracted_at >= sweep.since:
            old += _rewrite_load(lake, sweep, manifest, blanker, folder)
    return old


def refuse_whole_files(lake: Store, table: TableName) -> None:
    """Raise `ConfigurationError` where a load's raw files are whole files of its source: these are kept as they came, or lie elsewhere."""
    for manifest in _manifests(lake, table):
        if any(file.origin for file in manifest.files):
            raise ConfigurationError(
                f"{table} cannot be swept: the raw files of load {manifest.load_id} are whole files of its source. "
                "Take the records out of those files, and load them again."
            )


def recorded_fields(lake: Store, table: TableName) -> set[str] | None:
    """Return the fields that any record of the table has had in its raw files; None where a load does not tell."""
    found: set[str] = set()
    for manifest in _manifests(lake, table):
        if manifest.rows and not manifest.fields:
            return None
        found.update(manifest.fields)
    return found


def _manifests(lake: Store, table: TableName) -> Iterable[Manifest]:
    prefix = f"raw/{table.dataset}/{table.table}/_loads/"
    return read_manifests(lake, [item.key for item in lake.list(prefix) if is_manifest(item.key)]).values()


def _rewrite_load(lake: Store, sweep: SweepRecord, manifest: Manifest, blanker: Blanker, folder: Path) -> Sequence[str]:
    current = as_swept(lake, manifest) or manifest
    files = list(current.files)
    for place, file in enumerate(current.files):
        found = _rewrite_file(lake, manifest, place, file, blanker, folder)
        files[place] = found or file
    request: dict[str, Any] = dict(current.request)
    if tuple(files) != current.files:
        gone = {file.key for file in (*current.files, *manifest.files)} - {file.key for file in files}
        request |= {_SWEEPS: [*request.get(_SWEEPS, []), sweep.sweep_id], _EARLIER: sorted({*request.get(_EARLIER, []), *gone})}
        size = sum(file.size_bytes for file in files)
        swept = manifest.model_copy(update={"files": tuple(files), "size_bytes": size, "request": request})
        lake.replace(swept_key(manifest.table, manifest.load_id), swept.to_bytes())
        reach("sweep.manifest_put")
    earlier: list[str] = request.get(_EARLIER, []) if sweep.sweep_id in request.get(_SWEEPS, []) else []
    return earlier


def _rewrite_file(lake: Store, manifest: Manifest, place: int, file: RawFile, blanker: Blanker, folder: Path) -> RawFile | None:
    """Put a raw file anew when it holds a swept record, and return its facts; None when it holds none, or has expired."""
    if lake.size(file.key) is None:
        return None
    local, target = folder / "old" / file.key.rpartition("/")[2], folder / "new"
    try:
        lake.get_file(file.key, local)
        found = file_sha256(local)
        if found != file.sha256:
            raise CorruptObject(lake.url_of(file.key), f"sha256 {file.sha256}", f"sha256 {found}")
        made = rewritten(local, target, manifest.format, blanker)
        if made is None:
            return None
        key = _key(manifest.files[place].key, manifest.format, made.sha256)
        lake.put_file(target, key, made.size_bytes, made.sha256)
        reach("sweep.file_put")
        return made.model_copy(update={"key": key, "rows": file.rows})
    finally:
        shutil.rmtree(folder / "old", ignore_errors=True)
        target.unlink(missing_ok=True)


def _key(original: str, extension: str, sha256: str) -> str:
    """Return where a rewritten file lies: beside the one it stands for, named by its own content as well."""
    stem = original.removesuffix(f".{extension}")
    return f"{stem}.{sha256[:12]}.{extension}"

"""Retrying quarantined records after a fix: each load's are landed again as a load of their own, raw first, and loaded the usual way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ducklift import __version__
from ducklift.errors import ConfigurationError, DuckliftError
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.layout import manifest_key
from ducklift.lake.manifest import RETRIES_QUARANTINE_OF, Format, Manifest, Slice, read_manifest, retry_load_id
from ducklift.lake.privacy import Privacy
from ducklift.lake.spool import SpoolWriter
from ducklift.lake.spool_place import PackageName, open_spool
from ducklift.lake.store import Store
from ducklift.lake.templates import FileFacts, Layout
from ducklift.pipeline import load, load_pipeline, pipeline_names, upload
from ducklift.settings import Settings
from ducklift.specs import TableName, TableSpec
from ducklift.summary import LoadSummary

if TYPE_CHECKING:
    from ducklift.warehouse.connect import Warehouse

_FORMAT: Format = "jsonl.gz"
_BATCH = 1_000


@dataclass(frozen=True)
class _Parent:
    """A load with quarantined records, and whether it is its stream's last."""

    load_id: str
    pipeline: str
    stream: str
    slice_start: datetime
    slice_end: datetime
    extracted_at: datetime
    rows: int
    is_newest: bool


def retry_quarantine(settings: Settings, table: TableName, load_id: str | None = None) -> list[LoadSummary]:
    """Retry the quarantined records of a table, or of one of its loads, and return a summary per load; what still does not fit stays.

    The records go into the lake as raw files of a new load, `<load id>-q`, and from there through the usual checks into the table; in that
    load's transaction they leave quarantine, so that a retry that is killed and repeated brings them once. They count as extracted when
    they first were: a record is not newer for having been retried. Raises `ConfigurationError` when there is nothing to retry.
    """
    lake = open_lake(settings)
    ensure_lake(lake)
    return [_retried(lake, settings, table, parent) for parent in _parents(settings, table, load_id)]


def package_quarantined(settings: Settings, table: TableName, load_id: str) -> str:
    """Return the spool package of a load's quarantined records, for `upload` and `load`; the path of a retry that landed finds it again.

    Raises `ConfigurationError` when there is nothing to retry.
    """
    lake = open_lake(settings)
    ensure_lake(lake)
    return _landed(lake, settings, table, load_id) or _packaged(settings, table, _parents(settings, table, load_id)[0])


def _landed(lake: Store, settings: Settings, table: TableName, load_id: str) -> str | None:
    retry_id = retry_load_id(load_id)
    if lake.size(manifest_key(table, retry_id)) is None:
        return None
    return open_spool(settings).package(PackageName(table, retry_id), "landed")


def _retried(lake: Store, settings: Settings, table: TableName, parent: _Parent) -> LoadSummary:
    known = {"load_id": retry_load_id(parent.load_id)}
    try:
        package = _landed(lake, settings, table, parent.load_id) or _packaged(settings, table, parent)
        known["manifest"] = upload(package, settings)
        return load(known["manifest"], settings)
    except DuckliftError as err:
        return LoadSummary.failed(parent.stream, str(table), err, **known)


def _parents(settings: Settings, table: TableName, load_id: str | None) -> list[_Parent]:
    from ducklift.warehouse import open_warehouse

    with open_warehouse(settings, read_only=True) as warehouse:
        rows = warehouse.rows(
            """
            SELECT load_id, pipeline, stream, slice_start, slice_end, extracted_at, rows,
                   sequence = (SELECT max(o.sequence) FROM _ducklift.loads o
                               WHERE (o.dataset, o."table", o.pipeline, o.stream) = (l.dataset, l."table", l.pipeline, l.stream))
            FROM _ducklift.loads AS l
            JOIN (SELECT load_id, count(*) AS rows FROM _ducklift.quarantine WHERE dataset = ? AND "table" = ? GROUP BY ALL) USING (load_id)
            WHERE ? IS NULL OR load_id = ? ORDER BY sequence
            """,
            [table.dataset, table.table, load_id, load_id],
        )
    if not rows:
        which = f"{table} has no quarantined records" + (f" of load {load_id}" if load_id else "")
        raise ConfigurationError(f"{which}. Look with: ducklift quarantine list")
    return [_Parent(*row) for row in rows]


def _packaged(settings: Settings, table: TableName, parent: _Parent) -> str:
    """Write the records, as they are, and the manifest of their new load to the spool; return the package's path."""
    load_id = retry_load_id(parent.load_id)
    spec, moves, chosen = _specification(settings, table, parent)
    facts = FileFacts(table, parent.pipeline, parent.stream, load_id, parent.slice_start, _FORMAT)
    # Personal fields were treated when the records came; the default layout needs no dates of records that may have none.
    with SpoolWriter(open_spool(settings), Layout(), facts, Privacy((), settings)) as writer:
        for lines, fields in _records(settings, table, parent):
            writer.write_lines(lines, fields)
        writer.close()
        return writer.finish(_manifest(parent, load_id, spec, moves, chosen, writer))


def _manifest(parent: _Parent, load_id: str, spec: TableSpec, moves: bool, chosen: dict[str, str], writer: SpoolWriter) -> Manifest:
    return Manifest(
        load_id=load_id,
        pipeline=parent.pipeline,
        stream=parent.stream,
        spec=spec,
        slice=Slice(
            load_id=load_id,
            pipeline=parent.pipeline,
            stream=parent.stream,
            start=parent.slice_start,
            end=parent.slice_end,
            parent_load=parent.load_id,
        ),
        format=_FORMAT,
        layout=writer.layout.template,
        files=tuple(writer.files),
        fields=writer.fields,
        rows=writer.rows,
        size_bytes=sum(file.size_bytes for file in writer.files),
        extracted_at=parent.extracted_at,
        extractor=f"ducklift {__version__} quarantine",
        moves_watermark=moves,
        request={RETRIES_QUARANTINE_OF: parent.load_id},
        chosen=chosen,
    )


def _specification(settings: Settings, table: TableName, parent: _Parent) -> tuple[TableSpec, bool, dict[str, str]]:
    """Return how the records are loaded, whether they may move the watermark (as their load did, unless others came after it), and what of
    the table was chosen for their load.
    """
    lake = open_lake(settings)
    key = manifest_key(table, parent.load_id)
    data = lake.read(key)
    original = read_manifest(data, lake.url_of(key)) if data is not None else None
    moves = bool(original and original.moves_watermark) and parent.is_newest
    if parent.pipeline in pipeline_names(settings):
        chosen, found_key = (original.chosen, original.found_key) if original else ({}, ())
        spec = load_pipeline(parent.pipeline, settings).with_options(chosen).table_spec(parent.stream, found_key)
        return spec.model_copy(update={"name": table}), moves, chosen
    if original is None:
        reason = f"neither the pipeline file {parent.pipeline}.yaml nor the manifest {lake.url_of(key)} is there"
        raise ConfigurationError(f"Nothing says how load {parent.load_id} is to be loaded: {reason}.")
    return original.spec, moves, original.chosen


def _records(settings: Settings, table: TableName, parent: _Parent) -> Iterator[tuple[list[bytes], Sequence[str]]]:
    from ducklift.warehouse import open_warehouse

    with open_warehouse(settings, read_only=True) as warehouse:
        yield from _batches(warehouse, table, parent)


def _batches(warehouse: Warehouse, table: TableName, parent: _Parent) -> Iterator[tuple[list[bytes], Sequence[str]]]:
    found = warehouse.connection.execute(
        """
        SELECT record, CASE WHEN json_type(record) = 'OBJECT' THEN json_keys(record) ELSE [] END FROM _ducklift.quarantine
        WHERE dataset = ? AND "table" = ? AND load_id = ? ORDER BY source_file, line
        """,
        [table.dataset, table.table, parent.load_id],
    )
    while rows := found.fetchmany(_BATCH):
        fields = dict.fromkeys(field for _, names in rows for field in names)
        yield [record.encode() + b"\n" for record, _ in rows], list(fields)

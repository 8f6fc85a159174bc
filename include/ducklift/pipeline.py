"""The three steps of a pipeline as plain functions: `extract`, `upload`, `load`. The DAGs, the CLI, tests and benchmarks all call these."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

from pydantic import ValidationError

from ducklift import __version__
from ducklift.batches import Batch, JsonLines, before_cursor, greatest_cursor
from ducklift.cursors import Cursor, latest
from ducklift.errors import ConfigurationError, DuckliftError, ManifestMissing, SliceNotOver, SpoolMissing
from ducklift.failpoints import reach
from ducklift.known_records import known_keys
from ducklift.lake.attempts import Trying, note_mended, noting_failures
from ducklift.lake.commits import fix_slice
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.layout import manifest_key, slice_key
from ducklift.lake.manifest import Manifest, Slice, read_landed, read_manifest, sha256_of
from ducklift.lake.order import commit_package
from ducklift.lake.privacy import Privacy
from ducklift.lake.spool import SpoolWriter
from ducklift.lake.spool_place import PackageName, SpoolPlace, open_spool, read_package
from ducklift.lake.store import Store
from ducklift.load_streams import check_loads, parts_of, whole_of
from ducklift.pipeline_file import Pipeline, load_pipeline, pipeline_names
from ducklift.planning import SURVEYED, Plan, Run, load_id_for, plan_stream, surveyed
from ducklift.settings import Settings
from ducklift.source_files import SourceFile
from ducklift.sources.base import ReadReport, SliceRequest
from ducklift.specs import TableSpec
from ducklift.summary import LoadSummary, RunSummary

__all__ = ["Pipeline", "Run", "extract", "load", "load_id_for", "load_pipeline", "pipeline_names", "run_pipeline", "upload"]

OnStep = Callable[[str, str, int], None]


def extract(
    pipeline: Pipeline,
    stream: str,
    run: Run,
    settings: Settings,
    on_progress: Callable[[int], None] | None = None,
    on_slice: Callable[[Slice], None] | None = None,
) -> str:
    """Read one slice of one stream into a spool package and return the package's path.

    A load whose manifest is in the lake already is not extracted again: the path then names it for `upload`, which finds the manifest.
    `on_slice` is told what is about to be read, `on_progress` the number of records so far. Raises `SliceNotOver` when the records of an
    interval are asked for before it ended, the source's errors, `DiskFull`, and the lake's errors. A failure is noted in the lake.
    """
    lake, spec = open_lake(settings), pipeline.table_spec(stream)
    trying = Trying("extract", spec.name, load_id_for(pipeline.name, stream, run), pipeline.name, stream, run.facts)
    trying.is_of(spec)
    with noting_failures(lake, trying):
        ensure_lake(lake)
        plan = plan_stream(lake, pipeline, stream, run)
        trying.load_id = plan.load_id
        return _extract(lake, pipeline, plan, run, settings, on_progress, on_slice)


def _extract(
    lake: Store,
    pipeline: Pipeline,
    plan: Plan,
    run: Run,
    settings: Settings,
    on_progress: Callable[[int], None] | None,
    on_slice: Callable[[Slice], None] | None,
) -> str:
    spec, load_id = plan.spec, plan.load_id
    spool = open_spool(settings)
    landed = spool.package(PackageName(spec.name, load_id), "landed")
    if plan.landed:
        return landed
    if plan.slice.window and plan.slice.end > datetime.now(UTC):
        raise SliceNotOver(plan.slice.stream, plan.slice.start, plan.slice.end)
    wanted = surveyed(lake, pipeline, plan, _request(pipeline, plan, plan.slice.stream, settings), settings)
    fixed = replace(plan, slice=fix_slice(lake, slice_key(spec.name, load_id), wanted))
    reach("extract.slice_fixed")
    if on_slice:
        on_slice(fixed.slice)
    try:
        return _into_package(spool, pipeline, fixed, run, settings, on_progress)
    except FileNotFoundError:
        # Another attempt at the same load landed while this one read, and swept the spool.
        if lake.read(manifest_key(spec.name, load_id)) is None:
            raise
        return landed


def _into_package(
    spool: SpoolPlace,
    pipeline: Pipeline,
    plan: Plan,
    run: Run,
    settings: Settings,
    on_progress: Callable[[int], None] | None,
) -> str:
    report, spec, slice_ = ReadReport(), plan.spec, plan.slice
    extracted_at = datetime.now(UTC)
    reached: Cursor | None = None
    batches = _before_the_end(_read(pipeline, plan, settings, report), plan)
    first = next(batches, None)
    if pipeline.source.finds_keys:
        spec = _with_key(pipeline, slice_.stream, report.primary_key)
        plan = replace(plan, spec=spec)
    facts = pipeline.file_facts(slice_.stream, spec, slice_.load_id, slice_.start, first, slice_.partition)
    with SpoolWriter(spool, pipeline.raw_layout, facts, Privacy(spec.columns, settings)) as writer:
        for batch in batches if first is None else chain([first], batches):
            if spec.incremental:
                # Before the writer, which may hide or drop personal fields.
                found = batch.greatest if isinstance(batch, SourceFile | JsonLines) else greatest_cursor(batch, spec.incremental.cursor)
                reached = latest(reached, found)
            if isinstance(batch, SourceFile):
                writer.take(batch)
            else:
                writer.write(batch)
            if on_progress:
                on_progress(writer.rows)
        writer.close()
        return writer.finish(_manifest(pipeline, plan, run, report, writer, extracted_at, reached))


def _read(pipeline: Pipeline, plan: Plan, settings: Settings, report: ReadReport) -> Iterator[Batch | JsonLines | SourceFile]:
    """Yield what the load's streams give, one after the other, with one report of all."""
    parts = parts_of(pipeline, plan.slice.stream)
    if len(parts) == 1:
        yield from pipeline.source.read(_request(pipeline, plan, parts[0], settings), settings, report)
        return
    reports = {part: ReadReport() for part in parts}
    for part, told in reports.items():
        request = _request(pipeline, plan, part, settings)
        if not pipeline.source.stream_uses_watermark(part):
            request = replace(request, cursor_from=None, cursor_to=None)
        yield from pipeline.source.read(request, settings, told)
    # A key that the source told is of one stream: two may well have the same for different records.
    report.request = {part: told.request for part, told in reports.items()}
    report.ordered_and_complete = all(told.ordered_and_complete for told in reports.values())
    report.gap = next((told.gap for told in reports.values() if told.gap), None)
    report.retries = sum(told.retries for told in reports.values())


def _before_the_end(batches: Iterable[Batch | JsonLines | SourceFile], plan: Plan) -> Iterator[Batch | JsonLines | SourceFile]:
    """Yield the batches without what lies at or beyond the slice's end, also of a source that does not keep to it: a later slice brings it.

    Files and lines were chosen by the source.
    """
    incremental, end = plan.spec.incremental, plan.slice.cursor_to
    if incremental is None or end is None:
        yield from batches
        return
    for batch in batches:
        yield batch if isinstance(batch, SourceFile | JsonLines) else before_cursor(batch, incremental.cursor, end)


def _with_key(pipeline: Pipeline, stream: str, found_key: tuple[str, ...]) -> TableSpec:
    try:
        return pipeline.table_spec(stream, found_key)
    except ValueError as err:
        first = err.errors(include_url=False)[0]["msg"] if isinstance(err, ValidationError) else str(err)
        raise ConfigurationError(f"{stream}: the source tells no primary key: {first.removeprefix('Value error, ')}") from None


def _request(pipeline: Pipeline, plan: Plan, stream: str, settings: Settings) -> SliceRequest:
    slice_, incremental = plan.slice, plan.spec.incremental
    request = SliceRequest(
        stream,
        slice_.start,
        slice_.end,
        slice_.watermark,
        slice_.cursor_from,
        slice_.cursor_to,
        incremental.cursor if incremental else None,
        window=slice_.window,
        partition=slice_.partition,
        fixed=slice_.request.get(SURVEYED, {}),
    )
    wanted = pipeline.source.wanted_keys(stream)
    return replace(request, known=partial(known_keys, open_lake(settings), plan.spec, wanted, settings)) if wanted else request


def _manifest(
    pipeline: Pipeline,
    plan: Plan,
    run: Run,
    report: ReadReport,
    writer: SpoolWriter,
    extracted_at: datetime,
    reached: Cursor | None,
) -> Manifest:
    return Manifest(
        load_id=plan.load_id,
        pipeline=pipeline.name,
        stream=plan.slice.stream,
        spec=plan.spec,
        slice=plan.slice,
        format=writer.format,
        read=writer.read,
        layout=writer.layout.template,
        files=tuple(writer.files),
        fields=writer.fields,
        field_types=dict(writer.field_types),
        value_kinds=dict(writer.value_kinds),
        rows=writer.rows,
        size_bytes=sum(file.size_bytes for file in writer.files),
        extracted_at=extracted_at,
        finished_at=datetime.now(UTC),
        extractor=f"ducklift {__version__} {pipeline.source.type}",
        moves_watermark=plan.spec.incremental is not None and report.ordered_and_complete and not plan.slice.window,
        gap=report.gap,
        request=report.request,
        retries=report.retries,
        surrogates_replaced=writer.surrogates_replaced,
        supersedes=plan.supersedes,
        replaces_stream=plan.replaces_stream,
        target=pipeline.target,
        greatest_cursor=reached,
        airflow=dict(run.facts),
        found_key=report.primary_key,
        chosen=pipeline.chosen,
    )


def upload(path: str, settings: Settings, facts: Mapping[str, Any] | None = None) -> str:
    """Put a spool package's files into the lake, its manifest last, and return the manifest's URL.

    A manifest that is there already is returned as it is, even when the package is gone. The spool package is removed once the manifest is
    verified. A package for the lake alone is committed here, since no load follows. `facts` tell who is at work (DAG, run, task, try): they
    go into the note of a failure. Raises `SpoolMissing`, `CorruptObject`, `DiskFull`, `LakeRefused` or `LakeUnavailable`.
    """
    return _upload(path, settings, facts)[0]


def _upload(path: str, settings: Settings, facts: Mapping[str, Any] | None = None) -> tuple[str, LoadSummary | None]:
    """Return the manifest's URL, and what became of the rows when the package is for the lake alone."""
    name = PackageName.of(path)
    lake = open_lake(settings)
    with noting_failures(lake, Trying("upload", name.table, name.load_id, facts=facts or {})):
        ensure_lake(lake)
        return _send(lake, path, name, settings)


def _send(lake: Store, path: str, name: PackageName, settings: Settings) -> tuple[str, LoadSummary | None]:
    spool = open_spool(settings)
    key = manifest_key(name.table, name.load_id)
    data = lake.read(key)
    if data is None:
        try:
            data = _put_package(lake, spool, path, key)
        except (SpoolMissing, FileNotFoundError):
            # Another attempt's upload was done in between, and swept the spool.
            data = lake.read(key)
            if data is None:
                raise
    spool.remove(path)
    reach("upload.spool_removed")
    manifest = read_landed(data, lake, key)
    return lake.url_of(key), _commit(lake, manifest, data, lake.url_of(key)) if manifest.target == "lake" else None


def _commit(lake: Store, manifest: Manifest, data: bytes, url: str) -> LoadSummary:
    record, known = commit_package(lake, manifest, sha256_of(data), url)
    return _told(lake, manifest, record.as_summary("already_loaded") if known else record.as_summary())


def _told(lake: Store, manifest: Manifest, summary: LoadSummary) -> LoadSummary:
    # Of any other load, the commit tells that what failed before is over.
    if summary.state == "already_loaded":
        note_mended(lake, manifest.table, manifest.load_id)
    return summary


def _put_package(lake: Store, spool: SpoolPlace, path: str, key: str) -> bytes:
    data = read_package(spool, path)
    for file in (file for file in read_manifest(data, path).files if not file.in_place):
        spool.put_into(lake, path, file)
        reach("upload.file_put")
    reach("upload.files_put")
    # When another attempt at this load was first, its manifest stands and these files are orphans.
    standing = lake.create(key, data)
    reach("upload.manifest_put")
    return standing


def load(manifest_url: str, settings: Settings, pipeline: Pipeline | None = None, facts: Mapping[str, Any] | None = None) -> LoadSummary:
    """Load one landed package into the warehouse, exactly once, and return what happened to every row.

    Without `pipeline` the pipeline file named in the manifest decides how, or the manifest's own specification when that file is gone. A
    package for the lake alone is committed there. `facts` tell who is at work, as for `upload`. Raises `ManifestMissing`,
    `ManifestConflict`, `LoadSuperseded`, `CorruptObject`, `WarehouseBusy`, `WarehouseBehind`, `WarehouseUnusable`, `ContractBroken`,
    `AccountingMismatch`, `LoadFailed` and the lake's errors.
    """
    from ducklift.warehouse.loading import load_package

    lake = open_lake(settings)
    key = lake.key_of(manifest_url)
    data = lake.read(key)
    if data is None:
        raise ManifestMissing(manifest_url)
    manifest = read_landed(data, lake, key)
    trying = Trying("load", manifest.table, manifest.load_id, manifest.pipeline, manifest.stream, facts or {})
    trying.is_of(manifest.spec)
    with noting_failures(lake, trying):
        if manifest.target == "lake":
            return _commit(lake, manifest, data, manifest_url)
        spec = _spec_for(manifest, settings, pipeline)
        trying.is_of(spec)
        return _told(lake, manifest, load_package(lake, manifest, data, spec, settings))


def _spec_for(manifest: Manifest, settings: Settings, pipeline: Pipeline | None) -> TableSpec:
    if pipeline is None:
        if manifest.pipeline not in pipeline_names(settings):
            return manifest.spec
        pipeline = load_pipeline(manifest.pipeline, settings)
    if pipeline.table is None and manifest.stream not in {*pipeline.loads, *(entry.name for entry in pipeline.tables)}:
        return manifest.spec  # the stream was taken out of the file since
    if whole_of(pipeline, manifest.stream) is not None:
        return manifest.spec  # by the file of now it would replace the whole by this part
    # Its table is the one that it landed for, whatever the file names by now.
    found = pipeline.with_options(manifest.chosen).table_spec(manifest.stream, manifest.found_key)
    return found.model_copy(update={"name": manifest.table})


def resolved(pipeline: Pipeline, settings: Settings) -> Pipeline:
    """Return the pipeline with patterns of streams filled in, asking the source's server where there are any.

    Raises `ConfigurationError` where that gives two streams one table which they cannot share.
    """
    found = pipeline.model_copy(update={"source": pipeline.source.resolved(settings)})
    try:
        check_loads(found)
    except ValueError as err:
        raise ConfigurationError(str(err), file=pipeline.file) from err
    return found


def run_pipeline(pipeline: Pipeline, run: Run, settings: Settings, on_step: OnStep | None = None) -> RunSummary:
    """Run the three steps for every stream, one after the other; a stream that fails does not stop the others.

    Only Ducklift's own errors are collected; anything else is a defect and goes on up. `on_step` is told (stream, step, rows so far).
    """
    started = time.monotonic()
    # A session with S3 costs 30 ms of CPU, and each step would open one of its own.
    settings = replace(settings, opened={})
    pipeline = resolved(pipeline, settings)
    loads = [_run_stream(pipeline, stream, run, settings, on_step or _silent) for stream in pipeline.streams()]
    return RunSummary(pipeline=pipeline.name, run_id=run.run_id, seconds=time.monotonic() - started, loads=loads)


def _run_stream(pipeline: Pipeline, stream: str, run: Run, settings: Settings, on_step: OnStep) -> LoadSummary:
    known: dict[str, Any] = {"load_id": load_id_for(pipeline.name, stream, run)}
    try:
        on_step(stream, "extract", 0)
        package = extract(pipeline, stream, run, settings, lambda rows: on_step(stream, "extract", rows))
        known["load_id"] = PackageName.of(package).load_id
        on_step(stream, "upload", 0)
        known["manifest"], committed = _upload(package, settings)
        on_step(stream, "load", 0)
        summary = committed or load(known["manifest"], settings, pipeline)
    except DuckliftError as err:
        summary = LoadSummary.failed(stream, str(pipeline.table_spec(stream).name), err, **known)
    on_step(stream, summary.state, summary.rows_extracted)
    return summary


def _silent(_stream: str, _step: str, _rows: int) -> None:
    """Tell nobody."""

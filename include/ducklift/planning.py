"""What one run asks for: which load, which slice, from which cursor, in whose place. Decided before anything is read or written."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ducklift.cursors import Cursor, behind, cursor_at, latest
from ducklift.errors import ConfigurationError
from ducklift.lake.commits import LOAD, Snapshot
from ducklift.lake.layout import manifest_key, slice_key
from ducklift.lake.loaded_files import LoadedFiles, commits_in_lake, keep_loaded_files, loaded_files
from ducklift.lake.manifest import Slice, compact_utc, read_manifest, retry_load_id
from ducklift.lake.order import current_snapshot
from ducklift.lake.store import Store
from ducklift.load_streams import parts_of
from ducklift.pipeline_file import Pipeline
from ducklift.settings import Settings
from ducklift.sources.base import SliceRequest
from ducklift.specs import Incremental, TableSpec

SURVEYED = "surveyed"

Mode = Literal["new", "reextract", "full_refresh"]


@dataclass(frozen=True)
class Run:
    """One call of a pipeline: which slice of time it is for, and what its loads are named after.

    A scheduled or backfilled run is named by its slice (`by_slice`), so that running the same slice again finds the same load; a manual
    run is named by its run id. `facts` go into the manifest (Airflow's DAG, run and try). `mode` is `reextract` to read a slice anew and
    put it in the place of its earlier loads, or `full_refresh` to read from the beginning, in the place of all earlier loads of the stream.
    `window` asks for the records of the slice itself rather than for what is new since the watermark, where the source can tell them
    apart. `partition` is the key of the partition that the run stands for. `repeats` is the load id of the slice that is to be read anew,
    where neither slice nor run id leads to it.
    """

    run_id: str
    slice_start: datetime
    slice_end: datetime
    by_slice: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    mode: Mode = "new"
    window: bool = False
    partition: str | None = None
    repeats: str | None = None

    @classmethod
    def now(cls, mode: Mode = "new") -> Run:
        """Return a run named by a random id, whose slice starts now."""
        moment = datetime.now(UTC)
        return cls(run_id=uuid.uuid4().hex, slice_start=moment, slice_end=moment, mode=mode)

    @classmethod
    def of_interval(cls, start: datetime, end: datetime, mode: Mode = "new") -> Run:
        """Return the run of one slice of time, named by it: the same that a backfill has for this interval."""
        return cls(run_id=uuid.uuid4().hex, slice_start=start, slice_end=end, by_slice=True, mode=mode, window=True)


@dataclass(frozen=True)
class Plan:
    """What extracting one stream will do; nothing is written yet.

    `landed` says that the load's manifest is in the lake already, so that nothing is extracted. `known` is the table's published state.
    """

    spec: TableSpec
    slice: Slice
    landed: bool
    supersedes: tuple[str, ...]
    replaces_stream: bool
    known: Snapshot | None

    @property
    def load_id(self) -> str:
        """Return the id of the load."""
        return self.slice.load_id


def load_id_for(pipeline: str, stream: str, run: Run) -> str:
    """Return `<slice start>-<8 hex of pipeline, stream and slice or run id>`; the clock plays no part."""
    if run.repeats is not None:
        return run.repeats
    interval = f"{run.slice_start.astimezone(UTC).isoformat()}/{run.slice_end.astimezone(UTC).isoformat()}"
    identity = interval if run.by_slice else run.run_id
    digest = hashlib.sha256("\0".join((pipeline, stream, identity)).encode()).hexdigest()
    return f"{compact_utc(run.slice_start)}-{digest[:8]}"


def plan_stream(lake: Store, pipeline: Pipeline, stream: str, run: Run) -> Plan:
    """Return what a run asks of one stream; reads the lake only, and leaves it as it is."""
    spec = pipeline.table_spec(stream)
    first = load_id_for(pipeline.name, stream, run)
    load_id, earlier = _revision(lake, spec, first, run) if run.mode == "reextract" else (first, ())
    landed = lake.read(manifest_key(spec.name, load_id)) is not None
    known = current_snapshot(lake, spec.name, pipeline.target)
    return Plan(
        spec=spec,
        slice=_slice(lake, pipeline, spec, stream, run, load_id, earlier, known),
        landed=landed,
        supersedes=earlier,
        replaces_stream=run.mode == "full_refresh",
        known=known,
    )


def surveyed(lake: Store, pipeline: Pipeline, plan: Plan, request: SliceRequest, settings: Settings, *, keeping: bool = True) -> Slice:
    """Return the plan's slice with what the source finds out before it is fixed; one that is fixed already stays as it is.

    `keeping` lets the lake keep, for the next time, how far the files of the pipeline were followed.
    """
    source, spec = pipeline.source, plan.spec
    if not source.gives_files or lake.size(slice_key(spec.name, plan.load_id)) is not None:
        return plan.slice
    known = LoadedFiles()
    # A replacement brings all files, a full refresh too, and an extraction that is done anew those of the first.
    if spec.disposition != "replace" and not plan.replaces_stream and not plan.supersedes:
        known = loaded_files(lake, spec.name, pipeline.name, commits_in_lake(lake, spec.name))
        if keeping:
            keep_loaded_files(lake, spec.name, pipeline.name, known)
    found = source.survey(request, settings, known)
    return plan.slice.model_copy(update={"request": {SURVEYED: found}})


def first_plan(pipeline: Pipeline, stream: str, run: Run) -> Plan:
    """Return what a run asks of one stream where there is no lake yet."""
    slice_ = _new_slice(pipeline, stream, run, load_id_for(pipeline.name, stream, run), None)
    return Plan(pipeline.table_spec(stream), slice_, False, (), run.mode == "full_refresh", None)


def _revision(lake: Store, spec: TableSpec, first: str, run: Run) -> tuple[str, tuple[str, ...]]:
    """Return the load id of a slice's next extraction (`-r2`, `-r3` …) and those that landed before it.

    One that was cut short before its manifest was put is taken up again, and so is one that this very run of a DAG landed: its tasks may
    be repeated and cleared without reading once more.
    """
    earlier: list[str] = []
    load_id = first
    while (landed := lake.read(key := manifest_key(spec.name, load_id))) is not None and not _is_of(run, landed, lake.url_of(key)):
        earlier.append(load_id)
        load_id = f"{first}-r{len(earlier) + 1}"
    return load_id, tuple(landed for each in earlier for landed in _with_retries(lake, spec, each))


def _is_of(run: Run, manifest: bytes, url: str) -> bool:
    if "run_id" not in run.facts:
        return False  # without a look into the manifest: it may be a damaged one, whose place is to be taken
    made_by = read_manifest(manifest, url).airflow
    return all(made_by.get(name) == run.facts[name] for name in ("dag_id", "run_id"))


def _with_retries(lake: Store, spec: TableSpec, load_id: str) -> Iterator[str]:
    """Yield a load and the retries of its quarantined records that landed: what supersedes it brings those records again."""
    yield load_id
    while lake.size(manifest_key(spec.name, load_id := retry_load_id(load_id))) is not None:
        yield load_id


def _slice(
    lake: Store, pipeline: Pipeline, spec: TableSpec, stream: str, run: Run, load_id: str, earlier: tuple[str, ...], known: Snapshot | None
) -> Slice:
    """Return the slice as it is to be fixed; one that an earlier try has fixed stands all the same."""
    if earlier:
        original = lake.read(slice_key(spec.name, earlier[0]))
        if original is not None:
            # The same slice again: from the cursor where it began, not from where the stream is by now.
            return Slice.model_validate_json(original).model_copy(update={"load_id": load_id})
    return _new_slice(pipeline, stream, run, load_id, known)


def _new_slice(pipeline: Pipeline, stream: str, run: Run, load_id: str, known: Snapshot | None) -> Slice:
    spec = pipeline.table_spec(stream)
    wanted: dict[str, Any] = {"partition": run.partition}
    if known is not None:
        wanted["parent_load"] = next(
            (each["load_id"] for each in known.loads if each["stream"] == stream and each.get("kind", LOAD) == LOAD), None
        )
    # What takes the place of the whole table is the whole.
    goes_on = run.mode != "full_refresh" and spec.disposition != "replace"
    if spec.incremental and run.window and goes_on and pipeline.source.reads_windows():
        wanted |= _window(spec.incremental, run, known.watermark_of(pipeline.name, stream) if known else None)
    elif spec.incremental and any(map(pipeline.source.stream_uses_watermark, parts_of(pipeline, stream))):
        watermark = known.watermark_of(pipeline.name, stream) if known is not None and goes_on else None
        wanted["watermark"] = watermark
        wanted["cursor_from"] = _from(watermark, spec.incremental)
        wanted["cursor_to"] = _end(spec.incremental, run, watermark)
    return Slice(load_id=load_id, pipeline=pipeline.name, stream=stream, start=run.slice_start, end=run.slice_end, **wanted)


def _from(watermark: Cursor | None, incremental: Incremental) -> Cursor | None:
    return incremental.initial if watermark is None else behind(watermark, incremental.overlap_s, incremental.epoch)


def _window(incremental: Incremental, run: Run, watermark: Cursor | None) -> dict[str, Any]:
    first, behind_last = (_at(moment, incremental, watermark) for moment in (run.slice_start, run.slice_end))
    end = _end(incremental, run, watermark)
    capped = end is not None and latest(end, behind_last) == behind_last
    return {"window": True, "cursor_from": first, "cursor_to": end if capped else behind_last}


def _end(incremental: Incremental, run: Run, watermark: Cursor | None) -> Cursor | None:
    """Return the cursor at which reading ends; `now` is the end of the run's slice, so that every try has the same."""
    if isinstance(incremental.end, str):
        _refuse_bare_numbers(incremental, watermark)
    return cursor_at(run.slice_end, incremental.epoch) if incremental.end == "now" else incremental.end


def _at(moment: datetime, incremental: Incremental, watermark: Cursor | None) -> Cursor:
    _refuse_bare_numbers(incremental, watermark)
    return cursor_at(moment, incremental.epoch)


def _refuse_bare_numbers(incremental: Incremental, watermark: Cursor | None) -> None:
    """Raise `ConfigurationError` where a moment is asked for, and the cursor is a number of which nobody knows what it counts."""
    if incremental.epoch is None and any(isinstance(one, int | float) for one in (watermark, incremental.initial, incremental.end)):
        raise ConfigurationError(
            f"The cursor {incremental.cursor!r} is a number, and an interval of time is asked for: say what it counts since 1970, "
            "for example incremental: {epoch: s} for seconds."
        )

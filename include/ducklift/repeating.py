"""Doing again what one load began: loading its package, reading its slice anew, or trying its quarantined records after a fix.

All three end in a spool package, so that a DAG's upload and load go on from there as ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from ducklift.errors import ConfigurationError, ManifestMissing
from ducklift.lake.filesystem import open_lake
from ducklift.lake.layout import manifest_key, slice_key
from ducklift.lake.manifest import Slice, read_manifest, retry_load_id
from ducklift.lake.spool_place import PackageName, open_spool
from ducklift.load_streams import stream_under, whole_of
from ducklift.pipeline import Pipeline, extract
from ducklift.planning import Run
from ducklift.retrying import package_quarantined
from ducklift.settings import Settings
from ducklift.specs import TableName

Task = Literal["load", "reextract", "quarantine"]
# The two fields of the trigger form.
AGAIN, OF_LOAD = "again", "of_load"
LOAD_PATTERN = r"^[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}(-r[0-9]{1,4})?(-q){0,9}$"
RETRIED = retry_load_id("")
_REVISION = re.compile(r"-r[0-9]+$")


@dataclass(frozen=True)
class Again:
    """What a person wants done again with which load."""

    task: Task
    table: TableName
    load_id: str

    def params(self) -> dict[str, str]:
        """Return this as the fields of the trigger form."""
        return {AGAIN: self.task, OF_LOAD: f"{self.table}/{self.load_id}"}


def asked_again(params: Mapping[str, Any]) -> Again | None:
    """Return what the trigger form asks for, checked anew (it is hostile); None where it asks for nothing to be done again."""
    task, load = params.get(AGAIN), params.get(OF_LOAD)
    if task is None and load is None:
        return None
    if task not in get_args(Task):
        raise ConfigurationError(f"{AGAIN}: choose one of {', '.join(get_args(Task))}; {str(task)[:40]!r} is none of them")
    if not isinstance(load, str) or not re.fullmatch(LOAD_PATTERN, load):
        raise ConfigurationError(f"{OF_LOAD}: {str(load)[:80]!r} names no load: write dataset.table/load_id")
    table, _, load_id = load.partition("/")
    return Again(cast(Task, task), TableName.parse(table), load_id)


def package_again(
    again: Again,
    pipeline: Pipeline,
    chosen: Pipeline,
    stream: str,
    run: Run,
    settings: Settings,
    on_progress: Callable[[int], None] | None = None,
    on_slice: Callable[[Slice], None] | None = None,
) -> str | None:
    """Return the spool package for what is asked; None when another of the pipeline's mapped streams is in charge of that load.

    `chosen` is the pipeline with the rest of the trigger form applied: only what reads the source anew goes by it. Raises
    `ConfigurationError` for a load of another pipeline, or one that this run's choices do not lead to, `ManifestMissing`, and what the
    steps raise.
    """
    asked = _slice_of(again, pipeline, settings)
    if stream != _in_charge(pipeline, chosen, asked.stream):
        return None
    if again.task == "quarantine":
        return package_quarantined(settings, again.table, again.load_id)
    if again.task == "load":
        return open_spool(settings).package(PackageName(again.table, again.load_id), "landed")
    return extract(chosen, asked.stream, _reading(again, chosen, asked, run), settings, on_progress, on_slice)


def _slice_of(again: Again, pipeline: Pipeline, settings: Settings) -> Slice:
    """Return what the load was asked to bring; a reading that failed before it landed has left its slice."""
    lake = open_lake(settings)
    key = manifest_key(again.table, again.load_id)
    data, fixed = lake.read(key), None
    if data is None and again.task == "reextract":
        fixed = lake.read(slice_key(again.table, again.load_id))
    if data is None and fixed is None:
        raise ManifestMissing(lake.url_of(key))
    found = read_manifest(data, lake.url_of(key)).slice if data is not None else Slice.model_validate_json(fixed or b"")
    if found.pipeline != pipeline.name:
        of_other = f"{again.load_id} is a load of pipeline {found.pipeline!r}, not of {pipeline.name!r}"
        raise ConfigurationError(f"{of_other}. Use that one's DAG.")
    return found


def _in_charge(pipeline: Pipeline, chosen: Pipeline, stream: str) -> str:
    """Return the configured stream that stands for the load's; the first one for a stream that was chosen by a form, or is gone."""
    streams = pipeline.streams()
    return next((each for each in streams if stream in (each, stream_under(chosen, pipeline, each))), streams[0])


def _is_read(chosen: Pipeline, stream: str) -> bool:
    return stream in chosen.loads or (chosen.source.effective_stream(stream) == stream and whole_of(chosen, stream) is None)


def _reading(again: Again, chosen: Pipeline, asked: Slice, run: Run) -> Run:
    """Return the run that reads the load's slice anew in its place."""
    if again.load_id.endswith(RETRIED):
        raise ConfigurationError(f"{again.load_id} retried quarantined records. Extract the load anew from which they came.")
    stream = asked.stream
    if not _is_read(chosen, stream) or chosen.table_spec(stream).name != again.table:
        raise ConfigurationError(
            f"{again.load_id} is of stream {stream!r} of {again.table}, which is not what the trigger form chooses now. "
            "Fill the form as it was for that load."
        )
    first = _REVISION.sub("", again.load_id)
    return replace(
        run, mode="reextract", repeats=first, slice_start=asked.start, slice_end=asked.end, window=asked.window, partition=asked.partition
    )

"""What a run would do, stream by stream, told without doing any of it: what it would read, write and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ducklift.errors import LakeRefused
from ducklift.lake.commits import Snapshot
from ducklift.lake.layout import commit_prefix, committed_key, manifest_key, slice_key
from ducklift.lake.loaded_files import LoadedFiles
from ducklift.lake.manifest import Slice
from ducklift.lake.store import Store
from ducklift.load_streams import parts_of
from ducklift.pipeline_file import Pipeline
from ducklift.planning import SURVEYED, Plan, Run, first_plan, plan_stream, surveyed
from ducklift.settings import Settings
from ducklift.sources.base import SliceRequest
from ducklift.specs import TableSpec

_FILES_NAMED = 20


def foretell(lake: Store, pipeline: Pipeline, run: Run, settings: Settings) -> list[dict[str, Any]]:
    """Return as plain JSON what a run would do for each stream; a lake that is not there is empty.

    Reads the lake, and of a source that gives files their list; raises what reaching them may raise. Nothing is written anywhere.
    """
    return [_foretold(lake, pipeline, stream, run, settings) for stream in pipeline.streams()]


def _foretold(lake: Store, pipeline: Pipeline, stream: str, run: Run, settings: Settings) -> dict[str, Any]:
    try:
        plan = plan_stream(lake, pipeline, stream, run)
        fixed = lake.read(slice_key(plan.spec.name, plan.load_id))
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        plan, fixed = first_plan(pipeline, stream, run), None
    if fixed:
        plan = replace(plan, slice=Slice.model_validate_json(fixed))
    state = _state(lake, pipeline, plan)
    files = _files(lake, pipeline, plan, settings) if state == "new" else None
    return {**_told(lake, pipeline, plan), "state": state, "extracts": state == "new", "files": files}


def _state(lake: Store, pipeline: Pipeline, plan: Plan) -> str:
    if plan.landed:
        return "already_loaded" if _is_committed(lake, pipeline, plan) else "landed"
    return "not_over" if plan.slice.window and plan.slice.end > datetime.now(UTC) else "new"


def _is_committed(lake: Store, pipeline: Pipeline, plan: Plan) -> bool:
    if plan.known and any(load["load_id"] == plan.load_id for load in plan.known.loads):
        return True
    if pipeline.target == "lake":
        return lake.size(committed_key(plan.spec.name, plan.load_id)) is not None
    # The snapshot names the last loads only.
    return any(found.key.endswith(f"-{plan.load_id}.json") for found in lake.list(commit_prefix(plan.spec.name)))


def _files(lake: Store, pipeline: Pipeline, plan: Plan, settings: Settings) -> dict[str, Any] | None:
    """Return which files the load would bring, the first ones by name; None where the source gives records."""
    if not pipeline.source.gives_files:
        return None
    slice_ = plan.slice
    found = slice_.request.get(SURVEYED)
    if found is None:
        request = SliceRequest(slice_.stream, slice_.start, slice_.end)
        try:
            found = surveyed(lake, pipeline, plan, request, settings, keeping=False).request[SURVEYED]
        except LakeRefused as err:
            if err.code != "NoSuchBucket":
                raise
            found = pipeline.source.survey(request, settings, LoadedFiles())
    new = found["files"]
    return {
        "matched": found["matched"],
        "new": len(new),
        "bytes": sum(file["size_bytes"] for file in new),
        "names": [file["key"] for file in new[:_FILES_NAMED]],
    }


def _told(lake: Store, pipeline: Pipeline, plan: Plan) -> dict[str, Any]:
    spec, slice_, known, layout = plan.spec, plan.slice, plan.known, pipeline.raw_layout
    facts = pipeline.file_facts(slice_.stream, spec, plan.load_id, slice_.start, partition=slice_.partition)
    dates = tuple("*" for _ in layout.partition([None] * len(layout.record_fields))) if layout.record_fields else ()
    return {
        "stream": slice_.stream,
        "reads": list(parts_of(pipeline, slice_.stream)),
        "load_id": plan.load_id,
        "slice_start": slice_.start.isoformat(),
        "slice_end": slice_.end.isoformat(),
        "watermark": slice_.watermark,
        "cursor_from": slice_.cursor_from,
        "cursor_to": slice_.cursor_to,
        "window": slice_.window,
        "partition": slice_.partition,
        "supersedes": list(plan.supersedes),
        "replaces_stream": plan.replaces_stream,
        "raw": lake.url_of(layout.key(facts, "*", dates)),
        "manifest": lake.url_of(manifest_key(spec.name, plan.load_id)),
        "target": pipeline.target,
        "table": str(spec.name),
        "table_exists": known is not None,
        "table_rows": known.rows if known else None,
        "disposition": spec.disposition,
        "effect": _effect(spec, pipeline.target),
        "declared_columns": [column.name for column in spec.columns],
        "new_columns": _new_columns(spec, known),
    }


def _new_columns(spec: TableSpec, known: Snapshot | None) -> list[str]:
    """Return the columns of the pipeline file that the table lacks; those of fields that are not declared come with the records."""
    there = {column.name.lower() for column in known.columns} if known else set()
    wanted = [column.name for column in spec.columns if column.pii != "drop"]
    wanted += [name for name in (spec.record_column, spec.synthetic_key.name if spec.synthetic_key else None) if name]
    return [name for name in wanted if name.lower() not in there] if there else []


_EFFECTS: Mapping[str, str] = {
    "append": "its records are added",
    "replace": "all rows are replaced by what the source gives",
    "merge": "records take the place of those with the same {key} that are no newer, others are added",
    "insert_only": "records with a new {key} are added, others left out",
    "scd2": "a record that differs from the one with the same {key} becomes its next version",
}


def _effect(spec: TableSpec, target: str) -> str:
    """Return in words what the load would do to the table's rows."""
    if spec.merge_key:
        return f"every {', '.join(spec.merge_key)} that comes is replaced whole"
    effect = _EFFECTS[spec.disposition].format(key=", ".join(spec.primary_key) or "primary key")
    if spec.disposition == "append" and spec.incremental and target == "warehouse":
        return f"{effect}; those that are there and are read again are left out"
    return effect

"""Loads as the timeline lists them: committed ones from a snapshot or a commit record, failed ones from the notes of their tries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ducklift.lake.attempts import FailedLoad, FailedTry
from ducklift.lake.commits import LOAD, CommitRecord
from ducklift.summary import COUNT_NAMES
from ducklift.web.digests import load_state, seconds
from ducklift.web.views.loads import AttemptView, LoadRow
from ducklift.web.views.places import AirflowPlace, load_path, manifest_path
from ducklift.web.views.states import LoadState
from ducklift.web.views.texts import MESSAGE, NAME, shown, shown_or_none

MOST_WARNINGS = 20


def committed_row(table: str, load: Mapping[str, Any], gone: Mapping[str, str], now_s: float, failed: FailedLoad | None = None) -> LoadRow:
    """Return a committed load of a snapshot, or of a commit record as plain JSON; `gone` tells which loads are superseded by which."""
    load_id, at_s = str(load["load_id"]), seconds(load["loaded_at"])
    is_load = load.get("kind", LOAD) == LOAD
    counts: dict[str, Any] = {name: int(load.get(name) or 0) for name in COUNT_NAMES}
    return LoadRow(
        load_id=load_id,
        path=load_path(table, load_id),
        table=table,
        state=load_state(load, gone),
        at=datetime.fromtimestamp(at_s, UTC),
        age_s=now_s - at_s,
        pipeline=shown_or_none(load.get("pipeline") or None, NAME),
        stream=shown(str(load["stream"]), NAME),
        sequence=int(load["sequence"]),
        **counts,
        total_rows=load.get("total_rows"),
        bytes=int(load.get("bytes") or 0),
        files=int(load.get("files") or 0),
        seconds=load.get("seconds") if is_load else None,
        manifest_path=manifest_path(table, load_id) if is_load else None,
        airflow=AirflowPlace.of(load.get("airflow") or {}),
        superseded_by=gone.get(load_id),
        warnings=tuple(shown(str(warning), MESSAGE) for warning in (load.get("warnings") or ())[:MOST_WARNINGS]),
        tries=len(failed.tries) if failed else 0,
        slice_start=_moment(load.get("slice_start")),
        slice_end=_moment(load.get("slice_end")),
    )


def record_row(record: CommitRecord, gone: Mapping[str, str], now_s: float, failed: FailedLoad | None = None) -> LoadRow:
    """Return a load from its commit record."""
    return committed_row(str(record.table_name), record.model_dump(mode="json"), gone, now_s, failed)


def failed_row(table: str, failed: FailedLoad, now_s: float) -> LoadRow:
    """Return a load that never came through; one that failed at loading has its package in the lake."""
    last, landed = failed.last, failed.last.step == "load"
    at_s = last.at.timestamp()
    return LoadRow(
        load_id=shown(failed.load_id, NAME),
        path=load_path(table, failed.load_id),
        table=table,
        state=LoadState.FAILED,
        at=last.at,
        age_s=now_s - at_s,
        pipeline=shown_or_none(failed.pipeline or None, NAME),
        stream=shown(failed.stream, NAME),
        seconds=last.seconds,
        manifest_path=manifest_path(table, failed.load_id) if landed else None,
        airflow=AirflowPlace.of(last.airflow),
        error=f"{shown(last.error, NAME)}: {shown(last.message, MESSAGE)}",
        tries=len(failed.tries),
        pending=landed,
    )


def attempt_view(failed: FailedTry, now_s: float) -> AttemptView:
    """Return one failed try."""
    airflow = AirflowPlace.of(failed.airflow)
    return AttemptView(
        step=failed.step,
        at=failed.at,
        age_s=now_s - failed.at.timestamp(),
        error_class=shown(failed.error, NAME),
        message=shown(failed.message, MESSAGE),
        retryable=failed.retryable,
        try_number=airflow.try_number if airflow else None,
        seconds=failed.seconds,
        airflow=airflow,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(seconds(text), UTC) if text else None

"""What Ducklift tells Airflow's metrics of its own: rows by outcome, bytes, how far each stream is behind, and how long each step took.

Airflow sends them where its own go, by StatsD or OpenTelemetry, when its configuration says so; otherwise nothing is sent. They are told
once at most, after the commit: the ledger in the warehouse is what counts. docs/observability.md has the names and the tags.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from ducklift.lake.date_patterns import moment_of
from ducklift.pipeline import Pipeline
from ducklift.summary import LoadSummary

OUTCOMES = ("inserted", "updated", "unchanged", "deleted", "deduplicated", "quarantined")
# StatsD knows no escape: with any other character in a tag, Airflow drops the whole metric.
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9_.-]")


@contextmanager
def measured(step: str, pipeline: str, table: str) -> Iterator[None]:
    """Tell how long a step took, or by which class of error it failed; a step that is skipped tells nothing."""
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.sdk.observability import stats

    tags = {"step": step, **_tags(pipeline, table)}
    began = time.monotonic()
    try:
        yield
    except AirflowSkipException:
        raise
    except Exception as err:
        stats.incr("ducklift.step.failures", tags={**tags, "error": type(err).__name__})
        raise
    stats.timing("ducklift.step.duration", timedelta(seconds=time.monotonic() - began), tags=tags)


def tell_landed(pipeline: str, table: str, rows: int, size_bytes: int) -> None:
    """Tell what a pipeline that ends in the lake has put there."""
    from airflow.sdk.observability import stats

    stats.incr("ducklift.rows", rows, tags={**_tags(pipeline, table), "outcome": "landed"})
    stats.incr("ducklift.bytes", size_bytes, tags=_tags(pipeline, table))


def tell_load(pipeline: Pipeline, summary: LoadSummary) -> None:
    """Tell what became of the rows of a load, and where its table and its stream stand; nothing but its state when it is an old one."""
    from airflow.sdk.observability import stats

    tags = _tags(pipeline.name, summary.table)
    stats.incr("ducklift.loads", tags={**tags, "state": summary.state})
    if summary.state == "already_loaded":
        return
    for outcome in OUTCOMES:
        stats.incr("ducklift.rows", getattr(summary, f"rows_{outcome}"), tags={**tags, "outcome": outcome})
    stats.incr("ducklift.bytes", summary.bytes, tags=tags)
    stats.incr("ducklift.gaps", int(summary.gap is not None), tags=tags)
    if summary.total_rows is not None:
        stats.gauge("ducklift.table.rows", summary.total_rows, tags=tags)
    reached = _reached(summary, pipeline)
    if reached is not None:
        of_stream = {**tags, "stream": _NOT_IN_A_TAG.sub("_", summary.stream)}
        stats.gauge("ducklift.watermark", reached.timestamp(), tags=of_stream)
        stats.gauge("ducklift.lag", max((datetime.now(UTC) - reached).total_seconds(), 0.0), tags=of_stream)


def _tags(pipeline: str, table: str) -> dict[str, str]:
    return {"pipeline": _NOT_IN_A_TAG.sub("_", pipeline), "table": _NOT_IN_A_TAG.sub("_", table)}


def _reached(summary: LoadSummary, pipeline: Pipeline) -> datetime | None:
    """Return the moment of the stream's watermark; None where there is none, or the number is not known to count since 1970."""
    try:
        spec = pipeline.table_spec(summary.stream)
    except ValueError:
        return None  # the load is committed, of a stream that the file no longer has
    cursor = spec.incremental
    if cursor is None or summary.watermark is None:
        return None
    declared = {column.type or "" for column in spec.columns if (column.source or column.name) == cursor.cursor}
    if not isinstance(summary.watermark, str) and cursor.epoch is None and not any(type_.startswith("timestamp") for type_ in declared):
        return None
    return moment_of(summary.watermark)

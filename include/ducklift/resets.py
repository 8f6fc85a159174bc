"""`reset`: let a pipeline read again from an earlier cursor, or from the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from ducklift.cursors import Cursor, Epoch, cursor_at, is_moment, latest
from ducklift.errors import ConfigurationError
from ducklift.lake.filesystem import open_lake
from ducklift.lake.loaded_files import commits_in_lake, loaded_files
from ducklift.lake.order import current_snapshot, reset_stream
from ducklift.pipeline_file import Pipeline
from ducklift.settings import Settings


@dataclass(frozen=True)
class Reset:
    """One stream's watermark before and after, and how many files were forgotten; nothing was to do where the two are the same."""

    stream: str
    table: str
    before: Cursor | None
    after: Cursor | None
    files_forgotten: int = 0

    @property
    def changed(self) -> bool:
        """Return whether the watermark was moved, or files will be read again."""
        return self.before != self.after or self.files_forgotten > 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; of files only where there are some."""
        values = {**asdict(self), "changed": self.changed}
        return values if self.files_forgotten else {name: value for name, value in values.items() if name != "files_forgotten"}


def reset_pipeline(pipeline: Pipeline, settings: Settings, streams: Sequence[str] = (), to: str | None = None) -> list[Reset]:
    """Move the watermarks of a pipeline's streams back to a cursor, or away; rows stay as they are, and files are read again.

    Each is a commit of its own, in the ledger and in the lake, so that a rebuild and every other machine know of it. Raises
    `ConfigurationError` for an unknown stream, for one that has not come so far, and for a cursor of another kind than the stream's.
    """
    unknown = sorted(set(streams) - set(pipeline.streams()))
    if unknown:
        raise ConfigurationError(f"{pipeline.name} has no stream {', '.join(unknown)}; there are: {', '.join(pipeline.streams())}.")
    chosen = [stream for stream in pipeline.streams() if not streams or stream in streams]
    # All are checked before one is moved.
    wanted = [(stream, _wanted(pipeline, settings, stream, to)) for stream in chosen]
    return [_reset(pipeline, settings, stream, cursor) for stream, cursor in wanted]


def _wanted(pipeline: Pipeline, settings: Settings, stream: str, to: str | None) -> Cursor | None:
    spec = pipeline.table_spec(stream)
    if spec.incremental is None and pipeline.source.gives_files and to is None:
        return None
    if spec.incremental is None:
        raise ConfigurationError(f"{pipeline.name} has no `incremental`, so its stream {stream} has no watermark to reset.")
    if to is None:
        return None
    known = current_snapshot(open_lake(settings), spec.name, pipeline.target)
    watermark = known.watermark_of(pipeline.name, stream) if known else None
    cursor = _parsed(to, watermark, spec.incremental.epoch)
    if watermark is None or latest(watermark, cursor) != watermark:
        raise ConfigurationError(
            f"{stream}: the watermark is {'not set' if watermark is None else watermark}, which is not beyond {to}. "
            "A reset moves it back only: moving it on would leave out records."
        )
    return cursor


def _parsed(text: str, watermark: Cursor | None, epoch: Epoch | None) -> Cursor:
    """Return the cursor that a person wrote, in the form of the stream's: a date will do for what counts since 1970."""
    if is_moment(watermark) and not is_moment(text):
        raise ConfigurationError(
            f"{text!r} is not a cursor of this stream, whose watermark is {watermark}: write a date such as 2026-01-31."
        )
    if watermark is None or isinstance(watermark, str):
        return text
    try:
        number = orjson.loads(text)
    except orjson.JSONDecodeError:
        number = _since_1970(text, epoch)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ConfigurationError(f"{text!r} is not a cursor of this stream, whose watermark is {watermark}: write a number or a date.")
    return number


def _since_1970(text: str, epoch: Epoch | None) -> Cursor | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return cursor_at(moment, epoch) if epoch else moment.timestamp()


def _reset(pipeline: Pipeline, settings: Settings, stream: str, to: Cursor | None) -> Reset:
    from ducklift.warehouse.resetting import reset_in_warehouse, reset_record

    spec, lake = pipeline.table_spec(stream), open_lake(settings)
    record = reset_record(pipeline.name, stream, spec, to, pipeline.target)
    files = 0
    if pipeline.source.gives_files:
        files = len(loaded_files(lake, spec.name, pipeline.name, commits_in_lake(lake, spec.name)))
    if pipeline.target == "lake":
        known = current_snapshot(lake, spec.name, "lake")
        before = known.watermark_of(pipeline.name, stream) if known else None
        if before != to or files:
            reset_stream(lake, spec.name, known, record)
    else:
        before = reset_in_warehouse(lake, settings, record, always=files > 0)
    return Reset(stream, str(spec.name), before, to, files)

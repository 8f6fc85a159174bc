"""Runs that begin when objects land: a watcher that lists a path, and runs that load each object once, however often it is announced.

What was announced is kept nowhere. An object is announced when the lake does not know it among the loaded files of the pipeline, and not
again for a day while its run is under way: a triggerer that is restarted announces what is not loaded yet. The load itself leaves out what
is in the table by then, by name, etag and size.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from ducklift.errors import ConfigurationError, DuckliftError, LakeRefused
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.partitions import Context, run_of
from ducklift.pipeline import Pipeline, Run, load_pipeline
from ducklift.settings import Settings
from ducklift.sources.file_paths import matcher, pattern_of, prefix_of

if TYPE_CHECKING:
    from ducklift.lake.store import StoredObject

LOOKS_EVERY = timedelta(seconds=30)
AGAIN_AFTER_S = 86_400.0
# Announced and not loaded yet; what lands beyond waits in the bucket. Airflow maps a task over 1,024 at most.
MOST_UNDER_WAY = 500
TASK_ID = "arrivals"


@dataclass(frozen=True)
class ObjectsLand:
    """The schedule of a DAG whose runs begin when objects land under a path of one of the source's buckets; each is loaded by itself.

    `path` is a key or a pattern, as the source's own (which it is when absent); `bucket` one of the source's, else the chosen one.
    """

    path: str | None = None
    bucket: str | None = None
    every: timedelta = LOOKS_EVERY

    def watched(self, pipeline: Pipeline) -> Watched:
        """Return what is watched for a pipeline; raises `ConfigurationError` unless its source is told a path when a run begins."""
        offered = pipeline.options_schema()
        source: Any = pipeline.source
        if "path" not in offered or not source.gives_files:
            raise ConfigurationError(
                f"{pipeline.name}: runs begin when objects land only where the source is bucket_files and its form offers the path, "
                "by form: [bucket, path]"
            )
        bucket = (self.bucket or source.place).rstrip("/")
        if bucket != source.place and "bucket" not in offered:
            raise ConfigurationError(f"{pipeline.name}: {bucket!r} is watched, but the source's form does not offer the bucket")
        return Watched(pipeline, bucket, self.path or source.path, self.every)


@dataclass(frozen=True)
class Watched:
    """A path of a bucket, and the pipeline that loads what lands there."""

    pipeline: Pipeline
    place: str
    path: str
    every: timedelta

    @property
    def asset(self) -> Asset:
        """Return the asset whose events are the announcements."""
        name = f"{self.pipeline.name}.{TASK_ID}"
        trigger = LandedObjects(self.pipeline.name, self.place, self.path, self.every.total_seconds())
        return Asset(name=name, uri=f"x-ducklift://{TASK_ID}/{self.pipeline.name}", watchers=[AssetWatcher(name=name, trigger=trigger)])

    def announced(self, context: Context) -> list[dict[str, Any]]:
        """Return what a run is to load: each object that was announced to it, once, or the configured stream where none was."""
        events = getattr(context.get("dag_run"), "consumed_asset_events", None) or ()
        objects = {told["identity"]: told for event in events for told in self._told(event.extra)}
        if not objects:
            return [{"stream": stream} for stream in self.pipeline.streams()]
        return sorted(objects.values(), key=lambda told: (told["modified"] or "", told["key"]))

    def _told(self, extra: Any) -> Iterator[dict[str, Any]]:
        """Yield what an event announces: whoever may write asset events may write anything into them."""
        payload = extra.get("payload") if isinstance(extra, Mapping) else None
        objects = payload.get("objects") if isinstance(payload, Mapping) else None
        for told in objects if isinstance(objects, list) else ():
            key, modified = (told.get("key"), told.get("modified")) if isinstance(told, Mapping) else (None, None)
            if not isinstance(key, str) or not matcher(self.path)(key):
                raise ConfigurationError(f"An event announces {str(key)[:200]!r}, which is not under the watched {self.path!r}.")
            if not isinstance(told.get("identity"), str) or (modified is not None and not _is_moment(modified)):
                # Without its version an object would be one load for ever, and two of one event would be one.
                raise ConfigurationError(f"An event announces {key[:200]!r} without what tells its version: identity, modified.")
            yield {"identity": told["identity"], "key": key, "modified": modified, "stream": f"{self.place}/{key}"}

    def options_for(self, told: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options by which the pipeline reads one announced object."""
        chosen = {"path": pattern_of(told["key"]), "bucket": self.place}
        return {**params, **{name: value for name, value in chosen.items() if name in self.pipeline.options_schema()}}


def _is_moment(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).tzinfo is not None
    except (TypeError, ValueError, OverflowError):
        return False


def run_for(told: Mapping[str, Any], context: Context) -> Run:
    """Return the run that loads one announced object: named after its version, so that a second announcement is the same load."""
    run = run_of(context)
    modified = datetime.fromisoformat(told["modified"]) if told.get("modified") else run.slice_start
    return replace(run, run_id=str(told["identity"]), slice_start=modified, slice_end=modified, by_slice=False, window=False)


@dataclass
class Lookout:
    """What lies under a watched path and is not loaded: told once, and again after a day if it still is not."""

    pipeline: str
    place: str
    path: str
    told_at_s: dict[str, float] = field(default_factory=dict)

    def look(self, settings: Settings, now_s: float) -> list[dict[str, Any]]:
        """Return the objects to announce, oldest first, and at most as many as may be under way; raises the store's errors."""
        from ducklift.lake.filesystem import open_place
        from ducklift.source_files import file_identity

        pipeline = load_pipeline(self.pipeline, settings)
        source: Any = pipeline.source
        store, is_match = open_place(settings, self.place, source.access), matcher(self.path)
        listed = [found for found in store.list(prefix_of(self.path)) if is_match(found.key) and not found.key.endswith("/")]
        there = {file_identity(self.place, found.key, found.etag, found.size_bytes): found for found in listed}
        failed = {name for name, told in self.told_at_s.items() if now_s - told >= AGAIN_AFTER_S}
        self.told_at_s = {name: told for name, told in self.told_at_s.items() if name in there and name not in failed}
        if there.keys() <= self.told_at_s.keys():
            return []
        loaded = _loaded(settings, pipeline)
        under_way = sum(name not in loaded for name in self.told_at_s)
        fresh = sorted(((name, found) for name, found in there.items() if name not in loaded and name not in self.told_at_s), key=_by_age)
        # What failed has its next turn last: as many bad objects as may be under way would keep all others waiting for ever.
        fresh.sort(key=lambda one: one[0] in failed)
        told = fresh[: max(MOST_UNDER_WAY - under_way, 0)]
        self.told_at_s |= {name: now_s for name, _ in told}
        return [_announcement(name, found) for name, found in told]


def _loaded(settings: Settings, pipeline: Pipeline) -> Any:
    from ducklift.lake.filesystem import open_lake
    from ducklift.lake.loaded_files import LoadedFiles, commits_in_lake, loaded_files

    lake, table = open_lake(settings), pipeline.table_spec(pipeline.streams()[0]).name
    try:
        return loaded_files(lake, table, pipeline.name, commits_in_lake(lake, table))
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        return LoadedFiles()


def _by_age(one: tuple[str, StoredObject]) -> tuple[float, str]:
    return (one[1].modified.timestamp() if one[1].modified else 0.0, one[1].key)


def _announcement(identity: str, found: StoredObject) -> dict[str, Any]:
    return {"identity": identity, "key": found.key, "modified": found.modified.isoformat() if found.modified else None}


class LandedObjects(BaseEventTrigger):
    """Looks at a path every few seconds and announces what is not loaded yet: in the triggerer, as long as the DAG is not paused."""

    def __init__(self, pipeline: str, place: str, path: str, every_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pipeline, self.place, self.path, self.every_s = pipeline, place, path, every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, as Airflow keeps them."""
        arguments = {"pipeline": self.pipeline, "place": self.place, "path": self.path, "every_s": self.every_s}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event for all objects that a look finds. A look that fails is told in the log, and the next is taken all the same."""
        lookout, trouble = Lookout(self.pipeline, self.place, self.path), ""
        while True:
            try:
                objects, trouble = await asyncio.to_thread(self._look, lookout), ""
            except DuckliftError as err:
                # Once, not at every look: a bucket that is not there yet would fill the log.
                if str(err) != trouble:
                    self.log.error("%s/%s cannot be watched for pipeline %s: %s", self.place, self.path, self.pipeline, err)
                objects, trouble = [], str(err)
            if objects:
                yield TriggerEvent({"objects": objects})  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.every_s)

    def _look(self, lookout: Lookout) -> Sequence[dict[str, Any]]:
        return lookout.look(airflow_settings(), time.monotonic())

"""Failed tries, noted in the lake: a load that fails never commits, so that without a note nobody but Airflow knew of it.

`_ducklift/attempts/<dataset>.<table>/<load id>.json` holds the last failed tries of one load, whichever step failed. Success writes
nothing: a commit tells of it already. See docs/decisions/0005-failed-tries-are-noted-in-the-lake.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from ducklift.errors import (
    DuckliftError,
    LakeRefused,
    LakeUnavailable,
    LoadSuperseded,
    ManifestUnreadable,
    Retryable,
    RetryOutdated,
    SliceNotOver,
)
from ducklift.failpoints import FailpointReached
from ducklift.lake.layout import ATTEMPTS, attempts_key, attempts_prefix, slice_key
from ducklift.lake.manifest import Slice
from ducklift.lake.store import Store
from ducklift.safe_text import without_passwords
from ducklift.specs import Spec, TableName, TableSpec

ATTEMPTS_VERSION = 1
KEPT_TRIES, KEPT_LOADS = 10, 200
LONGEST_MESSAGE = 2_000
SWEPT_MESSAGE = "The message was taken out by a deletion sweep of the table."
# Their messages may quote what stands in a record.
QUOTING = ("FunctionFailed", "RecordUnwritable", "ContractBroken", "CheckFailed", "LoadFailed")
PRIVATE_MESSAGE = "The message is not kept, since the table's values must not be shown. See the log of the task."
NOT_NOTED = (SliceNotOver, LoadSuperseded, RetryOutdated, LakeRefused, LakeUnavailable, FailpointReached)
DEFECT_MESSAGE = "This is none of Ducklift's own errors. See the log of the task, and please report it."
STEPS = ("extract", "upload", "load")
Step = Literal["extract", "upload", "load"]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as err:
        raise ValueError("it lies outside the years 1 to 9999") from err


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class FailedTry(Spec):
    """One try of a step that failed at a moment, after some `seconds`; `airflow` tells DAG, run, task, try and map index."""

    step: Step
    at: Moment
    seconds: float
    error: str
    message: str
    retryable: bool
    airflow: dict[str, Any] = Field(default_factory=dict)


class FailedLoad(Spec):
    """The failed tries of one load, oldest first; `stream` is empty where the failure came before anybody knew it.

    `mended_at` is when it came through after all, where no commit tells so: the load was committed before it failed.
    """

    attempts_version: int = ATTEMPTS_VERSION
    load_id: str
    table: str
    pipeline: str
    stream: str
    tries: tuple[FailedTry, ...]
    mended_at: Moment | None = None

    @property
    def last(self) -> FailedTry:
        """Return the newest failed try."""
        return self.tries[-1]


@dataclass
class Trying:
    """What a step is about to do. Whoever finds out more (the load id of a repeated extraction, the stream) writes it here."""

    step: Step
    table: TableName
    load_id: str
    pipeline: str = ""
    stream: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    private: bool = False

    def is_of(self, spec: TableSpec) -> None:
        """Take note of whether the table's values must not be shown."""
        self.private = spec.is_private


@contextmanager
def noting_failures(lake: Store, trying: Trying) -> Iterator[None]:
    """Note in the lake when what is done here fails, and let the failure go on up as it is.

    An interval that is not over is no failure, nor is what came too late, since another load has done it by then. A lake that refuses or
    does not answer would not take the note either.
    """
    started = time.monotonic()
    try:
        yield
    except NOT_NOTED:
        raise
    except Exception as err:
        _note(lake, trying, err, round(time.monotonic() - started, 3))
        raise


def _note(lake: Store, trying: Trying, err: Exception, seconds: float) -> None:
    failed = FailedTry(
        step=trying.step,
        at=datetime.now(UTC),
        seconds=seconds,
        error=type(err).__name__,
        message=_message(trying, err),
        retryable=isinstance(err, Retryable),
        airflow={name: value for name, value in trying.facts.items() if value is not None},
    )
    try:
        _put(lake, _with(_known(lake, trying), failed))
        _forget_old(lake, trying.table)
    except Exception as second:  # noqa: BLE001 — the first failure is the one to be told; this one stands in its notes
        err.add_note(f"The failure could not be noted in the lake: {type(second).__name__}: {second}")


def _message(trying: Trying, err: Exception) -> str:
    if not isinstance(err, DuckliftError):
        return DEFECT_MESSAGE
    if trying.private and type(err).__name__ in QUOTING:
        return PRIVATE_MESSAGE
    return without_passwords(str(err))[:LONGEST_MESSAGE]


def _known(lake: Store, trying: Trying) -> FailedLoad:
    """Return what is noted of the load; what is damaged is begun anew."""
    try:
        known = read_failed_load(lake, trying.table, trying.load_id)
    except ManifestUnreadable:
        known = None
    if known is not None and known.stream:
        return known
    pipeline, stream = trying.pipeline, trying.stream
    if not stream and (fixed := lake.read(slice_key(trying.table, trying.load_id))) is not None:
        slice_ = Slice.model_validate_json(fixed)
        pipeline, stream = slice_.pipeline, slice_.stream
    tries = known.tries if known else ()
    return FailedLoad(load_id=trying.load_id, table=str(trying.table), pipeline=pipeline, stream=stream, tries=tries)


def _with(known: FailedLoad, failed: FailedTry) -> FailedLoad:
    return known.model_copy(update={"tries": (*known.tries, failed)[-KEPT_TRIES:], "mended_at": None})


def _put(lake: Store, failed: FailedLoad) -> None:
    key = attempts_key(TableName.parse(failed.table), failed.load_id)
    lake.replace(key, orjson.dumps(failed.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def _forget_old(lake: Store, table: TableName) -> None:
    found = list(lake.list(attempts_prefix(table)))
    if len(found) > KEPT_LOADS:
        oldest = sorted(found, key=lambda item: item.modified or datetime.min.replace(tzinfo=UTC))
        for item in oldest[: len(found) - KEPT_LOADS]:
            lake.delete(item.key)


def parse_failed_load(data: bytes, url: str) -> FailedLoad:
    """Parse the note of a load's failed tries; raises `ManifestUnreadable` when it is damaged or newer than this version."""
    try:
        values = orjson.loads(data)
        if values["attempts_version"] > ATTEMPTS_VERSION:
            raise ManifestUnreadable(url, f"its version is {values['attempts_version']}. Upgrade Ducklift.")
        return FailedLoad.model_validate(values)
    except (ValidationError, ValueError, LookupError, TypeError) as err:
        raise ManifestUnreadable(url, "it was damaged outside Ducklift. Delete it: nothing but the list of failures leans on it.") from err


def read_failed_load(lake: Store, table: TableName, load_id: str) -> FailedLoad | None:
    """Return what is noted of a load's failed tries, or None; raises `ManifestUnreadable`."""
    key = attempts_key(table, load_id)
    data = lake.read(key)
    return parse_failed_load(data, lake.url_of(key)) if data is not None else None


def failed_loads(lake: Store) -> list[FailedLoad]:
    """Return all notes of failed tries that can be read, of all tables."""
    found = []
    for item in list(lake.list(ATTEMPTS)):
        try:
            found.append(parse_failed_load(lake.read(item.key) or b"", lake.url_of(item.key)))
        except ManifestUnreadable:
            continue  # a note that somebody damaged tells nothing, and nothing leans on it
    return found


def note_mended(lake: Store, table: TableName, load_id: str) -> None:
    """Note that a load came through which was committed before it failed; nothing is written where no failure is noted."""
    try:
        known = read_failed_load(lake, table, load_id)
    except ManifestUnreadable:
        return  # a list of failures that nobody can read does not fail a load that succeeded
    if known is not None and known.mended_at is None:
        _put(lake, known.model_copy(update={"mended_at": datetime.now(UTC)}))


def standing_failures(
    failed: Iterable[FailedLoad], newest_commits: Mapping[tuple[str, str], datetime], committed: Mapping[str, datetime]
) -> list[FailedLoad]:
    """Return the failures that nothing came after: no commit of their stream, and their load did not come through; newest first.

    `newest_commits` are the times of the last commits by (pipeline, stream), `committed` those of known loads by load id.
    """
    standing = []
    for load in failed:
        later = [newest_commits.get((load.pipeline, load.stream)), committed.get(load.load_id), load.mended_at]
        if not any(moment is not None and moment >= load.last.at for moment in later):
            standing.append(load)
    return sorted(standing, key=lambda load: load.last.at, reverse=True)


def without_quotes(failed: FailedLoad) -> FailedLoad:
    """Return a note without the messages that may quote a record, for a table whose values were to be hidden only later."""
    tries = tuple(one.model_copy(update={"message": PRIVATE_MESSAGE}) if one.error in QUOTING else one for one in failed.tries)
    return failed.model_copy(update={"tries": tries})


def blank_messages(lake: Store, table: TableName) -> None:
    """Take the messages out of a table's notes, older versions of the notes too: they may quote what a deletion sweep takes out."""
    for item in list(lake.list(attempts_prefix(table))):
        data = lake.read(item.key)
        if data is None:
            continue
        try:
            known = parse_failed_load(data, lake.url_of(item.key))
        except ManifestUnreadable:
            lake.erase(item.key)
            continue
        tries = tuple(one.model_copy(update={"message": SWEPT_MESSAGE}) for one in known.tries)
        _put(lake, known.model_copy(update={"tries": tries}))
        lake.erase_older(item.key)

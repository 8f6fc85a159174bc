"""The published state of all tables, read from the lake by what changed: one listing, and the objects that are new in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from ducklift.errors import DuckliftError, LakeRefused, ManifestUnreadable
from ducklift.lake.attempts import FailedLoad, parse_failed_load, without_quotes
from ducklift.lake.layout import ATTEMPTS, TABLES
from ducklift.lake.store import Store, StoredObject
from ducklift.settings import Settings
from ducklift.specs import TableName
from ducklift.web.digests import TableDigest, digest
from ducklift.web.pipelines import PipelineFacts, read_pipelines
from ducklift.web.views.states import Problem
from ducklift.web.views.texts import MESSAGE, shown

READERS = 16
MOST_FAILED_LOADS = 50

Mark = tuple[str, int, datetime | None]
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Kept(Generic[Content]):
    """What was made of one object, and the mark by which a listing shows whether it changed."""

    mark: Mark
    content: Content


@dataclass(frozen=True, slots=True)
class LakeState:
    """All that the overview is made of. Keys are those of the lake; the names of tables are looked up in `tables` and `failed`."""

    snapshots: Mapping[str, Kept[TableDigest | Problem]] = field(default_factory=dict)
    attempts: Mapping[str, Kept[FailedLoad | Problem]] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineFacts] = field(default_factory=dict)
    tables: Mapping[str, TableDigest] = field(default_factory=dict)
    unreadable: Mapping[str, Problem] = field(default_factory=dict)
    failed: Mapping[str, tuple[FailedLoad, ...]] = field(default_factory=dict)
    """Failed loads by table, the newest first."""
    private: frozenset[str] = frozenset()
    """Tables whose values must not be shown, by the pipeline files of now."""
    problems: tuple[Problem, ...] = ()
    """Of snapshots, notes and pipeline files."""


def read_state(lake: Store, settings: Settings, before: LakeState | None) -> LakeState:
    """Return the state of now; what has not changed since `before` is not read again. Raises the lake's errors."""
    before = before or LakeState()
    now_s = datetime.now(UTC).timestamp()
    with ThreadPoolExecutor(READERS, thread_name_prefix="ducklift: read") as pool:
        tables = [item for item in listed(lake, TABLES) if is_table(table_of(item.key))]
        snapshots = _refreshed(lake, pool, tables, before.snapshots, lambda key, data: _digest(lake, key, data, now_s))
        attempts = _refreshed(lake, pool, _newest(listed(lake, ATTEMPTS)), before.attempts, lambda key, data: _failed_load(lake, key, data))
    pipelines = read_pipelines(settings, before.pipelines)
    private = frozenset(name for facts in pipelines.values() for name in (*facts.personal, *facts.unsampled))
    contents = {table_of(key): kept.content for key, kept in snapshots.items()}
    failed: dict[str, list[FailedLoad]] = {}
    for key, kept in attempts.items():
        if isinstance(kept.content, FailedLoad) and kept.content.tries:
            table = _noted_table(key)
            failed.setdefault(table, []).append(without_quotes(kept.content) if table in private else kept.content)
    problems = [found for found in (*contents.values(), *(kept.content for kept in attempts.values())) if isinstance(found, Problem)]
    return LakeState(
        snapshots=snapshots,
        attempts=attempts,
        pipelines=pipelines,
        tables={name: found for name, found in contents.items() if isinstance(found, TableDigest)},
        unreadable={name: found for name, found in contents.items() if isinstance(found, Problem)},
        failed={name: tuple(sorted(loads, key=lambda load: load.last.at, reverse=True)) for name, loads in failed.items()},
        private=private,
        problems=(*problems, *(facts.problem for facts in pipelines.values() if facts.problem)),
    )


def listed(lake: Store, prefix: str) -> list[StoredObject]:
    """Return the objects under a prefix; none where there is no bucket yet."""
    try:
        return list(lake.list(prefix))
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        return []


def table_of(snapshot: str) -> str:
    """Return the table's name from its snapshot's key."""
    return snapshot.removeprefix(TABLES).removesuffix(".json")


def is_table(name: str) -> bool:
    """Return whether a text is the name of a table; other objects may lie where they please."""
    try:
        return str(TableName.parse(name)) == name
    except ValueError:
        return False


def _noted_table(attempts: str) -> str:
    return attempts.removeprefix(ATTEMPTS).partition("/")[0]


def _refreshed(
    lake: Store,
    pool: ThreadPoolExecutor,
    found: Iterable[StoredObject],
    before: Mapping[str, Kept[Content]],
    parse: Callable[[str, bytes], Content],
) -> dict[str, Kept[Content]]:
    """Return what was made of each object, reading those alone whose mark is another one, several at a time."""

    def read(item: StoredObject) -> tuple[StoredObject, Kept[Content] | None]:
        data = lake.read(item.key)
        return item, None if data is None else Kept(_mark(item), parse(item.key, data))

    known: dict[str, Kept[Content]] = {}
    wanted = []
    for item in found:
        kept = before.get(item.key)
        if kept is not None and kept.mark == _mark(item):
            known[item.key] = kept
        else:
            wanted.append(item)
    known.update((item.key, kept) for item, kept in pool.map(read, wanted) if kept is not None)
    return known


def _mark(item: StoredObject) -> Mark:
    return item.etag, item.size_bytes, item.modified


def _newest(found: Iterable[StoredObject]) -> list[StoredObject]:
    """Return the newest notes of each table, at most as many as anyone looks at."""
    by_table: dict[str, list[StoredObject]] = {}
    for item in found:
        if is_table(table := _noted_table(item.key)):
            by_table.setdefault(table, []).append(item)
    oldest = datetime.min.replace(tzinfo=UTC)
    kept = (sorted(items, key=lambda item: item.modified or oldest, reverse=True)[:MOST_FAILED_LOADS] for items in by_table.values())
    return [item for items in kept for item in items]


def _digest(lake: Store, key: str, data: bytes, now_s: float) -> TableDigest | Problem:
    name = table_of(key)
    try:
        return digest(data, lake.url_of(key), now_s)
    except DuckliftError as err:
        fix = "Upgrade Ducklift here." if "Upgrade" in str(err) else "Delete the object: the next load publishes it anew."
        return Problem(f"The snapshot of {name} cannot be read", shown(str(err), MESSAGE), fix, name)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as err:
        cause = f"{shown(lake.url_of(key))} is no snapshot ({type(err).__name__}): it was damaged outside Ducklift."
        return Problem(f"The snapshot of {name} cannot be read", cause, "Delete the object: the next load publishes it anew.", name)


def _failed_load(lake: Store, key: str, data: bytes) -> FailedLoad | Problem:
    try:
        return parse_failed_load(data, lake.url_of(key))
    except ManifestUnreadable as err:
        table = _noted_table(key)
        fix = "Delete the object: nothing but the list of failures leans on it."
        return Problem(f"A note of a failed load of {table} cannot be read", shown(str(err), MESSAGE), fix, table)

"""Small objects of the lake, read once for all who ask at the same time, and kept within a bound of bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from ducklift.errors import DuckliftError, LakeUnavailable
from ducklift.lake.store import Store

MOST_BYTES = 64 * 2**20
FOR_EVER: Hashable = "never changed"
"""The mark of objects that are put once: manifests, commit records."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object; `mark` tells whether what is kept of it is still true, None that it may change at any time.

    `timed` asks for the time when it was written, which takes one more request.
    """

    key: str
    mark: Hashable | None = None
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What is there: `data` is None where there is no object; `modified` is when it was written, where that was asked for."""

    data: bytes | None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    mark: Hashable | None
    until_s: float
    found: Found


class Objects:
    """Reads objects several at a time. What has no mark, and what was not there, is asked for again after `kept_s` seconds."""

    def __init__(self, lake: Store, *, kept_s: float, patience_s: float, readers: int = 16) -> None:
        self._lake, self._kept_s, self._patience_s = lake, kept_s, patience_s
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="ducklift: objects")
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, bool], _Kept] = OrderedDict()
        self._under_way: dict[tuple[str, bool], Future[Found]] = {}
        self._bytes = 0

    def read(self, wanted: Mapping[str, Wanted]) -> dict[str, Found | DuckliftError]:
        """Return each object, or why it cannot be read: after `patience_s` seconds, that it is not there yet."""
        futures = {name: self._asked_for(each) for name, each in wanted.items()}
        wait(futures.values(), timeout=self._patience_s)
        return {name: self._outcome(future, wanted[name]) for name, future in futures.items()}

    def _outcome(self, future: Future[Found], wanted: Wanted) -> Found | DuckliftError:
        if not future.done():
            return LakeUnavailable(self._lake.url_of(wanted.key), "no answer yet: it is being read")
        err = future.exception()
        if err is None:
            return future.result()
        if isinstance(err, DuckliftError):
            return err
        raise err

    def _asked_for(self, wanted: Wanted) -> Future[Found]:
        place = (wanted.key, wanted.timed)
        with self._lock:
            kept = self._kept.get(place)
            if kept is not None and kept.mark == wanted.mark and time.monotonic() < kept.until_s:
                self._kept.move_to_end(place)
                done: Future[Found] = Future()
                done.set_result(kept.found)
                return done
            under_way = self._under_way.get(place)
            if under_way is None:
                under_way = self._under_way[place] = self._pool.submit(self._fetch, wanted)
            return under_way

    def _fetch(self, wanted: Wanted) -> Found:
        try:
            found = Found(self._lake.read(wanted.key))
            if wanted.timed and found.data is not None and (stored := self._lake.stat(wanted.key)) is not None:
                found = Found(found.data, stored.modified)
            self._keep(wanted, found)
            return found
        finally:
            with self._lock:
                self._under_way.pop((wanted.key, wanted.timed), None)

    def _keep(self, wanted: Wanted, found: Found) -> None:
        stays = wanted.mark is not None and found.data is not None
        until_s = float("inf") if stays else time.monotonic() + self._kept_s
        with self._lock:
            self._forget((wanted.key, wanted.timed))
            self._kept[wanted.key, wanted.timed] = _Kept(wanted.mark, until_s, found)
            self._bytes += _size(found)
            while self._bytes > MOST_BYTES and len(self._kept) > 1:
                self._forget(next(iter(self._kept)))

    def _forget(self, place: tuple[str, bool]) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._bytes -= _size(kept.found)


def _size(found: Found) -> int:
    return len(found.data or b"") + 500

"""A value that is made anew in the background now and then, once for all who ask; nobody waits long for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Condition, Thread
from typing import Generic, TypeVar

from ducklift.errors import DuckliftError
from ducklift.web.views.states import Problem, Read
from ducklift.web.views.texts import MESSAGE, shown

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """What is known now: the `value` as it was at `at`, whether it is being made anew, and why the last try failed."""

    value: T | None
    at: datetime | None
    making: bool
    failed: Problem | None

    def read(self, now: datetime) -> Read:
        """Return it as pages tell it."""
        return Read(
            self.at, max((now - self.at).total_seconds(), 0.0) if self.at else None, self.making and self.value is None, self.failed
        )


class Refreshed(Generic[T]):
    """Holds what `make` returns for `kept_s` seconds. `make` is given what it returned before, and runs in one thread at a time.

    Who asks waits for a value that is not there yet no longer than `patience_s`, and for one in the place of one that is too old no longer
    than `newer_s`: then they get what there is. After a failure, too, `kept_s` go by before the next try.
    """

    def __init__(self, what: str, make: Callable[[T | None], T], *, kept_s: float, patience_s: float, newer_s: float) -> None:
        self.what, self._make, self._kept_s = what, make, kept_s
        self.patience_s, self.newer_s = patience_s, newer_s
        self._changed = Condition()
        self._held: Held[T] = Held(None, None, making=False, failed=None)
        self._tried_s = float("-inf")

    def held(self, kept_s: float | None = None) -> Held[T]:
        """Return what is known; what is older than it is kept, or than `kept_s`, is made anew."""
        with self._changed:
            limit_s = self._kept_s if kept_s is None else min(kept_s, self._kept_s)
            if not self._held.making and time.monotonic() - self._tried_s >= limit_s:
                self._held = Held(self._held.value, self._held.at, making=True, failed=self._held.failed)
                Thread(target=self._run, args=(self._held.value,), name=f"ducklift: {self.what}", daemon=True).start()
            if self._held.making:
                patience_s = self.patience_s if self._held.value is None else self.newer_s
                self._changed.wait_for(lambda: not self._held.making, patience_s)
            return self._held

    def _run(self, before: T | None) -> None:
        at = datetime.now(UTC)
        try:
            value: T | None = self._make(before)
            failed = None
        except Exception as err:
            if not isinstance(err, DuckliftError):
                log.exception("%s failed", self.what)
            value, failed = before, Problem(f"{self.what} failed", *_told(err))
        with self._changed:
            self._tried_s = time.monotonic()
            self._held = Held(value, at if failed is None else self._held.at, making=False, failed=failed)
            self._changed.notify_all()


def _told(err: Exception) -> tuple[str, str]:
    if isinstance(err, DuckliftError):
        return shown(str(err), MESSAGE), "What is shown is from before. `ducklift doctor` tries every part of the lake."
    return f"An error of the page itself: {type(err).__name__}.", "See the log of the web server, and please report it."

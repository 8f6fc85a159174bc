"""The sandbox's clock: a month behind the real one at first, moved on by hand, kept in a file between runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox.files import write_atomically

HEAD_START = timedelta(days=30)
SAVE_EVERY_S = 1.0


class SandboxClock:
    """Virtual time, in UTC. It never runs backwards and never passes the real time.

    `origin` is where it stood when the file was first made; everything the sandbox shows is counted from there. `after_advance` is called
    whenever it was moved on by hand.
    """

    after_advance: Callable[[], object] | None = None

    def __init__(self, path: Path, *, advance: timedelta = timedelta(0), speed: float = 0.0) -> None:
        if advance < timedelta(0) or speed < 0:
            raise ValueError("the sandbox's clock only moves forward: advance and speed must not be negative")
        self._path, self._speed, self._lock = path, speed, threading.Lock()
        if path.exists():
            self.origin, stored = _read(path)
            self._base = max(stored, min(stored + advance, datetime.now(UTC)))
        else:
            self.origin = (datetime.now(UTC) - HEAD_START).replace(minute=0, second=0, microsecond=0)
            self._base = self.origin
        self._base_at = self._saved_at = time.monotonic()
        self.save()

    def now(self) -> datetime:
        """Return the virtual time."""
        with self._lock:
            moment = self._now()
            if self._speed and time.monotonic() - self._saved_at > SAVE_EVERY_S:
                self._write(moment)
            return moment

    def advance(self, by: timedelta) -> datetime:
        """Move on by that much, the real time being the limit; return the new virtual time."""
        if by < timedelta(0):
            raise ValueError(f"the sandbox's clock only moves forward, not by {by}")
        with self._lock:
            current = self._now()
            self._base = max(current, min(current + by, datetime.now(UTC)))
            self._base_at = time.monotonic()
            self._write(self._base)
            moment = self._base
        if self.after_advance:
            self.after_advance()
        return moment

    def save(self) -> None:
        """Keep the virtual time for the next start."""
        with self._lock:
            self._write(self._now())

    def _now(self) -> datetime:
        if not self._speed:
            return self._base
        flowed = self._base + timedelta(seconds=(time.monotonic() - self._base_at) * self._speed)
        return max(self._base, min(flowed, datetime.now(UTC)))

    def _write(self, moment: datetime) -> None:
        content = {"origin": self.origin.isoformat(), "now": moment.isoformat()}
        write_atomically(self._path, json.dumps(content).encode())
        self._saved_at = time.monotonic()


def _read(path: Path) -> tuple[datetime, datetime]:
    try:
        content = json.loads(path.read_text())
        return datetime.fromisoformat(content["origin"]), datetime.fromisoformat(content["now"])
    except (ValueError, KeyError, TypeError) as err:
        raise SandboxUnavailable(f"The sandbox's clock {path} cannot be read ({err}). Delete it to start over with a fresh clock.") from err

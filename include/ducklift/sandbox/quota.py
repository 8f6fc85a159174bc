"""The request quota of the local Reddit API, and the headers that tell of it."""

from __future__ import annotations

import threading
import time

WINDOW_S = 600
# A client comes in the middle of a window. In a fresh one PRAW would spread its requests evenly, 0.6 s apart, from the first on.
AGE_OF_THE_FIRST_WINDOW_S = 300
UNLIMITED = 1_000_000


class Quota:
    """`requests_per_minute`, counted over windows of ten minutes; None counts, and never refuses."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self._allowed = None if requests_per_minute is None else requests_per_minute * WINDOW_S // 60
        self._lock = threading.Lock()
        self._window_start = time.monotonic() - AGE_OF_THE_FIRST_WINDOW_S
        self._used = 0

    def spend(self) -> tuple[bool, dict[str, str]]:
        """Count one request; return whether it is within the quota, and the headers that go with its answer."""
        with self._lock:
            elapsed_s = time.monotonic() - self._window_start
            if elapsed_s >= WINDOW_S:
                self._window_start += elapsed_s // WINDOW_S * WINDOW_S
                elapsed_s %= WINDOW_S
                self._used = 0
            self._used += 1
            if self._allowed is None:
                # One second to the reset: PRAW then never waits.
                return True, _headers(self._used, UNLIMITED, 1)
            return self._used <= self._allowed, _headers(self._used, max(0, self._allowed - self._used), int(WINDOW_S - elapsed_s) + 1)


def _headers(used: int, remaining: int, reset_s: int) -> dict[str, str]:
    return {"x-ratelimit-used": str(used), "x-ratelimit-remaining": f"{float(remaining)}", "x-ratelimit-reset": str(reset_s)}

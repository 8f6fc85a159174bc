"""How long to put up with a source that fails, and the repeating itself: tenacity, capped, with jitter."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from ducklift.errors import ExtractionIncomplete, Retryable, SourceThrottled, SourceUnavailable, Terminal

if TYPE_CHECKING:
    from tenacity import RetryCallState

log = logging.getLogger("ducklift.sources")

Kind = Literal["throttled", "unavailable", "malformed", "token"]
Outcome = TypeVar("Outcome")


class Fault(Exception):
    """One request failed in a way that asking again may mend. `wait_s` is what the server asked for; None when it did not say."""

    def __init__(self, kind: Kind, what: str, wait_s: float | None = None) -> None:
        self.kind, self.what, self.wait_s = kind, what, wait_s
        super().__init__(what)


@dataclass(frozen=True)
class Patience:
    """How often and how long to ask again, and how long to wait for an answer. All times in seconds."""

    attempts: int = 5
    first_wait_s: float = 1.0
    longest_backoff_s: float = 60.0
    # A server that asks for more than this is asked again by the next run, not by a task that holds its slot meanwhile.
    longest_wait_s: float = 120.0
    # All waits of one reading together.
    budget_s: float = 600.0
    timeout_s: float = 30.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


class Repeating:
    """Repeats what ends in a `Fault`; one for each reading, whose waits have one budget. `on_retry` is called before each repetition.

    `who` is asked, in the words of messages. A source with kinds of faults of its own overrides `attempts_for` and `last_word`.
    """

    def __init__(self, who: str, patience: Patience, on_retry: Callable[[], None]) -> None:
        self._who, self._patience, self._on_retry = who, patience, on_retry
        self._waited_s = 0.0

    def __call__(self, stream: str, ask: Callable[[], Outcome]) -> Outcome:
        """Return what `ask` returns in the end.

        Raises `SourceThrottled`, `SourceUnavailable`, or `ExtractionIncomplete` when what came made no sense until the end.
        """
        from tenacity import Retrying, retry_if_exception_type

        repeating = Retrying(
            retry=retry_if_exception_type(Fault),
            wait=self._wait_s,
            stop=self._is_enough,
            before_sleep=lambda state: self._note(stream, state),
            sleep=self._patience.sleep,
            reraise=True,
        )
        try:
            return repeating(ask)
        except Fault as fault:
            # Not chained: a fault's own causes may hold the request and its keys.
            raise self.last_word(stream, fault) from None

    def attempts_for(self, fault: Fault) -> int:
        """Return how often to ask where this fault comes."""
        del fault
        return self._patience.attempts

    def last_word(self, stream: str, fault: Fault) -> Retryable | Terminal:
        """Return the error of a fault that asking again did not mend."""
        if fault.kind == "throttled":
            asked = "" if fault.wait_s is None else f" and asks to wait for {fault.wait_s:.0f} s"
            return SourceThrottled(f"{stream}: {self._who} throttles ({fault}){asked}. Try again later.", fault.wait_s)
        if fault.kind == "malformed":
            return ExtractionIncomplete(f"{stream}: what {self._who} answers makes no sense, and still did not after its retries: {fault}.")
        return SourceUnavailable(f"{stream}: {self._who} does not answer, and still did not after its retries: {fault}. Try again later.")

    def _wait_s(self, state: RetryCallState) -> float:
        fault, patience = _fault_of(state), self._patience
        jitter_s = random.uniform(0, patience.first_wait_s)  # noqa: S311 - spreads clients, guards nothing
        if fault.wait_s is not None:
            return fault.wait_s + jitter_s
        backoff_s: float = patience.first_wait_s * 2 ** (state.attempt_number - 1)
        return min(backoff_s, patience.longest_backoff_s) + jitter_s

    def _is_enough(self, state: RetryCallState) -> bool:
        fault, patience = _fault_of(state), self._patience
        return (
            state.attempt_number >= self.attempts_for(fault)
            or (fault.wait_s or 0) > patience.longest_wait_s
            or self._waited_s + state.upcoming_sleep > patience.budget_s
        )

    def _note(self, stream: str, state: RetryCallState) -> None:
        self._waited_s += state.upcoming_sleep
        self._on_retry()
        log.warning("%s: %s; attempt %s failed, the next in %.1f s", stream, _fault_of(state), state.attempt_number, state.upcoming_sleep)


def _fault_of(state: RetryCallState) -> Fault:
    fault = state.outcome.exception() if state.outcome else None
    return fault if isinstance(fault, Fault) else Fault("unavailable", "no answer")

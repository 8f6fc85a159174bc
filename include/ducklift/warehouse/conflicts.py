"""Many writers: a transaction that another one beat to the commit is undone and done again, whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ducklift.errors import WriteConflict

Outcome = TypeVar("Outcome")

# Each round lets one writer through, so that these suffice for some dozens of writers to one table.
ROUNDS = 40
LONGEST_PAUSE_S = 3.0


def until_committed(transaction: Callable[[], Outcome]) -> Outcome:
    """Run `transaction` until no other writer gets in its way, with growing random pauses, and return what it returned.

    It must be a function of its arguments and of what the warehouse holds: it sees the other's rows when it is run again. Raises the last
    `WriteConflict` after 40 rounds; nothing of it is committed then.
    """
    import tenacity

    rounds = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(WriteConflict),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=LONGEST_PAUSE_S),
        stop=tenacity.stop_after_attempt(ROUNDS),
        reraise=True,
    )
    return rounds(transaction)

"""Many writers: a transaction that another one beat to the commit is undone and done again, whole."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
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
    for pause in islice(pauses_s(LONGEST_PAUSE_S), ROUNDS - 1):
        try:
            return transaction()
        except WriteConflict:
            time.sleep(pause)
    return transaction()


def pauses_s(longest_s: float) -> Iterator[float]:
    """Yield random pauses in seconds, the first below 50 ms and each up to twice as long as the one before, none above `longest_s`."""
    # Tenacity would do, and took a tenth of the CPU time of a run with nothing new, by its import alone.
    return (random.uniform(0, min(longest_s, 0.05 * 2 ** min(number, 32))) for number in count())  # noqa: S311

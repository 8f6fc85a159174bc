"""Ctrl-C while DuckDB computes: what it computes is stopped, and the error is Python's own `KeyboardInterrupt`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@contextmanager
def interruptible(connection: DuckDBPyConnection) -> Iterator[None]:
    """Stop the connection's statement when the process is interrupted, and raise `KeyboardInterrupt`.

    DuckDB by itself sees the signal in the calling thread only, and leaves its statement without stopping its other threads: closing the
    connection then waits for them until the statement is done, be it hours.
    """
    with interrupts_named(), _stopping(connection):
        yield


@contextmanager
def interrupts_named() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in the place of what DuckDB says when it was interrupted."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException as err:
        raise KeyboardInterrupt from err
    except RuntimeError as err:
        if str(err) != "Query interrupted":
            raise
        raise KeyboardInterrupt from err


@contextmanager
def _stopping(connection: DuckDBPyConnection) -> Iterator[None]:
    earlier = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(earlier):
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        connection.interrupt()
        earlier(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)

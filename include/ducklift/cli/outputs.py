"""Standard output and error as a command finds them: closed, full, in an alphabet of few letters."""

from __future__ import annotations

import io
import os
import sys


class OutputFailed(Exception):
    """Standard output takes nothing more: its disk is full, its terminal gone."""


class _Output(io.TextIOWrapper):
    """Standard output that tells its own failures from those of the files that a command works on."""

    def write(self, text: str) -> int:
        """Write, as every text file does; raises `OutputFailed`, or `BrokenPipeError` when the reader has seen enough."""
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as err:
            raise OutputFailed(err.strerror) from err

    def flush(self) -> None:
        """Flush, with the errors of `write`."""
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as err:
            raise OutputFailed(err.strerror) from err


def have_outputs() -> None:
    """Have a standard output and error that take every text: closed ones keep nothing, others write escapes for letters they lack."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest free number is the closed one's: no file that is opened later gets it, and with it what is printed.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    found = sys.stdout
    if isinstance(found, io.TextIOWrapper):
        errors = found.errors if found.encoding.lower().replace("-", "") == "utf8" else "backslashreplace"
        encoding, by_line, at_once = found.encoding, found.line_buffering, found.write_through
        sys.stdout = _Output(found.detach(), encoding, errors, line_buffering=by_line, write_through=at_once)


def give_up_output() -> None:
    """Send to nowhere what is still to be printed, since Python tries once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""How far a run is, for a person who waits: one bar per stream on standard error, and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ducklift.safe_text import visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ducklift.pipeline import OnStep

_STEPS = {"extract": 0, "upload": 1, "load": 2}
# More bars than this would push the running one off a small screen.
_MOST_BARS = 12


@contextmanager
def shown_progress(streams: int) -> Iterator[OnStep | None]:
    """Show bars while the body runs and give it the function that moves them; nothing of it away from a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[step]}", markup=False),
        TextColumn("{task.fields[rows]:>9,} rows", markup=False),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr, markup=False, highlight=False, emoji=False),
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        yield _Bars(progress, streams).on_step


class _Bars:
    """The bars, one for each stream that has begun."""

    def __init__(self, progress: Progress, streams: int) -> None:
        self._progress, self._streams = progress, streams
        self._bars: dict[str, TaskID] = {}

    def on_step(self, stream: str, step: str, rows: int) -> None:
        """Move the bar of `stream`: a step has begun or has come to so many rows, or (any other word) the stream has ended so."""
        bar = self._bar(stream)
        ended = step not in _STEPS
        self._progress.update(bar, completed=len(_STEPS) if ended else _STEPS[step], step=f"{step:<14}")
        if rows:
            # Upload, load and a failure report 0; what was extracted says more.
            self._progress.update(bar, rows=rows)

    def _bar(self, stream: str) -> TaskID:
        if stream not in self._bars:
            if len(self._bars) >= _MOST_BARS:
                self._progress.update(list(self._bars.values())[-_MOST_BARS], visible=False)
            name = f"{len(self._bars) + 1}/{self._streams} {visible(stream)}"
            self._bars[stream] = self._progress.add_task(name, total=len(_STEPS), step="", rows=0)
        return self._bars[stream]

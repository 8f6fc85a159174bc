"""Background processes of one project: started in sessions of their own, found again and ended without a trace.

Airflow's task supervisor puts each task into a process group of its own, so ending groups is not enough; and a process that sets
its title overwrites its environment. Whatever is in the session of something that was started, or bears the project's path in its
environment, belongs to the project.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.errors import Terminal
from ducklift.orchestration.environment import write_private

if TYPE_CHECKING:
    import psutil

TAG = "DUCKLIFT_STANDING"
LOOK_EVERY_S = 0.1
# After SIGKILL nothing is left to a process; a busy machine may take long to carry it out.
KILLED_WITHIN_S = 30.0
# A process's start is told by the wall clock, which may be set meanwhile.
CLOCK_STEP_S = 60.0


class ComponentFailed(Terminal):
    """A background process ended by itself, or did not become ready in time."""

    def __init__(self, component: str, what: str, log: Path) -> None:
        self.component, self.log = component, log
        super().__init__(f"{component} {what}. The end of its log ({log}):\n{last_lines(log)}")


class ProcessesLeft(Terminal):
    """Processes outlived even SIGKILL."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids = list(pids)
        super().__init__(f"These processes do not end: {', '.join(map(str, pids))}. Look at them with: ps -fp {' '.join(map(str, pids))}")


class Background:
    """The background processes of `project`, as far as they are written down in `record` or can be recognised."""

    def __init__(self, project: Path, record: Path) -> None:
        self.project, self._record = project, record
        self._known: dict[str, Any] = json.loads(record.read_text("utf-8")) if record.exists() else {"processes": {}}

    @property
    def port(self) -> int:
        """Return the port that was noted at the start; 0 when nothing was."""
        return int(self._known.get("port", 0))

    def note_port(self, port: int) -> None:
        """Begin a new record."""
        self._known = {"port": port, "processes": {}}
        write_private(self._record, self._known)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process that outlives this one, with its output in `log`; an earlier log is replaced."""
        import psutil

        with log.open("wb") as output:
            started = subprocess.Popen(  # noqa: S603 - fixed commands of this package
                list(command),
                env={**environment, TAG: str(self.project)},
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with suppress(psutil.NoSuchProcess):
            self._known["processes"][name] = [started.pid, psutil.Process(started.pid).create_time()]
        write_private(self._record, self._known)
        return started

    def is_running(self, name: str) -> bool:
        """Tell whether the process that was started under this name still runs."""
        import psutil

        pid, created = self._known["processes"].get(name, (0, 0.0))
        try:
            return not _is_reused(pid, created) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def running(self) -> list[psutil.Process]:
        """Return every process of this project that runs, children of children included."""
        return list(dict.fromkeys(self._find()))

    def end_all(self, patience_s: float) -> int:
        """End everything, with SIGTERM to what was started first; return how many processes there were.

        What still runs after `patience_s` seconds is killed. Raises `ProcessesLeft` when even that leaves something.
        """
        ours = set(self.running())
        found = len(ours)
        leaders = [name for name in self._known["processes"] if self.is_running(name)]
        for name in leaders:
            with suppress(ProcessLookupError):
                os.killpg(self._known["processes"][name][0], signal.SIGTERM)
        if not leaders:
            _signal(ours, signal.SIGTERM)
        if left := self._left_after(patience_s, ours):
            _signal(left, signal.SIGKILL)
            if left := self._left_after(KILLED_WITHIN_S, ours):
                raise ProcessesLeft([process.pid for process in left])
        self._record.unlink(missing_ok=True)
        return found

    def _find(self) -> Iterator[psutil.Process]:
        import psutil

        started = {pid for pid, created in self._known["processes"].values() if not _is_reused(pid, created)}
        for pid in psutil.pids():
            # A process that ends while it is being looked at is none of ours any more.
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE and (os.getsid(pid) in started or self._bears_tag(process)):
                    yield process
        # Between fork and exec's end a child in a session of its own shows no environment yet.
        for pid in started:
            with suppress(psutil.NoSuchProcess):
                yield from filter(_runs, psutil.Process(pid).children(recursive=True))

    def _bears_tag(self, process: psutil.Process) -> bool:
        import psutil

        try:
            return process.environ().get(TAG) == str(self.project)
        except (psutil.AccessDenied, PermissionError, OSError):
            return False  # another user's

    def _left_after(self, limit_s: float, ours: set[psutil.Process]) -> list[psutil.Process]:
        """Return what still runs after at most `limit_s` seconds, adding to `ours` what comes to light meanwhile.

        Nothing that was recognised once is forgotten: a process that ends has no environment any more before it is gone.
        """
        deadline = time.monotonic() + limit_s
        while True:
            ours.update(self._find())
            left = [process for process in ours if _runs(process)]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(LOOK_EVERY_S)


def _runs(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_reused(pid: int, created: float) -> bool:
    """Tell whether `pid` stands for another process by now; numbers are given out again some day."""
    import psutil

    try:
        return abs(psutil.Process(pid).create_time() - created) >= CLOCK_STEP_S
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def last_lines(log: Path, count: int = 15) -> str:
    """Return the end of a log, indented; says so when there is nothing."""
    if not log.is_file():
        return "  (there is no log)"
    with log.open(encoding="utf-8", errors="replace") as lines:
        kept = deque((line.rstrip() for line in lines if line.strip()), maxlen=count)
    return "\n".join(f"  {line}" for line in kept) or "  (the log is empty)"

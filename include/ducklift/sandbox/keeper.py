"""Run a server and end it with the process that asked for it.

Started as a script of its own (standard library only), in a process group of its own. It ends the server when its standard input
closes or its parent is gone, so that even a killed parent leaves nothing behind. A death signal set by the parent itself would
fire as soon as the *thread* that started the server ends.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 0.2
GRACE_S = 3.0


def _die_with_the_keeper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def keep(parent_pid: int, command: list[str]) -> int:
    """Run `command` until it ends, standard input closes or the parent is gone; return its exit code."""
    server = subprocess.Popen(  # noqa: S603 - the command comes from the sandbox alone
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_the_keeper,
    )
    while server.poll() is None:
        closed, _, _ = select.select([sys.stdin], [], [], LOOK_EVERY_S)
        if closed or os.getppid() != parent_pid:
            server.terminate()
            try:
                server.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                server.kill()
    return server.wait()


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))

"""Run a command and write what it took as JSON: `python measured.py <result file> <command> …`.

A process of its own and a small one: the kernel counts what the parent held at the start into a child's greatest memory, and a process
that has run many tests holds a lot.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(result: str, command: list[str]) -> None:
    started = time.monotonic()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    took = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "greatest_memory_mb": usage.ru_maxrss * 1024 / 1e6,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "seconds": time.monotonic() - started,
    }
    Path(result).write_text(json.dumps(took), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

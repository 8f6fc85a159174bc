"""Doing something in a process of its own that is killed at a named point."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from ducklift.sources.registry import SOURCE_TYPES

_SPAWNING = multiprocessing.get_context("forkserver")


def _doomed(point: str, work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    SOURCE_TYPES["listed"] = "listed_source:ListedSource"
    os.environ["DUCKLIFT_FAILPOINTS"] = f"{point}:kill"
    work(*arguments)


def killed_at(point: str, work: Callable[..., object], *arguments: Any) -> bool:
    """Call `work` in a process that is killed at the fail point; return whether it came so far."""
    process = _SPAWNING.Process(target=_doomed, args=(point, work, arguments))
    process.start()
    process.join(120)
    return process.exitcode == -signal.SIGKILL

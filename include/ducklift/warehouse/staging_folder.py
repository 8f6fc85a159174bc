"""The folder of one load under way: locked as long as its process lives, and swept by the next one when that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """Make a folder in `parent` that goes when the body ends, after removing those whose process was killed."""
    _sweep(parent)
    folder, lock = _claimed(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _claimed(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix="load-"))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # swept by another process before it was locked
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def abandoned_folders(parent: Path) -> Iterator[Path]:
    """Yield the folders whose process was killed; nobody else can take one as long as the caller looks at it."""
    for folder in sorted(parent.glob("load-*")):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            # The kernel drops a lock with its process, in whichever container that ran; a process id tells nothing there.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _sweep(parent: Path) -> None:
    for folder in abandoned_folders(parent):
        shutil.rmtree(folder, ignore_errors=True)

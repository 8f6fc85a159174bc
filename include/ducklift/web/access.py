"""What an endpoint asks first: who looks, and what they may read of the lake."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

    from ducklift.web.reader import LakeReader
    from ducklift.web.security import Visitor


class OpenedOnce:
    """The one reader of a process, opened when it is first asked for; an opening that failed is tried again the next time."""

    def __init__(self, open_reader: Callable[[], LakeReader]) -> None:
        self._open, self._lock = open_reader, Lock()
        self._reader: LakeReader | None = None

    def __call__(self) -> LakeReader:
        """Return the reader; not for the event loop."""
        with self._lock:
            if self._reader is None:
                self._reader = self._open()
            return self._reader


def visitor_of(request: Request) -> Visitor:
    """Return who looks; the guard has made sure of it."""
    visitor: Visitor = request.state.visitor
    return visitor


def reader_of(request: Request) -> LakeReader:
    """Return what reads the lake for who looks: without the tables of pipelines that they may not see. Not for the event loop."""
    opened: LakeReader = request.app.state.reader()
    return opened.seen_by(visitor_of(request).may_read)

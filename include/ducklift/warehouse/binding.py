"""Values bound to a statement without what DuckDB would import for it: pandas, where it is installed, costs a second of CPU.

DuckDB asks of every bound value whether it is pandas' NaT or NA. As long as nobody has imported pandas, none can be.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PANDAS = "pandas"


class _Absent:
    """A finder by which pandas is not there for one thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, *_: object) -> None:
        if name == _PANDAS and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(name, name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Let this thread import no pandas; nothing changes where it is imported already."""
    if _PANDAS in sys.modules:
        yield
        return
    finder = _Absent()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)

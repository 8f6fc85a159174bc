"""The source contract on functions of a project's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_contract import Since, SourceContract, Trial

FUNCTIONS = """
def numbers(cursor_from=None):
    for number in range(cursor_from or 0, 2_500):
        yield {"number": number, "text": f"n{number}"}


def table(cursor_from=None):
    import pyarrow as pa

    numbers = range(cursor_from or 0, 250_000)
    return pa.table({"number": numbers, "text": [f"n{number}" for number in numbers]})


def broken():
    yield {"number": 1}
    raise ValueError("no more")
"""


class TestRecords(SourceContract):
    largest_batch = 1_000
    function, rows = "numbers", 2_500

    @pytest.fixture
    def trial(self, project: Path) -> Trial:
        (project / "include" / "numbers.py").write_text(FUNCTIONS)
        config = {"type": "python", "function": f"include/numbers.py:{self.function}"}
        missing = {"type": "python", "function": "include/numbers.py:missing"}
        return Trial(
            config=config,
            rows=self.rows,
            key=["number"],
            broken=[{**config, "function": "include/numbers.py:broken"}, missing],
            since=Since("number", self.rows - 1_000),
            pipeline={"incremental": {"cursor": "number"}},
        )


class TestTables(TestRecords):
    largest_batch = 100_000
    function, rows = "table", 250_000

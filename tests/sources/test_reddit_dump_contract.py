"""The source contract on a dump of several frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumps import line, post, write_dump
from source_contract import SourceContract, Trial

FILE = "dumps/RS_2026-01.zst"


class TestDump(SourceContract):
    largest_batch = 10_000

    @pytest.fixture
    def trial(self, project: Path) -> Trial:
        write_dump(project / FILE, (line(post(number)) for number in range(25_000)), frames=3)
        (project / "dumps" / "cut.zst").write_bytes((project / FILE).read_bytes()[:-100])
        config = {"type": "reddit_dump", "files": [FILE]}
        broken = [{**config, "files": ["dumps/none.zst"]}, {**config, "files": ["dumps/cut.zst"]}]
        return Trial(config=config, rows=25_000, key=["name"], broken=broken)

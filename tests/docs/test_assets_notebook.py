"""The walk through values in storage runs as it stands in the documentation, with everything that it claims."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_assets_notebook_runs_from_the_first_cell_to_the_last(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(DOCS / "assets_notebook.py"))
    assert "2026-01-03 2 rows in analytics.top_posts" in capsys.readouterr().out

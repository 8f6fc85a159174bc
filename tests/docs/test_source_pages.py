"""The worked example of each source's page answers as it is written."""

from __future__ import annotations

import sqlite3

import pytest
from source_page import differences
from typer.testing import CliRunner


@pytest.mark.parametrize("page", ["python.md", "sql_tables.md", "reddit_dump.md"])
def test_the_example_of_a_sources_page_answers_as_it_is_written(page, project, monkeypatch):
    from ducklift.cli.app import app

    monkeypatch.setattr("ducklift.settings.PROJECT", project)

    def call(*words: str) -> str:
        return CliRunner().invoke(app, list(words), prog_name="ducklift").output

    def in_the_database(script: str) -> None:
        with sqlite3.connect(project / "shop.db") as database:
            database.executescript(script)

    assert differences(f"sources/{page}", project, call, in_the_database, project / "dumps" / "RS_2024-01.jsonl") == []

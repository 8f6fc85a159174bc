from __future__ import annotations

import pytest
from typer.testing import CliRunner
from worked_example import differences


@pytest.mark.parametrize("page", ["checks-and-quarantine.md", "layouts.md", "new-pipelines.md", "rebuild.md"])
def test_a_worked_example_answers_as_it_is_written(page, project, monkeypatch):
    from ducklift.cli.app import app

    monkeypatch.setattr("ducklift.settings.PROJECT", project)

    def call(*words: str) -> str:
        return CliRunner().invoke(app, list(words), prog_name="ducklift").output

    assert differences(page, project, call) == []


def test_an_answer_that_is_otherwise_is_told(project, tmp_path, monkeypatch):
    monkeypatch.setattr("worked_example.DOCUMENTS", tmp_path)
    (tmp_path / "page.md").write_text("```console\n$ ducklift say\nyes …\nno\n```\n")

    assert differences("page.md", project, lambda *_: "yes indeed\n") == ["say: 'no' is not in ['yes indeed']"]

"""docs/retention.md: its worked example does what it says."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from kept_lakes import time_passes
from typer.testing import CliRunner

from ducklift.lake.gc import Kind
from ducklift.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "retention.md").read_text("utf-8")
EXAMPLE = PAGE.partition("## A worked example")[2]


def blocks(language: str, text: str = EXAMPLE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture
def reddit(sandbox: Sandbox, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on the sandbox with the page's pipeline file."""
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ducklift.settings.PROJECT", project)
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", "s3://retention-page/lake")
    (yaml,) = blocks("yaml")
    (project / "include" / "pipelines" / "reddit.yaml").write_text(yaml)
    return project


def answered(command: str) -> str:
    from ducklift.cli.app import app

    result = CliRunner().invoke(app, command.split()[1:], prog_name="ducklift")
    assert result.exit_code == 0, result.output
    return result.stdout


def matches(shown: str, told: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in told.strip().split("…"))
    return re.fullmatch(pattern, shown.strip(), re.S) is not None


def test_the_worked_example_does_what_it_says(reddit: Path, monkeypatch: pytest.MonkeyPatch):
    (console,) = blocks("console")
    for step in console.split("$ ")[1:]:
        command, _, told = step.partition("\n")
        shown = answered(command)

        assert matches(shown, told), f"{command} answered:\n{shown}\nbut the page says:\n{told}"
        if command == "ducklift run reddit":
            time_passes(monkeypatch, timedelta(days=31))
    (program,) = blocks("python", PAGE)
    exec(program, {})


def test_every_kind_of_garbage_stands_in_the_page():
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == set(get_args(Kind))

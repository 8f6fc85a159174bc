"""The worked examples of docs/deletions.md and docs/sources/reddit.md do what they say."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ducklift.sandbox import RedditOptions, Sandbox
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_comments import Comments

DOCUMENTS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def own_sandbox(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Sandbox(tmp_path / "sandbox", options=RedditOptions(requests_per_minute=None)) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("ducklift.settings.PROJECT", project)
        monkeypatch.setenv("DUCKLIFT_LAKE_URL", (project / "lake").as_uri())
        yield running


def answered(command: str) -> str:
    import shlex

    from ducklift.cli.app import app

    result = CliRunner().invoke(app, shlex.split(command)[1:], prog_name="ducklift")
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("page", ["deletions.md", "sources/reddit.md"])
def test_the_worked_example_does_what_it_says(page: str, own_sandbox: Sandbox, project: Path) -> None:
    text = (DOCUMENTS / page).read_text("utf-8")
    file = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if block.startswith("name:"))
    (project / "include" / "pipelines" / "reddit.yaml").write_text(file)
    (console,) = re.findall(r"```console\n(.*?)```", text, re.S)
    for step in console.split("$ ")[1:]:
        command, _, told = step.partition("\n")
        shown = answered(command)
        pattern = ".*".join(re.escape(part) for part in told.strip().split("…"))

        assert re.fullmatch(pattern, shown.strip(), re.S), f"{command} answered:\n{shown}\nbut the page says:\n{told}"
        if command == "ducklift run reddit":
            own_sandbox.reddit.advance(timedelta(days=5))


def test_the_page_of_the_source_names_every_option() -> None:
    text = (DOCUMENTS / "sources" / "reddit.md").read_text("utf-8")
    options = [field.alias or name for model in (RedditSource, Comments) for name, field in model.model_fields.items() if name != "type"]

    assert [name for name in options if f"`{name}`" not in text] == []
    assert yaml.safe_load(re.search(r"```yaml\n(sweep:.*?)```", (DOCUMENTS / "deletions.md").read_text("utf-8"), re.S)[1])

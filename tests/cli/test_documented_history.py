from __future__ import annotations

import re
import shlex
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "rebuild.md"


def test_every_command_of_the_document_works_in_its_order(ducklift, home, sandbox, monkeypatch):
    for name, value in sandbox.environment.items():
        if name.startswith(("REDDIT_", "praw_")):
            monkeypatch.setenv(name, value)
    for name, rest in (
        ("reddit", "disposition: merge\nprimary_key: [name]\nincremental: {cursor: created_utc, overlap: 48h}"),
        ("posts_in_lake", "target: lake"),
    ):
        text = f"name: {name}\nsource: {{type: reddit, subreddits: [duckdb]}}\ntable: reddit.{name.replace('reddit', 'posts')}\n{rest}\n"
        (home / "include" / "pipelines" / f"{name}.yaml").write_text(text)
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line.replace("$HERE", str(home))) for block in blocks for line in block.splitlines()]

    answers = {" ".join(command): ducklift(*command[1:]) for command in commands}

    assert len(answers) == len(commands) > 10
    assert {command: answer.stderr for command, answer in answers.items() if answer.exit_code != 0} == {}
    assert "-r2" in answers["ducklift loads"].stdout
    assert (home / "another.duckdb").exists()

"""A documentation page's blocks, done in their order: `yaml` is a pipeline file, `json` its records, `console` commands and answers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

DOCUMENTS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(yaml|json|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def differences(page: str, home: Path, call: Callable[..., str]) -> list[str]:
    """Do what the page says in a project folder and return the lines of answers that came otherwise.

    `call` takes the words behind `ducklift` and returns what was printed. A pipeline's source is a file of the records shown last; in an
    answer `…` stands for anything, and everywhere `$HERE` for the folder.
    """
    records = home / "records.json"
    records.write_text("{}")
    name, found = "", []
    for kind, text in _BLOCK.findall((DOCUMENTS / page).read_text("utf-8").replace("$HERE", str(home))):
        if kind == "yaml":
            name = str(yaml.safe_load(text)["name"])
            file = home / "include" / "pipelines" / f"{name}.yaml"
            file.write_text(f"{text}source: {{type: listed, file: {records}}}\n")
        elif kind == "json":
            records.write_text(json.dumps({name: [[json.loads(line) for line in text.splitlines()]]}))
        else:
            found += [difference for command, answer in commands(text) for difference in compared(command, answer, call)]
    return found


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\$ ducklift ", text, flags=re.MULTILINE)[1:]:
        command, *answer = part.splitlines()
        yield command, answer


def compared(command: str, answer: list[str], call: Callable[..., str]) -> Iterator[str]:
    printed = [line.strip() for line in call(*shlex.split(command)).splitlines()]
    for line in answer:
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        if not any(pattern.fullmatch(each) for each in printed):
            yield f"{command}: {line!r} is not in {printed}"

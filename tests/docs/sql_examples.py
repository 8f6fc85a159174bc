"""The worked examples of a page, as the page shows them: what stands there is what is run.

An example begins with a `yaml` block (a pipeline without its source). Each `json` block is one load of those lines, each `text` block the
error that the load before it ended with, each `sql` block a query whose answer is the table beneath it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml
from installations import Installation

from ducklift.errors import DuckliftError

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(yaml|json|text|sql)\n(.*?)^```\n((?:\n*\|[^\n]*\n)*)", re.MULTILINE | re.DOTALL)
_PLAIN: dict[str, Any] = {"disposition": "append", "primary_key": [], "incremental": None, "columns": [], "record_column": None}


@dataclass(frozen=True)
class Step:
    """One block of an example and the table beneath it."""

    kind: str
    body: str
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Example:
    """A pipeline and what is done with it."""

    title: str
    steps: tuple[Step, ...]


def examples(page: str) -> list[Example]:
    """Return the worked examples of `docs/<page>`, each under the heading where it stands; pipelines that load nothing are none."""
    found = []
    for section in re.split(r"^## ", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE):
        steps = [Step(kind, body, _rows(table)) for kind, body, table in _BLOCK.findall(section)]
        starts = [place for place, step in enumerate(steps) if step.kind == "yaml"]
        for start, end in zip(starts, [*starts[1:], len(steps)], strict=False):
            if end > start + 1:
                found.append(Example(f"{section.partition(chr(10))[0]} {start}", tuple(steps[start:end])))
    return found


def _rows(table: str) -> tuple[tuple[str, ...], ...]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return tuple(tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines[:1] + lines[2:])


def run(example: Example, installation: Installation) -> list[tuple[Any, Any]]:
    """Run an example on a `file://` lake and return what the page says beside what came out, for every query and error."""
    given: dict[str, Any] = yaml.safe_load(example.steps[0].body)
    spec = {**_PLAIN, **{name: value for name, value in given.items() if name != "name"}}
    compared: list[tuple[Any, Any]] = []
    day, error = 0, ""
    for step in example.steps[1:]:
        if step.kind == "json":
            day, error = day + 1, ""
            try:
                installation.land([json.loads(line) for line in step.body.splitlines()], day=day, **spec)
            except DuckliftError as err:
                error = str(err)
        elif step.kind == "text":
            compared.append((step.body.strip(), error))
            error = ""
        else:
            compared.append((list(step.table), _answer(installation, step.body)))
        assert step.kind in ("json", "text") or not error, error
    return compared


def _answer(installation: Installation, sql: str) -> list[tuple[str, ...]]:
    """Return the names of a query's columns, and its rows."""
    with duckdb.connect(str(installation.warehouse_file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
        result = connection.execute(sql)
        return [tuple(column[0] for column in result.description), *(tuple(_cell(value) for value in row) for row in result.fetchall())]


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

"""A source's page: blocks whose first line is a comment with a path are those files of the project, `console` blocks are run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from worked_example import DOCUMENTS, commands, compared

_BLOCK = re.compile(r"^```(yaml|python|sql|json|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|--) ([\w./-]+\.\w+)\n")


def differences(
    page: str, project: Path, call: Callable[..., str], sql: Callable[[str], None] | None = None, records: Path | None = None
) -> list[str]:
    """Write the files and run the commands in their order; return the lines of answers that came otherwise.

    A `sql` block is handed to `sql`: it is done in the database that the page reads from; a `json` block is the file `records`.
    """
    found = []
    for kind, text in _BLOCK.findall((DOCUMENTS / page).read_text("utf-8")):
        if kind == "console":
            found += [difference for command, answer in commands(text) for difference in compared(command, answer, call)]
        elif kind == "sql" and sql is not None:
            sql(text)
        elif kind == "json" and records is not None:
            records.parent.mkdir(parents=True, exist_ok=True)
            records.write_text(text)
        elif match := _FILE.match(text):
            file = project / match[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return found

"""Tables as CSV that a spreadsheet opens without running anything: a text that it would take for a formula gets an apostrophe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

# What spreadsheets take for the beginning of a formula (OWASP, CSV Injection), full-width signs among them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 — these are the full-width signs
_ROWS_PER_CHUNK = 500

Cell = str | float | bool | date | None


@dataclass(frozen=True)
class Sheet:
    """A table to download: a name for the file, without its ending, headings, and rows."""

    name: str
    headings: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def lines(sheet: Sheet) -> Iterator[str]:
    """Yield a sheet as CSV, a few hundred rows at a time."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_safe(heading) for heading in sheet.headings])
    for number, row in enumerate(sheet.rows, start=1):
        writer.writerow([_safe(cell) for cell in row])
        if number % _ROWS_PER_CHUNK == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, datetime):
        return cell.isoformat()
    if not isinstance(cell, str):
        return cell
    # A spreadsheet looks past blanks and quotes at the beginning.
    return f"'{cell}" if cell.lstrip(" '\"").startswith(_FORMULA) or cell.startswith(_FORMULA) else cell

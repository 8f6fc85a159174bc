"""Rows as a person reads them: a table, or one record below the other where a table would be too narrow to read."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Union

from ducklift.safe_text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Narrower columns show nothing but ellipses.
_NARROWEST_COLUMN = 9
_LONGEST_CELL = 2_000
# What rich puts around and between the cells of one column.
_PADDING = 3
_UNLIMITED_WIDTH = 1_000_000
# What makes rich take anything for a terminal.
TAKEN_FOR_TERMINAL = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}

Row = Sequence[str | None]


@dataclass(frozen=True)
class Heading:
    """One column of a table. `whole`: never cut, because people copy its values."""

    name: str
    numeric: bool = False
    whole: bool = False


class Lines:
    """Standard output that is no terminal: rich would draw plain lines on it, and takes as long to import as a small run needs."""

    is_terminal = False
    width = _UNLIMITED_WIDTH

    def line(self, text: str = "") -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


Screen = Union["Console", Lines]


def console() -> Screen:
    """Return a console on standard output that interprets no markup in data and cuts lines on a terminal only."""
    speaks_utf8 = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    if sys.stdout.isatty() or not speaks_utf8 or os.environ.keys() & TAKEN_FOR_TERMINAL:
        return console_of_rich()
    return Lines()


def console_of_rich() -> Console:
    """Return a console of rich's, whatever standard output is."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNLIMITED_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width)


def say(screen: Screen, text: str, style: str = "") -> None:
    """Print a line of text that may quote data."""
    if isinstance(screen, Lines):
        screen.line(visible(text))
        return
    from rich.text import Text

    screen.print(Text(visible(text), style=style), soft_wrap=True)


def print_rows(headings: Sequence[Heading], rows: Sequence[Row]) -> None:
    """Print rows as a table, or as records on a terminal too narrow for its columns."""
    screen = console()
    if not isinstance(screen, Lines) and screen.is_terminal and len(headings) * _NARROWEST_COLUMN > screen.width and rows:
        _print_records(screen, headings, rows)
    else:
        print_table(screen, headings, rows)


def print_table(screen: Screen, headings: Sequence[Heading], rows: Sequence[Row]) -> None:
    """Print rows as a table, however narrow the terminal."""
    if isinstance(screen, Lines):
        texts = [[visible("NULL" if value is None else value) for value in row] for row in [[each.name for each in headings], *rows]]
        if all(text.isascii() for row in texts for text in row):
            _print_plainly(screen, headings, texts)
            return
        screen = console_of_rich()  # it knows how wide the letters of the world are
    _draw_table(screen, headings, rows)


def _print_plainly(screen: Lines, headings: Sequence[Heading], texts: Sequence[Sequence[str]]) -> None:
    """Print the lines that rich would draw."""
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for number, row in enumerate(texts):
        cells = zip(headings, row, widths, strict=True)
        screen.line("   ".join(text.rjust(width) if heading.numeric else text.ljust(width) for heading, text, width in cells))
        if not number:
            screen.line("─" * (sum(widths) + _PADDING * (len(widths) - 1)))


def _draw_table(screen: Console, headings: Sequence[Heading], rows: Sequence[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    cells = [[_cell(value, cut=screen.is_terminal) for value in row] for row in rows]
    widths = [
        max(Text(visible(heading.name)).cell_len, *(row[place].cell_len for row in cells), 0) for place, heading in enumerate(headings)
    ]
    fixed = [heading.whole for heading in headings]
    widths = _fitted(widths, fixed, screen.width - len(headings) * _PADDING)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading, width in zip(headings, widths, strict=True):
        justify: Literal["left", "right"] = "right" if heading.numeric else "left"
        table.add_column(Text(visible(heading.name)), justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*row)
    screen.print(table)


def _fitted(widths: Sequence[int], fixed: Sequence[bool], available: int) -> list[int]:
    """Cut the widest columns until all fit, the narrow ones not at all: an id beside a long text stays readable."""
    room = available - sum(width for width, whole in zip(widths, fixed, strict=True) if whole)
    share, left = 0, sum(not whole for whole in fixed)
    for width in sorted(width for width, whole in zip(widths, fixed, strict=True) if not whole):
        share = max(room // left, 1)
        if width > share:
            break
        share, room, left = width, room - width, left - 1
    return [width if whole else min(width, share) for width, whole in zip(widths, fixed, strict=True)]


def _print_records(screen: Console, headings: Sequence[Heading], rows: Sequence[Row]) -> None:
    from rich.text import Text

    names = [visible(heading.name) for heading in headings]
    width = min(max(len(name) for name in names), 40)
    for number, row in enumerate(rows, start=1):
        screen.print(Text(f"── row {number}", style="bold"))
        for name, value in zip(names, row, strict=True):
            line = Text.assemble((f"{name:<{width}}  ", "cyan"), _cell(value, cut=True))
            screen.print(line, no_wrap=True, overflow="ellipsis")


def _cell(value: str | None, *, cut: bool) -> Text:
    from rich.text import Text

    if value is None:
        return Text("NULL", style="dim")
    return Text(visible(value[:_LONGEST_CELL] if cut else value))

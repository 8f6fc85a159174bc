"""What is printed where no terminal is: the same lines as rich draws, without importing it."""

from __future__ import annotations

import contextlib
import io
import string

import pytest
from hypothesis import given, settings, strategies as st

from ducklift.cli import tabular
from ducklift.cli.tabular import Heading, Lines, print_table, say

ANYTHING = st.text(st.one_of(st.sampled_from(string.printable), st.characters()), max_size=12)
ROW = st.tuples(st.none() | ANYTHING, st.none() | ANYTHING, st.none() | ANYTHING)


@settings(deadline=None)  # the first one imports rich
@given(names=st.tuples(ANYTHING, ANYTHING, ANYTHING), rows=st.lists(ROW, max_size=4), line=ANYTHING)
def test_lines_away_from_a_terminal_are_those_that_rich_would_draw(names, rows, line):
    headings = [Heading(name, numeric=place == 1) for place, name in enumerate(names)]

    with pytest.MonkeyPatch.context() as patch:
        for name in tabular.TAKEN_FOR_TERMINAL:
            patch.delenv(name, raising=False)
        plain, drawn = (_printed(screen, headings, rows, line) for screen in (Lines(), tabular.console_of_rich()))

    assert plain == drawn


def _printed(screen, headings, rows, line):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if not isinstance(screen, Lines):
            screen = tabular.console_of_rich()  # on what is standard output now
        print_table(screen, headings, rows)
        say(screen, line, "bold")
        screen.line()
    return printed.getvalue()

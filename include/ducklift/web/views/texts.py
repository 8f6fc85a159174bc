"""Texts from data, made fit to be shown on a page: nothing invisible that turns text around, nothing longer than anyone reads."""

from __future__ import annotations

from typing import Any

from ducklift.safe_text import visible

CELL, NAME, LINE, MESSAGE = 200, 120, 2_000, 1_000


def shown(text: str, most: int = CELL) -> str:
    """Return a text with control and direction marks visible, cut after `most` characters with a marker that tells its whole length."""
    if len(text) <= most:
        return visible(text)
    return f"{visible(text[:most])}… ({len(text):,} characters)"


def span(seconds: float) -> str:
    """Return a span of time by the one unit that tells it well, as sentences have it: 45 s, 90 min, 36 h, 12 d."""
    for length, unit in ((172_800, "d"), (7_200, "h"), (120, "min")):
        if seconds >= length:
            return f"{seconds / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def shown_or_none(text: Any, most: int = CELL) -> str | None:
    """Return anything as a text fit to be shown; None stays None."""
    return None if text is None else shown(str(text), most)

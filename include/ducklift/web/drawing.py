"""Pictures drawn by the server as SVG: presentation attributes and classes only, since the page allows no inline style.

Every text that reaches an attribute is escaped; numbers are written by `_n`. What a picture tells, its label tells in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

# Few columns would else be as wide as the page.
FEWEST_SLOTS = 12
Tone = Literal["ok", "warn", "bad", "info", "idle", "extra"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of a picture: its height's value, its tone, and what hovering tells."""

    value: float
    tone: Tone
    title: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One share of a whole: a stripe of a bar, a band of a Sankey."""

    value: float
    tone: Tone
    title: str = ""


def sparkline(bars: Sequence[Bar], slots: int = 30) -> Markup:
    """Return the last loads as small columns, the newest at the right; a bad one is seen although it brought nothing."""
    height, step = 26.0, 5.0
    greatest = max((bar.value for bar in bars), default=0) or 1
    bars = bars[-slots:]
    offset = (slots - len(bars)) * step
    # One path for each tone, not one element for each load: a page of a hundred tables stays small.
    paths: dict[Tone, list[str]] = {}
    for place, bar in enumerate(bars):
        tall = max(height * bar.value / greatest, 7.0 if bar.tone in ("bad", "warn") else 1.5)
        left = offset + place * step
        paths.setdefault(bar.tone, []).append(f"M{_n(left)} {_n(height)}v-{_n(tall)}h4v{_n(tall)}z")
    body = _join(Markup('<path class="f-{}" d="{}"/>').format(tone, "".join(parts)) for tone, parts in paths.items())
    return _svg("spark", slots * step, height, body, sparkline_label(bars), stretched=True)


def sparkline_label(bars: Sequence[Bar]) -> str:
    """Return what a sparkline shows, in words."""
    if not bars:
        return "No loads yet"
    bad = sum(bar.tone == "bad" for bar in bars)
    newest = bars[-1].title or f"{bars[-1].value:,.0f} rows"
    return (
        f"Last {len(bars)} loads, {bad} failed; the newest: {newest}"
        if bad
        else f"Last {len(bars)} loads, none failed; the newest: {newest}"
    )


def columns_chart(bars: Sequence[Bar], line: Sequence[float | None] = (), label: str = "") -> Markup:
    """Return columns over time and, on a scale of its own, a line above them; it stretches to the width it is given."""
    wide, height = 1_000.0, 168.0
    greatest = max((bar.value for bar in bars), default=0) or 1
    step = wide / max(len(bars), FEWEST_SLOTS)
    gap = min(step * 0.25, 3.0)
    drawn = []
    for place, bar in enumerate(bars):
        # What brought nothing is still to be seen where it is a load; a day on which nothing was written is not.
        least = 10.0 if bar.tone in ("bad", "warn") else 0.0 if bar.tone == "info" else 1.0
        tall = max((height - 8) * bar.value / greatest, least)
        drawn.append(
            Markup('<rect class="f-{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(
                bar.tone, _n(place * step), _n(height - tall), _n(max(step - gap, 0.5)), _n(tall), _title(bar.title)
            )
        )
    rules = _join(
        Markup('<path class="rule" d="M0 {}H{}"/>').format(_n(height - 0.5 - (height - 8) * part), _n(wide)) for part in (0, 0.5, 1)
    )
    return _svg("", wide, height, rules + _join(drawn) + _line(line, step, height), label, stretched=True)


def _line(values: Sequence[float | None], step: float, height: float) -> Markup:
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Markup("")
    greatest = max(value for _, value in known) or 1
    points = " ".join(f"{_n(place * step + step / 2)},{_n(height - (height - 8) * value / greatest)}" for place, value in known)
    return Markup('<polyline class="trend" points="{}"/>').format(points)


def stacked_bar(parts: Sequence[Part], label: str, class_: str = "timing", whole: float = 0.0) -> Markup:
    """Return shares of a whole (their sum, or more) as stripes side by side; a share that is not nothing can be seen."""
    total = max(sum(part.value for part in parts), whole) or 1
    left, drawn = 0.0, [Markup('<rect class="track" width="1000" height="14"/>')]
    for part in parts:
        wide = 1_000 * part.value / total
        if wide > 0:
            drawn.append(
                Markup('<rect class="f-{}" x="{}" width="{}" height="14">{}</rect>').format(
                    part.tone, _n(left), _n(max(wide - 2, 2)), _title(part.title)
                )
            )
        left += wide
    return _svg(class_, 1_000, 14, _join(drawn), label, stretched=True)


def share_bar(share: float | None, tone: Tone = "info") -> Markup:
    """Return a share of one as a thin bar, without words: the number stands beside it."""
    if share is None:
        return Markup("")
    wide = max(min(share, 1.0), 0.0) * 64
    body = Markup('<rect class="track" width="64" height="6" rx="3"/><rect class="f-{}" width="{}" height="6" rx="3"/>').format(
        tone, _n(wide)
    )
    return Markup('<svg class="share" viewBox="0 0 64 6" aria-hidden="true" focusable="false">{}</svg>').format(body)


def sankey(total: float, parts: Sequence[Part], label: str) -> Markup:
    """Return how a whole, at the left, becomes its parts, at the right, as bands as thick as they are many."""
    height, wide, node = 150.0, 1_000.0, 12.0
    shown = [part for part in parts if part.value > 0]
    room = height - 8.0 * max(len(shown) - 1, 0)
    whole = sum(part.value for part in shown) or 1
    # What is few beside millions is still seen; the others give way.
    thick = [max(room * part.value / whole, 3.0) for part in shown]
    scale = room / (sum(thick) or 1)
    drawn, left_top, right_top = [], (height - room) / 2, 0.0
    for part, share in zip(shown, thick, strict=True):
        tall = share * scale
        drawn.append(_band(part, (node, left_top), (wide - node, right_top), tall))
        drawn.append(
            Markup('<rect class="f-{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                part.tone, _n(wide - node), _n(right_top), _n(node), _n(tall)
            )
        )
        left_top, right_top = left_top + tall, right_top + tall + 8.0
    drawn.append(Markup('<rect class="f-idle" y="{}" width="{}" height="{}"/>').format(_n((height - room) / 2), _n(node), _n(room)))
    return _svg("sankey", wide, height, _join(drawn), label if total else f"{label}: no rows", stretched=True)


def _band(part: Part, start: tuple[float, float], end: tuple[float, float], tall: float) -> Markup:
    (x0, y0), (x1, y1) = start, end
    middle = (x0 + x1) / 2
    path = (
        f"M{_n(x0)} {_n(y0)}C{_n(middle)} {_n(y0)} {_n(middle)} {_n(y1)} {_n(x1)} {_n(y1)}v{_n(tall)}"
        f"C{_n(middle)} {_n(y1 + tall)} {_n(middle)} {_n(y0 + tall)} {_n(x0)} {_n(y0 + tall)}z"
    )
    return Markup('<path class="band f-{}" d="{}">{}</path>').format(part.tone, path, _title(part.title))


def swatch(tone: Tone) -> Markup:
    """Return a small square of a tone, for a key."""
    body = Markup('<rect class="f-{}" width="10" height="10" rx="2"/>').format(tone)
    return Markup('<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" focusable="false">{}</svg>').format(body)


def icon(name: str, class_: str = "icon") -> Markup:
    """Return a use of one of the page's symbols; a word stands beside it, so it says nothing by itself."""
    return Markup('<svg class="{}" aria-hidden="true" focusable="false"><use href="#i-{}"/></svg>').format(class_, name)


def _svg(class_: str, wide: float, height: float, body: Markup, label: str, *, stretched: bool = False) -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}"{} role="img" aria-label="{}" focusable="false">{}</svg>').format(
        class_, _n(wide), _n(height), Markup(' preserveAspectRatio="none"') if stretched else "", label, body
    )


def _title(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")

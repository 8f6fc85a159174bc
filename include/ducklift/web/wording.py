"""Numbers, sizes, spans and times as people read them; each returns text or markup that is safe to put on a page."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup, escape

NOTHING = "–"  # noqa: RUF001 — a dash where nothing is
MINUS = "−"  # noqa: RUF001 — the sign, as wide as a plus
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SPANS = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_LARGE = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k"))


def count(number: float | None) -> str:
    """Return a whole number with its thousands apart, or a dash for none."""
    return NOTHING if number is None else f"{number:,.0f}"


def short_count(number: float | None) -> str:
    """Return a number in at most five characters or so: 9,999, 12.3k, 4.56M."""
    if number is None:
        return NOTHING
    for size, unit in _LARGE:
        if abs(number) >= size:
            power = size if unit != "k" else 1_000
            return f"{_three_digits(number / power)}{unit}"
    return f"{number:,.0f}"


def signed(number: float | None) -> str:
    """Return a change with its sign, the typographic minus among them; nothing changed is ±0."""
    if number is None:
        return NOTHING
    return "±0" if not number else f"{'+' if number > 0 else MINUS}{abs(number):,.0f}"


def size(bytes_: float | None) -> str:
    """Return a size in bytes by decimal units: 512 B, 1.5 kB, 59 MB."""
    if bytes_ is None:
        return NOTHING
    value, unit = float(bytes_), 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1_000, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{_three_digits(value)} {_UNITS[unit]}"


def span(seconds: float | None) -> str:
    """Return a span by its two largest units: 0.4 s, 12 s, 3 min 20 s, 2 d 4 h."""
    if seconds is None:
        return NOTHING
    if abs(seconds) < 10:
        return f"{seconds:.1f} s" if seconds else "0 s"
    left = round(abs(seconds))
    parts: list[str] = []
    for length, unit in _SPANS:
        amount, rest = divmod(left, length)
        if amount or parts:
            parts.append(f"{amount} {unit}" if amount else "")
            left = rest
        if len(parts) == 2:
            break
    return (MINUS if seconds < 0 else "") + " ".join(part for part in parts if part)


def age(seconds: float | None) -> str:
    """Return a span by the one unit that tells it well: 45 s, 90 min, 36 h, 12 d; one that is yet to come has a minus."""
    if seconds is None:
        return NOTHING
    # Two machines' clocks may differ by a little.
    return (MINUS if seconds <= -60 else "") + _one_unit(abs(seconds))


def share(part: float | None) -> str:
    """Return a share of one as a percentage; what is not nothing is never told as nothing, what is not all never as all."""
    if part is None:
        return NOTHING
    if 0 < part < 0.001:
        return "< 0.1 %"
    if 0.999 < part < 1:
        return "> 99.9 %"
    return f"{part * 100:.0f} %" if part in (0, 1) else f"{part * 100:.1f} %"


def stamp(moment: datetime | None) -> str:
    """Return a time to the second, in UTC."""
    return NOTHING if moment is None else f"{_utc(moment):%Y-%m-%d %H:%M:%S} UTC"


def when(moment: datetime | None, now: datetime) -> Markup | str:
    """Return how long ago a moment was, or how soon it will be, with the time itself for machines and on hovering."""
    if moment is None:
        return NOTHING
    away_s = (now - moment).total_seconds()
    words = "just now" if abs(away_s) < 5 else f"{_one_unit(away_s)} ago" if away_s > 0 else f"in {_one_unit(-away_s)}"
    return _time(moment, words)


def exactly(moment: datetime | None) -> Markup | str:
    """Return a time to the second, in UTC, as an element that machines read too."""
    return NOTHING if moment is None else _time(moment, stamp(moment))


def _time(moment: datetime, words: str) -> Markup:
    utc = _utc(moment)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(utc.isoformat(), stamp(utc), escape(words))


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)  # within a day of the first or the last that there is


def _one_unit(seconds: float) -> str:
    # Up to twice the next unit, the smaller one tells more: 90 min, 36 h.
    for length, unit in _SPANS:
        if seconds >= (2 * length if length > 60 else length):
            return f"{round(seconds / length)} {unit}"
    return "1 s"


def _three_digits(value: float) -> str:
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

"""The pictures of the pages: what a view holds, as bars, lines and bands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson
from markupsafe import Markup

from ducklift.web.drawing import FEWEST_SLOTS, Bar, Part, columns_chart, sankey, share_bar, sparkline, stacked_bar
from ducklift.web.tones import FATE_TONES, LOAD_TONES, STEP_TONES
from ducklift.web.views.lakes import DayRow
from ducklift.web.views.loads import Flow, StepTime
from ducklift.web.views.overview import Health, SeriesPoint
from ducklift.web.views.states import TableState
from ducklift.web.views.tables import GrowthPoint
from ducklift.web.wording import size, span, stamp


def series(points: Sequence[SeriesPoint]) -> Markup:
    """Return a table's last loads as a sparkline."""
    return sparkline([Bar(point.height, LOAD_TONES[point.state], f"{point.state}, {point.rows:,} rows") for point in points])


def growth_chart(points: Sequence[GrowthPoint]) -> Markup:
    """Return the rows that each load brought as columns by state, with the table's rows as a line."""
    bars = [Bar(point.loaded, LOAD_TONES[point.state], f"{stamp(point.at)}: {point.state}, {point.loaded:,} rows") for point in points]
    label = f"Rows of the last {len(points)} loads, and the table's rows after each; the list of loads below tells the same."
    return columns_chart(bars, [point.rows for point in points], label)


def on_time(points: Sequence[GrowthPoint], now: datetime) -> Markup:
    """Return the freshness line below the columns: how long the table was late from each load to the next; empty without a target."""
    if all(point.fresh_until is None for point in points):
        return Markup("")
    ends = [*(point.at for point in points[1:]), now]
    stripes: list[Part] = []
    lateness, fresh_until = 0, None
    for point, end in zip(points, ends, strict=True):
        # A failed load leaves the table as late as it was.
        fresh_until = point.fresh_until or fresh_until
        late = _late(point.at, end, fresh_until)
        stripes += [Part(1 - late, "ok" if fresh_until else "idle"), Part(late, "bad", "late")]
        lateness += late > 0
    label = f"Freshness: late after {lateness} of {len(points)} loads" if lateness else "Freshness: never late"
    return stacked_bar(stripes, label, "timing thin", FEWEST_SLOTS)


def _late(start: datetime, end: datetime, fresh_until: datetime | None) -> float:
    """Return the share of a span of time that lies after `fresh_until`."""
    whole_s = (end - start).total_seconds()
    if fresh_until is None or whole_s <= 0:
        return 0.0
    return min(max((end - fresh_until).total_seconds() / whole_s, 0.0), 1.0)


def plot_data(points: Sequence[GrowthPoint]) -> str:
    """Return what the zoomable chart draws, as JSON: seconds, rows after each load, rows that it brought, its tone and its state."""
    columns = (
        [int(point.at.timestamp()) for point in points],
        [point.rows for point in points],
        [point.loaded for point in points],
        [LOAD_TONES[point.state] for point in points],
        [point.state.value for point in points],
    )
    return orjson.dumps(columns).decode()


def flow_sankey(flow: Flow) -> Markup:
    """Return what happened to every row of a load, as bands from what came in."""
    parts = [Part(part.rows, FATE_TONES[part.fate], f"{part.fate}: {part.rows:,}") for part in flow.parts]
    told = ", ".join(f"{part.rows:,} {part.fate}" for part in flow.parts if part.rows)
    return sankey(flow.extracted, parts, f"{flow.extracted:,} rows came in: {told}" if told else "No rows came in")


def step_bar(steps: Sequence[StepTime]) -> Markup:
    """Return how long each step of a load took, side by side."""
    parts = [Part(step.seconds, STEP_TONES[step.step], f"{step.step}: {span(step.seconds)}") for step in steps]
    return stacked_bar(parts, "Time per step: " + ", ".join(part.title for part in parts))


def days_chart(days: Sequence[DayRow]) -> Markup:
    """Return the bytes that were written on each day."""
    bars = [Bar(day.amount.bytes, "info", f"{day.day}: {size(day.amount.bytes)}, {day.amount.objects:,} objects") for day in days]
    return columns_chart(bars, label=f"Bytes written on each of the last {len(days)} days; the table below tells the same.")


def verdict(health: Health) -> str:
    """Return in two or three words how the whole lake is."""
    count = {
        TableState.UNREADABLE: health.unreadable,
        TableState.FAILING: health.failing,
        TableState.LATE: health.late,
        TableState.WAITING: health.waiting,
        TableState.UNTARGETED: health.untargeted,
        TableState.FRESH: health.fresh,
    }
    if health.worst is None:
        return "no tables"
    if health.worst in (TableState.UNREADABLE, TableState.FAILING, TableState.LATE):
        return f"{count[health.worst]:,} {health.worst}"
    return "all fresh" if health.worst is TableState.FRESH else "nothing is wrong"


def null_bar(share: float | None) -> Markup:
    """Return a column's share of NULL as a bar."""
    return share_bar(share, "warn" if share and share > 0.5 else "info")


def part_bar(share: float | None) -> Markup:
    """Return a share of the whole as a bar."""
    return share_bar(share)

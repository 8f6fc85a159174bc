"""What a run did, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ducklift.cli.tabular import Heading, console, print_table, say
from ducklift.errors import ListingGap
from ducklift.summary import LAST

# In the order of the accounting: extracted is the sum of the next five.
_COUNTS = {
    "extracted": "rows_extracted",
    "new": "rows_inserted",
    "changed": "rows_updated",
    "unchanged": "rows_unchanged",
    "twice": "rows_deduplicated",
    "quarantined": "rows_quarantined",
    "deleted": "rows_deleted",
}
_ALWAYS_SHOWN = ("extracted", "new", "changed", "unchanged")
# Together they leave room for the rest on a screen of 40 lines.
_MOST_LINES, _MOST_FAILURES, _MOST_TABLES = 20, 10, 3


def print_summary(run: Mapping[str, Any], next_commands: Sequence[str] = ()) -> None:
    """Print a run (`RunSummary.as_dict()`): a line per stream, the totals, each failure with its reason, what to try next."""
    screen = console()
    loads: list[Mapping[str, Any]] = list(run["loads"])
    shown = [title for title, key in _COUNTS.items() if title in _ALWAYS_SHOWN or run[key]]
    lines = [_line(load, shown, load["stream"]) for load in loads[:_MOST_LINES]]
    if len(loads) > 1:
        lines.append(_line({**run, "table": ""}, shown, "total"))
    counts = (Heading(title, numeric=True) for title in shown)
    print_table(screen, [Heading("stream"), Heading("table"), Heading("state"), *counts, Heading("bytes", numeric=True)], lines)
    if len(loads) > _MOST_LINES:
        say(screen, f"… and {len(loads) - _MOST_LINES} more streams; --json names all of them.")
    failures = [reason for load in loads if (reason := failure_of(load))]
    for reason in failures[:_MOST_FAILURES]:
        say(screen, reason, "red")
    if len(failures) > _MOST_FAILURES:
        say(screen, f"… and {len(failures) - _MOST_FAILURES} more failures.", "red")
    warnings = [f"{load['stream']}: {warning}" for load in loads for warning in load["warnings"]]
    for warning in warnings[:_MOST_FAILURES]:
        say(screen, f"warning: {warning}", "yellow")
    if len(warnings) > _MOST_FAILURES:
        say(screen, f"… and {len(warnings) - _MOST_FAILURES} more warnings.", "yellow")
    for line in _tables(loads)[:_MOST_TABLES]:
        say(screen, line)
    files = "1 raw file" if run["files"] == 1 else f"{run['files']:,} raw files"
    say(screen, f"{run['state']} in {run['seconds']:.1f} s, {files}", "bold")
    for command in next_commands:
        say(screen, f"  {command}", "dim")


def _tables(loads: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each table that the run reached: its rows, and the greatest cursor that is loaded."""
    found: dict[str, str] = {}
    for load in loads:
        if load.get("total_rows") is not None:
            lasts = [
                f", {name.replace('_', ' ', 1)}: {value}" for name, value in load.items() if name.startswith(LAST) and value is not None
            ]
            found[load["table"]] = f"{load['table']}: {load['total_rows']:,} rows{''.join(lasts) if len(loads) == 1 else ''}"
    return list(found.values())


def print_plans(plans: Sequence[Mapping[str, Any]]) -> None:
    """Print what a run would do, one stream after the other; nothing has happened."""
    screen = console()
    for plan in plans:
        say(screen, f"{plan['stream']} → {plan['table']} ({plan['disposition']}), load {plan['load_id']}", "bold")
        for name, value in _plan_facts(plan).items():
            say(screen, f"  {name:<9} {value}")
    say(screen, "No record was read from the source, and nothing was written.", "dim")


def _plan_facts(plan: Mapping[str, Any]) -> dict[str, str]:
    facts = {"reads": _plan_reads(plan)}
    if len(plan["reads"]) > 1:
        facts["of"] = ", ".join(plan["reads"])
    if plan["extracts"]:
        facts |= {"writes": plan["raw"], "and": plan["manifest"]}
    facts["table"] = f"{plan['table_rows']:,} rows now" if plan["table_exists"] else "is made; its columns come with the first records"
    if plan["state"] in ("new", "landed"):
        facts["changes"] = plan["effect"]
        if plan["new_columns"]:
            facts["columns"] = f"{', '.join(plan['new_columns'])}: new"
    if plan["supersedes"]:
        facts["replaces"] = ", ".join(plan["supersedes"])
    if plan["replaces_stream"]:
        facts["replaces"] = "all that this stream loaded"
    return facts


def _plan_reads(plan: Mapping[str, Any]) -> str:
    nothing = {
        "already_loaded": "nothing: this load is in the table",
        "landed": "nothing: this load is in the lake, and only has to be loaded",
        "not_over": f"nothing: the slice ends at {plan['slice_end']}; run it after that",
    }.get(plan["state"])
    if nothing:
        return nothing
    if files := plan["files"]:
        unnamed = files["new"] - len(files["names"])
        names = ", ".join([*files["names"], *([f"and {unnamed} more"] if unnamed else [])])
        return f"{files['new']} of {files['matched']} files, {size(files['bytes'])}{': ' if names else ''}{names}"
    begin = "the beginning" if plan["cursor_from"] is None else f"cursor {plan['cursor_from']}"
    end = "" if plan["cursor_to"] is None else f" up to {plan['cursor_to']}"
    mark = "" if plan["watermark"] is None else f" (watermark {plan['watermark']})"
    return f"slice {plan['slice_start']} to {plan['slice_end']}, from {begin}{end}{mark}"


def _line(load: Mapping[str, Any], shown: Sequence[str], first: str) -> list[str | None]:
    return [first, load["table"] or "", load["state"], *(f"{load[_COUNTS[title]]:,}" for title in shown), size(load["bytes"])]


def failure_of(load: Mapping[str, Any]) -> str | None:
    """Return why a stream makes the run red, beginning with its name; None when it does not."""
    stream, error = load["stream"], load["error"]
    if error is None and load.get("gap") is not None:
        error = str(ListingGap(stream, *load["gap"]))
    return error if error is None or error.startswith(f"{stream}:") else f"{stream}: {error}"


def size(count: int) -> str:
    """Return a number of bytes in the unit that people would choose."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:,.1f} {unit}"
    return f"{amount / 1000:,.1f} TB"

"""What `make run` shows: one screen after a run that worked, the reasons after one that did not."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ducklift.cli.summary import size
from ducklift.cli.tabular import Heading, console, print_table, say
from ducklift.settings import Settings

MOST_OBJECTS = 8
MOST_ERROR_LINES = 20
ANSI = re.compile(r"\x1b\[[0-9;]*m")
# What Airflow logs as an error, what this package says, and the last line of a traceback.
FAULT = re.compile(r"\[(?:error|critical)\s*\]|^ducklift: |^(?:[a-z_]\w*\.)*[A-Z]\w*: .")
TOP_POSTS = "select score, num_comments, subreddit, title from reddit.posts order by score desc, name limit 5"
PER_SUBREDDIT = "select coalesce(subreddit, '(promoted)'), count(*), max(created_at)::varchar from reddit.posts group by all order by all"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show that something goes on: a spinner on a terminal, one line elsewhere."""
    from rich.console import Console

    screen = Console(stderr=True, highlight=False)
    if not screen.is_terminal:
        sys.stderr.write(text + "\n")
        yield
        return
    with screen.status(text):
        yield


def show_run(result: Mapping[str, Any], settings: Settings, buckets: Path, log: Path) -> None:
    """Show tasks and times, the objects under `raw/`, the rows, the top posts, the paths, and what to try next."""
    screen = console()
    say(screen, f"DAG 'reddit' ran on Airflow against the sandbox: {result['state']} in {result['seconds']:.1f} s", "bold")
    show_tasks(result)
    show_rows(result, settings)
    show_objects(result, settings)
    here = settings.project
    screen.line()
    say(screen, f"Bucket     {(buckets / settings.lake_url.removeprefix('s3://')).relative_to(here)}/   (the sandbox's; it stays)")
    say(screen, f"Warehouse  {(here / '.ducklift' / 'warehouse.duckdb').relative_to(here)}")
    say(screen, f"Log        {log.relative_to(here)}")
    screen.line()
    say(screen, "Next:", "bold")
    query = "select subreddit, count(*) as posts, avg(score) as score from reddit.posts group by all"
    say(screen, "  make run                        a day later in the sandbox: only what is new or changed")
    say(screen, f'  .venv/bin/ducklift query "{query}"')
    say(screen, "  make up                         the same in Airflow's web UI, on its schedule")


def show_tasks(result: Mapping[str, Any]) -> None:
    """Show each task of the graph: how many streams it ran for, and how long that took in all."""
    runs = Counter(task["task_id"] for task in result["tasks"])
    seconds: Counter[str] = Counter()
    for task in result["tasks"]:
        seconds[task["task_id"]] += task["seconds"]
    lines = [[name, f"{count}", f"{seconds[name]:.1f}"] for name, count in runs.items()]
    print_table(console(), [Heading("task"), Heading("streams", numeric=True), Heading("seconds", numeric=True)], lines)
    console().line()


def show_rows(result: Mapping[str, Any], settings: Settings) -> None:
    """Show what the run did to each subreddit, and the five top posts as they now stand in the warehouse."""
    from ducklift.warehouse import open_warehouse

    with open_warehouse(settings, read_only=True) as warehouse:
        per_subreddit = warehouse.rows(PER_SUBREDDIT)
        top = warehouse.rows(TOP_POSTS)
    loads = {load["stream"].lower().partition("/")[0]: load for load in result["loads"]}
    lines = [[name, *_counts(loads.pop(name.lower(), {})), f"{rows:,}", newest] for name, rows, newest in per_subreddit]
    # What is no subreddit's alone, as the one load of a table that is replaced.
    lines += [[load["stream"], *_counts(load), "", ""] for load in loads.values()]
    numbers = ("extracted", "new", "changed", "unchanged", "rows now")
    print_table(console(), [Heading("subreddit"), *(Heading(name, numeric=True) for name in numbers), Heading("newest post")], lines)
    console().line()
    posts = [[f"{score:,}", f"{comments:,}", subreddit, title] for score, comments, subreddit, title in top]
    headings = [
        Heading("score", numeric=True),
        Heading("comments", numeric=True),
        Heading("subreddit"),
        Heading("top posts in reddit.posts"),
    ]
    print_table(console(), headings, posts)
    console().line()


def _counts(load: Mapping[str, Any]) -> list[str]:
    return [f"{load[key]:,}" if load else "" for key in ("rows_extracted", "rows_inserted", "rows_updated", "rows_unchanged")]


def show_objects(result: Mapping[str, Any], settings: Settings) -> None:
    """Show the raw files that this run put into the bucket, and how much lies under `raw/` in all."""
    from ducklift.lake.filesystem import open_lake

    screen = console()
    objects = list(open_lake(settings).list("raw/"))
    data = [one for one in objects if "/_loads/" not in one.key]
    total = size(sum(one.size_bytes for one in objects))
    say(screen, f"{settings.lake_url}: {len(data)} files and {len(objects) - len(data)} manifests under raw/, {total}", "bold")
    load_ids = tuple(load["load_id"] for load in result["loads"])
    landed = sorted((one.key, one.size_bytes) for one in data if one.key.rpartition("/")[2].startswith(load_ids))
    for key, size_bytes in landed[:MOST_OBJECTS]:
        say(screen, f"  {key}  {size(size_bytes)}")
    if len(landed) > MOST_OBJECTS:
        say(screen, f"  and {len(landed) - MOST_OBJECTS} more of this run")


def show_failure(result: Mapping[str, Any] | None, log: Path) -> None:
    """Show which tasks failed, and the lines of Airflow's log that tell why."""
    failed = [task for task in result["tasks"] if task["state"] in ("failed", "up_for_retry")] if result else []
    for task in failed:
        sys.stderr.write(f"ducklift: task {task['task_id']} failed for {task['stream'] or 'its stream'}\n")
    lines = [ANSI.sub("", line).rstrip() for line in log.read_text("utf-8", "replace").splitlines()]
    telling = list(dict.fromkeys(line for line in lines if FAULT.search(line))) or [line for line in lines if line]
    sys.stderr.write("".join(f"  {line}\n" for line in telling[-MOST_ERROR_LINES:]))
    sys.stderr.write(f"ducklift: the DAG run failed. Airflow's whole log: {log}\n")

"""docs/dags.md: every DAG of the project, told by the DAGs themselves: `python -m ducklift.orchestration.dag_page`, `--check` in CI."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ducklift.errors import ConfigurationError
from ducklift.settings import PROJECT

HEAD = """\
# DAGs

Written by `python -m ducklift.orchestration.dag_page` from the files in `dags/`; a test fails where this page and they differ. How
schedules, partitions and backfills work: [scheduling.md](scheduling.md).
"""
# The page is the same wherever it is written, whatever this installation's settings are.
NEUTRAL = {"DUCKLIFT_LAKE_URL": "s3://bucket", "DUCKLIFT_NOTIFY": ""}


def dags_of(folder: Path) -> Iterator[Any]:
    """Yield the DAGs of a folder in the order of their ids; raises `ConfigurationError` when a file cannot be imported."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(folder))
    for file, error in bag.import_errors.items():
        raise ConfigurationError(error.strip(), file=Path(file))
    yield from (bag.dags[dag_id] for dag_id in sorted(bag.dags))


def page(folder: Path) -> str:
    """Return the page about the DAGs of a folder."""
    return "\n".join([HEAD, *("\n".join(_section(dag)) for dag in dags_of(folder))])


def _section(dag: Any) -> Iterator[str]:
    yield f"## {dag.dag_id}\n"
    yield f"`dags/{Path(dag.fileloc).name}` · {schedule_of(dag)} · {_runs(dag)}{_tags(dag)}\n"
    yield f"{_first_paragraph(dag.doc_md)}\n"
    yield "| task | pool | retries | for each of | writes |"
    yield "| --- | --- | --- | --- | --- |"
    for task in dag.topological_sort():
        writes = ", ".join(f"`{outlet.name}`" for outlet in task.outlets)
        yield f"| `{task.task_id}` | {task.pool} | {task.retries} | {_mapped_over(task)} | {writes} |"
    yield ""
    if dag.params:
        yield "| field of the trigger form | default | |"
        yield "| --- | --- | --- |"
        for name in dag.params:
            param = dag.params.get_param(name)
            yield f"| `{name}` | {_shown(param.value)} | {_in_a_cell(param.description or '')} |"
        yield ""


def schedule_of(dag: Any) -> str:
    """Return a DAG's schedule in words."""
    timetable = dag.timetable
    name = type(timetable).__name__
    if (expression := getattr(timetable, "expression", None)) is not None:
        return f"{name} `{expression}` {timetable.timezone}"
    if (condition := getattr(timetable, "asset_condition", None)) is not None:
        return f"{name} of " + ", ".join(f"`{asset}`" for asset in _assets(condition))
    return "no schedule: by hand" if name == "NullTimetable" else name


def _assets(condition: Any) -> list[str]:
    if (parts := getattr(condition, "objects", None)) is not None:
        return [name for part in parts for name in _assets(part)]
    return [condition.name]


def _runs(dag: Any) -> str:
    return f"{dag.max_active_runs} run at a time" if dag.max_active_runs == 1 else f"{dag.max_active_runs} runs at a time"


def _tags(dag: Any) -> str:
    return "".join(f" · {tag}" for tag in sorted(dag.tags))


def _mapped_over(task: Any) -> str:
    group = task.get_closest_mapped_task_group()
    if group is not None:
        return str(group.group_id)
    return ", ".join(getattr(task, "op_kwargs_expand_input", None).value) if task.is_mapped else ""  # type: ignore[union-attr]


def _first_paragraph(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value)
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with `--check` answer 1 where it is not what would be written."""
    parser = argparse.ArgumentParser(prog="python -m ducklift.orchestration.dag_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; answer 1 when the page is out of date")
    parser.add_argument("--project", type=Path, default=PROJECT, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    os.environ.update(NEUTRAL, DUCKLIFT_PIPELINES=str(chosen.project / "include" / "pipelines"))
    target, text = chosen.project / "docs" / "dags.md", page(chosen.project / "dags")
    if not chosen.check:
        target.write_text(text, "utf-8")
    elif not target.is_file() or target.read_text("utf-8") != text:
        sys.stderr.write(f"{target} is out of date. Write it anew: python -m ducklift.orchestration.dag_page\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

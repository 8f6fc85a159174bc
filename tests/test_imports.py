"""Imports go down only, Airflow stays in its room, and heavy libraries wait until they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ducklift

PACKAGE = Path(ducklift.__file__).parent
PROJECT = Path(__file__).parents[1]
# From the bottom up. A room imports from the layers below it; those of the second layer may lean on each other.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset(
        {"settings", "specs", "batches", "source_files", "table_choices", "cursors", "documents", "failpoints", "summary", "safe_text"}
    ),
    frozenset({"lake"}),
    frozenset({"sources", "warehouse", "sandbox"}),
    frozenset({"load_streams"}),
    frozenset({"pipeline_file"}),
    frozenset({"known_records", "planning", "resets"}),
    frozenset({"diagnosis", "dry_run", "keeping", "pipeline"}),
    frozenset({"retrying", "assets"}),  # a value that becomes a table goes the pipeline's way
    frozenset({"repeating", "sweeping_steps"}),  # a sweep of a table reaches the values that were made of it, too
    frozenset({"deletion_sweeps"}),
    frozenset({"web"}),
    frozenset({"cli"}),
    frozenset({"orchestration"}),  # the screen of `make run` is drawn with the CLI's tables
)
FOUNDATION = LAYERS[1]
FORBIDDEN = {
    "sources": {"lake"},  # a source never sees the pipeline's own lake
    "sandbox": set().union(*LAYERS[2:]) - {"sandbox"},  # the stand-ins know nothing of the house that is tried on them
}
# What opens a URL, copies an object and looks into a file is the same wherever it lies: a source may read other buckets through it.
OPENS_OTHER_PLACES = {"lake.filesystem.open_place", "lake.store", "lake.foreign_objects", "lake.parquet_parts"}
HEAVY = ("pandas", "pyarrow", "duckdb", "praw", "s3fs", "boto3", "botocore", "moto", "starlette", "fastapi", "jinja2", "uvicorn")
# Airflow loads the provider in the middle of its own import; the environment has to stand before Airflow reads it.
AIRFLOW_FREE_IN_ORCHESTRATION = ("ducklift.orchestration", "ducklift.orchestration.provider", "ducklift.orchestration.environment")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    return ".".join(("ducklift", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively; write the whole name, ducklift.…"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    excepted = OPENS_OTHER_PLACES if room_of(path) == "sources" else set()
    names = (name.split(".") for name in imported_names(path) if not is_among(name.removeprefix("ducklift."), excepted))
    return {parts[1] for parts in names if parts[0] == "ducklift" and len(parts) > 1} - {"__version__"}


def is_among(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def layer_of(room: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if room in rooms:
            return number
    pytest.fail(f"{room!r} is a new room of the package: give it a layer in tests/test_imports.py and in the house plan")


def is_allowed(room: str, target: str) -> bool:
    if target == room:
        return True
    if target in FORBIDDEN.get(room, ()):
        return False
    return layer_of(target) < layer_of(room) or {room, target} <= FOUNDATION


def test_imports_go_down_only():
    upward = [
        f"{dotted(path)} imports {target}"
        for path in modules()
        if room_of(path) != "__init__"
        for target in sorted(imported_rooms(path))
        if not is_allowed(room_of(path), target)
    ]

    assert upward == []


@pytest.mark.parametrize(
    ("room", "target"),
    [("lake", "pipeline"), ("sources", "warehouse"), ("sources", "lake"), ("cli", "orchestration"), ("sandbox", "pipeline")],
)
def test_the_direction_forbids(room: str, target: str):
    assert not is_allowed(room, target)


def test_only_orchestration_names_airflow():
    strangers = [
        dotted(path)
        for path in modules()
        if room_of(path) != "orchestration" and any(name.split(".")[0] == "airflow" for name in imported_names(path))
    ]

    assert strangers == []


def test_everything_outside_orchestration_imports_without_airflow_and_without_heavy_libraries():
    names = [dotted(path) for path in modules() if room_of(path) != "orchestration" and path.stem != "__main__"]
    program = "\n".join(
        [
            "import importlib, sys",
            "sys.modules['airflow'] = None",
            f"for name in {[*names, *AIRFLOW_FREE_IN_ORCHESTRATION]!r}: importlib.import_module(name)",
            f"loaded = [name for name in {HEAVY!r} if name in sys.modules]",
            "sys.exit(f'imported at once: {loaded}' if loaded else 0)",
        ]
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_the_package_is_imported_under_one_name_everywhere():
    files = [path for folder in ("include", "dags", "plugins", "tests") for path in (PROJECT / folder).rglob("*.py")]

    assert [str(path) for path in files if any(name.startswith("include.") for name in imported_names(path))] == []

"""`ducklift init`: a pipeline file, its DAG file and their test, all of them fit to run at once."""

from __future__ import annotations

import keyword
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ducklift.cli.outcome import Json, print_json
from ducklift.errors import ConfigurationError
from ducklift.safe_text import visible
from ducklift.settings import Settings, load_settings

_STARTERS = Path(__file__).with_name("starters")
# What a pipeline of each type does, for its DAG's documentation, and what is to be done next.
_TYPES = {
    "reddit": (
        "Posts of subreddits",
        "name your subreddits; keys stand in the connection reddit_default or in REDDIT_CLIENT_ID and …_SECRET",
    ),
    "reddit_dump": ("Posts out of dump files", "name your files, see docs/sources/reddit_dump.md for where they come from"),
    "rest_api": ("Records of a REST API", "put your API's base_url and resources in, see docs/sources/rest_api.md"),
    "bucket_files": ("Files of a bucket", "put your bucket and path in, see docs/sources/bucket_files.md"),
    "sql_tables": ("Tables of a database", "name your tables; the URL stands in DATABASE_URL, see docs/sources/sql_tables.md"),
    "python": ("Records of a function of our own", "write your function, see docs/sources/python.md"),
}


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the pipeline, its DAG and its dataset: lower case, digits, underscores.")],
    source: Annotated[str, typer.Option("--source", metavar="TYPE", help=f"One of {', '.join(_TYPES)}.")],
    as_json: Json = False,
) -> None:
    """Write a new pipeline: its file, its DAG and a test, which passes at once. Overwrites nothing."""
    settings = load_settings()
    _refuse(name, source)
    texts = _texts(name, source, settings)
    _write(texts)
    files = [_shown(path, settings) for path in texts]
    test = next(file for file in files if Path(file).name == f"test_{name}.py")
    steps = [f"edit {files[-1]}: {_TYPES[source][1]}", f"ducklift validate {name}", f"ducklift run {name}", f"python -m pytest {test}"]
    if (settings.project / "docs" / "dags.md").is_file():
        steps.append("python -m ducklift.orchestration.dag_page, which puts the DAG into docs/dags.md")
    if as_json:
        print_json({"state": "created", "pipeline": name, "files": files, "next": steps})
        return
    for file in files:
        typer.echo(visible(f"created {file}"))
    typer.echo("\nNext:")
    for step in steps:
        typer.echo(visible(f"  {step}"))
    typer.echo("Airflow shows the DAG, paused, once it has read the dags folder again.")


def _refuse(name: str, source: str) -> None:
    from ducklift.specs import plain_name

    if source not in _TYPES:
        raise ConfigurationError(f"{source!r} is not a source type; known are: {', '.join(_TYPES)}.")
    try:
        plain_name(name)
    except ValueError as err:
        raise ConfigurationError(str(err)) from None
    if name.startswith("_") or name == "conftest":
        # Readers of a lake skip folders that begin so; pytest and Python take the others for their own.
        raise ConfigurationError(
            f"{name!r} means something else as a file's or a folder's name; choose another, which begins with a letter."
        )
    # Airflow puts the dags folder on Python's search path: dags/json.py would be everybody's `json`.
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or _is_a_module(name):
        raise ConfigurationError(f"{name!r} is the name of a Python module or keyword, which dags/{name}.py would hide; choose another.")


def _is_a_module(name: str) -> bool:
    with suppress(ValueError, ImportError):
        return find_spec(name) is not None
    return True


def _texts(name: str, source: str, settings: Settings) -> dict[Path, str]:
    """Return what to write where, the file to edit last."""
    pipeline = settings.pipelines / f"{name}.yaml"
    values = {"name": name, "type": source, "pipelines": _shown(settings.pipelines, settings)}
    yaml_text = _filled(f"{source}.yaml", values)
    table = next(line.split()[1] for line in yaml_text.splitlines() if line.startswith("table:"))
    values["title"] = f"{_TYPES[source][0]}, once a day, through the lake into `{table}`."
    files = {
        pipeline: yaml_text,
        settings.project / "dags" / f"{name}.py": _filled("dag.py.txt", values),
        settings.project / "tests" / "dags" / f"test_{name}.py": _filled("test.py.txt", values),
    }
    if (_STARTERS / f"{source}.py.txt").is_file():
        files[settings.project / "include" / "sources" / f"{name}.py"] = _filled(f"{source}.py.txt", values)
    else:
        files[pipeline] = files.pop(pipeline)
    return files


def _filled(template: str, values: dict[str, str]) -> str:
    return Template((_STARTERS / template).read_text("utf-8")).substitute(values)


def _write(texts: dict[Path, str]) -> None:
    """Write all files or none; raises `ConfigurationError` naming those that are there."""
    if there := [str(path) for path in texts if path.exists()]:
        raise ConfigurationError(f"Nothing was written, for this is there already: {', '.join(there)}. Choose another name, or remove it.")
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as target:
                written.append(path)
                target.write(text)
    except OSError as err:
        for path in written:
            path.unlink(missing_ok=True)
        raise ConfigurationError(f"Nothing was written: {err.filename or 'a file'}: {err.strerror}.") from err


def _shown(path: Path, settings: Settings) -> str:
    return str(path.relative_to(settings.project)) if path.is_relative_to(settings.project) else str(path)

"""`ducklift init`: what it writes is fit to run as it stands, for every source type."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ducklift.cli.starting import _TYPES
from ducklift.settings import PROJECT
from ducklift.sources.registry import SOURCE_TYPES

RUFF = [sys.executable, "-m", "ruff"]


def files_of(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and ".ducklift" not in path.parts}


def test_every_source_type_has_a_starter():
    assert set(_TYPES) == {name for name, place in SOURCE_TYPES.items() if place.startswith("ducklift.sources.")}  # tests add some


@pytest.mark.parametrize("source", sorted(_TYPES))
def test_what_is_written_validates_parses_and_passes_its_own_test(ducklift, home: Path, source: str):
    answer = ducklift("init", "fresh_birds", "--source", source)
    assert answer.exit_code == 0, answer.stderr
    assert {"include/pipelines/fresh_birds.yaml", "dags/fresh_birds.py", "tests/dags/test_fresh_birds.py"} <= files_of(home)
    assert all(f"created {file}" in answer.stdout for file in files_of(home))

    assert "fit to run" in ducklift("validate", "fresh_birds").stdout
    tests = runpy.run_path(str(home / "tests" / "dags" / "test_fresh_birds.py"))
    ran = [check() for name, check in tests.items() if name.startswith("test_")]
    assert len(ran) == 2


def test_what_is_written_passes_the_project_s_own_lint(ducklift, home: Path):
    for source in _TYPES:
        ducklift("init", f"fresh_{source}_of_a_pipeline_with_a_long_name", "--source", source)
    shutil.copy(PROJECT / "pyproject.toml", home)
    (home / "include" / "ducklift").symlink_to(PROJECT / "include" / "ducklift")
    for arguments in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [*RUFF, *arguments, "dags", "tests", "include/sources"], cwd=home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    for dag in (home / "dags").glob("*.py"):
        assert len(dag.read_text("utf-8").splitlines()) <= 80
        assert "re-run" in dag.read_text("utf-8")


def test_the_python_starter_loads_its_records_and_then_nothing_new(ducklift):
    ducklift("init", "squares", "--source", "python")

    first, second = (json.loads(ducklift("run", "squares", "--json").stdout) for _ in range(2))
    assert (first["rows_inserted"], second["rows_extracted"]) == (100, 0)


@pytest.mark.parametrize("taken", ["dags/birds.py", "tests/dags/test_birds.py", "include/pipelines/birds.yaml", "include/sources/birds.py"])
def test_nothing_is_overwritten_and_nothing_half_written(ducklift, home: Path, taken: str):
    (home / taken).parent.mkdir(parents=True, exist_ok=True)
    (home / taken).write_text("mine", "utf-8")

    answer = ducklift("init", "birds", "--source", "python")

    assert answer.exit_code == 2
    assert taken in answer.stderr
    assert files_of(home) == {taken}
    assert (home / taken).read_text("utf-8") == "mine"


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(ducklift, home: Path):
    (home / "tests").write_text("a file where a folder should be", "utf-8")

    answer = ducklift("init", "birds", "--source", "python")

    assert answer.exit_code == 2
    assert "Nothing was written" in answer.stderr
    assert files_of(home) == {"tests"}


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("birds", "carrier_pigeon", "known are: "),
        ("Birds", "python", "is not a plain name"),
        ("../birds", "python", "is not a plain name"),
        ("class", "python", "Python module or keyword"),
        ("json", "python", "Python module or keyword"),
        ("airflow", "python", "Python module or keyword"),
        ("ducklift", "python", "Python module or keyword"),
        ("_birds", "python", "begins with a letter"),
        ("conftest", "python", "begins with a letter"),
    ],
)
def test_a_name_or_type_that_cannot_be_is_refused(ducklift, home: Path, name: str, source: str, says: str):
    answer = ducklift("init", name, "--source", source)

    assert answer.exit_code == 2
    assert says in answer.stderr
    assert files_of(home) == set()


def test_with_json_the_files_and_next_steps_are_told(ducklift):
    told = json.loads(ducklift("init", "birds", "--source", "rest_api", "--json").stdout)

    assert told["state"] == "created"
    assert told["files"][-1] == "include/pipelines/birds.yaml"
    assert "ducklift run birds" in told["next"]


@pytest.mark.slow
def test_in_a_clone_every_starter_passes_beside_the_project_s_own_dag_tests(tmp_path: Path):
    for folder in ("include", "dags", "tests", "docs"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUCKLIFT_")}
    environment["PYTHONPATH"] = str(tmp_path / "include")
    tests = []
    for source in _TYPES:
        code = (
            f"from ducklift.cli import main; import sys; sys.argv = ['ducklift', 'init', 'fresh_{source}', '--source', '{source}']; main()"
        )
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
        tests.append(f"tests/dags/test_fresh_{source}.py")
    subprocess.run([sys.executable, "-m", "ducklift.orchestration.dag_page"], cwd=tmp_path, env=environment, check=True)
    tests += ["tests/dags/test_dag_structure.py", "tests/docs/test_dag_page.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

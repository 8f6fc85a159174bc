"""docs/dags.md is what the DAGs say of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("foreign", [{}, {"DUCKLIFT_LAKE_URL": "gs://mine", "DUCKLIFT_PIPELINES": "/nowhere", "DUCKLIFT_NOTIFY": "a.b.C"}])
def test_the_page_of_dags_is_up_to_date_whatever_the_settings_are(foreign: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ducklift.orchestration.dag_page", "--check"]

    finished = subprocess.run(command, cwd=tmp_path, env={**os.environ, **foreign}, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_a_page_that_is_out_of_date_is_named_with_the_way_to_mend_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ducklift.orchestration.dag_page import main

    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "dags.md").write_text("# DAGs\n", "utf-8")
    (tmp_path / "dags").mkdir()

    assert main(["--check", "--project", str(tmp_path)]) == 1
    assert "python -m ducklift.orchestration.dag_page" in capsys.readouterr().err
    assert main(["--project", str(tmp_path)]) == main(["--check", "--project", str(tmp_path)]) == 0

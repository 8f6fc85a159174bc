"""A pipeline of its own for each test, on the sandbox: its own bucket, spool and warehouse file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dags_on_sandbox import build_in, stand_on

from ducklift.sandbox import Sandbox

if TYPE_CHECKING:
    from airflow.sdk import DAG


@pytest.fixture
def on_sandbox(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of the sandbox with places of this test's own, and a folder for pipeline files."""
    stand_on(sandbox, tmp_path, monkeypatch)
    return tmp_path / "pipelines"


@pytest.fixture
def build(on_sandbox: Path) -> Callable[..., DAG]:
    """A function that builds DAG `reddit` over some subreddits."""
    return lambda *subreddits, target="warehouse", **arguments: build_in(on_sandbox, *subreddits, target=target, **arguments)

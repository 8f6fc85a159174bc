"""Stores for values: memory, a folder, and a strict S3 endpoint over HTTP; each test has a place of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ducklift.settings import Settings, load_settings


@pytest.fixture
def settings_on(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Settings]:
    """A function that returns settings whose lake lies in memory, in a folder or on S3."""

    def made(backend: str) -> Settings:
        name = f"values-{uuid.uuid4().hex[:12]}"
        environment: dict[str, Any] = {"DUCKLIFT_PIPELINES": str(tmp_path / "include" / "pipelines")}
        if backend == "s3":
            environment |= request.getfixturevalue("moto_s3").environment
        urls = {"memory": f"memory://{name}", "file": (tmp_path / "lake").as_uri(), "s3": f"s3://{name}/lake"}
        return load_settings({**environment, "DUCKLIFT_LAKE_URL": urls[backend]}, tmp_path)

    return made


@pytest.fixture
def settings(settings_on: Callable[[str], Settings]) -> Settings:
    """Settings whose lake is a folder."""
    return settings_on("file")


@pytest.fixture
def declare(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes `include/storage.yaml`."""

    def write(text: str) -> Path:
        file = tmp_path / "include" / "storage.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write

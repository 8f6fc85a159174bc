"""The kinds of stores that values are tried on, and settings that lead to a new place in one."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from ducklift.settings import Settings, load_settings

BACKENDS = ("memory", "file", "s3")


def settings_for(backend: str, project: Path, request: pytest.FixtureRequest) -> Settings:
    """Return settings whose lake lies in a new place of a kind."""
    name = f"values-{uuid.uuid4().hex[:12]}"
    environment: dict[str, Any] = {"DUCKLIFT_PIPELINES": str(project / "include" / "pipelines")}
    if backend == "s3":
        environment |= request.getfixturevalue("moto_s3").environment
    elif backend in ("gcs", "azure"):
        environment |= request.getfixturevalue(f"{backend}_of_values")
    urls = {"memory": f"memory://{name}", "file": (project / "lake").as_uri(), "s3": f"s3://{name}/lake"}
    urls |= {"gcs": f"gs://{name}/lake", "azure": f"az://{name}/lake"}
    return load_settings({**environment, "DUCKLIFT_LAKE_URL": urls[backend]}, project)

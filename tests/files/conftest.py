"""Installations to try, and buckets of files beside their lake; the parts they are made of lie with the fault tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from buckets import Bucket
from installations import Installation, installation

__all__ = ["installation"]


@pytest.fixture
def bucket(installation: Installation, tmp_path: Path) -> Bucket:
    """An empty bucket."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    return Bucket(installation, folder)

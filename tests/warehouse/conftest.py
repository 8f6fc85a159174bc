"""Installations to try, and a ground for tables that are tried without extraction and upload."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import installation, listed_source_known
from trials import Ground, trial_ground

__all__ = ["installation", "listed_source_known"]

# The same histories each time: a find belongs to whoever changed something. New ones by HYPOTHESIS_PROFILE=explore.
settings.register_profile("quick", derandomize=True, database=None, deadline=None, max_examples=4, suppress_health_check=list(HealthCheck))
settings.register_profile("slow", settings.get_profile("quick"), max_examples=60)
settings.register_profile("explore", settings.get_profile("slow"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with trial_ground(tmp_path_factory.mktemp("ground")) as ground:
        yield ground

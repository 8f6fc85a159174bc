"""Stores for values: memory, a folder, and over HTTP a strict S3 endpoint, one of Google Cloud Storage and one of Azure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ducklift.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from store_servers import AZURITE_KEY, azurite
from strict_gcs import strict_gcs
from value_stores import settings_for


@pytest.fixture(scope="session")
def gcs_of_values() -> Iterator[dict[str, str]]:
    """The environment that reaches an emulator of Google Cloud Storage."""
    with strict_gcs() as url:
        yield {"STORAGE_EMULATOR_HOST": url, "GOOGLE_CLOUD_PROJECT": "nature", "DUCKLIFT_LAKE_ANONYMOUS": "true"}


@pytest.fixture(scope="session")
def azure_of_values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that reaches an emulator of Azure Blob Storage."""
    keys = {"AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1", "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY}
    with azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield {"AZURE_STORAGE_SERVICE_ENDPOINT": url, **keys}


@pytest.fixture
def settings_on(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Settings]:
    """A function that returns settings whose lake lies in memory, in a folder, on S3 …"""
    return lambda backend: settings_for(backend, tmp_path, request)


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

"""The store contract on stand-ins for Google Cloud Storage and Azure Blob Storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_contract import ODD_NAMES, StoreContract, new_name, settings_for
from store_servers import AZURITE_KEY

from ducklift.settings import Settings


class TestGcs(StoreContract):
    checks_keys = False
    # The emulator takes what follows a semicolon for a parameter.
    odd_names = tuple(name for name in ODD_NAMES if ";" not in name)

    @pytest.fixture
    def settings(self, tmp_path: Path, gcs_url: str) -> Settings:
        environment = {"STORAGE_EMULATOR_HOST": gcs_url, "GOOGLE_CLOUD_PROJECT": "nature", "DUCKLIFT_LAKE_ANONYMOUS": "true"}
        return settings_for(tmp_path / "project", f"gs://{new_name()}/a/prefix", **environment)


@pytest.mark.needs_program("npm")
class TestAzure(StoreContract):
    @pytest.fixture
    def settings(self, tmp_path: Path, azurite_url: str) -> Settings:
        keys = {"AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1", "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY}
        return settings_for(tmp_path / "project", f"az://{new_name()}/a/prefix", AZURE_STORAGE_SERVICE_ENDPOINT=azurite_url, **keys)

    @pytest.fixture
    def wrong_keys(self) -> dict[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY.replace("Eby8", "Eby9")}

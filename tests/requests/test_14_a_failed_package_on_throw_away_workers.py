"""Request 14 (dlt#3375): a package that failed to load can be looked into and retried where the first worker's disk is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from installations import Installation, sighting
from runs import go

from ducklift.errors import ContractBroken
from ducklift.pipeline import load


def test_a_package_that_failed_to_load_can_be_looked_into_and_is_loaded_by_another_worker(
    installation: Installation, tmp_path: Path
) -> None:
    strict = {"quarantine_limit": {"rows": 0}}
    with pytest.raises(ContractBroken, match="not a bigint: many"):
        go(installation, [sighting(1), sighting(2, count="many")], **strict)
    shutil.rmtree(installation.project / ".ducklift")  # the worker's disk went with it

    manifest = installation.manifest()
    assert installation.lake.read(manifest["files"][0]["key"]) is not None
    assert manifest["request"] == {"cursor_from": None, "watermark": None}

    (tmp_path / "worker").mkdir()
    worker = Installation(tmp_path / "worker", installation.settings.lake_url)
    url = installation.lake.url_of(installation.manifest_key())
    mended = load(url, worker.settings, worker.pipeline([sighting(1)]))
    assert (mended.rows_inserted, mended.rows_quarantined) == (1, 1)
    assert load(url, worker.settings, worker.pipeline([sighting(1)])).state == "already_loaded"

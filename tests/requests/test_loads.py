"""What users of other tools ask for and did not get, as far as it concerns loads and their history; the numbers are the requests'."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from installations import STREAM, TABLE, Installation, sighting, sightings, slice_run

from ducklift import failpoints
from ducklift.errors import ContractBroken
from ducklift.failpoints import FAILPOINTS, FailpointReached
from ducklift.lake.layout import snapshot_key
from ducklift.pipeline import extract, load, run_pipeline, upload
from ducklift.planning import Mode, plan_pipeline
from ducklift.summary import LoadSummary
from ducklift.warehouse import open_warehouse
from ducklift.warehouse.rebuild import rebuild

PLAIN: dict[str, Any] = {"disposition": "append", "primary_key": [], "incremental": None}
APPEND: dict[str, Any] = {"disposition": "append", "primary_key": []}


def go(installation: Installation, *batches: Any, day: int = 0, mode: Mode = "new", **spec: Any) -> LoadSummary:
    pipeline = installation.pipeline(*batches, **spec)
    package = extract(pipeline, STREAM, replace(slice_run(day), mode=mode), installation.settings)
    return load(upload(package, installation.settings), installation.settings, pipeline)


def ids(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("id")]


@pytest.mark.parametrize("spec", [PLAIN, APPEND], ids=["without a cursor", "with a cursor"])
def test_01_a_retry_never_duplicates_append_rows(installation: Installation, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for point in (point for point in FAILPOINTS if point.startswith(("upload", "load"))):
        failpoints._passes.clear()
        monkeypatch.setenv("DUCKLIFT_FAILPOINTS", f"{point}:raise")
        try:
            go(installation, sightings(1, 2, 2), **spec)
        except FailpointReached:
            monkeypatch.delenv("DUCKLIFT_FAILPOINTS")
            go(installation, sightings(1, 2, 2), **spec)

    assert ids(installation) == ["s0001", "s0002", "s0002"]


def test_02_every_row_has_a_load_record(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1, 2))
    go(installation, sightings(2, 3), day=1)
    go(installation, sightings(3, 4), day=1, mode="reextract")
    orphans = "SELECT id FROM nature.sightings WHERE _load_id NOT IN (SELECT load_id FROM _ducklift.loads WHERE superseded_by IS NULL)"

    assert installation.query(orphans) == []
    in_lake = {installation.json(key)["load_id"] for key in installation.keys("_ducklift/commits/")}
    assert {row[0] for row in installation.rows("_load_id")} <= in_lake
    (tmp_path / "other").mkdir()
    other = Installation(tmp_path / "other", installation.settings.lake_url)
    rebuild(other.lake, other.settings)
    assert other.query(orphans) == []


def test_04_a_quiet_interval_is_a_success_and_moves_nothing(installation: Installation) -> None:
    go(installation, sightings(1))

    run = run_pipeline(installation.pipeline([]), slice_run(1), installation.settings)

    assert (run.state, run.exit_code) == ("empty", 0)
    assert run.loads[0].watermark == sighting(1)["seen"]
    assert ids(installation) == ["s0001"]


def test_04_a_first_interval_that_is_quiet_is_one_too(installation: Installation) -> None:
    assert run_pipeline(installation.pipeline([]), slice_run(), installation.settings).exit_code == 0
    assert go(installation, sightings(1), day=1).rows_inserted == 1


@pytest.mark.parametrize("spec", [{}, APPEND], ids=["merge", "append"])
def test_06_late_rows_under_the_watermark_arrive(installation: Installation, spec: dict[str, Any]) -> None:
    go(installation, sightings(1, 9), **spec)

    late = go(installation, sightings(5, 9, 10), day=1, **spec)

    assert (late.rows_inserted, late.rows_unchanged) == (2, 1)
    assert ids(installation) == ["s0001", "s0005", "s0009", "s0010"]


def test_06_the_watermark_is_what_was_loaded_not_what_was_asked_for(installation: Installation) -> None:
    summary = go(installation, [*sightings(1, 2), sighting(50, count="many")])

    assert summary.rows_quarantined == 1
    assert summary.watermark == sighting(2)["seen"]
    with pytest.raises(ContractBroken):
        go(installation, [*sightings(60), sighting(61, count="many")], day=1, quarantine_limit={"rows": 0})
    assert installation.json(snapshot_key(TABLE))["watermarks"] == {"nature/birds": sighting(2)["seen"]}


def test_07_state_stays_small_whatever_the_history(installation: Installation) -> None:
    go(installation, sightings(1))
    row = "SELECT * REPLACE ('l' || i AS load_id, i + 1 AS sequence) FROM _ducklift.loads, range(1, 20000) AS t(i) WHERE sequence = 1"
    with open_warehouse(installation.settings) as warehouse:
        warehouse.connection.execute(f"INSERT INTO _ducklift.loads SELECT * EXCLUDE (i) FROM ({row})")
        warehouse.connection.execute(f'UPDATE _ducklift."control.{TABLE}" SET sequence = 20000')
    snapshot = installation.json(snapshot_key(TABLE))
    known = {**snapshot, "sequence": 20000, "loads": [{**snapshot["loads"][0], "load_id": "l19999", "sequence": 20000}]}
    installation.lake.replace(snapshot_key(TABLE), json.dumps(known).encode())

    go(installation, sightings(2), day=1)

    state = len(installation.lake.read(snapshot_key(TABLE)) or b"")
    commit = max(len(installation.lake.read(key) or b"") for key in installation.keys("_ducklift/commits/"))
    slices = max(len(installation.lake.read(key) or b"") for key in installation.keys("_ducklift/slices/"))
    assert installation.json(snapshot_key(TABLE))["sequence"] == 20001
    assert state < 200_000
    assert (commit < 10_000, slices < 2_000) == (True, True)


def test_09_one_day_is_replaced_and_replacing_it_again_changes_nothing(installation: Installation) -> None:
    for day in range(3):
        go(installation, sightings(10 * day, 10 * day + 1), day=day, **PLAIN)

    for _ in range(3):
        go(installation, sightings(12, 13), day=1, mode="reextract", **PLAIN)

    assert ids(installation) == ["s0000", "s0001", "s0012", "s0013", "s0020", "s0021"]


def test_09_a_run_of_the_replaced_day_that_comes_late_brings_nothing_back(installation: Installation) -> None:
    go(installation, sightings(1), **PLAIN)
    go(installation, sightings(2), mode="reextract", **PLAIN)

    assert go(installation, sightings(1), **PLAIN).state == "already_loaded"
    assert ids(installation) == ["s0002"]


def test_13_a_dry_run_tells_what_would_be_done_and_touches_nothing(installation: Installation) -> None:
    pipeline = installation.pipeline(sightings(3))

    [plan] = plan_pipeline(installation.lake, pipeline, slice_run())
    assert sorted(path.name for path in installation.project.iterdir()) == [pipeline.source.file.name]  # type: ignore[attr-defined]

    go(installation, sightings(1, 2))
    before = {path: path.stat().st_mtime_ns for path in installation.project.rglob("*")}
    [later] = plan_pipeline(installation.lake, pipeline, slice_run(1))
    assert {path: path.stat().st_mtime_ns for path in installation.project.rglob("*")} == before

    done = go(installation, sightings(3), day=1)
    told = later.as_dict(installation.lake, pipeline)
    assert plan.as_dict(installation.lake, pipeline)["table_exists"] is False
    assert (told["load_id"], told["manifest"], told["table_rows"]) == (done.load_id, done.manifest, 2)
    assert (told["watermark"], told["cursor_from"]) == (sighting(2)["seen"], sighting(2)["seen"] - 3600)


def test_14_a_package_that_failed_to_load_can_be_looked_into_and_is_loaded_by_another_worker(
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

"""What a table's page and a load's page say of real loads, on files and on an S3 endpoint."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from installations import COLUMNS, STREAM, TABLE, Installation, sighting, sightings, slice_run
from shown_lakes import reader, table

from ducklift.deletion_sweeps import sweep_keys
from ducklift.errors import CheckFailed
from ducklift.keeping import publish
from ducklift.lake.commits import read_commits
from ducklift.lake.layout import commit_key, manifest_key, snapshot_key
from ducklift.pipeline import Pipeline, Run, extract, load, load_id_for, upload
from ducklift.specs import Blanking
from ducklift.web.views.queries import LoadQuery, OverviewQuery
from ducklift.web.views.states import LoadState

NAME = str(TABLE)
REFUSING: dict[str, Any] = {"checks": [{"accepted_values": {"bird": ["wren", "owl"]}}]}
FACTS = {"dag_id": "nature", "run_id": "manual__2026-01-01T00:00:00+00:00", "map_index": 0, "try_number": 1}


def load_id(day: int = 0) -> str:
    return load_id_for("nature", STREAM, slice_run(day))


def go(installation: Installation, pipeline: Pipeline, day: int = 0) -> None:
    """Run the three steps as the tasks of a DAG do, with the facts of their task instances."""
    planned = slice_run(day)
    run = Run(planned.run_id, planned.slice_start, planned.slice_end, by_slice=True, facts={**FACTS, "task_id": "nature_extraction"})
    url = upload(extract(pipeline, STREAM, run, installation.settings), installation.settings, {**FACTS, "task_id": "s3_upload"})
    load(url, installation.settings, pipeline, {**FACTS, "task_id": "duckdb_load", "try_number": 2})


@pytest.fixture
def watched(installation: Installation) -> Installation:
    """Three loads and one that failed: a new column, a quarantined record, a row changed."""
    go(installation, installation.pipeline(sightings(1, 2, 3)))
    go(
        installation,
        installation.pipeline([sighting(3, bird="owl"), sighting(4, wings=2), sighting(5, count="many")], record_column=None),
        1,
    )
    with pytest.raises(CheckFailed):
        go(installation, installation.pipeline(sightings(6, bird="emu"), **REFUSING), 2)
    go(installation, installation.pipeline(sightings(7)), 3)
    return installation


def test_a_tables_page_tells_its_loads_with_the_runs_that_made_them(watched):
    page = table(reader(watched.settings), NAME)

    assert [(row.state, row.rows_loaded, row.total_rows) for row in page.loads] == [
        (LoadState.LOADED, 1, 5),
        (LoadState.FAILED, 0, None),
        (LoadState.QUARANTINED, 2, 4),
        (LoadState.LOADED, 3, 3),
    ]
    failed, loaded = page.loads[1], page.loads[0]
    assert (failed.pending, failed.tries, failed.manifest_path) == (True, 1, f"tables/{NAME}/loads/{load_id(2)}/manifest.json")
    assert "'emu'" in (failed.error or "")
    assert failed.airflow is not None
    assert failed.airflow.log_path == ("dags/nature/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/duckdb_load/mapped/0?try_number=2")
    assert loaded.airflow is not None
    assert loaded.airflow.run_path == "dags/nature/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert [(point.loaded, point.state) for point in page.growth] == [
        (3, LoadState.LOADED), (2, LoadState.QUARANTINED), (0, LoadState.FAILED), (1, LoadState.LOADED),
    ]  # fmt: skip
    assert page.pages.total == 4


def test_a_tables_page_tells_columns_rows_quarantine_and_where_rows_came_from(watched):
    page = table(reader(watched.settings), NAME)

    columns = {column.name: column for column in page.columns}
    assert (columns["wings"].null_share, columns["bird"].greatest, columns["_load_id"].lineage) == (0.8, "wren", True)
    assert [point.sequence for point in columns["count"].history] == [1, 2]
    assert [column.name for column in table(reader(watched.settings), NAME, search="WIN").columns] == ["wings"]
    assert page.schema_changes[0].column == "wings"
    assert (page.preview.absent, len(page.preview.rows), page.preview.rows[0][0]) == (None, 5, "s0007")
    [record] = page.quarantine.newest
    assert (page.quarantine.rows, record.line, record.load_id, page.quarantine.hidden) == (1, 3, load_id(1), False)
    assert '"count":"many"' in (record.record or "")
    assert page.quarantine.retry[1] == f"ducklift quarantine retry --table {NAME}"
    assert [(found.load_id, found.rows_extracted, found.rows_quarantined) for found in page.lineage] == [
        (load_id(3), 1, 0),
        (load_id(1), 3, 1),
        (load_id(0), 3, 0),
    ]
    [stream] = page.streams
    assert (stream.stream, stream.failing, stream.last and stream.last.load_id) == (STREAM, False, load_id(3))


def test_a_published_table_tells_which_version_readers_see(watched):
    publish(watched.settings, TABLE)
    go(watched, watched.pipeline(sightings(8)), 4)

    curated = table(reader(watched.settings), NAME).curated
    assert curated is not None
    assert (curated.rows, curated.files, curated.behind) == (5, 1, 1)


def test_a_loads_page_tells_what_happened_to_every_row_and_how_long_each_step_took(watched):
    page = reader(watched.settings).load(NAME, load_id(1), LoadQuery())

    assert page is not None
    assert page.flow is not None
    assert (page.flow.extracted, page.flow.accounted) == (3, True)
    assert [(part.fate, part.rows) for part in page.flow.parts] == [
        ("inserted", 1), ("updated", 1), ("unchanged", 0), ("deduplicated", 0), ("quarantined", 1),
    ]  # fmt: skip
    assert sum(part.share for part in page.flow.parts) == pytest.approx(1)
    assert [step.step for step in page.steps] == ["extract", "upload", "load"]
    assert all(step.seconds >= 0 and 0 <= step.offset <= 1 and step.offset + step.width <= 1.001 for step in page.steps)
    assert ("records", "3") in [(fact.name, fact.value) for fact in page.came_in]
    assert any(fact.name == "wings" and "column added" in fact.value for fact in page.schema_changes)
    [file] = page.files
    assert (file.rows, len(file.sha256), file.path) == (3, 64, f"tables/{NAME}/loads/{load_id(1)}/files/0")
    assert page.manifest_sha256 is not None


def test_a_failed_loads_page_tells_its_tries_and_the_package_that_waits(watched):
    url = f"{watched.lake.url}/{manifest_key(TABLE, load_id(2))}"
    pipeline = watched.pipeline(sightings(6, bird="emu"), **REFUSING)
    with pytest.raises(CheckFailed):
        load(url, watched.settings, pipeline, {**FACTS, "task_id": "duckdb_load", "try_number": 3})

    page = reader(watched.settings).load(NAME, load_id(2), LoadQuery())
    assert page is not None
    assert (page.load.state, page.load.pending, page.flow, len(page.files)) == (LoadState.FAILED, True, None, 1)
    assert [(one.step, one.error_class, one.try_number, one.retryable) for one in page.attempts] == [
        ("load", "CheckFailed", 3, False),
        ("load", "CheckFailed", 2, False),
    ]

    load(url, watched.settings, watched.pipeline([]))
    mended = reader(watched.settings).load(NAME, load_id(2), LoadQuery())
    assert mended is not None
    assert (mended.load.state, len(mended.attempts)) == (LoadState.LOADED, 2)


def test_a_manifest_and_its_files_are_given_as_they_lie_in_the_lake_and_nothing_else_is(watched):
    lake = reader(watched.settings)

    manifest, file = lake.manifest(NAME, load_id()), lake.file(NAME, load_id(), 0)
    assert json.loads(manifest or b"")["load_id"] == load_id()
    assert file is not None
    assert [json.loads(line)["id"] for line in gzip.decompress(b"".join(file.chunks)).splitlines()] == ["s0001", "s0002", "s0003"]
    for hostile in ("../../secret", "..", "x/../../y", "", "a" * 300, "unknown"):
        assert lake.manifest(NAME, hostile) is None
        assert lake.file(NAME, hostile, 0) is None
        assert lake.load(NAME, hostile, LoadQuery()) is None
    assert lake.file(NAME, load_id(), 1) is None
    assert lake.manifest("nature.unknown", load_id()) is None


def test_a_manifest_that_points_out_of_the_raw_files_opens_nothing(watched):
    key = manifest_key(TABLE, load_id())
    watched.lake.replace("_ducklift/secret.json", b"secret")
    told = watched.json(key)
    told["files"][0]["key"] = "_ducklift/secret.json"
    watched.lake.replace(key, json.dumps(told).encode())

    assert reader(watched.settings).file(NAME, load_id(), 0) is None


def test_a_swept_load_gives_its_rewritten_files(watched):
    sweep_keys(watched.pipeline([]), NAME, [("s0001",)], Blanking(content=("bird",)), watched.settings, apply=True)
    lake = reader(watched.settings)

    file = lake.file(NAME, load_id(), 0)
    assert file is not None
    assert json.loads(gzip.decompress(b"".join(file.chunks)).splitlines()[0])["bird"] is None
    assert table(lake, NAME).loads[0].state == LoadState.SWEPT
    page = lake.load(NAME, table(lake, NAME).loads[0].load_id, LoadQuery())
    assert page is not None
    assert page.flow is None


def test_loads_that_the_snapshot_no_longer_lists_are_read_from_their_commit_records(installation):
    installation.land(sightings(1))
    [first] = read_commits(installation.lake, TABLE)
    for sequence in range(2, 251):
        record = first.model_copy(update={"sequence": sequence, "load_id": f"load-{sequence}", "rows_inserted": sequence})
        installation.lake.replace(commit_key(TABLE, sequence, record.load_id), record.model_dump_json().encode())
    snapshot = installation.json(snapshot_key(TABLE))
    loads = [{**snapshot["loads"][0], "sequence": sequence, "load_id": f"load-{sequence}"} for sequence in range(250, 50, -1)]
    installation.lake.replace(snapshot_key(TABLE), json.dumps({**snapshot, "sequence": 250, "loads": loads}).encode())
    lake = reader(installation.settings)

    assert [row.sequence for row in table(lake, NAME, page=4).loads] == list(range(100, 50, -1))
    last = table(lake, NAME, page=5)
    assert ([row.sequence for row in last.loads], last.pages.pages, last.problems) == (list(range(50, 0, -1)), 5, ())
    page = lake.load(NAME, "load-17", LoadQuery())
    assert page is not None
    assert (page.load.sequence, page.load.rows_inserted) == (17, 17)


def test_hostile_and_huge_values_are_cut_with_a_marker_and_turn_nothing_around(installation):
    wide = {f"column_{number:04d}": number for number in range(700)}
    hostile = sighting(1, bird="x" * 10_000, count="\u202egnp.exe" + "y" * 5_000)
    installation.land([hostile, {**sighting(2, bird="<script>\u202e\x00"), **wide}], record_column=None)

    page = table(reader(installation.settings), NAME)
    assert (len(page.columns), page.column_pages.total > 700, len(page.preview.columns), page.preview.more_columns > 500) == (
        100, True, 200, True,
    )  # fmt: skip
    cells = [cell for row in page.preview.rows for cell in row if cell]
    assert max(map(len, cells)) < 300
    assert "<script>\\u202e\\u0000" in " ".join(cells)
    [record] = page.quarantine.newest
    assert "\u202e" not in (record.record or "")
    assert len(record.record or "") < 2_100


@pytest.mark.parametrize("off", ["off", "personal"])
def test_where_rows_must_not_be_shown_the_page_says_why_there_are_none(tmp_path, off):
    installation = Installation(tmp_path, environment={"DUCKLIFT_PII_SALT": "s" * 32})
    columns = [*COLUMNS, *([{"name": "note", "type": "varchar", "pii": "hash"}] if off == "personal" else [])]
    spec = {"columns": columns, "sample": off != "off"}
    installation.land([sighting(1, note="a"), sighting(2, count="many")], **spec)
    records, folder = tmp_path / "records.json", tmp_path / "include" / "pipelines"
    records.write_text(json.dumps({STREAM: []}))
    folder.mkdir(parents=True)
    text = {"name": "nature", "source": {"type": "listed", "file": str(records)}, "table": NAME, "disposition": "append", **spec}
    (folder / "nature.yaml").write_text(json.dumps(text))

    page = table(reader(installation.settings), NAME)
    assert (page.preview.absent, page.preview.rows) == (off, ())
    assert (page.quarantine.hidden, page.quarantine.newest[0].reason, page.quarantine.newest[0].line) == (True, None, 2)


def test_a_table_of_the_lake_alone_has_its_page(installation):
    installation.put(installation.pipeline(sightings(1, 2), target="lake", disposition="append", primary_key=[]))

    page = table(reader(installation.settings), NAME)
    assert (page.table.rows, page.loads[0].rows_loaded, page.loads[0].pipeline, page.columns) == (2, 2, "nature", ())


@pytest.fixture
def in_a_bucket(tmp_path: Path) -> Any:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    yield Installation(tmp_path, "s3://shown-lake/some/prefix", environment)
    server.stop()


def test_all_pages_are_read_over_s3(in_a_bucket):
    lake = reader(in_a_bucket.settings)
    assert lake.overview(OverviewQuery()).empty

    in_a_bucket.land(sightings(1, 2))
    in_a_bucket.land([sighting(3, count="many")], day=1)

    page = table(lake, NAME)
    assert ([row.state for row in page.loads], len(page.lineage)) == ([LoadState.QUARANTINED, LoadState.LOADED], 2)
    told = lake.load(NAME, load_id(), LoadQuery())
    assert told is not None
    assert (told.problems, told.steps[0].step) == ((), "extract")
    file = lake.file(NAME, load_id(), 0)
    assert file is not None
    assert len(b"".join(file.chunks)) == file.size_bytes
    assert lake.load(NAME, "unknown", LoadQuery()) is None
    assert page.snapshot_at is not None
    assert page.snapshot_at < datetime.now(UTC)

"""What is odd in a lake or beside it costs the page what it concerns, and no more; and what the page says of a load stays true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from installations import COLUMNS, MERGED, STREAM, TABLE, Installation, sightings, slice_run
from shown_lakes import reader, row, table
from starlette.testclient import TestClient
from visitors import anybody

import ducklift.lake.commits
import ducklift.warehouse.snapshots
import ducklift.web.digests
from ducklift.errors import ContractBroken, LakeUnavailable
from ducklift.lake.layout import ATTEMPTS, commit_prefix, snapshot_key
from ducklift.pipeline import extract, load, upload
from ducklift.summary import LoadSummary
from ducklift.web.app import create_app
from ducklift.web.csv_tables import table_sheet
from ducklift.web.sheets import lines
from ducklift.web.views.loads import LoadView
from ducklift.web.views.overview import OverviewView
from ducklift.web.views.queries import LoadQuery, OverviewQuery, TableQuery
from ducklift.web.views.states import LoadState, TableState

NAME = str(TABLE)
EDGE = "9999-12-31T23:59:59-05:00"  # in UTC it is a year that Python does not have
SECRET = "Hedwig"


def client(installation: Installation) -> TestClient:
    return TestClient(create_app(anybody, lambda: reader(installation.settings)), base_url="http://lake.test")


def file_of(installation: Installation, **spec: Any) -> Path:
    """Write the pipeline file of the installation's table."""
    folder = installation.project / "include" / "pipelines"
    folder.mkdir(parents=True, exist_ok=True)
    records = installation.project / "records.json"
    records.write_text(json.dumps({STREAM: [[]]}))
    file = folder / "nature.yaml"
    file.write_text(json.dumps({"name": "nature", "source": {"type": "listed", "file": str(records)}, **MERGED, **spec}))
    return file


def again(installation: Installation, *numbers: int, day: int, **spec: Any) -> LoadSummary:
    """Extract a day's slice again."""
    pipeline, run = installation.pipeline(sightings(*numbers), **spec), replace(slice_run(day), mode="reextract")
    return load(upload(extract(pipeline, STREAM, run, installation.settings), installation.settings), installation.settings, pipeline)


def altered(installation: Installation, key: str, *path: str | int, to: Any) -> None:
    """Put another value into a JSON object of the lake."""
    values: Any = installation.json(key)
    place = values
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    installation.lake.replace(key, json.dumps(values).encode())


def overview(installation: Installation) -> OverviewView:
    return reader(installation.settings).overview(OverviewQuery())


def load_page(installation: Installation, load_id: str) -> LoadView:
    found = reader(installation.settings).load(NAME, load_id, LoadQuery())
    assert found is not None
    return found


def fails_at_loading(installation: Installation, day: int) -> str:
    manifest = installation.put(installation.pipeline(sightings(7, count=SECRET)), day)
    with pytest.raises(ContractBroken):
        load(manifest, installation.settings, installation.pipeline(sightings(7, count=SECRET), contract="freeze"))
    return manifest


def test_a_link_to_nowhere_among_the_pipeline_files_is_a_problem_beside_all_tables(installation):
    installation.land(sightings(1))
    file_of(installation).with_name(".#nature.yaml").symlink_to("somebody@somewhere.1234")

    view = overview(installation)
    assert [row.name for row in view.tables] == [NAME]
    assert [problem.what for problem in view.problems] == ["The pipeline file .#nature cannot be used"]


def test_a_watermark_at_the_end_of_time_is_shown_as_it_is(installation):
    installation.land(sightings(1))
    altered(installation, snapshot_key(TABLE), "watermarks", f"nature/{STREAM}", to=EDGE)

    watermark = row(reader(installation.settings), NAME).watermark
    assert watermark is not None
    assert (watermark.text, watermark.lag_s) == (EDGE, None)
    assert client(installation).get("/").status_code == 200
    assert EDGE in client(installation).get(f"/tables/{NAME}").text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("loads", 0, "loaded_at"), EDGE),
        (("loads", 0, "load_id"), None),
        (("loads", 0, "rows_inserted"), 2**63),
        (("bytes",), "many"),
    ],
    ids=["moment", "load id", "huge number", "size"],
)
def test_a_damaged_snapshot_makes_its_own_table_unreadable_and_nothing_else(installation, path, value):
    installation.land(sightings(1))
    altered(installation, snapshot_key(TABLE), *path, to=value)

    assert row(reader(installation.settings), NAME).state is TableState.UNREADABLE
    assert [client(installation).get(path).status_code for path in ("/", f"/tables/{NAME}")] == [200, 200]


def test_a_listed_load_that_is_none_is_a_problem_on_its_tables_page(installation):
    installation.land(sightings(1))
    altered(installation, snapshot_key(TABLE), "loads", 0, "airflow", to="nobody")

    [problem] = table(reader(installation.settings), NAME).problems
    assert problem.what == f"The snapshot of {NAME} cannot be read"


@pytest.mark.parametrize("value", [[None], [{"key": "raw/x", "origin": "somewhere"}]], ids=["no file", "odd origin"])
def test_a_damaged_manifest_is_a_problem_on_its_tables_page(installation, value):
    installation.land(sightings(1))
    altered(installation, installation.manifest_key(), "files", to=value)

    view = table(reader(installation.settings), NAME)
    assert (len(view.loads), view.lineage) == (1, ())
    assert [problem.cause for problem in view.problems] == ["It was damaged outside Ducklift."]


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00", EDGE], ids=["without zone", "no such year"])
def test_a_note_of_failure_with_an_odd_moment_is_a_problem_beside_all_others(installation, moment):
    fails_at_loading(installation, day=0)
    fails_at_loading(installation, day=1)
    altered(installation, installation.keys(ATTEMPTS)[0], "tries", 0, "at", to=moment)

    view = overview(installation)
    assert [problem.what for problem in view.problems] == [f"A note of a failed load of {NAME} cannot be read"]
    assert row(reader(installation.settings), NAME).state is TableState.FAILING


def test_a_target_beyond_the_calendar_is_never_missed(installation):
    installation.land(sightings(1))
    file_of(installation, checks=[{"freshness": {"seen_at": "99999999999w"}}])

    answer = client(installation).get(f"/tables/{NAME}")
    assert answer.status_code == 200
    assert "never late" in answer.text


def test_what_a_file_calls_personal_is_hidden_before_the_next_load(installation):
    installation.land(sightings(1, bird=SECRET))
    installation.land(sightings(2, count=SECRET), day=1, contract="quarantine")
    fails_at_loading(installation, day=2)
    failed = installation.keys(ATTEMPTS)[0].rpartition("/")[2].removesuffix(".json")
    places = [
        f"/tables/{NAME}",
        *(f"/tables/{NAME}/{tab}" for tab in ("columns", "preview", "quarantine")),
        f"/tables/{NAME}/loads/{failed}",
    ]
    places += [f"{place}?format=csv" for place in places]
    file_of(installation)
    assert sum(SECRET in client(installation).get(place).text for place in places) >= 6

    private = [{**column, "pii": "redact"} if column["name"] == "bird" else column for column in COLUMNS]
    for spec in ({"columns": private}, {"sample": False}):
        file_of(installation, **spec)
        shown = [place for place in places if SECRET in client(installation).get(place).text]
        assert shown == ([] if "columns" in spec else [f"/tables/{NAME}/columns", f"/tables/{NAME}/columns?format=csv"])


@pytest.mark.parametrize(
    "check", [{"accepted_values": {"bird": ["wren"]}}, {"sql": f"SELECT bird FROM {NAME} WHERE bird <> 'wren'"}], ids=["values", "query"]
)
def test_a_warning_quotes_no_value_of_a_table_without_a_sample(installation, check):
    installation.land(sightings(1, bird=SECRET))
    warned = {"checks": [{**check, "level": "warn"}]}
    [open_one] = installation.land(sightings(2, bird=SECRET), day=1, **warned).warnings
    [hidden] = installation.land(sightings(3, bird=SECRET), day=2, sample=False, **warned).warnings

    assert SECRET in open_one
    assert hidden.startswith(open_one.partition(":")[0])
    assert SECRET not in hidden


def test_streams_of_one_name_are_told_apart_by_their_pipelines(installation):
    first = installation.land(sightings(1))
    second = installation.run(installation.pipeline(sightings(2)).model_copy(update={"name": "zoo"}), 1)
    fails_at_loading(installation, day=2)

    streams = {stream.pipeline: stream for stream in table(reader(installation.settings), NAME).streams}
    newest = {name: stream.last.load_id for name, stream in streams.items() if stream.last}
    assert newest["zoo"] == second.load_id
    assert newest["nature"] not in (first.load_id, second.load_id)
    assert {name: stream.failing for name, stream in streams.items()} == {"nature": True, "zoo": False}


def test_the_last_change_is_what_the_table_grew_by(installation):
    appended = {"disposition": "append", "primary_key": []}
    installation.land(sightings(1, 2, 3), **appended)
    installation.land(sightings(4), day=1, **appended)
    again(installation, 1, day=0, **appended)

    shown = row(reader(installation.settings), NAME)
    assert (shown.rows, shown.change) == (len(installation.rows()), -2)


def test_one_null_among_many_values_is_told(installation):
    installation.land([*sightings(*range(20_001)), *sightings(20_001, bird=None)])

    answer = client(installation).get(f"/tables/{NAME}/columns?search=bird")
    assert "&lt; 0.1 %" in answer.text


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a snapshot list the last two loads alone."""
    for module in (ducklift.lake.commits, ducklift.warehouse.snapshots, ducklift.web.digests):
        monkeypatch.setattr(module, "RECENT_LOADS", 2)


@pytest.mark.usefixtures("short_lists")
def test_a_load_that_came_through_after_a_failure_long_ago_is_none_that_failed(installation):
    manifest = fails_at_loading(installation, day=0)
    came = load(manifest, installation.settings, installation.pipeline(sightings(7, count=SECRET), contract="quarantine"))
    for day in range(1, 4):
        installation.land(sightings(day + 10), day=day)

    shown = load_page(installation, came.load_id)
    assert (shown.load.state, shown.load.pending, len(shown.attempts)) == (LoadState.QUARANTINED, False, 1)


@pytest.mark.usefixtures("short_lists")
def test_a_load_long_ago_whose_slice_was_read_again_is_superseded(installation):
    first = installation.land(sightings(1)).load_id
    for day in range(1, 4):
        installation.land(sightings(day + 10), day=day)
    second = again(installation, 1, 2, day=0).load_id

    def told() -> list[tuple[LoadState, str | None]]:
        lake = reader(installation.settings)
        listed = next(load for load in table(lake, NAME).loads if load.load_id == first)
        return [(load.state, load.superseded_by) for load in (listed, load_page(installation, first).load)]

    assert told() == [(LoadState.SUPERSEDED, second)] * 2
    third = again(installation, 1, 2, 3, day=0).load_id
    for day in range(4, 6):
        installation.land(sightings(day + 10), day=day)
    assert told() == [(LoadState.SUPERSEDED, second)] * 2
    assert load_page(installation, second).load.superseded_by == third
    assert load_page(installation, third).load.state is LoadState.LOADED


@pytest.mark.usefixtures("short_lists")
def test_a_download_of_loads_breaks_off_where_older_ones_cannot_be_read(installation):
    for day in range(4):
        installation.land(sightings(day), day=day)
    lake, query = reader(installation.settings), TableQuery()
    whole = "".join(lines(table_sheet(lake, NAME, "loads", query, table(lake, NAME))))
    assert whole.count("\n") == 5

    installation.lake.replace(installation.keys(commit_prefix(TABLE))[0], b"{}")
    lake = reader(installation.settings)
    with pytest.raises(LakeUnavailable, match="older loads cannot be shown"):
        "".join(lines(table_sheet(lake, NAME, "loads", query, table(lake, NAME))))


def test_a_file_of_a_number_that_no_computer_counts_to_is_not_there(installation):
    load_id = installation.land(sightings(1)).load_id
    place = f"/tables/{NAME}/loads/{load_id}/files/"

    assert [client(installation).get(place + number).status_code for number in ("0", "1", "-1", "9" * 5_000)] == [200, 404, 404, 404]

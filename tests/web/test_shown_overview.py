"""What the overview says of real lakes: states with their reasons, figures of the last day, search, order, and who may see what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from installations import TABLE, Installation, sighting, sightings, slice_run
from shown_lakes import PATIENT, reader, row

from ducklift.errors import CheckFailed, LakeUnavailable, SourceThrottled
from ducklift.lake.attempts import Trying, noting_failures
from ducklift.lake.layout import snapshot_key
from ducklift.pipeline import load_id_for
from ducklift.web import lake_state
from ducklift.web.digests import cadence_s
from ducklift.web.published_lake import Patience, PublishedLake
from ducklift.web.schedules import Schedule
from ducklift.web.views.queries import LoadQuery, OverviewQuery, TableQuery
from ducklift.web.views.states import LoadState, TableState

NAME = str(TABLE)
REFUSING: dict[str, Any] = {"checks": [{"accepted_values": {"bird": ["wren"]}}]}
DAILY = Schedule("nature", next_run=datetime(2100, 1, 1, tzinfo=UTC), every_s=86_400.0)


def changed_snapshot(installation: Installation, **changes: Any) -> None:
    key = snapshot_key(TABLE)
    installation.lake.replace(key, json.dumps({**installation.json(key), **changes}).encode())


def aged(installation: Installation, hours: float) -> None:
    """Let the newest load of the table be so old."""
    loads = installation.json(snapshot_key(TABLE))["loads"]
    moment = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    changed_snapshot(installation, loads=[{**loads[0], "loaded_at": moment}, *loads[1:]])


def fails(installation: Installation, stream: str, load_id: str = "20260105T000000Z-00000000") -> None:
    with pytest.raises(SourceThrottled), noting_failures(installation.lake, Trying("extract", TABLE, load_id, "nature", stream)):
        raise SourceThrottled("Reddit", 30)


def configured(installation: Installation, **spec: Any) -> None:
    """Write the pipeline's file."""
    records = installation.project / "records.json"
    records.write_text(json.dumps({"birds": [[]]}))
    folder = installation.project / "include" / "pipelines"
    folder.mkdir(parents=True, exist_ok=True)
    text = {"name": "nature", "source": {"type": "listed", "file": str(records)}, "table": NAME, "disposition": "append", **spec}
    (folder / "nature.yaml").write_text(json.dumps(text))


def test_an_empty_lake_says_so_with_the_commands_that_fill_it(installation):
    view = reader(installation.settings).overview(OverviewQuery())

    assert (view.empty, view.tables, view.health.worst, view.read.reading) == (True, (), None, False)
    assert len(view.commands) == 3


def test_a_loaded_table_is_told_with_figures_changes_and_its_last_loads(installation):
    installation.land(sightings(1, 2, 3))
    installation.land([sighting(3, bird="owl"), sighting(4), sighting(5, count="many")], day=1)

    found = row(reader(installation.settings), NAME)
    assert (found.rows, found.change, found.changed, found.quarantined, found.streams, found.pipelines) == (4, 1, 1, 1, 1, ("nature",))
    assert [(point.state, point.rows, round(point.height, 2)) for point in found.series] == [
        (LoadState.LOADED, 3, 1.0),
        (LoadState.QUARANTINED, 2, 0.67),
    ]
    health = reader(installation.settings).overview(OverviewQuery()).health
    assert (health.tables, health.loads_last_day, health.rows_last_day, health.quarantined_last_day) == (1, 2, 5, 1)
    assert (health.rows, health.at_least, health.next_run) == (4, False, None)


def test_a_table_fails_until_its_stream_commits_again(installation):
    installation.land(sightings(1))
    pipeline = installation.pipeline(sightings(2, bird="emu"), **REFUSING)
    with pytest.raises(CheckFailed):
        installation.run(pipeline, day=1)
    lake = reader(installation.settings)

    failing = row(lake, NAME)
    assert (failing.state, failing.failing_streams, failing.series[-1].state) == (TableState.FAILING, 1, LoadState.FAILED)
    assert failing.reason == "birds failed at load (CheckFailed, 1 try)."
    assert lake.overview(OverviewQuery()).health.failures_last_day == 1

    installation.run(installation.pipeline(sightings(2)), day=1)

    mended = row(lake, NAME)
    assert mended.state == TableState.UNTARGETED
    assert [point.state for point in mended.series] == [LoadState.LOADED, LoadState.LOADED]


def test_a_table_that_never_came_through_is_there_and_fails(installation):
    fails(installation, "birds")

    found = row(reader(installation.settings), NAME)
    assert (found.state, found.rows, found.loaded_at) == (TableState.FAILING, None, None)


def test_a_stream_that_somebody_chose_once_fails_its_table_for_a_day_and_a_configured_one_until_it_is_mended(installation, monkeypatch):
    installation.land(sightings(1))
    fails(installation, "misspelt")
    tomorrow = datetime.now(UTC) + timedelta(days=2)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return tomorrow

    lake = reader(installation.settings)
    assert row(lake, NAME).state == TableState.FAILING
    monkeypatch.setattr("ducklift.web.published_lake.datetime", Later)
    assert row(lake, NAME).state == TableState.UNTARGETED

    fails(installation, "birds", "20260106T000000Z-00000000")
    configured(installation)
    assert row(lake, NAME).state == TableState.FAILING


@pytest.mark.parametrize(
    ("hours", "schedule", "state", "origin"),
    [
        (1, DAILY, TableState.FRESH, "schedule"),
        (37, DAILY, TableState.LATE, "schedule"),
        (37, Schedule("nature", every_s=86_400.0, paused=True), TableState.UNTARGETED, "none"),
        (37, None, TableState.UNTARGETED, "none"),
    ],
)
def test_a_table_is_late_by_its_schedule(installation, hours, schedule, state, origin):
    installation.land(sightings(1))
    aged(installation, hours)

    found = row(reader(installation.settings, lambda: {"nature": schedule} if schedule else {}), NAME)
    assert (found.state, found.freshness.origin) == (state, origin)
    if schedule is DAILY:
        assert found.freshness.target_s == 36 * 3600
        assert (found.freshness.ratio > 1) == (state == TableState.LATE)


def test_schedules_that_cannot_be_asked_for_are_a_problem_and_tables_are_shown(installation):
    installation.land(sightings(1))

    def down() -> Any:
        raise LakeUnavailable("the metadata database", "no answer")

    view = reader(installation.settings, down).overview(OverviewQuery())
    assert ([found.name for found in view.tables], view.health.next_run) == ([NAME], None)
    assert [problem.what for problem in view.problems] == ["Asking for the schedules failed"]


def test_the_next_run_is_told_of_pipelines_that_may_be_seen(installation):
    installation.land(sightings(1))
    lake = reader(installation.settings, lambda: {"nature": DAILY, "other": Schedule("other", next_run=datetime(2099, 1, 1, tzinfo=UTC))})

    run = lake.overview(OverviewQuery()).health.next_run
    assert run is not None
    assert (run.pipeline, run.at, run.in_s > 0) == ("nature", DAILY.next_run, True)
    assert lake.seen_by(lambda _: False).overview(OverviewQuery()).health.next_run is None


def test_a_freshness_check_comes_before_the_schedule_and_looks_at_the_newest_value(installation):
    installation.land(sightings(1))
    configured(installation, checks=[{"freshness": {"seen_at": "36h"}}])

    found = row(reader(installation.settings, lambda: {"nature": DAILY}), NAME)
    assert (found.state, found.freshness.origin, found.freshness.measured) == (TableState.LATE, "check", "seen_at")
    assert "newest seen_at" in found.reason
    assert "36 h" in found.reason


def test_a_cadence_is_told_by_runs_over_more_than_a_day():
    hourly = [3600.0 * number for number in range(30)]
    streams_of_one_run = [moment + second for moment in hourly for second in (0, 20, 40)]

    assert cadence_s(hourly) == 3600
    assert cadence_s(streams_of_one_run) == 3600
    assert cadence_s(hourly[:20]) is None
    assert cadence_s([0.0, 90_000.0, 180_000.0]) is None


def test_a_gap_fails_the_table_until_the_stream_loads_without_one(installation):
    installation.land(sightings(1))
    loads = installation.json(snapshot_key(TABLE))["loads"]
    changed_snapshot(installation, loads=[{**loads[0], "gap": [1, 2]}])
    lake = reader(installation.settings)

    assert row(lake, NAME).state == TableState.FAILING
    assert row(lake, NAME).series[-1].state == LoadState.GAP


@pytest.mark.parametrize(
    ("content", "told"),
    [(b'{"snapshot_version": 1', "damaged"), (b'{"snapshot_version": 99}', "Upgrade"), (b'{"snapshot_version": 1, "loads": 3}', "damaged")],
)
def test_a_snapshot_that_cannot_be_read_is_one_problem_and_every_other_table_is_shown(installation, content, told):
    installation.land(sightings(1))
    installation.lake.replace("_ducklift/tables/nature.broken.json", content)
    installation.lake.replace("_ducklift/tables/<script>.json", content)
    lake = reader(installation.settings)

    view = lake.overview(OverviewQuery())
    assert [(found.name, found.state) for found in view.tables] == [
        ("nature.broken", TableState.UNREADABLE),
        (NAME, TableState.UNTARGETED),
    ]
    [problem] = view.problems
    assert (problem.table, told in problem.cause, bool(problem.fix)) == ("nature.broken", True, True)
    page = lake.table("nature.broken", TableQuery())
    assert page is not None
    assert page.problems == (problem,)


def test_a_pipeline_file_that_cannot_be_used_is_a_problem_and_its_tables_wait_no_longer(installation):
    configured(installation)
    lake = reader(installation.settings)
    assert row(lake, NAME).state == TableState.WAITING

    (installation.project / "include" / "pipelines" / "nature.yaml").write_text("name: [")

    view = lake.overview(OverviewQuery())
    assert [problem.what for problem in view.problems] == ["The pipeline file nature cannot be used"]
    assert view.tables == ()


def test_tables_are_searched_filtered_and_ordered(tmp_path):
    installation = many_tables(tmp_path, 120)
    lake = reader(installation.settings)

    first = lake.overview(OverviewQuery(sort="rows"))
    assert ([found.rows for found in first.tables[:2]], first.pages.pages, len(first.tables)) == ([119, 118], 2, 100)
    assert lake.overview(OverviewQuery(sort="rows", page=9)).tables[-1].rows == 0
    assert [found.rows for found in lake.overview(OverviewQuery(sort="rows", descending=True)).tables[:2]] == [0, 1]
    assert [found.name for found in lake.overview(OverviewQuery(search="T0042")).tables] == ["many.t0042"]
    assert len(lake.overview(OverviewQuery(search="birds many")).tables) == 100
    assert lake.overview(OverviewQuery(dataset="none")).tables == ()
    assert lake.overview(OverviewQuery(dataset="none")).empty is False


def many_tables(folder: Path, count: int) -> Installation:
    """Return an installation with copies of one real snapshot under many names."""
    installation = Installation(folder)
    installation.land(sightings(1))
    snapshot = installation.json(snapshot_key(TABLE))
    for number in range(count):
        told = {**snapshot, "table": f"many.t{number:04d}", "rows": number}
        installation.lake.replace(f"_ducklift/tables/many.t{number:04d}.json", json.dumps(told).encode())
    installation.lake.delete(snapshot_key(TABLE))
    return installation


def test_who_may_not_see_a_pipeline_sees_nothing_of_its_tables(installation):
    installation.land(sightings(1))
    configured(installation)
    everybody = reader(installation.settings)
    nobody = everybody.seen_by(lambda pipeline: pipeline != "nature")
    load_id = load_id_for("nature", "birds", slice_run())
    view = nobody.overview(OverviewQuery())
    assert (view.tables, view.health.rows, view.problems, view.pipelines) == ((), 0, (), ())
    assert nobody.table(NAME, TableQuery()) is None
    assert nobody.load(NAME, load_id, LoadQuery()) is None
    assert nobody.manifest(NAME, load_id) is None
    assert nobody.file(NAME, load_id, 0) is None
    assert everybody.file(NAME, load_id, 0) is not None


def test_only_what_changed_is_read_again(installation, monkeypatch):
    installation.land(sightings(1))
    installation.lake.replace("_ducklift/tables/nature.broken.json", b"{}")
    lake = PublishedLake(installation.settings, patience=PATIENT)
    read: list[str] = []
    original = lake._sources.lake.read
    monkeypatch.setattr(lake._sources.lake, "read", lambda key: (read.append(key), original(key))[1])

    lake.overview(OverviewQuery())
    lake.overview(OverviewQuery())
    assert sorted(read) == ["_ducklift/tables/nature.broken.json", snapshot_key(TABLE)]

    changed_snapshot(installation, rows=77)
    assert row(lake, NAME).rows == 77
    assert len(read) == 3


def test_a_slow_lake_keeps_nobody_waiting_and_many_viewers_cost_one_read(installation, monkeypatch):
    installation.land(sightings(1))
    may_go_on, begun, reads = Event(), Event(), []
    read_state = lake_state.read_state

    def slow(*arguments: Any) -> Any:
        reads.append(arguments)
        begun.set()
        assert may_go_on.wait(30)
        return read_state(*arguments)

    monkeypatch.setattr("ducklift.web.published_lake.read_state", slow)
    lake = PublishedLake(installation.settings, patience=Patience(state_kept_s=0, state_s=0.01))

    views = [lake.overview(OverviewQuery()) for _ in range(5)]
    assert [(view.read.reading, view.empty, view.tables) for view in views] == [(True, False, ())] * 5
    assert begun.wait(30)
    assert len(reads) == 1

    may_go_on.set()
    lake._sources.state.patience_s = 30
    assert row(lake, NAME).rows == 1


def test_nobody_waits_for_what_is_newer(installation, monkeypatch):
    installation.land(sightings(1))
    lake = PublishedLake(installation.settings, patience=Patience(moment_s=0, state_kept_s=0, state_s=60, newer_s=0.01))
    assert row(lake, NAME).rows == 1
    may_go_on, read_state = Event(), lake_state.read_state

    def slow(*arguments: Any) -> Any:
        assert may_go_on.wait(30)
        return read_state(*arguments)

    monkeypatch.setattr("ducklift.web.published_lake.read_state", slow)
    changed_snapshot(installation, rows=77)

    assert row(lake, NAME).rows == 1
    may_go_on.set()
    lake._sources.state.newer_s = 60
    assert row(lake, NAME).rows == 77


def test_a_lake_that_does_not_answer_is_a_problem_and_what_was_read_before_stays(installation, monkeypatch):
    installation.land(sightings(1))
    lake = reader(installation.settings)
    assert row(lake, NAME).rows == 1

    def gone(_prefix: str) -> Any:
        raise LakeUnavailable("s3://lake", "no answer")

    monkeypatch.setattr(lake._sources.lake, "list", gone)

    view = lake.overview(OverviewQuery())
    assert [found.rows for found in view.tables] == [1]
    assert view.read.failed is not None
    assert "no answer" in view.problems[0].cause
    assert view.read.age_s is not None

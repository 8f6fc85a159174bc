from __future__ import annotations

from pathlib import Path

import pytest
from installations import Installation, sighting, sightings
from runs import APPEND, MERGE, PLAIN, go, rebuild_anew, rebuilt_is_equal

from ducklift.errors import ConfigurationError
from ducklift.pipeline import Run, run_pipeline
from ducklift.pipeline_file import Pipeline
from ducklift.resets import Reset, reset_pipeline

FIRST, NINTH = sighting(1)["seen"], sighting(9)["seen"]


def reset(installation: Installation, *streams: str, to: str | None = None, **spec: object) -> list[Reset]:
    pipeline = installation.pipeline(streams={"birds": [], "owls": []}, **{**MERGE, **spec})
    return reset_pipeline(pipeline, installation.settings, streams, to)


def watermarks(installation: Installation) -> dict[str, object]:
    found: dict[str, object] = installation.json("_ducklift/tables/nature.sightings.json")["watermarks"]
    return found


def test_after_a_reset_the_next_run_reads_from_there_again(installation: Installation) -> None:
    go(installation, sightings(1, 9), **MERGE)

    reset(installation, "birds", to=str(FIRST))
    go(installation, sightings(2), day=1, **MERGE)

    assert installation.manifest(1)["request"]["watermark"] == FIRST


def test_without_a_cursor_the_next_run_reads_from_the_beginning(installation: Installation) -> None:
    go(installation, sightings(9), **MERGE)

    assert reset(installation, "birds") == [Reset("birds", "nature.sightings", NINTH, None)]
    go(installation, sightings(2), day=1, **MERGE)

    assert installation.manifest(1)["request"] == {"cursor_from": None, "watermark": None}
    rebuilt_is_equal(installation)


def test_rows_that_a_reset_makes_appear_again_are_not_appended_again(installation: Installation) -> None:
    go(installation, sightings(1, 2, 9), **APPEND)
    reset(installation, "birds", **APPEND)

    summary = go(installation, sightings(1, 2, 3, 9), day=1, **APPEND)

    assert (summary.rows_inserted, summary.rows_unchanged) == (1, 3)
    rebuilt_is_equal(installation)


def test_only_the_named_stream_is_reset_and_all_without_a_name(installation: Installation) -> None:
    go(installation, sightings(9), stream="birds", **MERGE)
    go(installation, sightings(9), stream="owls", day=1, **MERGE)

    reset(installation, "owls")
    assert watermarks(installation) == {"nature/birds": NINTH}

    reset(installation)
    assert watermarks(installation) == {}


def test_a_reset_is_in_the_ledger_and_in_the_lake_and_a_rebuild_knows_of_it(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1, 9), **MERGE)
    reset(installation, "birds", to=str(FIRST))

    assert installation.query("SELECT kind, sequence, watermark FROM _ducklift.loads ORDER BY sequence") == [
        ("load", 1, str(NINTH)),
        ("reset", 2, str(FIRST)),
    ]
    other = rebuild_anew(installation, tmp_path / "other")
    assert other.query("SELECT value, highest FROM _ducklift.watermarks") == [(str(FIRST), str(NINTH))]
    rebuilt_is_equal(installation)


def test_a_reset_to_where_the_stream_is_already_changes_nothing(installation: Installation) -> None:
    go(installation, sightings(9), **MERGE)
    reset(installation, "birds")

    assert [each.changed for each in reset(installation, "birds")] == [False]
    assert installation.query("SELECT count(*) FROM _ducklift.loads") == [(2,)]


def test_a_reset_never_moves_a_watermark_on(installation: Installation) -> None:
    go(installation, sightings(1), **MERGE)

    with pytest.raises(ConfigurationError, match="not beyond"):
        reset(installation, "birds", to=str(NINTH))

    assert watermarks(installation) == {"nature/birds": FIRST}


def test_a_date_will_do_for_a_cursor_in_seconds(installation: Installation) -> None:
    go(installation, sightings(1), **MERGE)

    reset(installation, "birds", to="2025-12-31")

    assert watermarks(installation) == {"nature/birds": 1_767_139_200.0}


@pytest.mark.parametrize(("to", "streams", "told"), [("soon", ["birds"], "number or a date"), (None, ["robins"], "there are: birds, owls")])
def test_a_reset_that_cannot_be_meant_is_refused(installation: Installation, to: str | None, streams: list[str], told: str) -> None:
    go(installation, sightings(1), **MERGE)

    with pytest.raises(ConfigurationError, match=told):
        reset(installation, *streams, to=to)


def test_a_cursor_that_tells_a_time_is_reset_to_a_time_alone(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    project, settings = installation.project, installation.settings
    monkeypatch.syspath_prepend(str(project))
    (project / "told_times.py").write_text("def told():\n    yield [{'id': 1, 'at': '2026-01-02T00:00:00Z'}]\n")
    source = {"type": "python", "function": "told_times:told"}
    timed = {"name": "timed", "source": source, "table": "nature.timed", "primary_key": ["id"], "incremental": {"cursor": "at"}}
    pipeline = Pipeline.model_validate({**timed, "disposition": "merge"})
    assert run_pipeline(pipeline, Run.now(), settings).state == "loaded"

    for to in ("1", "31/12/2025", "soon", ""):
        with pytest.raises(ConfigurationError, match="write a date"):
            reset_pipeline(pipeline, settings, to=to)
    assert reset_pipeline(pipeline, settings, to="2026-01-01T23:00:00-00:30")[0].changed


def test_a_table_without_a_cursor_has_nothing_to_reset(installation: Installation) -> None:
    with pytest.raises(ConfigurationError, match="incremental"):
        reset(installation, **PLAIN)

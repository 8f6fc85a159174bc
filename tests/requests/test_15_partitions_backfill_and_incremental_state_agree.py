"""Request 15 (dagster PR#22000): partitions, backfill and incremental state agree: each day once, in any order, and the watermark stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from installations import DAY, STREAM, TABLE, Installation, Record, sighting, slice_run

from ducklift.dry_run import foretell
from ducklift.errors import ConfigurationError, SliceNotOver
from ducklift.lake.layout import snapshot_key
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.planning import Run, plan_stream
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.summary import LoadSummary
from ducklift.warehouse.rebuild import verify

PER_DAY = 1440  # sightings are a minute apart
APPEND: dict[str, Any] = {"disposition": "append", "primary_key": []}
DISPOSITIONS: dict[str, dict[str, Any]] = {"append": APPEND, "merge": {}, "keyed append": {"disposition": "append"}}


class DiarySource(Source):
    """A source with a past: it gives what was seen from a moment on, or between two."""

    type: Literal["diary"] = "diary"
    diary: tuple[Record, ...]

    def streams(self) -> Sequence[str]:
        return [STREAM]

    def reads_windows(self) -> bool:
        return True

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        report.request = {"from": request.cursor_from, "to": request.cursor_to, "window": request.window, "partition": request.partition}
        first = request.cursor_from if request.cursor_from is not None else 0
        yield [dict(one) for one in self.diary if first <= one["seen"] and (request.cursor_to is None or one["seen"] < request.cursor_to)]
        report.ordered_and_complete = True


def diary(days: int) -> tuple[Record, ...]:
    """Two sightings a day, at its first minute and at its last."""
    return tuple(sighting(PER_DAY * day + minute) for day in range(days) for minute in (0, PER_DAY - 1))


def pipeline_over(installation: Installation, days: int, **spec: Any) -> Pipeline:
    incremental = {"cursor": "seen", "epoch": "s"}
    return installation.pipeline(source=DiarySource(diary=diary(days)), **{"incremental": incremental, **spec})


def land(installation: Installation, pipeline: Pipeline, run: Run) -> LoadSummary:
    return load(upload(extract(pipeline, STREAM, run, installation.settings), installation.settings), installation.settings, pipeline)


def partition(day: int, **fields: Any) -> Run:
    run = slice_run(day)
    return replace(run, window=True, partition=run.slice_start.strftime("%Y-%m-%d"), **fields)


def live(number: int) -> Run:
    return Run(run_id=f"live-{number}", slice_start=DAY + timedelta(days=number), slice_end=DAY + timedelta(days=number))


def ids(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("id")]


def all_of(days: int) -> list[str]:
    return [one["id"] for one in diary(days)]


@pytest.mark.parametrize("spec", DISPOSITIONS.values(), ids=DISPOSITIONS)
def test_days_in_any_order_and_more_than_once_make_the_table_that_they_make_in_order(
    installation: Installation, spec: dict[str, Any]
) -> None:
    pipeline = pipeline_over(installation, 4, **spec)

    states = [land(installation, pipeline, partition(day)).state for day in (2, 0, 2, 3, 1, 0)]

    assert states == ["loaded", "loaded", "already_loaded", "loaded", "loaded", "already_loaded"]
    assert ids(installation) == all_of(4)
    per_load = installation.query(f"SELECT count(*) FROM {TABLE} GROUP BY _load_id")
    assert per_load == [(2,)] * 4


@pytest.mark.parametrize("spec", DISPOSITIONS.values(), ids=DISPOSITIONS)
def test_a_backfill_of_old_days_leaves_the_watermark_where_it_was_and_brings_nothing_twice(
    installation: Installation, spec: dict[str, Any]
) -> None:
    watermark = land(installation, pipeline_over(installation, 4, **spec), live(4)).watermark
    pipeline = pipeline_over(installation, 6, **spec)

    for day in (1, 0):
        told = land(installation, pipeline, partition(day))
        assert (told.watermark, told.rows_extracted, told.rows_unchanged) == (watermark, 2, 2)

    assert installation.json(snapshot_key(TABLE))["watermarks"] == {"nature/birds": watermark}
    assert land(installation, pipeline, live(6)).rows_inserted == 4
    assert ids(installation) == all_of(6)


@pytest.mark.parametrize("spec", DISPOSITIONS.values(), ids=DISPOSITIONS)
def test_a_day_ahead_of_the_watermark_is_not_brought_again_by_the_run_that_catches_up(
    installation: Installation, spec: dict[str, Any]
) -> None:
    land(installation, pipeline_over(installation, 1, **spec), live(1))
    pipeline = pipeline_over(installation, 4, **spec)
    ahead = land(installation, pipeline, partition(2))

    caught_up = land(installation, pipeline, live(4))

    assert (ahead.rows_inserted, ahead.watermark) == (2, diary(1)[-1]["seen"])
    assert caught_up.watermark == diary(4)[-1]["seen"]
    assert ids(installation) == all_of(4)
    assert verify(installation.lake, installation.settings)


def test_the_source_is_told_the_partition_and_the_layout_may_show_it(installation: Installation) -> None:
    layout = "raw/{dataset}/{table}/day={partition}/{load_id}.{file_id}.{ext}"
    pipeline = pipeline_over(installation, 2, layout=layout)

    land(installation, pipeline, partition(1))

    manifest = installation.manifest(1)
    start = sighting(PER_DAY)["seen"]
    assert manifest["request"] == {"from": start, "to": start + 86_400, "window": True, "partition": "2026-01-02"}
    assert manifest["files"][0]["key"].startswith("raw/nature/sightings/day=2026-01-02/")
    assert (manifest["slice"]["window"], manifest["moves_watermark"]) == (True, False)


def test_a_cursor_that_is_a_text_is_bounded_by_texts_and_the_files_own_end_still_holds(installation: Installation) -> None:
    for number, (end, expected) in enumerate([(None, "2026-01-02T00:00:00+00:00"), ("2026-01-01T12:00:00+00:00",) * 2]):
        incremental = {"cursor": "when", "end": end}
        pipeline = installation.pipeline(source=DiarySource(diary=()), name=f"p{number}", incremental=incremental)
        plan = plan_stream(installation.lake, pipeline, STREAM, partition(0))
        assert (plan.slice.cursor_from, plan.slice.cursor_to) == ("2026-01-01T00:00:00+00:00", expected)


def test_numbers_of_an_unknown_unit_are_not_guessed_at(installation: Installation) -> None:
    pipeline = pipeline_over(installation, 2, incremental={"cursor": "seen"})
    land(installation, pipeline, live(1))

    with pytest.raises(ConfigurationError, match=r"incremental: \{epoch: s\}"):
        land(installation, pipeline, partition(1))


def test_a_day_that_is_not_over_is_refused_before_anything_is_read(installation: Installation) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    run = Run.of_interval(today, today + timedelta(days=1))

    with pytest.raises(SliceNotOver, match="Run it again after that") as caught:
        extract(pipeline_over(installation, 1), STREAM, run, installation.settings)

    assert (caught.value.ends_at, caught.value.exit_code) == (today + timedelta(days=1), 3)
    [told] = foretell(installation.lake, pipeline_over(installation, 1), run, installation.settings)
    assert (told["state"], told["extracts"]) == ("not_over", False)
    assert installation.keys("_ducklift/slices/") == []


def test_a_day_read_anew_takes_the_place_of_its_own_rows_alone(installation: Installation) -> None:
    for day in range(3):
        land(installation, pipeline_over(installation, 3, **APPEND), partition(day))
    corrected = DiarySource(diary=(sighting(PER_DAY + 7),))
    pipeline = installation.pipeline(source=corrected, incremental={"cursor": "seen", "epoch": "s"}, **APPEND)

    for _ in range(2):
        land(installation, pipeline, partition(1, mode="reextract"))

    assert ids(installation) == [*all_of(1), "s1447", *all_of(3)[4:]]


def test_a_run_that_reads_a_day_anew_and_is_cleared_finds_its_own_reading(installation: Installation) -> None:
    pipeline = pipeline_over(installation, 1)
    first = land(installation, pipeline, partition(0))
    facts = {"dag_id": "nature", "run_id": "backfill__1"}

    told = [land(installation, pipeline, partition(0, mode="reextract", facts={**facts, "try_number": number})) for number in (1, 2)]
    other = land(installation, pipeline, partition(0, mode="reextract", facts={**facts, "run_id": "backfill__2"}))

    assert [one.load_id for one in told] == [f"{first.load_id}-r2"] * 2
    assert [one.state for one in told] == ["loaded", "already_loaded"]
    assert other.load_id == f"{first.load_id}-r3"
    assert ids(installation) == all_of(1)


def test_a_source_that_cannot_read_an_interval_goes_by_its_watermark_whatever_the_run_stands_for(installation: Installation) -> None:
    for day in (0, 1):
        told = land(installation, installation.pipeline(list(diary(1))), partition(day))

    assert (told.watermark, told.rows_unchanged) == (diary(1)[-1]["seen"], 2)
    assert installation.manifest(1)["slice"]["window"] is False

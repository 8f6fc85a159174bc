"""Where reading ends: at a cursor of the pipeline file, at the run's own time, or before a day that the trigger form names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pytest
from installations import STREAM, TABLE, Installation, Record

from ducklift.cursors import reaches
from ducklift.errors import ConfigurationError
from ducklift.lake.layout import snapshot_key
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.planning import Run
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.summary import LoadSummary

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
FUTURE = "2098-09-11T02:23:31"
TIMED: dict[str, Any] = {"columns": [{"name": "seen_at", "from": "seen", "type": "timestamp"}], "record_column": None}


class LogbookSource(Source):
    """Gives the records of a time range; their times are texts without a zone, as those of taxi meters are."""

    type: Literal["logbook"] = "logbook"
    entries: tuple[Record, ...]
    bounded: bool = True
    obeys: bool = True
    as_arrow: bool = False

    def streams(self) -> Sequence[str]:
        return [STREAM]

    def reads_windows(self) -> bool:
        return self.bounded

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        end = str(request.cursor_to or "9999").replace("+00:00", "")
        inside = [dict(one) for one in self.entries if not self.obeys or str(request.cursor_from or "") <= one["seen"] < end]
        yield pa.Table.from_pylist(inside) if self.as_arrow else inside
        report.request = {"cursor_to": request.cursor_to}
        report.ordered_and_complete = True


def entry(day: int) -> Record:
    return {"id": f"d{day}", "seen": (FIRST + timedelta(days=day)).replace(tzinfo=None).isoformat()}


ENTRIES = (entry(0), entry(1), entry(2), {"id": "wrong clock", "seen": FUTURE})


def logbook(
    installation: Installation, *, bounded: bool = True, obeys: bool = True, as_arrow: bool = False, **incremental: Any
) -> Pipeline:
    source = LogbookSource(entries=ENTRIES, bounded=bounded, obeys=obeys, as_arrow=as_arrow)
    return installation.pipeline(source=source, **TIMED, incremental={"cursor": "seen", **incremental})


def go(installation: Installation, pipeline: Pipeline, at: datetime) -> LoadSummary:
    run = Run(run_id=at.isoformat(), slice_start=at, slice_end=at)
    return load(upload(extract(pipeline, STREAM, run, installation.settings), installation.settings), installation.settings, pipeline)


def ids(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("id")]


def test_end_now_leaves_what_lies_in_the_runs_future_until_its_time_comes(installation: Installation) -> None:
    pipeline = logbook(installation, end="now")

    first = go(installation, pipeline, FIRST + timedelta(days=1, hours=1))
    assert (first.rows_loaded, first.watermark, ids(installation)) == (2, entry(1)["seen"], ["d0", "d1"])

    second = go(installation, pipeline, FIRST + timedelta(days=9))
    assert (second.rows_inserted, second.watermark) == (1, entry(2)["seen"])

    third = go(installation, pipeline, datetime(2099, 1, 1, tzinfo=UTC))
    assert (third.rows_inserted, third.watermark) == (1, FUTURE)


@pytest.mark.parametrize("as_arrow", [False, True])
def test_records_at_or_beyond_the_end_are_left_out_also_where_the_source_gives_them(installation: Installation, as_arrow: bool) -> None:
    loose = {"obeys": False, "as_arrow": as_arrow}

    first = go(installation, logbook(installation, end=entry(1)["seen"], **loose), FIRST)
    assert (first.rows_extracted, first.watermark, ids(installation)) == (1, entry(0)["seen"], ["d0"])

    later = go(installation, logbook(installation, end=entry(2)["seen"] + "+00:00", **loose), FIRST + timedelta(days=1))
    assert (later.rows_inserted, later.watermark, ids(installation)) == (1, entry(1)["seen"], ["d0", "d1"])


@pytest.mark.parametrize(
    ("value", "end", "reached"),
    [
        (5, 5, True), (4, 5.5, False), (True, 0, False), (None, 0, False), ("9", 5, False), ([9], 5, False), ("b", "a", True),
        ("a", "b", False),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z", True), (datetime(2026, 3, 1, 9, tzinfo=UTC), "2026-03-01T10:00:00Z", False),
        ("soon", "2026-03-01", True),
    ],
)  # fmt: skip
def test_a_cursor_reaches_an_end_it_equals_or_exceeds_and_what_cannot_be_compared_does_not(value: Any, end: Any, reached: bool) -> None:
    assert reaches(value, end) is reached


def test_without_it_a_wrong_clock_is_the_watermark(installation: Installation) -> None:
    assert go(installation, logbook(installation), FIRST).watermark == FUTURE


def test_a_day_of_the_form_ends_a_run_and_the_next_one_goes_on(installation: Installation) -> None:
    pipeline = logbook(installation, end="now", overlap="1h")

    capped = go(installation, pipeline.with_options({"end": "2026-03-02"}), FIRST + timedelta(days=5))
    assert (capped.rows_loaded, capped.watermark) == (1, entry(0)["seen"])
    assert installation.json(snapshot_key(TABLE))["watermarks"] == {"nature/birds": entry(0)["seen"]}

    rest = go(installation, pipeline.with_options({"end": None}), FIRST + timedelta(days=5, hours=1))
    assert (rest.rows_inserted, rest.rows_unchanged) == (2, 1)


def ends(pipeline: Pipeline) -> Any:
    return pipeline.incremental and pipeline.incremental.end


def test_the_earlier_of_two_ends_counts_and_a_day_to_come_changes_nothing(installation: Installation) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    fixed = logbook(installation, end="2026-03-02T00:00:00+00:00")

    assert ends(logbook(installation, end="now").with_options({"end": tomorrow})) == "now"
    assert ends(logbook(installation).with_options({"end": "2026-03-02"})) == "2026-03-02T00:00:00+00:00"
    assert ends(fixed.with_options({"end": "2026-03-09"})) == "2026-03-02T00:00:00+00:00"
    assert ends(fixed.with_options({"end": "2026-03-01"})) == "2026-03-01T00:00:00+00:00"
    assert ends(logbook(installation, epoch="ms").with_options({"end": "2026-03-02"})) == 1_772_409_600_000


@pytest.mark.parametrize("hostile", ["now", "2026-13-01", "{{ ds }}", 5, ["2026-03-01"], "2026-03-01'; DROP TABLE x; --", ""])
def test_what_is_no_day_is_refused(installation: Installation, hostile: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a day"):
        logbook(installation).with_options({"end": hostile})


def test_the_form_offers_an_end_only_where_it_can_be_kept(installation: Installation) -> None:
    assert list(logbook(installation).options_schema()) == ["end"]
    assert list(logbook(installation, bounded=False).options_schema()) == []
    assert list(installation.pipeline(source=LogbookSource(entries=()), **TIMED, incremental=None).options_schema()) == []
    with pytest.raises(ConfigurationError, match="takes no options"):
        logbook(installation, bounded=False).with_options({"end": "2026-03-01"})


@pytest.mark.parametrize("form", [{}, {"end": "2026-03-02"}], ids=["end: now", "the form's day"])
def test_a_moment_asks_what_a_number_counts(installation: Installation, form: dict[str, Any]) -> None:
    pipeline = logbook(installation, end=None if form else "now", initial=5)

    with pytest.raises(ConfigurationError, match="epoch"):
        go(installation, pipeline.with_options(form), FIRST)

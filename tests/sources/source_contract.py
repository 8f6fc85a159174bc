"""What every source promises, in one suite that each source's tests inherit; what a source cannot do, its trial leaves out."""

from __future__ import annotations

import json
import logging
import pickle
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
import yaml

from ducklift.dry_run import foretell
from ducklift.errors import ConfigurationError, DuckliftError
from ducklift.lake.filesystem import open_lake
from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.settings import Settings, load_settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.sources.registry import source_class

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Since:
    """A second reading from a cursor on: `cursor` is the records' field; of its records only those from `value` on are read again.

    A source that cannot leave out older ones (a page holds some) says how many there may be at most.
    """

    cursor: str
    value: int | float | str
    older_at_most: int = 0


@dataclass(frozen=True)
class Trial:
    """One source as a pipeline file would configure it, on something real to read from, and what is known of its records.

    `config` is the `source:` block, `key` the fields that tell its records apart, `rows` how many its first stream has. `environment`
    carries the credentials; whatever is in `secrets` must show up nowhere. `broken` are configurations that validate and cannot be read.
    `pipeline` is what else the pipeline file needs.
    """

    config: Mapping[str, Any]
    rows: int
    key: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    broken: Sequence[Mapping[str, Any]] = ()
    since: Since | None = None
    pipeline: Mapping[str, Any] = field(default_factory=dict)


class SourceContract:
    """Inherit it and give the fixture `trial`; more of it where a source has more than one way to read."""

    largest_batch: ClassVar[int] = 10_000
    """Rows of the largest batch that may be in memory at once; the trial should have more rows than that."""

    @pytest.fixture
    def settings(self, trial: Trial, project: Path) -> Settings:
        return load_settings(dict(trial.environment), project)

    def test_the_registry_knows_the_type(self, trial: Trial):
        assert isinstance(source_of(trial), source_class(str(trial.config["type"])))

    def test_a_configuration_survives_being_written_out(self, trial: Trial):
        source = source_of(trial)

        assert type(source).model_validate(json.loads(source.model_dump_json(by_alias=True))) == source

    def test_a_pipeline_file_with_the_source_is_fit_to_run(self, trial: Trial, settings: Settings):
        assert list(pipeline_of(trial, settings).streams()) == list(source_of(trial).streams())

    def test_an_unknown_field_is_refused_with_its_line(self, trial: Trial, settings: Settings):
        with pytest.raises(ConfigurationError, match=r"tried\.yaml:\d+: .*surplus_field"):
            pipeline_of(trial, settings, source={**trial.config, "surplus_field": 1})

    def test_streams_have_names_of_their_own_and_stay_the_same(self, trial: Trial):
        streams = list(source_of(trial).streams())

        assert streams == list(source_of(trial).streams())
        assert all(name and name.isprintable() for name in streams)
        assert len(set(streams)) == len(streams) > 0

    def test_a_stream_that_is_not_one_is_refused_by_name(self, trial: Trial, settings: Settings):
        with pytest.raises(ConfigurationError, match="no/such/stream"):
            read(source_of(trial), settings, "no/such/stream")

    def test_options_are_plain_json_with_defaults_and_others_are_refused(self, trial: Trial):
        source = source_of(trial)
        schema = json.loads(json.dumps(source.options_schema()))

        assert all("default" in rules for rules in schema.values())
        assert source.with_options({}) == source
        assert source.with_options({name: rules["default"] for name, rules in schema.items()}) == source
        with pytest.raises(ConfigurationError):
            source.with_options({"no_such_option": "{{ 7 * 7 }}"})

    def test_every_record_is_read_once_in_batches_of_bounded_size(self, trial: Trial, settings: Settings):
        batches = read(source_of(trial), settings)

        assert sum(map(len, batches)) == trial.rows
        assert 0 < max(map(len, batches)) <= self.largest_batch
        assert len({keys(record, trial.key) for record in records(batches)}) == trial.rows

    def test_reading_again_gives_the_same_whatever_became_of_the_first_batches(self, trial: Trial, settings: Settings):
        source = source_of(trial)
        batches = read(source, settings)
        first = canonical(records(batches))
        for batch in batches:
            if isinstance(batch, list):
                for record in batch:
                    record.clear()  # they are the lake's to change

        assert canonical(records(read(source, settings))) == first

    def test_the_report_is_plain_json_and_tells_what_was_asked(self, trial: Trial, settings: Settings):
        report = ReadReport()
        read(source_of(trial), settings, report=report)

        assert report.request
        assert json.loads(orjson.dumps(report.request)) == report.request

    def test_from_a_cursor_on_nothing_is_missing_and_the_watermark_may_move(self, trial: Trial, settings: Settings):
        if trial.since is None:
            assert not pipeline_of(trial, settings).table_spec(source_of(trial).streams()[0]).incremental
            return
        cursor, value = trial.since.cursor, trial.since.value
        source, report = source_of(trial), ReadReport()
        newer = [record for record in records(read(source, settings)) if record.get(cursor) is not None and record[cursor] >= value]
        found = records(read(source, settings, cursor_from=value, report=report, cursor=cursor))

        assert report.ordered_and_complete
        assert 0 < len(newer) < trial.rows  # the trial's own value splits its records
        assert {keys(record, trial.key) for record in newer} <= {keys(record, trial.key) for record in found}
        assert len(found) - len(newer) <= trial.since.older_at_most

    def test_a_reading_that_is_given_up_leaves_nothing_running(self, trial: Trial, settings: Settings):
        read(source_of(trial), settings)  # what a library starts once and for all stands now
        before = set(threading.enumerate())
        report = ReadReport()
        reading = source_of(trial).read(request_for(source_of(trial)), settings, report)
        next(iter(reading))
        close = getattr(reading, "close", None)

        assert close is not None, "read has to be a generator, so that what it holds is let go"
        close()
        for thread in set(threading.enumerate()) - before:
            thread.join(60)  # a stand-in's thread ends with the connection that it serves
            assert not thread.is_alive(), thread
        assert not report.ordered_and_complete

    def test_no_secret_shows_in_the_configuration_the_report_the_log_or_the_manifest(
        self, trial: Trial, settings: Settings, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.DEBUG)
        source, report = source_of(trial), ReadReport()
        read(source, settings, report=report)
        summary = run_pipeline(pipeline_of(trial, settings), Run.now(), settings)
        manifests = [path.read_text("utf-8") for path in Path(settings.home / "lake").rglob("_loads/*.json")]
        shown = [
            repr(source),
            source.model_dump_json(),
            repr(settings),
            repr(report),
            caplog.text,
            json.dumps(summary.as_dict()),
            *manifests,
        ]

        assert manifests
        assert [secret for secret in trial.secrets if any(secret in text for text in shown)] == []

    def test_what_cannot_be_read_is_an_error_of_the_house_that_shows_no_secret(
        self, trial: Trial, settings: Settings, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.DEBUG)
        for config in trial.broken:
            source, report = source_of(trial, config), ReadReport()
            with pytest.raises(DuckliftError) as caught:
                read(source, settings, report=report)
            text = "".join(traceback.format_exception(caught.value)) + caplog.text

            assert not report.ordered_and_complete
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
            assert [secret for secret in trial.secrets if secret in text] == []

    def test_a_dry_run_tells_of_every_stream_and_writes_nothing(self, trial: Trial, settings: Settings, tmp_path: Path):
        pipeline, before = pipeline_of(trial, settings), sorted(tmp_path.rglob("*"))

        told = foretell(open_lake(settings), pipeline, Run.now(), settings)

        assert [each["stream"] for each in told] == list(pipeline.streams())
        assert {each["state"] for each in told} == {"new"}
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_run_lands_every_record_and_a_second_one_no_other(self, trial: Trial, settings: Settings):
        import duckdb

        pipeline = pipeline_of(trial, settings)
        stream = pipeline.streams()[0]
        first = run_pipeline(pipeline, Run.now(), settings)
        assert [load.error for load in first.loads if load.error] == []
        run_pipeline(pipeline, Run.now(), settings)
        with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as warehouse:
            rows = warehouse.sql(f"SELECT count(*), count(DISTINCT ({', '.join(trial.key)})) FROM {pipeline.table_spec(stream).name}")
            counted, told_apart = rows.fetchall()[0]

        assert next(load for load in first.loads if load.stream == stream).rows_extracted == trial.rows
        assert counted == told_apart >= trial.rows


def source_of(trial: Trial, config: Mapping[str, Any] | None = None) -> Source:
    """Return the source that a configuration makes."""
    config = dict(config or trial.config)
    return source_class(str(config["type"])).model_validate(config)


def request_for(source: Source, stream: str | None = None, cursor_from: Any = None, cursor: str | None = None) -> SliceRequest:
    """Return the request of a first reading, or of one from a cursor on."""
    return SliceRequest(stream or source.streams()[0], MOMENT, MOMENT, cursor_from, cursor_from, cursor=cursor)


def read(
    source: Source,
    settings: Settings,
    stream: str | None = None,
    cursor_from: Any = None,
    report: ReadReport | None = None,
    cursor: str | None = None,
) -> list[Batch]:
    """Return all batches of one reading."""
    return list(source.read(request_for(source, stream, cursor_from, cursor), settings, report or ReadReport()))


def records(batches: Iterable[Batch]) -> list[dict[str, Any]]:
    """Return the records of batches of either kind."""
    return [record for batch in batches for record in (batch if isinstance(batch, list) else batch.to_pylist())]


def keys(record: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    """Return what tells a record apart."""
    return tuple(record[name] for name in names)


def canonical(found: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Return records in a form to be compared, in the order of reading."""
    return [json.dumps(record, sort_keys=True, default=str).encode() for record in found]


def pipeline_of(trial: Trial, settings: Settings, **changes: Any) -> Any:
    """Write the pipeline file `tried.yaml` around the source and load it; merged by key, so that a second run adds nothing."""
    values = {"name": "tried", "table": "tried.records", "disposition": "merge", "primary_key": list(trial.key)}
    document = {**values, "source": dict(trial.config), **trial.pipeline, **changes}
    settings.pipelines.mkdir(parents=True, exist_ok=True)
    (settings.pipelines / "tried.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False), "utf-8")
    return load_pipeline("tried", settings)

"""Ducklift's own metrics: by OpenTelemetry over the wire, without a word where nothing listens, and what counts as a moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk.exceptions import AirflowSkipException
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA

from ducklift.errors import ConfigurationError
from ducklift.orchestration.metrics import measured, tell_landed, tell_load
from ducklift.pipeline import Pipeline
from ducklift.summary import LoadSummary

# As the process of a task does it: the backend is made ready at its start, and flushed at its exit.
TASK = """
from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from ducklift.errors import ConfigurationError
from ducklift.orchestration.metrics import measured, tell_load
from ducklift.pipeline import load_pipeline
from ducklift.settings import load_settings
from ducklift.summary import LoadSummary

stats.initialize(factory=get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on"))
with measured("load", "reddit", "reddit.posts"):
    summary = LoadSummary(stream="python/new", table="reddit.posts", rows_extracted=5, rows_inserted=3, rows_updated=2, bytes=77)
tell_load(load_pipeline("reddit", load_settings()), summary)
"""


class Collector(ThreadingHTTPServer):
    """An OpenTelemetry collector on loopback, which keeps the data points of Ducklift's metrics."""

    def __init__(self) -> None:
        self.points: list[tuple[str, dict[str, str], Any]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.keep(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def keep(self, path: str, body: bytes) -> None:
        assert path == "/v1/metrics"
        for metric in (
            each for r in ExportMetricsServiceRequest.FromString(body).resource_metrics for s in r.scope_metrics for each in s.metrics
        ):
            data = getattr(metric, metric.WhichOneof("data"))
            for point in data.data_points:
                self.points.append((metric.name, {a.key: a.value.string_value for a in point.attributes}, (metric, data, point)))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.airflow
def test_a_task_sends_its_rows_to_an_opentelemetry_collector_before_it_ends(collector: Collector, tmp_path: Path):
    endpoint = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    }

    done = subprocess.run([sys.executable, "-c", TASK], env={**os.environ, **endpoint}, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    rows = {tags["outcome"]: found for name, tags, found in collector.points if name == "airflow.ducklift.rows"}
    assert {outcome: point.as_int for outcome, (_, _, point) in rows.items() if point.as_int} == {"inserted": 3, "updated": 2}
    assert {data.aggregation_temporality for _, data, _ in rows.values()} == {AGGREGATION_TEMPORALITY_DELTA}
    (took,) = [found for name, tags, found in collector.points if name == "airflow.ducklift.step.duration" and tags["step"] == "load"]
    assert took[2].count == 1
    assert took[0].unit == "ms"


@pytest.mark.airflow
def test_a_task_that_nobody_watches_imports_no_client_for_it(tmp_path: Path):
    program = f"""{TASK}
import sys
from ducklift.orchestration.lineage import tell_lineage
tell_lineage({{}}, reads=["s3://lake/raw/reddit/posts"], tables=["reddit.posts"])
print(*sorted({{"statsd", "openlineage", "opentelemetry.sdk.metrics", "boto3"}} & sys.modules.keys()))
"""
    nobody = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "plugins")}

    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **nobody}, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


class Recorder:
    """A backend of Airflow's metrics that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, dict[str, str]]] = []

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, str]) -> None:
        self.told.append((stat, count, tags))

    def gauge(self, stat: str, value: float, *, tags: dict[str, str]) -> None:
        self.told.append((stat, value, tags))

    timing = gauge

    def values(self, name: str) -> list[Any]:
        return [value for stat, value, _ in self.told if stat == name]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    from airflow.sdk.observability import stats

    made = Recorder()
    stats.initialize(factory=lambda: made, export_legacy_names=True)
    yield made
    stats.initialize(factory=NoStatsLogger, export_legacy_names=True)


def pipeline(**of_table: Any) -> Pipeline:
    birds = {"name": "birds", "source": {"type": "python", "function": "diary:sightings"}, "table": "nature.birds", "disposition": "append"}
    return Pipeline.model_validate({**birds, **of_table})


@pytest.mark.parametrize(
    ("of_table", "watermark", "moment"),
    [
        ({"incremental": {"cursor": "seen"}}, "2026-01-02T03:04:05Z", 1767323045.0),
        ({"incremental": {"cursor": "seen"}}, "2026-01-02", 1767312000.0),
        ({"incremental": {"cursor": "seen", "epoch": "ms"}}, 1767323045000, 1767323045.0),
        ({"incremental": {"cursor": "seen"}, "columns": [{"name": "at", "from": "seen", "type": "timestamptz"}]}, 1767323045, 1767323045.0),
        ({"incremental": {"cursor": "id"}}, 1767323045, None),
        ({"incremental": {"cursor": "id"}}, "a7f", None),
        ({}, None, None),
    ],
    ids=["text", "day", "epoch", "column", "number", "word", "none"],
)
def test_only_a_cursor_that_tells_a_time_becomes_a_watermark_and_a_lag(recorder, of_table, watermark, moment):
    tell_load(pipeline(**of_table), LoadSummary(stream="birds", table="nature.birds", watermark=watermark))

    assert recorder.values("ducklift.watermark") == ([] if moment is None else [moment])
    assert [lag > 0 for lag in recorder.values("ducklift.lag")] == ([] if moment is None else [True])


def test_a_load_of_a_table_whose_key_the_source_told_is_told_like_any_other(recorder):
    shop = {"name": "shop", "source": {"type": "sql_tables", "url": "sqlite:///shop.db", "tables": ["orders"]}, "table": "shop.orders"}
    merged = Pipeline.model_validate({**shop, "disposition": "merge", "incremental": {"cursor": "changed"}})

    tell_load(merged, LoadSummary(stream="orders", table="shop.orders", watermark="2026-01-02", rows_inserted=2))

    assert recorder.values("ducklift.watermark") == [1767312000.0]


def test_a_load_that_was_there_before_counts_no_row_again(recorder):
    tell_load(pipeline(), LoadSummary(stream="birds", table="nature.birds", state="already_loaded", rows_extracted=5, rows_inserted=5))

    assert recorder.told == [("ducklift.loads", 1, {"pipeline": "birds", "table": "nature.birds", "state": "already_loaded"})]


def test_a_step_that_is_skipped_tells_nothing_and_one_that_fails_tells_its_error_alone(recorder):
    with pytest.raises(AirflowSkipException), measured("extract", "birds", "nature.birds"):
        raise AirflowSkipException("not chosen")
    with pytest.raises(ConfigurationError), measured("extract", "birds", "nature.birds"):
        raise ConfigurationError("no such bird")

    of_step = {"step": "extract", "pipeline": "birds", "table": "nature.birds", "error": "ConfigurationError"}
    assert recorder.told == [("ducklift.step.failures", 1, of_step)]


def test_what_lands_in_the_lake_alone_is_counted_under_names_that_every_backend_takes(recorder):
    tell_landed("my birds", "nature.birds:eu", 5, 77)

    tags = {"pipeline": "my_birds", "table": "nature.birds_eu"}
    assert recorder.told == [("ducklift.rows", 5, {**tags, "outcome": "landed"}), ("ducklift.bytes", 77, tags)]

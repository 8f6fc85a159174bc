"""A run seen from outside: the metrics that a StatsD server gets, and the lineage that an OpenLineage server gets."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from dags_on_sandbox import YAML, run_by_airflow, stand_on
from dashboards import OBSERVABILITY, asked, dashboard, queries

from ducklift.settings import load_settings
from kept_ports import kept_ports

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

from statsd_exposition import Exposition, Served

LINE = re.compile(r"airflow\.(?P<name>ducklift[a-z_.]*)(?P<tags>[^:]*):(?P<value>[-+0-9.e]+)\|(?P<kind>c|g|ms)")
RUN = {"form": {}}
LAST = "the last line"


@dataclass
class Told:
    """What came over the wire, and what the run itself made of it."""

    lines: list[str]
    events: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    log: str
    lake_url: str
    warehouse: str

    def sent(self, name: str) -> dict[frozenset[tuple[str, str]], list[float]]:
        """Return the values of a metric by its tags, in the order in which they came."""
        found = defaultdict(list)
        for line in self.lines:
            match = LINE.fullmatch(line)
            if match and match["name"] == name:
                found[frozenset(tuple(tag.split("=", 1)) for tag in match["tags"].split(",") if tag)].append(float(match["value"]))
        return found

    def total(self, name: str, **tags: str) -> float:
        return sum(sum(values) for known, values in self.sent(name).items() if tags.items() <= dict(known).items())

    def datasets(self, task: str, kind: str) -> list[tuple[list[tuple[str, str]], list[tuple[str, str]]]]:
        """Return the inputs and outputs, as namespace and name, of each event of a kind about a task."""
        return [
            tuple([(each["namespace"], each["name"]) for each in event[side]] for side in ("inputs", "outputs"))
            for event in self.events
            if event["job"] == {**event["job"], "namespace": "birds", "name": f"reddit.{task}"} and event["eventType"] == kind
        ]

    def summaries(self) -> list[dict[str, Any]]:
        return [task["xcom"] for run in self.runs for task in run["tasks"] if task["task"] == "duckdb_load" and task["xcom"]]


@pytest.fixture(scope="module")
def statsd() -> Iterator[list[str]]:
    """The lines that came to a StatsD server on loopback, and its port at their head."""
    lines: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        server.bind(("127.0.0.1", 0))
        lines.append(str(server.getsockname()[1]))

        def listen() -> None:
            while packet := server.recv(65536):
                lines.extend(packet.decode().split("\n"))

        thread = Thread(target=listen, daemon=True)
        thread.start()
        yield lines
        server.sendto(b"", server.getsockname())
        thread.join()


def wait_for_the_last(statsd: list[str]) -> None:
    """Return once all that was sent before is among the lines: loopback keeps the order."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(LAST.encode(), ("127.0.0.1", int(statsd[0])))
    deadline = time.monotonic() + 60
    while statsd[-1] != LAST:
        assert time.monotonic() < deadline, statsd
        time.sleep(0.01)
    statsd.pop()


class LineageServer(ThreadingHTTPServer):
    """An OpenLineage backend that keeps the events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.events.append({"path": self.path, **json.loads(body)})
                self.send_response(201)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def told(sandbox, statsd, tmp_path_factory) -> Iterator[Told]:
    """What a run of DAG `reddit` over two subreddits, one of them private, has told."""
    folder = tmp_path_factory.mktemp("observed")
    with pytest.MonkeyPatch.context() as monkeypatch, LineageServer() as backend:
        Thread(target=backend.serve_forever, daemon=True).start()
        stand_on(sandbox, folder, monkeypatch)
        (folder / "pipelines" / "reddit.yaml").write_text(YAML.format(subreddits="python, private_example", target="warehouse"), "utf-8")
        transport = {"type": "http", "url": f"http://127.0.0.1:{backend.server_port}", "compression": None}
        observed = {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": statsd[0],
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "birds",
            # What tells of a task has ten seconds by default, and is left out of the story after them.
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "120",
        }
        outcome = run_by_airflow(folder, [RUN], **observed)
        backend.shutdown()
        wait_for_the_last(statsd)
        yield Told(statsd[1:], backend.events, outcome["runs"], outcome["log"], load_settings().lake_url, str(folder / "warehouse.duckdb"))


OF_POSTS = {"pipeline": "reddit", "table": "reddit.posts"}


@pytest.mark.airflow
def test_the_rows_sent_by_outcome_and_the_bytes_are_those_of_the_loads(told):
    loads = told.summaries()
    outcomes = ("inserted", "updated", "unchanged", "deleted", "deduplicated", "quarantined")

    assert {name: told.total("ducklift.rows", outcome=name, **OF_POSTS) for name in outcomes} == {
        name: sum(load[f"rows_{name}"] for load in loads) for name in outcomes
    }
    assert told.total("ducklift.rows") == sum(load["rows_extracted"] for load in loads) > 0
    assert told.total("ducklift.bytes", **OF_POSTS) == sum(load["bytes"] for load in loads)
    assert told.total("ducklift.loads", state="loaded", **OF_POSTS) == len(loads) == 1
    assert told.sent("ducklift.table.rows")[frozenset(OF_POSTS.items())][-1] == loads[-1]["total_rows"]


@pytest.mark.airflow
def test_the_watermark_and_how_far_it_is_behind_are_sent_for_each_stream(told):
    of_python = frozenset({**OF_POSTS, "stream": "python_new"}.items())

    assert told.sent("ducklift.watermark")[of_python][-1] == told.summaries()[-1]["watermark"]
    assert told.sent("ducklift.lag")[of_python][-1] == pytest.approx(time.time() - told.summaries()[-1]["watermark"], abs=300)


@pytest.mark.airflow
def test_each_step_tells_how_long_it_took_and_one_that_failed_by_which_error(told):
    took = {dict(tags)["step"]: values for tags, values in told.sent("ducklift.step.duration").items()}

    assert {step: len(values) for step, values in took.items()} == {"extract": 1, "upload": 1, "load": 1}
    assert all(0 < value < 60_000 for values in took.values() for value in values)
    assert told.sent("ducklift.step.failures") == {frozenset({**OF_POSTS, "step": "extract", "error": "StreamRefused"}.items()): [1.0]}


@pytest.mark.airflow
def test_no_metric_was_refused_for_its_name_or_its_tags(told):
    assert "Invalid stat name" not in told.log
    assert "Dropping invalid tag" not in told.log
    assert [line for line in told.lines if "ducklift" in line and not LINE.fullmatch(line)] == []


@pytest.mark.airflow
def test_lineage_leads_from_the_raw_files_in_the_bucket_to_the_table_in_duckdb(told):
    raw = (told.lake_url, "raw/reddit/posts")
    posts = (f"duckdb://{told.warehouse}", "warehouse.reddit.posts")

    assert told.datasets("s3_upload", "COMPLETE") == [([], [raw])]
    assert told.datasets("duckdb_load", "COMPLETE") == [([raw], [posts])]
    assert told.datasets("reddit_extraction", "FAIL") == [([], [])]
    assert {event["path"] for event in told.events} == {"/api/v1/lineage"}


@pytest.fixture(scope="module")
def served(told) -> Iterator[Served]:
    """The metrics of the run as an exporter serves them to Prometheus."""
    exposition = Exposition(OBSERVABILITY / "statsd-exporter.yml")
    for line in told.lines:
        exposition.take(line)
    with Served(("127.0.0.1", 0), exposition) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.airflow
@pytest.mark.parametrize("name", queries())
def test_every_series_that_the_dashboard_and_the_alerts_ask_for_came_from_the_run(told, served, name):
    with urlopen(f"http://127.0.0.1:{served.server_port}/metrics") as answer:
        samples = re.findall(r"^(airflow_\w+)\{(.*)\} ", answer.read().decode(), re.M)
    labels_of = defaultdict(set)
    for series, labels in samples:
        labels_of[series] |= set(re.findall(r'(\w+)="', labels))

    series, labels = asked(queries()[name])

    assert series <= labels_of.keys()
    assert labels <= set.union(*(labels_of[each] for each in series))


@pytest.mark.airflow
def test_the_dashboard_asks_the_provisioned_source_and_its_panels_do_not_overlap():
    source = yaml.safe_load((OBSERVABILITY / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"][0]
    panels = dashboard()["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert {each["datasource"]["uid"] for panel in panels for each in (panel, *panel["targets"])} == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.fixture
def port() -> Iterator[int]:
    with kept_ports(1) as (kept,):
        yield kept


@pytest.mark.airflow
@pytest.mark.needs_program("prometheus")
def test_prometheus_takes_the_configuration_and_answers_every_query(told, served, port, tmp_path):
    config = (OBSERVABILITY / "prometheus.yml").read_text("utf-8").replace("15s", "100ms")
    (tmp_path / "prometheus.yml").write_text(config.replace("statsd-exporter:9102", f"127.0.0.1:{served.server_port}"), "utf-8")
    shutil.copy(OBSERVABILITY / "alerts.yml", tmp_path)
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    log = (tmp_path / "log").open("w")
    with subprocess.Popen(["prometheus", *options], cwd=tmp_path, stdout=log, stderr=log) as prometheus:
        try:
            ask = partial(asked_of_prometheus, f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + 60
            while not ask("sum(count_over_time(airflow_ducklift_loads[1m])) > 3"):
                assert time.monotonic() < deadline, (tmp_path / "log").read_text("utf-8")
                time.sleep(0.1)
            answers = {name: ask(query) for name, query in queries().items()}
        finally:
            prometheus.terminate()

    # Nothing was counted between two looks, and nothing is wrong: those that ask for more than zero answer with nothing.
    silent = {name for name, query in queries().items() if re.search(r"> \d+$", query) and "watermark" not in query}
    assert {name for name, answer in answers.items() if not answer} == silent
    assert float(answers["Rows new or changed A"][0]["value"][1]) == sum(load["rows_loaded"] for load in told.summaries())


def asked_of_prometheus(url: str, query: str) -> list[dict[str, Any]]:
    """Return what a query gives, nothing while the server is not ready; a query that it does not understand raises."""
    try:
        with urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}") as answer:
            return json.loads(answer.read())["data"]["result"]
    except HTTPError as err:
        if err.code != 503:
            raise
    except URLError:
        pass
    return []

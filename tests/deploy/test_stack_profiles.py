"""The profiles `observability` and `ducklake` on a running stack: a run's metrics in Prometheus, and three workers on one DuckLake."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from engine import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

RUN_ENDS_WITHIN_S = 600
SCRAPED_WITHIN_S = 60


@pytest.fixture(scope="module")
def observed(stack):
    """The stack with a finished run, and with what takes its metrics; Grafana has no stand-in and stays out."""
    stack.prepare("--executor", "local")
    with (stack.project / ".env").open("a") as file:
        file.write("STACK_METRICS=True\n")
    stack.script("up", "statsd-exporter", "prometheus", *("api-server", "scheduler", "dag-processor", "triggerer", "sandbox"))
    run = stack.trigger()
    assert stack.wait_for_run(run, RUN_ENDS_WITHIN_S) == "success", stack.logs()
    return stack


def asked(stack, query: str) -> list[dict]:
    url = f"http://127.0.0.1:9090/api/v1/query?query={quote(query)}"
    found: list[dict] = json.loads(stack.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", url))["data"]["result"]
    return found


def test_prometheus_has_the_rows_that_a_run_of_the_stack_has_loaded(observed):
    until(lambda: asked(observed, 'airflow_ducklift_loads{state="loaded"}'), SCRAPED_WITHIN_S, "a scrape with the loads")
    rows = {each["metric"]["outcome"]: int(each["value"][1]) for each in asked(observed, "sum by (outcome) (airflow_ducklift_rows)")}
    steps = {each["metric"]["step"] for each in asked(observed, "airflow_ducklift_step_duration_seconds_count")}

    print("rows by outcome, as Prometheus has them:", rows)
    assert rows["inserted"] + rows["updated"] + rows["unchanged"] > 0
    assert steps == {"extract", "upload", "load"}
    assert asked(observed, "airflow_scheduler_heartbeat") != []


def test_three_workers_load_six_tables_of_a_ducklake_at_once_and_every_row_is_there(observed):
    observed.compose("up", "--exit-code-from", "ducklake-check", "ducklake-check")
    lines = observed.compose("logs", "--no-log-prefix", "--no-color", *(f"ducklake-worker-{number}" for number in (1, 2, 3)))
    told = [json.loads(line[line.index("{") :]) for line in lines.splitlines() if '"worker"' in line]
    checked = observed.compose("logs", "--no-log-prefix", "--no-color", "ducklake-check")
    counted = json.loads(checked[checked.index("{") :])

    print(*told, counted, sep="\n")
    assert [each["loads"] for each in told] == [6, 6, 6]
    assert max(each["began"] for each in told) < min(each["ended"] for each in told)
    assert counted["complete"]

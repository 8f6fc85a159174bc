"""`make up` and `make down`, with real processes; the whole of Airflow once, among the slow proofs."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import time
import urllib.error
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from ducklift.errors import ConfigurationError
from ducklift.orchestration import standing as standing_module
from ducklift.orchestration.airflow_api import AirflowApi
from ducklift.orchestration.environment import ADMIN
from ducklift.orchestration.processes import ComponentFailed
from ducklift.orchestration.standing import Standing
from kept_ports import kept_ports

REPOSITORY = Path(__file__).parents[2]
# On a busy machine, with a second Airflow beside this one, a run takes minutes.
GREEN_WITHIN_S = 1200


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def standing(tmp_path, said):
    project = tmp_path / "a project"
    shutil.copytree(REPOSITORY / "dags", project / "dags")
    shutil.copytree(REPOSITORY / "include" / "pipelines", project / "include" / "pipelines")
    shutil.copytree(REPOSITORY / "plugins", project / "plugins")
    made = Standing(project, said.append)
    yield made
    made.down()


@pytest.fixture
def port():
    with kept_ports(1) as (kept,):
        yield kept


def processes_in(folder: Path) -> list[str]:
    """Every process that works in the folder or names it on its command line."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline", "status"]):
        words = [process.info["cwd"] or "", *(process.info["cmdline"] or [])]
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


def listening_addresses(standing: Standing) -> set[str]:
    found: set[str] = set()
    for process in standing.background.running():
        # The tasks of a DAG that follows come and go meanwhile.
        with suppress(psutil.NoSuchProcess):
            found |= {each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    return found


def wait_for_green(api: AirflowApi, run_type: str, run_id: str | None = None) -> None:
    deadline = time.monotonic() + GREEN_WITHIN_S
    states: list[str] = []
    while states != ["success"]:
        assert time.monotonic() < deadline, f"{run_type} run of reddit: {states}"
        runs = api.get(f"/api/v2/dags/reddit/dagRuns?run_type={run_type}")["dag_runs"]
        states = [run["state"] for run in runs if run_id in (None, run["dag_run_id"])]
        assert "failed" not in states
        time.sleep(0.5)


def newest_load_on_the_page(page: httpx.Client) -> str:
    deadline = time.monotonic() + GREEN_WITHIN_S
    while not (found := re.findall(r"loads/([0-9TZ]+-[0-9a-f]{8})\b", (shown := page.get("tables/reddit.posts")).text)):
        assert time.monotonic() < deadline, shown.text
        time.sleep(0.5)
    return found[0]


def do_a_load_again_on_the_page(url: str, api: AirflowApi) -> None:
    """Find the newest load of a table on the Lake page, have its slice extracted again, and wait until that run is green."""
    headers = {"Authorization": f"Bearer {api.token}", "Origin": url, "X-Ducklift-Action": "1"}
    with httpx.Client(base_url=f"{url}/ducklift/", headers=headers, timeout=60, trust_env=False) as page:
        load_id = newest_load_on_the_page(page)
        answer = page.post("actions/reextract", json={"table": "reddit.posts", "load_id": load_id})
        assert answer.status_code == 202, answer.text
    wait_for_green(api, "manual", answer.json()["run_id"])


@pytest.mark.slow
@pytest.mark.airflow
@pytest.mark.timeout(3600)
def test_a_person_logs_in_triggers_reddit_and_sees_it_green_the_schedule_runs_it_too_and_down_leaves_nothing(standing, port, said):
    standing.up(port)
    url, password = f"http://127.0.0.1:{port}", standing.airflow.secrets().admin_password
    assert url in said[-1]
    assert password in said[-1]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        AirflowApi(url).get("/api/v2/dags")

    api = AirflowApi(url).logged_in(ADMIN, password)
    assert api.get("/api/v2/importErrors")["total_entries"] == 0
    wait_for_green(api, "scheduled")
    api.post("/api/v2/dags/reddit/dagRuns", {"logical_date": None})
    wait_for_green(api, "manual")
    assert listening_addresses(standing) == {"127.0.0.1"}
    do_a_load_again_on_the_page(url, api)

    standing.up(port)
    assert "Airflow is up already." in said

    assert standing.down() >= 5
    assert standing.background.running() == []
    assert processes_in(standing.airflow.project) == []
    assert standing.down() == 0


def test_a_port_in_use_is_one_line_with_the_way_out_and_starts_nothing(standing):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigurationError, match="make up PORT=") as raised:
        standing.up(taken.getsockname()[1])

    assert "\n" not in str(raised.value)
    assert processes_in(standing.airflow.project) == []


@pytest.fixture
def without_airflow(standing, monkeypatch):
    """Stand-ins for Airflow's components, so that what happens around them shows within a second."""
    wait = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(standing_module, "COMPONENTS", dict.fromkeys(standing_module.COMPONENTS, wait))
    monkeypatch.setattr(standing, "_prepare", lambda environment: None)
    monkeypatch.setattr(standing, "_wait_for_dags", lambda running, api: None)
    return standing


def test_a_component_that_ends_is_named_with_the_end_of_its_log_and_all_else_is_ended(without_airflow, port, monkeypatch):
    ends = [sys.executable, "-c", "raise SystemExit('the moon is full')"]
    monkeypatch.setitem(standing_module.COMPONENTS, "triggerer", ends)

    with pytest.raises(ComponentFailed, match="the moon is full") as raised:
        without_airflow.up(port)

    assert raised.value.component == "triggerer"
    assert processes_in(without_airflow.airflow.project) == []


def test_a_component_that_is_not_ready_in_time_is_named(without_airflow, port, monkeypatch):
    monkeypatch.setattr(standing_module, "HEALTHY_WITHIN_S", 0.5)

    with pytest.raises(ComponentFailed, match="api-server is not ready") as raised:
        without_airflow.up(port)

    assert raised.value.component == "api-server"
    assert processes_in(without_airflow.airflow.project) == []


def test_up_says_which_component_died_since_the_last_time(without_airflow, port, monkeypatch):
    monkeypatch.setattr(AirflowApi, "unhealthy", lambda self: [])
    without_airflow.up(port)
    for process in without_airflow.background.running():
        if process.pid == without_airflow.background._known["processes"]["scheduler"][0]:
            process.kill()
            process.wait()

    with pytest.raises(ComponentFailed, match="no longer running") as raised:
        without_airflow.up(port)

    assert raised.value.component == "scheduler"


def test_the_command_answers_a_bad_port_without_a_traceback(capsys, tmp_path):
    code = standing_module.main(["up", "--port", "99999", "--project", str(tmp_path)])

    assert code == 2
    assert capsys.readouterr().err.startswith("ducklift: Port 99999 cannot be used")

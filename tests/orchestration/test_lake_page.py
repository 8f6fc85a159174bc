"""The Lake page inside a real Airflow API server, below a path of its own, asked over HTTP by each of Airflow's roles."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ducklift.lake.spool_place import PackageName
from ducklift.orchestration.page_schedules import period_s
from ducklift.pipeline import Run, extract, load, load_pipeline, upload
from ducklift.settings import load_settings

pytestmark = pytest.mark.airflow

REPOSITORY = Path(__file__).parents[2]
PATH = "/some/where"
ROLES = {"vera": "viewer", "ulla": "user", "otto": "op", "ada": "admin", "ina": "user"}
SECRET = "a-secret-of-this-test-only-and-of-no-worth-anywhere-else-at-all-0123456789"
PIPELINE = """\
name: reddit
source: {type: reddit, subreddits: [python, selfhosted], listing: new}
table: reddit.posts
disposition: merge
primary_key: [name]
incremental: {cursor: created_utc, overlap: 48h}
"""


def land_some(folder: Path) -> dict[str, str]:
    """Load one stream of `reddit` and leave the other's package pending; return their load ids."""
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "reddit.yaml").write_text(PIPELINE, "utf-8")
    settings = load_settings()
    pipeline, run = load_pipeline("reddit", settings), Run.now()
    packages = {stream: extract(pipeline, stream, run, settings) for stream in ("python/new", "selfhosted/new")}
    manifests = {stream: upload(package, settings) for stream, package in packages.items()}
    load(manifests["python/new"], settings, pipeline)
    return {stream.partition("/")[0]: PackageName.of(package).load_id for stream, package in packages.items()}


@pytest.fixture(scope="module")
def airflow(sandbox, tmp_path_factory) -> Iterator[Any]:
    """Airflow's API server in a foreign working directory: a client without a login, the load ids in the lake, and its log."""
    folder = tmp_path_factory.mktemp("airflow-page")
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({name: f"password of {name}" for name in ROLES}), "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.MonkeyPatch.context() as environment:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        dags = folder / "dags"
        dags.mkdir()
        (dags / "reddit.py").write_bytes((REPOSITORY / "dags" / "reddit.py").read_bytes())
        set_up = {
            **sandbox.environment,
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in ROLES.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__API__BASE_URL": url + PATH,
            "AIRFLOW__API__SECRET_KEY": SECRET,
            "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
            "DUCKLIFT_LAKE_URL": "s3://the-lake-page",
            "DUCKLIFT_WAREHOUSE_URL": f"duckdb:///{folder / 'warehouse.duckdb'}",
            "DUCKLIFT_SPOOL": str(folder / "spool"),
            "DUCKLIFT_PIPELINES": str(folder / "pipelines"),
        }
        for name, value in set_up.items():
            environment.setenv(name, value)
        loads = land_some(folder)
        log = folder / "log"
        with log.open("wb") as output:
            command = [sys.executable, str(Path(__file__).with_name("airflow_with_page.py")), str(listener.fileno())]
            server = subprocess.Popen(command, cwd=folder, env=dict(os.environ), stdout=output, stderr=output, pass_fds=[listener.fileno()])
        try:
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
                # The socket listens already: the first question waits until the server stands.
                assert client.get(f"{PATH}/api/v2/monitor/health").status_code == 200, log.read_text("utf-8")[-4000:]
                shown = SimpleNamespace(client=client, url=url, loads=loads, log=log, tokens={}, keys=dict(sandbox.environment))
                # Each answer waits half a second for what is being read.
                assert any("reddit.posts" in get(shown, "ducklift/", "vera").text for _ in range(60)), log.read_text("utf-8")[-4000:]
                yield shown
        finally:
            server.terminate()
            server.wait(30)


def as_(airflow: Any, name: str) -> dict[str, str]:
    """Return the headers of somebody who has logged in."""
    if name not in airflow.tokens:
        answer = airflow.client.post(f"{PATH}/auth/token", json={"username": name, "password": f"password of {name}"})
        airflow.tokens[name] = answer.json()["access_token"]
    return {"authorization": f"Bearer {airflow.tokens[name]}"}


def get(airflow: Any, path: str, name: str) -> httpx.Response:
    return airflow.client.get(f"{PATH}/{path}", headers=as_(airflow, name))


def act(airflow: Any, action: str, content: Any, name: str, **headers: str) -> httpx.Response:
    sent = {**as_(airflow, name), "origin": airflow.url, "x-ducklift-action": "1", **headers}
    return airflow.client.post(f"{PATH}/ducklift/actions/{action}", headers=sent, json=content)


def runs(airflow: Any) -> list[dict[str, Any]]:
    return get(airflow, "api/v2/dags/reddit/dagRuns?order_by=-id&limit=100", "ada").json()["dag_runs"]


@pytest.mark.parametrize("path", ["", "static/icon.svg", "tables/reddit.posts", "dags/reddit", "docs", "openapi.json", "no-such-page"])
def test_nothing_is_shown_to_who_has_not_logged_in(airflow, path):
    answer = airflow.client.get(f"{PATH}/ducklift/{path}")
    forged = airflow.client.get(f"{PATH}/ducklift/{path}", headers={"authorization": "Bearer a.b.c"})

    assert (answer.status_code, forged.status_code) == (401, 403)
    assert "reddit.posts" not in answer.text + forged.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_viewer_sees_the_tables_by_token_and_by_cookie(airflow):
    by_token = get(airflow, "ducklift/", "vera")
    by_cookie = airflow.client.get(f"{PATH}/ducklift/", headers={"cookie": f"_token={airflow.tokens['vera']}"})

    assert (by_token.status_code, by_cookie.status_code) == (200, 200)
    assert "reddit.posts" in by_token.text
    assert "reddit.posts" in by_cookie.text


def test_the_next_run_is_that_of_airflow_s_schedule(airflow):
    assert "nothing scheduled" not in get(airflow, "ducklift/", "vera").text


def test_a_viewer_starts_nothing(airflow):
    before = runs(airflow)

    answers = [act(airflow, "run", {"pipeline": "reddit"}, "vera"), act(airflow, "load", load_of(airflow, "selfhosted"), "vera")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert get(airflow, "ducklift/actions/form/reddit", "vera").status_code == 403
    assert runs(airflow) == before


def load_of(airflow: Any, subreddit: str) -> dict[str, str]:
    return {"table": "reddit.posts", "load_id": airflow.loads[subreddit]}


@pytest.mark.parametrize("name", ["ulla", "otto", "ada"])
def test_who_may_run_the_dag_starts_a_run_in_their_own_name(airflow, name):
    answer = act(airflow, "run", {"pipeline": "reddit", "parameters": {"limit": 5}}, name)

    started = answer.json()
    assert answer.status_code == 202, answer.text
    assert not started["paused"]
    newest = runs(airflow)[0]
    assert (newest["dag_run_id"], newest["triggering_user_name"], newest["conf"]) == (started["run_id"], name, {"limit": 5})
    assert get(airflow, started["run_path"], name).status_code == 200
    events = get(airflow, "api/v2/eventLogs?event=trigger_dag_run&order_by=-event_log_id&limit=1", "ada").json()["event_logs"]
    assert [(event["owner"], event["dag_id"]) for event in events] == [(name, "reddit")]


@pytest.mark.parametrize(("action", "subreddit"), [("load", "selfhosted"), ("reextract", "python"), ("quarantine", "python")])
def test_a_load_is_done_again_by_a_run_of_its_pipeline_s_dag(airflow, action, subreddit):
    answer = act(airflow, action, load_of(airflow, subreddit), "ulla")

    assert answer.status_code == 202, answer.text
    newest = runs(airflow)[0]
    assert newest["conf"] == {"again": action, "of_load": f"reddit.posts/{airflow.loads[subreddit]}"}
    assert newest["triggering_user_name"] == "ulla"


def test_airflow_itself_refuses_parameters_that_the_form_does_not_admit(airflow):
    answer = act(airflow, "run", {"pipeline": "reddit", "parameters": {"subreddits": ["evil"]}}, "ada")

    assert answer.status_code == 400
    assert "'evil' is not one of" in answer.json()["error"]


def test_the_form_is_that_of_the_dag(airflow):
    fields = get(airflow, "ducklift/actions/form/reddit", "ulla").json()["fields"]

    assert fields["subreddits"]["value"] == ["python", "selfhosted"]
    assert list(fields) == ["subreddits", "listing", "time_filter", "limit", "again", "of_load"]


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.test"}, {"origin": "null"}, {"content-type": "text/plain"}, {"sec-fetch-site": "cross-site"}],
    ids=["another site", "no site", "a form's content", "by the browser's word"],
)
def test_another_site_starts_nothing_with_the_login_of_who_visits_it(airflow, headers):
    before = runs(airflow)

    assert act(airflow, "run", {"pipeline": "reddit"}, "ada", **headers).status_code in (403, 415)
    assert runs(airflow) == before


def test_tables_of_a_dag_that_one_may_not_read_are_not_there(airflow):
    overview = get(airflow, "ducklift/", "ina")
    hidden = [get(airflow, f"ducklift/{path}", "ina") for path in hidden_paths(airflow)]

    assert overview.status_code == 200
    assert "reddit.posts" not in overview.text
    assert [answer.status_code for answer in hidden] == [404] * len(hidden)
    assert [get(airflow, f"ducklift/{path}", "vera").status_code for path in hidden_paths(airflow)] == [200] * len(hidden)
    assert act(airflow, "run", {"pipeline": "reddit"}, "ina").status_code == 403
    assert act(airflow, "load", load_of(airflow, "selfhosted"), "ina").status_code == 404


def hidden_paths(airflow: Any) -> list[str]:
    of_load = f"tables/reddit.posts/loads/{airflow.loads['python']}"
    return ["tables/reddit.posts", of_load, f"{of_load}/manifest.json", f"{of_load}/files/0"]


def test_the_plugin_registers_the_view_and_the_tab_and_nothing_else(airflow):
    plugins = get(airflow, "api/v2/plugins?limit=100", "ada").json()["plugins"]
    (own,) = [plugin for plugin in plugins if plugin["name"] == "ducklift"]

    assert get(airflow, "api/v2/plugins/importErrors", "ada").json()["total_entries"] == 0
    assert [(view["destination"], view["href"]) for view in own["external_views"]] == [
        ("nav", "ducklift/"),
        ("dag", "ducklift/dags/{DAG_ID}"),
    ]
    assert [app["url_prefix"] for app in own["fastapi_apps"]] == ["/ducklift"]
    others = ("macros", "listeners", "timetables", "react_apps", "fastapi_root_middlewares", "operator_extra_links")
    assert all(own[name] == [] for name in others)
    icon = get(airflow, own["external_views"][0]["icon"], "vera")
    assert icon.headers["content-type"].startswith("image/svg+xml")
    assert icon.headers["cache-control"] == "private, no-cache"


def test_the_dag_s_tab_needs_no_script(airflow):
    answer = get(airflow, "ducklift/dags/reddit", "vera")

    assert answer.status_code == 200
    assert "reddit.posts" in answer.text
    assert "<script" not in answer.text
    assert get(airflow, "ducklift/dags/deletion_sweep", "vera").status_code == 200


def test_no_key_of_the_connection_stands_in_a_page_or_in_the_log(airflow):
    seen = get(airflow, "ducklift/", "ada").text + get(airflow, "ducklift/lake", "ada").text + airflow.log.read_text("utf-8")

    assert airflow.keys["AWS_SECRET_ACCESS_KEY"] not in seen


@pytest.mark.parametrize(
    ("summary", "seconds"), [("0 0 * * *", 86_400), ("*/15 * * * *", 900), ("Never, external triggers only", None), (None, None)]
)
def test_the_time_between_two_runs_is_that_of_the_cron_expression_where_there_is_no_interval(summary, seconds):
    assert period_s(None, None, summary) == seconds

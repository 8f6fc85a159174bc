"""docker-compose.yaml, proven by running it: on a real engine with a real Compose, from one test to the next as in an operator's day.

The images it names are stand-ins here (tests/deploy/standin/README.md); the image that it builds is the one that ships.
"""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest
from engine import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
PUBLISHED_BY = {"api-server"}
MOST_MEMORY = 3 * 2**30
RUN_ENDS_WITHIN_S = 600
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@pytest.fixture(scope="module")
def up(stack):
    stack.prepare()
    started = time.monotonic()
    stack.script("up")
    print(f"The stack was built and healthy after {time.monotonic() - started:.0f} s.")
    return stack


@pytest.fixture(scope="module")
def loaded(up):
    run = up.trigger()
    assert up.wait_for_run(run, RUN_ENDS_WITHIN_S) == "success", up.logs()
    return up


def memory_of(stack) -> dict[str, float]:
    containers = stack.compose("ps", "--quiet").split()
    lines = stack.engine.run("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *containers).splitlines()
    found = (re.match(r"(\S+) ([\d.]+)(\w+) /", line) for line in lines)
    return {each[1]: float(each[2]) * UNITS[each[3]] for each in found if each}


def test_a_stack_that_nobody_initialised_does_not_start(stack):
    assert "Run make stack-init first" in refusal_of(stack)


def refusal_of(stack) -> str:
    done = subprocess.run(
        ["docker", "compose", "up", "--detach"],
        cwd=stack.project,
        env=stack.engine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


def test_a_placeholder_among_the_secrets_is_refused_before_airflow_starts(stack):
    stack.prepare()
    secret = stack.project / "secrets" / "api_secret"
    kept = secret.read_text()
    secret.write_text("change-me-before-production")
    try:
        done = stack.script("up", check=False)
        assert done.returncode == 1
        assert "secrets/api_secret holds a placeholder" in stack.compose("logs", "--no-color", "init")
        assert stack.state("scheduler")["State"]["Status"] == "created"
    finally:
        secret.write_text(kept)
        stack.compose("down")


def test_everything_comes_up_healthy_and_init_ran_once(up):
    states = {service: up.state(service)["State"] for service in ("postgres", "s3", "sandbox", *AIRFLOW)}

    assert {name: state["Health"]["Status"] for name, state in states.items()} == dict.fromkeys(states, "healthy")
    init = up.state("init")
    assert (init["State"]["Status"], init["State"]["ExitCode"], init["RestartCount"]) == ("exited", 0, 0)
    assert up.compose("logs", "--no-color", "init").count("The stack is prepared.") == 1


def test_no_container_may_write_its_root_gain_a_right_or_be_reached_from_elsewhere(up):
    for service in ("volumes", "init", "postgres", "s3", "sandbox", *AIRFLOW):
        inspected = up.state(service)
        host = inspected["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        published = {binding["HostIp"] for bindings in (host["PortBindings"] or {}).values() for binding in bindings}
        assert published == ({"127.0.0.1"} if service in PUBLISHED_BY else set()), service


def test_no_secret_stands_in_a_containers_environment_or_in_the_image(up):
    told = up.engine.run("inspect", *(up.container(service) for service in ("init", "postgres", "s3", "sandbox", *AIRFLOW)))
    history = up.engine.run("history", "--no-trunc", up.state("init")["Image"])
    for file in (up.project / "secrets").iterdir():
        for secret in re.findall(r"[0-9A-Za-z_-]{20,}", file.read_text()):
            assert secret not in told + history, file.name


def test_reddit_goes_green_by_the_rest_api_and_leaves_rows_and_objects(loaded):
    rows, objects = loaded.rows(), loaded.objects()

    print(f"{rows} posts in the warehouse, {len(objects)} objects in the bucket")
    assert rows > 100
    assert any(re.fullmatch(r"raw/reddit/posts/_loads/.+\.json", key) for key in objects)
    assert any(key.startswith("raw/reddit/posts/") and key.endswith(".jsonl.gz") for key in objects)


def test_the_whole_stack_takes_less_than_three_gigabytes(loaded):
    found = memory_of(loaded)

    print("MiB:", {name: round(value / 2**20) for name, value in found.items()}, "in all", round(sum(found.values()) / 2**20))
    assert len(found) == 7
    assert sum(found.values()) < MOST_MEMORY


def test_a_run_outlives_the_crash_of_its_scheduler(loaded):
    before, scheduler = loaded.rows(), loaded.container("scheduler")
    loaded.compose("pause", "sandbox")  # so that the extraction waits for an answer while the scheduler dies
    try:
        run = loaded.trigger()
        until(lambda: loaded.extraction_is_running(run), 180, "a running extraction")
        loaded.engine.crash(scheduler)
        until(lambda: loaded.state("scheduler")["RestartCount"] == 1, 60, "the scheduler's restart")
    finally:
        loaded.compose("unpause", "sandbox")

    assert loaded.wait_for_run(run, RUN_ENDS_WITHIN_S) == "success", loaded.logs()
    assert loaded.rows() >= before


def test_what_was_lost_comes_back_from_a_backup(loaded):
    before = loaded.rows()
    runs = loaded.api.get("/api/v2/dags/reddit/dagRuns")["total_entries"]
    loaded.script("backup", "--folder", "backup")
    loaded.compose("exec", "-T", "scheduler", "rm", "/opt/ducklift/.ducklift/warehouse.duckdb")
    psql = ("psql", "-h", "/var/run/postgresql", "-U", "airflow", "-d", "airflow", "-c")
    loaded.compose("exec", "-T", "postgres", *psql, "DELETE FROM task_instance; DELETE FROM dag_run")

    loaded.script("restore", "--folder", "backup")

    assert loaded.rows() == before
    assert loaded.api.get("/api/v2/dags/reddit/dagRuns")["total_entries"] == runs


def test_with_celery_a_run_outlives_the_crash_of_a_worker_and_nothing_of_before_is_lost(loaded):
    before, objects = loaded.rows(), set(loaded.objects())
    runs = loaded.api.get("/api/v2/dags/reddit/dagRuns")["total_entries"]
    loaded.script("down")
    loaded.prepare("--executor", "celery")
    loaded.script("up", "--scale", "worker=2")

    assert loaded.rows() == before
    assert objects <= set(loaded.objects())
    assert loaded.api.get("/api/v2/dags/reddit/dagRuns")["total_entries"] == runs
    loaded.compose("pause", "sandbox")
    try:
        run = loaded.trigger()
        until(lambda: loaded.extraction_is_running(run), 180, "a running extraction")
        for worker in loaded.compose("ps", "--quiet", "worker").split():
            loaded.engine.crash(worker)
    finally:
        loaded.compose("unpause", "sandbox")

    assert loaded.wait_for_run(run, RUN_ENDS_WITHIN_S) == "success", loaded.logs()
    assert loaded.rows() >= before
    until(lambda: workers_are_healthy(loaded), 180, "the workers' health")


def workers_are_healthy(stack):
    workers = [json.loads(line) for line in stack.compose("ps", "--format", "json", "worker").splitlines()]
    return len(workers) == 2 and all(worker["Health"] == "healthy" for worker in workers)


def test_it_goes_down_without_an_orphan_and_its_volumes_stay(loaded):
    loaded.script("down")

    label = f"label=com.docker.compose.project={loaded.name}"
    assert loaded.engine.run("ps", "--all", "--quiet", "--filter", label) == ""
    assert loaded.engine.run("network", "ls", "--quiet", "--filter", label) == ""
    volumes = set(loaded.engine.run("volume", "ls", "--format", "{{.Name}}", "--filter", label).split())
    assert volumes == {
        f"{loaded.name}_{name}" for name in ("database", "lake", "warehouse", "logs", "auth", "sandbox", "broker", "metrics", "grafana")
    }

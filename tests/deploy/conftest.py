"""The compose stack on an engine of the tests' own: one for the whole session, in a copy of the project with secrets of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import PROJECT, Engine, NoEngine, build_standins, running_engine, until

from ducklift.orchestration.airflow_api import AirflowApi
from ducklift.sandbox.s3 import free_port

LONGEST_START_S = 600
SUBREDDITS = "[duckdb, python]"


class Stack:
    """A stack of this project's copy; `make` runs its targets as a person does."""

    def __init__(self, project: Path, engine: Engine) -> None:
        self.project, self.engine = project, engine
        self.name = "ducklift-proof"
        self.port = free_port(0)

    def prepare(self, *arguments: str) -> None:
        """Write `.env` and the secrets."""
        self.script("init", *arguments)
        with (self.project / ".env").open("a") as file:
            if "STACK_NAME" not in (self.project / ".env").read_text():
                file.write(f"STACK_NAME={self.name}\nSTACK_PORT={self.port}\nSTACK_HEARTBEAT_TIMEOUT=60\n")

    def script(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `scripts/stack.py`, which is what `make stack-…` does."""
        command = [sys.executable, "-I", "scripts/stack.py", *arguments]
        done = subprocess.run(
            command, cwd=self.project, env=self.engine.environment, capture_output=True, text=True, timeout=900, check=False
        )
        print(done.stdout, done.stderr[-3000:], sep="\n")
        assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stdout[-1000:]}\n{done.stderr[-4000:]}\n{self.logs()}"
        return done

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run Docker Compose on this stack."""
        return self.engine.run("compose", *arguments, cwd=self.project, check=check)

    def logs(self) -> str:
        """Return the last lines of each service, for a failed assertion."""
        return self.compose("--profile", "*", "logs", "--no-color", "--tail", "12", check=False)[-12_000:]

    def secret(self, name: str) -> str:
        """Return one of the secrets that `stack-init` made."""
        return (self.project / "secrets" / name).read_text().strip()

    def container(self, service: str) -> str:
        """Return the id of a service's first container."""
        return self.compose("ps", "--all", "--quiet", service).split()[0]

    def state(self, service: str) -> dict[str, Any]:
        """Return what Docker says of a service's first container."""
        found: dict[str, Any] = json.loads(self.engine.run("inspect", self.container(service)))[0]
        return found

    @property
    def api(self) -> AirflowApi:
        """Return the REST API with a token of the admin, fetched anew as the web server may have been started again."""
        return AirflowApi(f"http://127.0.0.1:{self.port}").logged_in("admin", self.secret("admin_password"))

    def trigger(self) -> str:
        """Start a run of DAG `reddit` and return its id."""
        api = self.api
        api._call("PATCH", "/api/v2/dags/reddit", {"is_paused": False})
        return str(api.post("/api/v2/dags/reddit/dagRuns", {"logical_date": None})["dag_run_id"])

    def run_state(self, run: str) -> str:
        """Return the state of a run; a web server that is slow says nothing yet."""
        try:
            return str(self.api.get(f"/api/v2/dags/reddit/dagRuns/{run}")["state"])
        except OSError:
            return "unknown"

    def wait_for_run(self, run: str, within_s: float) -> str:
        """Return the state in which a run ended."""
        seen = ["queued"]

        def ended() -> bool:
            seen.append(self.run_state(run))
            return seen[-1] in ("success", "failed")

        until(ended, within_s, f"the end of {run}")
        return seen[-1]

    def extraction_is_running(self, run: str) -> bool:
        """Tell whether one of the run's extractions works right now."""
        try:
            found = self.api.get(f"/api/v2/dags/reddit/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
        except OSError:
            return False
        return any(each["task_id"] == "reddit_extraction" and each["state"] == "running" for each in found)

    def rows(self) -> int:
        """Return how many posts the warehouse holds, each of them once."""
        sql = "SELECT count(*) AS total, count(DISTINCT name) AS posts FROM reddit.posts"
        found = json.loads(self.compose("exec", "-T", "scheduler", "ducklift", "query", "--format", "json", sql))[0]
        assert found["total"] == found["posts"]
        return int(found["total"])

    def objects(self) -> list[str]:
        """Return the keys of the lake's bucket, as the S3 server tells them to who has the keys."""
        keys = json.loads(self.secret("s3_identities"))["identities"][0]["credentials"][0]
        code = (
            "import boto3; s3 = boto3.client('s3', endpoint_url='http://s3:8333', region_name='us-east-1'); "
            "pages = s3.get_paginator('list_objects_v2').paginate(Bucket='ducklift-lake'); "
            "print(*(found['Key'] for page in pages for found in page.get('Contents', [])), sep='\\n')"
        )
        environment = [f"-eAWS_ACCESS_KEY_ID={keys['accessKey']}", f"-eAWS_SECRET_ACCESS_KEY={keys['secretKey']}"]
        return self.compose("exec", "-T", *environment, "scheduler", "python", "-c", code).split()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A running engine with the stand-in images; where the machine allows none, everything that needs it is skipped, and says why."""
    try:
        with running_engine() as running:
            build_standins(running)
            yield running
    except NoEngine as reason:
        print(f"\n{'!' * 100}\nNO DOCKER ENGINE: THE COMPOSE STACK WAS NOT PROVEN. {reason}\n{'!' * 100}", file=sys.__stderr__, flush=True)
        pytest.skip(f"no Docker engine: {reason}")


@pytest.fixture(scope="session")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of this checkout, not started yet; whatever is left of it goes at the end."""
    project = tmp_path_factory.mktemp("project")
    files = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=PROJECT, capture_output=True, check=True).stdout
    for name in files.decode().split("\0"):
        if name and (PROJECT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, project / name)
    pipeline = project / "include" / "pipelines" / "reddit.yaml"
    # Two subreddits say what six say, and a machine of two cores has less to wait for.
    lines = pipeline.read_text().splitlines()
    pipeline.write_text("\n".join(f"  subreddits: {SUBREDDITS}" if "subreddits: [" in line else line for line in lines) + "\n")
    made = Stack(project, engine)
    yield made
    if os.environ.get("CI"):
        print(made.compose("--profile", "*", "ps", "--all", check=False))
    made.compose("--profile", "*", "down", "--volumes", "--remove-orphans", check=False)

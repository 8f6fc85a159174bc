"""`make up` and `make down`: a standing Airflow on this machine alone, with the sandbox behind it."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ducklift.errors import ConfigurationError, DuckliftError
from ducklift.orchestration.airflow_api import AirflowApi
from ducklift.orchestration.environment import ADMIN, HOST, LocalAirflow, airflow_environment
from ducklift.orchestration.processes import Background, ComponentFailed
from ducklift.settings import PROJECT

SANDBOX_WITHIN_S, HEALTHY_WITHIN_S, PARSED_WITHIN_S = 60.0, 300.0, 120.0
END_WITHIN_S = 20.0
LOOK_EVERY_S = 0.25
AIRFLOW = [sys.executable, "-m", "airflow"]
# Logs are read from the shared folder; the two log servers would listen on every network interface.
COMPONENTS = {
    "api-server": [*AIRFLOW, "api-server"],
    "scheduler": [*AIRFLOW, "scheduler", "--skip-serve-logs"],
    "dag-processor": [*AIRFLOW, "dag-processor"],
    "triggerer": [*AIRFLOW, "triggerer", "--skip-serve-logs"],
}


class Standing:
    """A project's standing Airflow; `say` shows a line of progress."""

    def __init__(self, project: Path, say: Callable[[str], None]) -> None:
        self.airflow, self.say = LocalAirflow(project), say
        self.background = Background(project, self.airflow.record)

    def up(self, port: int) -> None:
        """Start everything and return once it is healthy and the DAGs are parsed; what fails ends it all again."""
        if self.background.running():
            return self._report_running()
        require_free_port(port)
        self.airflow.make_folders()
        self.background.note_port(port)
        try:
            self._start_all(port)
        except BaseException:
            self.down()
            raise
        self._welcome()

    def down(self) -> int:
        """End everything that `up` started; return how many processes there were."""
        count = self.background.end_all(END_WITHIN_S)
        self.airflow.sandbox_environment.unlink(missing_ok=True)
        return count

    def _start_all(self, port: int) -> None:
        self.say("Starting the sandbox (S3 and Reddit on loopback)")
        self.airflow.sandbox_environment.unlink(missing_ok=True)
        serve = [sys.executable, "-m", "ducklift.orchestration.standing_sandbox", str(self.airflow.project)]
        running = {"sandbox": self._start("sandbox", serve, airflow_environment(self.airflow, {}, port))}
        self._wait(running, self.airflow.sandbox_environment.exists, SANDBOX_WITHIN_S, lambda: "sandbox")

        sandbox = json.loads(self.airflow.sandbox_environment.read_text("utf-8"))
        environment = airflow_environment(self.airflow, sandbox, port)
        self.say("Preparing Airflow's database, pools and connections")
        self._prepare(environment)
        self.say("Starting Airflow: " + ", ".join(COMPONENTS))
        running |= {name: self._start(name, command, environment) for name, command in COMPONENTS.items()}
        api = AirflowApi(self.url)
        self._wait(
            running, lambda: not api.unhealthy(), HEALTHY_WITHIN_S, lambda: next(iter(api.unhealthy()), "api_server").replace("_", "-")
        )
        self._wait_for_dags(running, api)

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return self.background.start(name, command, environment, self.log_of(name))

    def _prepare(self, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "ducklift.orchestration.airflow_home"]
        if self._start("prepare", command, environment).wait():
            raise ComponentFailed("The preparation of Airflow's home", "failed", self.log_of("prepare"))

    def _wait_for_dags(self, running: Mapping[str, subprocess.Popen[bytes]], api: AirflowApi) -> None:
        known = api.logged_in(ADMIN, self.airflow.secrets().admin_password)

        def parsed() -> bool:
            return bool(known.get("/api/v2/dags?limit=1")["total_entries"] or known.get("/api/v2/importErrors")["total_entries"])

        self._wait(running, parsed, PARSED_WITHIN_S, lambda: "dag-processor")
        for error in known.get("/api/v2/importErrors")["import_errors"]:
            self.say(f"Airflow cannot import {error['filename']}:\n{error['stack_trace']}")

    def _wait(
        self,
        running: Mapping[str, subprocess.Popen[bytes]],
        ready: Callable[[], bool],
        limit_s: float,
        culprit: Callable[[], str],
    ) -> None:
        """Return once `ready`; raises `ComponentFailed` when a process ends, or when the time is up."""
        deadline = time.monotonic() + limit_s
        while not ready():
            for name, process in running.items():
                if process.poll() is not None:
                    raise ComponentFailed(name, f"ended with exit code {process.returncode}", self.log_of(name))
            if time.monotonic() > deadline:
                name = culprit()
                raise ComponentFailed(name, f"is not ready after {limit_s:.0f} s", self.log_of(name))
            time.sleep(LOOK_EVERY_S)

    def _report_running(self) -> None:
        for name in ("sandbox", *COMPONENTS):
            if not self.background.is_running(name):
                raise ComponentFailed(name, "is no longer running. Run: make down, then make up", self.log_of(name))
        self.say("Airflow is up already.")
        self._welcome()

    def _welcome(self) -> None:
        self.say(
            f"\n  {self.url}   user {ADMIN}   password {self.airflow.secrets().admin_password}\n\n"
            "  Open DAG 'reddit', press Trigger, fill the form, and see it turn green.\n"
            "  'Lake' in the navigation shows every table, load and problem.\n"
            "  DAG 'taxi_trips' loads Parquet files of a bucket the same way, only what is new each time.\n"
            "  Posts and trips come from the sandbox: made up, and two hours go by in a minute.\n"
            f"  Logs: {self.airflow.logs.relative_to(self.airflow.project)}/   To end it: make down"
        )

    @property
    def url(self) -> str:
        """Return where the web UI is."""
        return f"http://{HOST}:{self.background.port}"

    def log_of(self, component: str) -> Path:
        """Return the log file of a component."""
        return self.airflow.logs / f"{component}.log"


def require_free_port(port: int) -> None:
    """Raise `ConfigurationError` with the way out when the port cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as err:
            raise ConfigurationError(
                f"Port {port} cannot be used ({err}). Choose another: make up PORT={8081 if port == 8080 else 8080}"
            ) from err


def main(arguments: list[str] | None = None) -> int:
    """Run `up` or `down` and return the exit code; a failure is one message, without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m ducklift.orchestration.standing", description=__doc__)
    parser.add_argument("verb", choices=("up", "down"))
    parser.add_argument("--port", type=int, default=8080, help="where the web UI listens, on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--project", type=Path, default=PROJECT, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    standing = Standing(chosen.project.resolve(), say)
    try:
        if chosen.verb == "up":
            standing.up(chosen.port)
        else:
            count = standing.down()
            say(f"Ended {count} processes." if count else "Nothing was running.")
    except DuckliftError as err:
        sys.stderr.write(f"ducklift: {err}\n")
        return err.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("ducklift: stopped; everything that was started has been ended.\n")
        return 130
    return 0


def say(text: str) -> None:
    """Show a line at once, also where the output is a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

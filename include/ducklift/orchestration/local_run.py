"""`make run`: the sandbox, one run of DAG `reddit` by Airflow, and one screen that shows what it made."""

from __future__ import annotations

import argparse
import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from ducklift.errors import EXIT_FAILED, ConfigurationError, DuckliftError
from ducklift.orchestration.environment import LocalAirflow, airflow_environment
from ducklift.orchestration.processes import Background
from ducklift.orchestration.run_screen import show_failure, show_run, waiting
from ducklift.settings import PROJECT, load_settings

DAG_ID = "reddit"
# One day between two runs, so that the second one finds new posts, changed scores and deletions.
DAY = timedelta(hours=24)


def run(airflow: LocalAirflow) -> int:
    """Run the DAG once against the sandbox and show the outcome; return the exit code."""
    from ducklift.sandbox import Sandbox

    airflow.make_folders()
    if Background(airflow.project, airflow.record).running():
        raise ConfigurationError("Airflow is up already: trigger DAG 'reddit' there, or run 'make down' first.")
    with only_run(airflow), Sandbox(airflow.sandbox, advance=DAY) as sandbox:
        environment = airflow_environment(airflow, sandbox.environment)
        log = airflow.logs / "local_run.log"
        with waiting(f"Airflow runs DAG '{DAG_ID}' against the sandbox"):
            result = run_airflow(airflow, environment, log)
        if result is not None and result["loads"]:
            show_run(result, load_settings(environment, airflow.project), sandbox.s3_folder, log)
        if result is None or result["state"] != "success":
            show_failure(result, log)
            return EXIT_FAILED
    return 0


def run_airflow(airflow: LocalAirflow, environment: Mapping[str, str], log: Path) -> dict[str, Any] | None:
    """Run the DAG in a process of its own, with all its output in `log`; return its result, None when it came to none."""
    result = airflow.home / "last-run.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "ducklift.orchestration.single_run", DAG_ID, str(result)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command of this package
            command, env=dict(environment), cwd=airflow.project, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return dict(json.loads(result.read_text("utf-8"))) if result.exists() else None


@contextmanager
def only_run(airflow: LocalAirflow) -> Iterator[None]:
    """Hold this project's only place for `make run`; raises `ConfigurationError` when another one holds it."""
    with (airflow.home / "local_run.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise ConfigurationError("Another 'make run' is going on in this project. Wait for it to end.") from err
        yield


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code; a failure is one message, without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m ducklift.orchestration.local_run", description=__doc__)
    parser.add_argument("--project", type=Path, default=PROJECT, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(LocalAirflow(chosen.project.resolve()))
    except DuckliftError as err:
        sys.stderr.write(f"ducklift: {err}\n")
        return err.exit_code
    except PermissionError as err:
        sys.stderr.write(f"ducklift: no write permission for {err.filename}. Clone into a folder of your own, or chown this one.\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("ducklift: stopped. What was committed stays; call make run again.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())

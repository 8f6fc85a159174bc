"""The compose stack's Celery worker: it starts only where the scheduler sends its work to Celery, and every worker finds the spool."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

COMMAND = ("airflow", "celery", "worker", "--skip-serve-logs")


def refusal(environment: Mapping[str, str]) -> str | None:
    """Return why a worker would be of no use here, None when all is well."""
    if "CeleryExecutor" not in environment.get("AIRFLOW__CORE__EXECUTOR", ""):
        return "STACK_EXECUTOR in .env is not CeleryExecutor: no task would ever come here. Run: make stack-init EXECUTOR=celery"
    if "://" not in environment.get("DUCKLIFT_SPOOL", ""):
        return "STACK_SPOOL in .env is a folder; workers need one that all of them reach. Run: make stack-init EXECUTOR=celery"
    return None


def main() -> int:
    """Become the worker, or say why not."""
    if reason := refusal(os.environ):
        sys.stderr.write(f"ducklift: {reason}\n")
        return 2
    os.execvp(COMMAND[0], COMMAND)  # noqa: S606 - Airflow's own program on PATH, in the image


if __name__ == "__main__":
    sys.exit(main())

"""Health checks of the compose stack's containers: `python -m ducklift.orchestration.stack_health COMPONENT`, exit code 0 when healthy.

Airflow's own `jobs check` and `celery inspect ping` import all of Airflow, five seconds of CPU at each look; these ask what answers anyhow.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 8.0
API = "http://api-server:8080/api/v2"
OWN_API = "http://127.0.0.1:8080/api/v2"
SCHEDULER = "http://127.0.0.1:8974/health"
PING_WITHIN_S = 5.0


def healthy(component: str) -> bool:
    """Tell whether this container's component works; raises `OSError` when nobody answers."""
    if component == "worker":
        return worker_answers(Path("/run/secrets/broker_url").read_text("utf-8").strip())
    if component == "scheduler":
        # Its own page says it by the status alone: 503 is an `HTTPError`, which is an `OSError`.
        build_opener(ProxyHandler({})).open(SCHEDULER, timeout=TIMEOUT_S).close()
        return True
    if component == "api_server":
        return status_of(f"{OWN_API}/monitor/health", "metadatabase") == "healthy"
    return status_of(f"{API}/monitor/health", component) == "healthy"


def status_of(url: str, component: str) -> str | None:
    """Return what Airflow's health page at `url` says of a component."""
    import json

    with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as answer:
        told = json.load(answer).get(component) or {}
    status: str | None = told.get("status")
    return status


def worker_answers(broker: str) -> bool:
    """Tell whether the worker of this container answers to a ping by way of the broker."""
    from celery import Celery

    here = f"celery@{os.environ.get('HOSTNAME') or socket.gethostname()}"
    return bool(Celery(broker=broker).control.ping(destination=[here], timeout=PING_WITHIN_S))


def main(arguments: list[str]) -> int:
    """Return 0 when the component is healthy, 1 with a line that says why when it is not."""
    try:
        if healthy(arguments[0]):
            return 0
        sys.stderr.write(f"{arguments[0]} does not say that it is healthy\n")
    except (OSError, ValueError) as err:
        sys.stderr.write(f"{arguments[0]} cannot be asked: {err}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The sandbox as a background process: it stands until it is told to end, with a clock that runs on."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from ducklift.orchestration.environment import LocalAirflow, write_private

# Two hours a minute: a person who looks twice finds new posts, and the month that the clock starts behind lasts six hours.
CLOCK_SPEED = 120.0
# Half an hour of the sandbox's time: how late a finished day's trips may show up.
CATCH_UP_EVERY_S = 15.0


def serve(project: Path) -> None:
    """Run the sandbox and write its environment beside Airflow's; return on SIGTERM or SIGINT."""
    from ducklift.sandbox import Sandbox

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    airflow = LocalAirflow(project)
    with Sandbox(airflow.sandbox, speed=CLOCK_SPEED, trips=True) as sandbox:
        write_private(airflow.sandbox_environment, dict(sandbox.environment))
        while not ended.wait(CATCH_UP_EVERY_S):
            sandbox.catch_up()
    airflow.sandbox_environment.unlink(missing_ok=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

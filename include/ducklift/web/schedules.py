"""What the page asks Airflow's schedules for; without Airflow there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """One pipeline's schedule: its next run, how many seconds lie between two runs, and whether it is paused; None where not known."""

    dag_id: str
    next_run: datetime | None = None
    every_s: float | None = None
    paused: bool = False


Schedules = Callable[[], Mapping[str, Schedule]]
"""All schedules by the pipeline's name, in one query. It may be slow or fail: the reader asks in the background and keeps the answer."""


def no_schedules() -> Mapping[str, Schedule]:
    """Know no schedule: there is no Airflow."""
    return {}

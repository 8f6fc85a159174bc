"""When the pipelines' DAGs run next, as Airflow's scheduler has noted it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ducklift.web.schedules import Schedule


def schedules() -> Mapping[str, Schedule]:
    """Return all DAGs' schedules by their ids, which are the pipelines' names, in one query; for Airflow's API server, not for tasks."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = (
        DagModel.dag_id,
        DagModel.next_dagrun_create_after,
        DagModel.next_dagrun_data_interval_start,
        DagModel.next_dagrun_data_interval_end,
        DagModel.timetable_summary,
        DagModel.is_paused,
    )
    with create_session() as session:
        rows = session.execute(select(*wanted).where(~DagModel.is_stale)).all()
    return {
        dag_id: Schedule(dag_id, None if paused else due, period_s(starts, ends, summary), bool(paused))
        for dag_id, due, starts, ends, summary, paused in rows
    }


def period_s(starts: datetime | None, ends: datetime | None, summary: Any) -> float | None:
    """Return how many seconds lie between two runs: those of the interval, or else of the cron expression that the summary shows."""
    if starts is not None and ends is not None and ends > starts:
        return (ends - starts).total_seconds()
    from croniter import CroniterError, croniter

    try:
        moments = croniter(str(summary), datetime.now(UTC))
    except (CroniterError, ValueError):
        return None
    first: float = moments.get_next(float)
    following: float = moments.get_next(float)
    return following - first

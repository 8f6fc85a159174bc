"""From Airflow's runs to the pipeline's: which slice of time a run stands for, and what its loads are named after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable

from ducklift.errors import ConfigurationError
from ducklift.planning import Mode, Run

Context = Mapping[str, Any]

# The run types whose runs stand for a slice of time, so that the slice names the load; every other run is named by its id.
SLICED_RUNS = ("scheduled", "backfill")
# The one field of a partitioned DAG's trigger form that is not the source's: `airflow backfill create --dag-run-conf` sets it, too.
REEXTRACT = "reextract"
_KEYS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M")


def run_of(context: Context) -> Run:
    """Return the pipeline's run for Airflow's.

    A partitioned run stands for its partition, however it came about; one that an upstream table started reads it anew, in the place of
    what was there, for the partition has changed. Otherwise a scheduled or backfilled run stands for its data interval, and any other
    (triggered by hand or by an asset) is named by its id and starts when it was due.
    """
    dag_run = context.get("dag_run")
    if dag_run is None:
        return Run.now()
    run_type = _run_type(dag_run)
    key = getattr(dag_run, "partition_key", None)
    partition = partition_interval(key, dag_run.partition_date, getattr(context.get("dag"), "timetable", None)) if key else None
    start = dag_run.data_interval_start or dag_run.run_after
    begins, ends = partition or (start, dag_run.data_interval_end or start)
    return Run(
        run_id=dag_run.run_id,
        slice_start=begins,
        slice_end=ends,
        by_slice=partition is not None or (key is None and run_type in SLICED_RUNS),
        facts=_facts(dag_run, run_type, context.get("ti")),
        mode=_mode(context, run_type, partition is not None),
        window=ends > begins and (partition is not None or run_type == "backfill"),
        partition=key,
    )


def is_partitioned(schedule: Any) -> bool:
    """Return whether runs of this schedule have partition keys."""
    return isinstance(schedule, CronPartitionTimetable | PartitionedAssetTimetable)


def facts_of(context: Context) -> dict[str, Any]:
    """Return which task instance is at work, as manifests and notes of failures tell it; nothing outside a DAG's run."""
    dag_run = context.get("dag_run")
    return {} if dag_run is None else _facts(dag_run, _run_type(dag_run), context.get("ti"))


def _run_type(dag_run: Any) -> str:
    return str(getattr(dag_run.run_type, "value", dag_run.run_type))


def _facts(dag_run: Any, run_type: str, task_instance: Any) -> dict[str, Any]:
    return {
        "dag_id": dag_run.dag_id,
        "run_id": dag_run.run_id,
        "run_type": run_type,
        "task_id": getattr(task_instance, "task_id", None),
        "try_number": getattr(task_instance, "try_number", None),
        "map_index": getattr(task_instance, "map_index", None),
    }


def _mode(context: Context, run_type: str, partitioned: bool) -> Mode:
    asked = (context.get("params") or {}).get(REEXTRACT) is True
    if asked and not partitioned:
        raise ConfigurationError(
            f"{REEXTRACT}: this run stands for no partition that could be read again. Trigger it with a partition key, or name the load: "
            "again: reextract, of_load: dataset.table/load_id."
        )
    return "reextract" if partitioned and (asked or run_type == "asset_triggered") else "new"


def partition_interval(key: str, date: datetime | None, timetable: Any = None) -> tuple[datetime, datetime] | None:
    """Return from when to when a partition lasts; None when neither its date nor its key tells a moment.

    Its end is the next moment of the timetable's cron expression. Where there is none (a DAG that follows another one's partitions) the
    key's own precision tells: 2026-01-02 is a day. A key that tells no length makes an interval without one.
    """
    told = _told_by(key)
    start = date or (told[0] if told else None)
    if start is None:
        return None
    if (expression := getattr(timetable, "expression", None)) is not None:
        return start, _next_moment(expression, timetable.timezone, start)
    return start, start + (told[1] - told[0]) if told else start


def _next_moment(expression: str, zone: str | Any, start: datetime) -> datetime:
    """Return when the next partition begins, by Airflow's own steps: any others lose rows, or take them twice, when clocks change."""
    import pendulum
    from croniter import croniter

    zone = pendulum.timezone(zone) if isinstance(zone, str) else zone
    local = pendulum.instance(start).in_timezone(zone)
    cron = croniter(expression, local.naive())
    following: datetime = cron.get_next(datetime)
    by_the_clock = cron.expanded[1] != ["*"]
    moment: datetime = zone.convert(following.replace(fold=1)) if by_the_clock else local + (following - local.naive())
    return moment.astimezone(UTC)


def _told_by(key: str) -> tuple[datetime, datetime] | None:
    """Return what a key such as 2026, 2026-01, 2026-01-02 or 2026-01-02T03 stands for, in UTC."""
    for written in _KEYS:
        try:
            start = datetime.strptime(key, written).replace(tzinfo=UTC)
        except ValueError:
            continue
        try:
            return start, _after(start, written)
        except (ValueError, OverflowError):
            raise ConfigurationError(f"The partition {key!r} ends behind the calendar's last day.") from None
    try:
        moment = datetime.fromisoformat(key)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment, moment


def _after(start: datetime, written: str) -> datetime:
    lengths = {"%Y-%m-%d": timedelta(days=1), "%Y-%m-%dT%H": timedelta(hours=1), "%Y-%m-%dT%H:%M": timedelta(minutes=1)}
    if written in lengths:
        return start + lengths[written]
    if written == "%Y":
        return start.replace(year=start.year + 1)
    return (start + timedelta(days=31)).replace(day=1)

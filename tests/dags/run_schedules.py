"""Backfills and what follows them, made and run by Airflow itself without a standing scheduler; writes what became of the runs as JSON.

A program for the tests: `python run_schedules.py <result file>`, in an Airflow home of its own, like `run_dag.py`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.dag_processing.processor import _execute_dag_callbacks
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.backfill import Backfill, ReprocessBehavior, _create_backfill
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk.definitions.dag import _run_task
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select, update

from ducklift.lake.filesystem import open_lake
from ducklift.orchestration.arrivals import LandedObjects, Lookout
from ducklift.settings import load_settings

log = structlog.get_logger()

DAY = datetime(2026, 1, 1, tzinfo=UTC)
JUST_ONCE, AGAIN = ReprocessBehavior.NONE, ReprocessBehavior.COMPLETED


def parsed() -> dict[str, Any]:
    """Parse the DAG folder into the metadata database, as the DAG processor does, and return the DAGs."""
    DagBundlesManager().sync_bundles_to_db()
    (bundle,) = DagBundlesManager().get_all_dag_bundles()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, bundle.name, bundle.version)
    return dict(bag.dags)


def backfill(dag_id: str, first: int, last: int, behavior: ReprocessBehavior, reverse: bool = False, conf: Any = None) -> list[str]:
    """Create a backfill over days of January, or to the end of `last` days from today when that is negative; return its runs' ids."""
    to = DAY + timedelta(days=last) if last >= 0 else datetime.now(UTC)
    start = DAY + timedelta(days=first) if last >= 0 else to - timedelta(days=1)
    made = _create_backfill(
        dag_id=dag_id, from_date=start, to_date=to, max_active_runs=2, reverse=reverse, dag_run_conf=conf, triggering_user_name="somebody",
        reprocess_behavior=behavior,
    )  # fmt: skip
    with create_session() as session:
        # The scheduler's doing; there is one active backfill for each DAG.
        session.execute(update(Backfill).where(Backfill.id == made.id).values(completed_at=datetime.now(UTC)))
        return list(session.scalars(select(DagRun.run_id).where(DagRun.backfill_id == made.id).order_by(DagRun.id)))


def drive(dag: Any, run_id: str, hurried: bool = True) -> dict[str, Any]:
    """Run the tasks of a queued run as `dag.test()` does until nothing can go on; return what became of it.

    `hurried` has retries at once, as if an hour had gone by.
    """
    retried: set[str] = set()
    idle = 0
    while idle <= len(dag.tasks):  # what failed upstream shows one task further at each look
        with create_session() as session:
            run = run_with_dag(session, dag.dag_id, run_id)
            if run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
                break
            if run.state == DagRunState.QUEUED:
                run.state, run.start_date = DagRunState.RUNNING, datetime.now(UTC)
            for one in waiting_for_retry(run, session, retried) if hurried else ():
                one.end_date = one.end_date - timedelta(hours=1)
            session.flush()
            ready, callback = run.update_state(session=session, execute_callbacks=False)
            for one in ready:
                one.try_number += 1
                one.state, one.scheduled_dttm = TaskInstanceState.SCHEDULED, datetime.now(UTC)
        if callback is not None:
            _execute_dag_callbacks(SimpleNamespace(dags={dag.dag_id: dag}), callback, log)
        for one in ready:
            _run_task(ti=one, task=dag.task_dict[one.task_id], run_triggerer=True)
        idle = 0 if ready else idle + 1
    with create_session() as session:
        return told(run_with_dag(session, dag.dag_id, run_id))


def run_with_dag(session: Any, dag_id: str, run_id: str) -> DagRun:
    run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one()
    run.dag = session.scalar(SerializedDagModel.latest_item_select_object(dag_id)).dag
    return run


def waiting_for_retry(run: DagRun, session: Any, retried: set[str]) -> list[TaskInstance]:
    """Return the tasks that wait for their next try, each once."""
    found = [one for one in run.get_task_instances(session=session) if one.state == TaskInstanceState.UP_FOR_RETRY]
    fresh = [one for one in found if str(one.id) not in retried]
    retried.update(str(one.id) for one in fresh)
    return fresh


def told(run: DagRun) -> dict[str, Any]:
    in_order = sorted(run.get_task_instances(), key=lambda one: str(one.start_date or "never"))
    tasks = {one.task_id: {"state": str(one.state), "tries": one.try_number} for one in in_order}
    mapped = {one.rendered_map_index: str(one.state) for one in in_order if one.task_id.endswith("_extraction")}
    delays = [one.next_retry_datetime() for one in run.get_task_instances() if one.state == TaskInstanceState.UP_FOR_RETRY]
    return {
        "run_id": run.run_id, "run_type": str(run.run_type), "partition": run.partition_key, "state": str(run.state), "tasks": tasks,
        "mapped": mapped,
        "next_try": [moment.isoformat() for moment in delays],
    }  # fmt: skip


def followers(dags: dict[str, Any], dag_id: str) -> list[dict[str, Any]]:
    """Let Airflow's scheduler start the runs that partitions of upstream tables asked for, and run them."""
    scheduler = SchedulerJobRunner(Job(), num_runs=1)
    with create_session() as session:
        scheduler._create_dagruns_for_partitioned_asset_dags(session)
    with create_session() as session:
        runs = list(session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.state == DagRunState.QUEUED)))
    return [drive(dags[dag_id], run_id) for run_id in runs]


def announced(dags: dict[str, Any], dag_id: str) -> dict[str, Any]:
    """Let the DAG's watcher, as Airflow keeps it, look once; announce what it found twice over, and run what Airflow starts for it."""
    with create_session() as session:
        (trigger,) = [one for one in session.scalars(select(Trigger)) if one.classpath.endswith("LandedObjects")]
        number, kwargs = trigger.id, trigger.kwargs
    event = asyncio.run(first_event(LandedObjects(**kwargs)))
    for _ in range(2):
        Trigger.submit_event(number, event)
    scheduler = SchedulerJobRunner(Job(), num_runs=1)
    with create_session() as session, prohibit_commit(session) as guard:
        scheduler._create_dagruns_for_dags(guard, session)
    with create_session() as session:
        runs = list(session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.state == DagRunState.QUEUED)))
    return {"keys": [told["key"] for told in event.payload["objects"]], "runs": [drive(dags[dag_id], run_id) for run_id in runs]}


async def first_event(trigger: LandedObjects) -> Any:
    async for event in trigger.run():
        return event


def arrivals(dags: dict[str, Any]) -> dict[str, Any]:
    """Objects land, are announced and loaded; then one of them is changed and one is new."""
    lake = open_lake(load_settings())
    objects = {"a": b"id,n\n1,1\n", "b": b"id,n\n2,2\n", "cut": gzip.compress(b"id,n\n" + b"3,3\n" * 1000)[:-9]}
    for name, data in objects.items():
        lake.replace(f"incoming/{name}.csv" + (".gz" if name == "cut" else ""), data)
    first = announced(dags, "bucket_file")
    lake.replace("incoming/b.csv", b"id,n\n2,20\n")
    lake.replace("incoming/c.csv", b"id,n\n4,4\n")
    second = announced(dags, "bucket_file")
    lake.delete("incoming/cut.csv.gz")
    quiet = Lookout("bucket_file", load_settings().lake_url, "incoming/*.csv*").look(load_settings(), 0.0)
    return {"first": first, "second": second, "quiet": quiet}


def kept_state() -> dict[str, Any]:
    with create_session() as session:
        tasks = {f"{one.run_id}/{one.task_id}/{one.key}": json.loads(one.value) for one in session.scalars(select(TaskStateStoreModel))}
        assets = {one.key: json.loads(one.value) for one in session.scalars(select(AssetStateStoreModel))}
    return {"tasks": tasks, "assets": assets}


def main(result: Path) -> None:
    initdb()
    dags = parsed()
    sightings = dags["sightings"]
    outcome: dict[str, Any] = {"closed": [drive(sightings, run_id) for run_id in backfill("sightings", 0, 2, JUST_ONCE, reverse=True)]}
    outcome["followers"] = followers(dags, "counts")
    outcome["overlapping"] = [drive(sightings, run_id) for run_id in backfill("sightings", 1, 3, JUST_ONCE)]
    outcome["again"] = [drive(sightings, run_id) for run_id in backfill("sightings", 0, 0, AGAIN)]
    outcome["anew"] = [drive(sightings, run_id) for run_id in backfill("sightings", 1, 1, AGAIN, conf={"reextract": True})]
    outcome["followers_anew"] = followers(dags, "counts")
    # In no hurry: in the last hour of a day, an hour would be beyond its end.
    outcome["open"] = [drive(sightings, run_id, hurried=False) for run_id in backfill("sightings", 0, -1, JUST_ONCE)][-1:]
    outcome["broken"] = [drive(sightings, run_id) for run_id in backfill("sightings", 8, 8, JUST_ONCE)]
    outcome["arrivals"] = arrivals(dags)
    outcome["state"] = kept_state()
    result.write_text(json.dumps(outcome, default=str), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

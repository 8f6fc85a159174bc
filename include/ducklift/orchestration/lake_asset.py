"""`@lake_asset`: an asset function as an Airflow task, its inputs loaded and its result stored by managers, its event told to Airflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, task
from airflow.sdk.definitions._internal.contextmanager import DagContext

from ducklift.assets.definitions import AssetFunction, AssetIn
from ducklift.assets.keys import PartitionKey, asset_key
from ducklift.assets.partitions import Partitions, TimePartitions
from ducklift.assets.storage import Storage
from ducklift.errors import ConfigurationError
from ducklift.lake.date_patterns import moment_of
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.tasks import terminal_errors_fail
from ducklift.settings import load_settings

Context = Mapping[str, Any]
PARTITION = "partition_key"
PartitionFor = Callable[[Context], PartitionKey | None]


class LakeAsset(AssetFunction):
    """An asset function that is an Airflow task as well. Called, it is the function; `asset` is what schedules and inlets name.

    `partition_for` tells which partition a run is for, where the run itself does not say so.
    """

    partition_for: PartitionFor | None = None
    over: Any = None

    @property
    def asset(self) -> Asset:
        """Return the Airflow asset of the value."""
        return value_asset(self.key)

    def task(self, **arguments: Any) -> Any:
        """Add the task to the DAG under construction: inlets from the parameters, the asset as outlet, ordered by what needs what."""
        dag = DagContext.get_current()
        if dag is None:
            raise ConfigurationError(f"{self.key}: there is no DAG here to put the task into; give lake_asset a schedule.")
        task_id = self.key.replace("/", ".")

        @task(
            task_id=task_id,
            outlets=[self.asset],
            inlets=[value_asset(key) for key in self.upstream().values()],
            multiple_outputs=False,
            **arguments,
        )
        def make(partition: str | None = None, **context: Any) -> dict[str, Any]:
            """Load the inputs, call the function, store the result; XCom carries what is known about it, never the value."""
            return make_value(self, context, partition)

        made: Any = make() if self.over is None else make.expand(partition=self.over)
        for key in self.upstream().values():
            with suppress(KeyError):
                made.operator.set_upstream(dag.task_dict[key.replace("/", ".")])
        for name, other in dag.task_dict.items():
            needs = getattr(other, "inlets", ())
            if self.asset in needs and name != task_id:
                made.operator.set_downstream(other)
        return made


def value_asset(key: str) -> Asset:
    """Return the Airflow asset that stands for a stored value."""
    return Asset(name=asset_key(key), uri=f"x-ducklift://assets/{asset_key(key)}")


def lake_asset(
    function: Callable[..., Any] | None = None,
    *,
    key: str | Sequence[str] | None = None,
    schedule: Any = None,
    ins: Mapping[str, AssetIn] | None = None,
    io_manager_key: str | None = None,
    group: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    partitions: Partitions | None = None,
    derived_from: Sequence[str] = (),
    partition_for: PartitionFor | None = None,
    over: Any = None,
    dag_arguments: Mapping[str, Any] | None = None,
    **task_arguments: Any,
) -> Any:
    """Declare a function as an asset that Airflow makes.

    `partition_for` is asked for the partition of a run that bears no partition key of its own; without it the run's slice of time decides.
    `over` maps the task over partition keys, a list or what another task returns. A manager that `storage.yaml` does not declare is an
    error here, when the DAG file is parsed.

    Inside a DAG it becomes a task of that DAG. Elsewhere it becomes a DAG of its own, named as the asset, with `schedule` and
    `dag_arguments`. `task_arguments` are those of Airflow's `task`; the others are as in `ducklift.assets.asset`.
    """

    def declare(made: Callable[..., Any]) -> LakeAsset:
        name = asset_key(key) if key is not None else made.__name__
        declared = LakeAsset(made, name, ins or {}, io_manager_key, group, metadata or {}, partitions, derived_from)
        declared.partition_for, declared.over = partition_for, over
        Storage(load_settings()).check_names(declared.managers)
        if DagContext.get_current() is not None:
            declared.task(**task_arguments)
            return declared
        chosen = {"catchup": False, "start_date": datetime(2020, 1, 1, tzinfo=UTC), "doc_md": made.__doc__, **(dag_arguments or {})}
        with DAG(name.replace("/", "."), schedule=schedule, auto_register=True, **chosen):
            declared.task(**task_arguments)
        return declared

    return declare if function is None else declare(function)


def make_value(definition: LakeAsset, context: Context, partition: str | None = None) -> dict[str, Any]:
    """Make an asset in a task: the partition (the run's unless one is given), the inputs, the function, the stored result, the event."""
    with terminal_errors_fail():
        partition = partition or partition_of(definition, context)
        with Storage(airflow_settings()) as storage:
            _, known = definition.run(storage, partition, _run_id(context))
    facts = {**known, **({PARTITION: partition} if partition else {})}
    if "outlet_events" in context:
        event = context["outlet_events"][value_asset(definition.key)]
        event.extra = facts
        if partition:
            event.add_partitions(partition)
    return facts


def partition_of(definition: LakeAsset, context: Context) -> str | None:
    """Return the partition that a run is for: its own key, what `partition_for` says, that of the event which started it, or its slice."""
    partitions, dag_run = definition.partitions, context.get("dag_run")
    if partitions is None:
        return None
    told = getattr(dag_run, PARTITION, None) or (definition.partition_for(context) if definition.partition_for else None)
    told = told or next((event.extra[PARTITION] for event in triggering_events(context) if event.extra.get(PARTITION)), None)
    if told is None and isinstance(partitions, TimePartitions):
        told = getattr(dag_run, "data_interval_start", None) or getattr(dag_run, "logical_date", None)
        told = told or getattr(dag_run, "run_after", None) or datetime.now(UTC)
    if told is None:
        names = ", ".join(partitions.keys()[:10])
        raise ConfigurationError(f"The run names none of the partitions {names}; trigger it with a partition key.")
    return partitions.checked(told)


def newest_cursor(context: Context) -> datetime | None:
    """Return the greatest watermark that the events which started a run tell of, as a time; None when they tell of none."""
    # Whoever may write asset events may write anything into them, and a watermark may be a running number.
    found = [moment_of((event.extra or {}).get("watermark") or None) for event in triggering_events(context)]
    return max((each for each in found if each), default=None)


def triggering_events(context: Context) -> list[Any]:
    """Return the asset events that started a run."""
    found = context.get("triggering_asset_events")
    return [event for events in found.values() for event in events] if isinstance(found, Mapping) else []


def _run_id(context: Context) -> str:
    dag_run = context.get("dag_run")
    return str(getattr(dag_run, "run_id", "")) or datetime.now(UTC).isoformat()

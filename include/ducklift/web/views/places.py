"""Where things are: the page's own addresses, and those of Airflow's pages, all relative and quoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode


def table_path(table: str) -> str:
    """Return the address of a table's page."""
    return f"tables/{quote(table, safe='.')}"


def load_path(table: str, load_id: str) -> str:
    """Return the address of a load's page."""
    return f"{table_path(table)}/loads/{quote(load_id, safe='')}"


def manifest_path(table: str, load_id: str) -> str:
    """Return the address where a load's manifest is downloaded."""
    return f"{load_path(table, load_id)}/manifest.json"


def file_path(table: str, load_id: str, number: int) -> str:
    """Return the address where the file of this place in a load's manifest is downloaded; the first is 0."""
    return f"{load_path(table, load_id)}/files/{number}"


def chart_path(key: str, version: str, partition: str | None = None) -> str:
    """Return the address of a stored picture, a PNG."""
    address = f"charts/{quote(key, safe='/')}/{quote(version, safe='')}.png"
    return f"{address}?{urlencode({'partition': partition})}" if partition is not None else address


@dataclass(frozen=True, slots=True)
class AirflowPlace:
    """The DAG run and task instance that did something; None for what is not known, all None outside Airflow.

    The task is known of failures, where the step tells its name; of a load, only its run, its try and its place in the mapped group are.
    """

    dag_id: str
    run_id: str
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> AirflowPlace | None:
        """Return the place that a manifest's or an attempt's `airflow` tells, or None."""
        dag_id, run_id = facts.get("dag_id"), facts.get("run_id")
        if not isinstance(dag_id, str) or not isinstance(run_id, str):
            return None
        task_id, map_index, try_number = facts.get("task_id"), facts.get("map_index"), facts.get("try_number")
        return cls(
            dag_id,
            run_id,
            task_id if isinstance(task_id, str) else None,
            map_index if isinstance(map_index, int) and map_index >= 0 else None,
            try_number if isinstance(try_number, int) else None,
        )

    @property
    def run_path(self) -> str:
        """Return the address of the run's page below Airflow's root."""
        return f"dags/{quote(self.dag_id, safe='')}/runs/{quote(self.run_id, safe='')}"

    @property
    def log_path(self) -> str | None:
        """Return the address of the task's log below Airflow's root, or None where the task is not known."""
        if self.task_id is None:
            return None
        mapped = "" if self.map_index is None else f"/mapped/{self.map_index}"
        tried = "" if self.try_number is None else f"?try_number={self.try_number}"
        return f"{self.run_path}/tasks/{quote(self.task_id, safe='')}{mapped}{tried}"

"""Airflow's home, made ready: its metadata database, the pools and the connections of this project.

Runs inside an Airflow environment (see `ducklift.orchestration.environment`), by itself as a program or in a process that goes
on to use Airflow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

POOLS = {
    "ducklift_warehouse": (1, "One task at a time writes the warehouse."),
    "reddit_api": (2, "Reddit allows 100 requests a minute for each client id."),
}


def prepare_home() -> None:
    """Create or migrate the metadata database where that is needed, then set the pools and the sandbox's connections."""
    from airflow.utils.session import create_session

    migrate_once_per_version()
    with create_session() as session:
        set_pools(session)
        set_connections(session, sandbox_connections())


def migrate_once_per_version() -> None:
    """Bring the metadata database up to this Airflow, unless a note beside it says that this was done."""
    from airflow import __version__
    from airflow.utils.db import initdb

    note = Path(os.environ["AIRFLOW_HOME"]) / "migrated-to"
    if note.exists() and note.read_text("utf-8") == __version__:
        return
    initdb()
    note.write_text(__version__, "utf-8")


def set_pools(session: Session) -> None:
    """Make the pools that the DAGs name; one that exists keeps the size that somebody gave it."""
    from airflow.models.pool import Pool

    for name, (slots, description) in POOLS.items():
        if Pool.get_pool(name, session=session) is None:
            Pool.create_or_update_pool(name, slots, description, include_deferred=False, session=session)


def set_connections(session: Session, connections: Mapping[str, Mapping[str, Any]]) -> None:
    """Give each named connection these fields of Airflow's form, whether it exists or not."""
    from airflow.models.connection import Connection
    from sqlalchemy import select

    for name, values in connections.items():
        connection = session.scalar(select(Connection).where(Connection.conn_id == name))
        if connection is None:
            session.add(Connection(conn_id=name, **values))
            continue
        for attribute, value in values.items():
            setattr(connection, attribute, value)


def sandbox_connections() -> dict[str, dict[str, Any]]:
    """Return the three connections to the sandbox, whose ports and keys stand in the environment and differ at each start."""
    env = os.environ
    lake = {"endpoint_url": env["AWS_ENDPOINT_URL"], "region_name": env.get("AWS_REGION", "us-east-1")}
    reddit = {"user_agent": env["REDDIT_USER_AGENT"]}
    note = "Set by make run and make up: the sandbox."
    return {
        "ducklift_lake": {
            "conn_type": "aws",
            "login": env["AWS_ACCESS_KEY_ID"],
            "password": env["AWS_SECRET_ACCESS_KEY"],
            "extra": json.dumps(lake),
            "description": note,
        },
        "ducklift_warehouse": {"conn_type": "duckdb", "description": note},
        "reddit_default": {
            "conn_type": "reddit",
            "login": env["REDDIT_CLIENT_ID"],
            "password": env["REDDIT_CLIENT_SECRET"],
            "extra": json.dumps(reddit),
            "description": note,
        },
    }


if __name__ == "__main__":
    prepare_home()

"""Airflow's API server with this project's plugin and DAGs: `python airflow_with_page.py SOCKET`, in an Airflow home of its own.

SOCKET is the descriptor of a listening socket. There is no scheduler: runs that are started stay queued. Beside Airflow's roles there is
`ina`, who may see and run one DAG alone, as in the auth managers that know permissions on single DAGs.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

ONE_DAG = {"ina": "bucket_file"}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")


def limit_to_one_dag() -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    unlimited = SimpleAuthManager.is_authorized_dag

    def limited(self: Any, *, user: Any, details: Any = None, **asked: Any) -> bool:
        only = ONE_DAG.get(user.username)
        return (only is None or (details is not None and details.id == only)) and unlimited(self, user=user, details=details, **asked)

    SimpleAuthManager.is_authorized_dag = limited


def write_dags() -> None:
    """Parse the DAGs into the metadata database, as the DAG processor would."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.utils.session import create_session

    DagBundlesManager().sync_bundles_to_db()
    with create_session() as session:
        sync_bag_to_db(DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]), "dags-folder", None, session=session)


def main(descriptor: int) -> None:
    from ducklift.orchestration.airflow_home import prepare_home

    prepare_home()
    # From here on the keys stand in Airflow's connection alone.
    for name in KEYS:
        del os.environ[name]
    write_dags()
    limit_to_one_dag()
    import uvicorn
    from airflow.api_fastapi.main import app

    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""The Lake page as Airflow mounts it: behind Airflow's logins, with its schedules, its connections and its API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ducklift.lake.credentials import CONNECTION
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.page_access import authorize
from ducklift.orchestration.page_runs import AirflowRuns, BesideAirflow
from ducklift.orchestration.page_schedules import schedules

if TYPE_CHECKING:
    from ducklift.web.reader import LakeReader


def lake_page() -> BesideAirflow:
    """Return the page for a plugin's `fastapi_apps`; making it reads neither the lake nor the database."""
    from airflow.configuration import conf

    from ducklift.web.app import create_app

    address = urlsplit(conf.get("api", "base_url", fallback="") or "")
    # Behind a proxy, a request's Host header may be another one than the browser sees.
    origins = [f"{address.scheme}://{address.netloc}"] if address.netloc else []
    root = address.path if address.path.endswith("/") else f"{address.path}/"
    return BesideAirflow(
        create_app(authorize, open_reader, orchestrator=AirflowRuns(), airflow_root=root, trusted_origins=origins),
    )


def open_reader() -> LakeReader:
    """Return what reads the lake, with the credentials of Airflow's connections; raises what asking the metadata database may raise.

    A database that is away looks like a connection that is not defined, and a reader keeps its credentials: the database is asked first.
    """
    from ducklift.web.published_lake import PublishedLake

    schedules()
    settings = airflow_settings()
    settings.connections(CONNECTION)
    return PublishedLake(settings, schedules)

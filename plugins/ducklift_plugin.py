"""The Lake page in Airflow: a view in the navigation and a tab on each DAG. Airflow runs this file in all of its processes."""

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class DuckliftPlugin(AirflowPlugin):
    """Registers the page and nothing else."""

    name = "ducklift"

    # Relative, so that they are found below the path of `[api] base_url`.
    external_views = [  # noqa: RUF012 — Airflow's own attribute
        {
            "name": "Lake",
            "href": "ducklift/",
            "url_route": "lake",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "ducklift/static/icon.svg",
        },
        {"name": "Lake", "href": "ducklift/dags/{DAG_ID}", "url_route": "lake-of-dag", "destination": "dag"},
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Return the app; it is made where it is asked for, in the API server."""
        from ducklift.orchestration.lake_page import lake_page

        return [{"app": lake_page(), "url_prefix": "/ducklift", "name": "Lake"}]

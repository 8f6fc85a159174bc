"""What Ducklift tells Airflow as a provider package: the connection type `reddit` and its form, and what its assets are in OpenLineage.

Airflow calls `provider_info` by its entry point, in the middle of its own import: nothing here may import Airflow, and the form is
described as data, so that showing it imports no hook.
"""

from __future__ import annotations

from typing import Any

from ducklift import __version__


def provider_info() -> dict[str, Any]:
    """Return the provider's metadata, by Airflow's schema `provider_info.schema.json`."""
    return {
        "package-name": "ducklift",
        "name": "Ducklift",
        "description": "Lands API data in your own bucket and lifts it into DuckDB, exactly once.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "reddit",
                "hook-name": "Reddit",
                "hook-class-name": "ducklift.orchestration.reddit_hook.RedditHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "port", "schema"],
                    "relabeling": {"login": "Client id", "password": "Client secret"},
                    "placeholders": {"login": "14 or more letters and digits, below the app's name", "password": "the app's secret"},
                },
                "conn-fields": {
                    "user_agent": {
                        "label": "User agent",
                        "description": "Reddit throttles clients that do not say who they are: "
                        "<platform>:<app id>:<version> (by /u/<your Reddit name>). Empty for one that Ducklift makes.",
                        "schema": {"type": ["string", "null"], "maxLength": 256},
                    },
                },
            }
        ],
        # A handler of null leaves the URIs as they are; without the key, Airflow passes the entry over.
        "asset-uris": [
            {
                "schemes": ["x-ducklift", "x-ducklift-place"],
                "handler": None,
                "to_openlineage_converter": "ducklift.orchestration.lineage.dataset_of",
            }
        ],
    }

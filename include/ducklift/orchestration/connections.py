"""Airflow's connections as the settings' credentials, and every secret of theirs in Airflow's log masker."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from typing import Any

from ducklift.errors import ConfigurationError
from ducklift.settings import Connection, Settings, load_settings

# Of these, Airflow masks those whose names it takes for sensitive: they bear `secret`, `token`, `password` and the like.
SECRET_PREFIXES = ("AWS_", "AZURE_", "SFTP_", "REDDIT_", "praw_", "motherduck_", "MOTHERDUCK_", "PGPASSWORD")
NOT_TAKEN_FOR_SENSITIVE = frozenset({"AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"})


def airflow_settings() -> Settings:
    """Return the settings with Airflow's connections for credentials; for use inside a task.

    Secrets that come from the environment instead are told to the masker too, and those that a source finds or is given on its way. A
    connection is asked for once at most.
    """
    from airflow.sdk.log import mask_secret

    settings = load_settings()
    secrets = {name: value for name, value in settings.environment.items() if value and name.startswith(SECRET_PREFIXES)}
    mask_secret(dict(secrets))
    for name in NOT_TAKEN_FOR_SENSITIVE & secrets.keys():
        mask_secret(secrets[name])
    return replace(settings, connections=cache(airflow_connection), on_secret=mask_secret)


def airflow_connection(name: str) -> Connection | None:
    """Return one of Airflow's connections, or None where it is not defined. Its host names no place: URLs come from `DUCKLIFT_*`.

    Raises `ConfigurationError` when its extra is not a JSON object, or asks for what Ducklift does not do, and when the environment holds
    one that Airflow cannot read.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        variable = f"AIRFLOW_CONN_{name.upper()}"
        if os.environ.get(variable):
            # Airflow tells of one that it cannot read in its log alone. Without its keys, those of another account could be found.
            raise ConfigurationError(f"{variable} is set, and Airflow cannot read it: write a connection's URI, or its JSON.") from None
        return None
    extra = _extra_of(name, found.extra)
    login, password = found.login, found.password
    if found.conn_type == "aws":
        login, password = _aws_keys(name, login, password, extra)
    return Connection(
        login=login or None,
        password=password or None,
        host=found.host or None,
        port=found.port,
        schema=found.schema or None,
        extra=extra,
        origin=f"Airflow connection {name!r}",
        kind=found.conn_type or None,
    )


def _extra_of(name: str, text: str | None) -> dict[str, Any]:
    from airflow.sdk.log import mask_secret

    try:
        extra = json.loads(text) if text else {}
    except ValueError:
        # Not chained: the error's own text would show the extra, secrets and all.
        raise ConfigurationError(f"The extra of connection {name!r} is not JSON. Mend it under Admin > Connections.") from None
    if not isinstance(extra, dict):
        raise ConfigurationError(f"The extra of connection {name!r} is JSON, but no object. Mend it under Admin > Connections.")
    mask_secret(extra)
    return extra


def _aws_keys(name: str, login: str | None, password: str | None, extra: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return key id and secret as Airflow's own AWS hook finds them; both may stand in the extra."""
    if extra.get("role_arn"):
        raise ConfigurationError(
            f"Connection {name!r} names a role_arn, which Ducklift does not assume by itself. Write the role into a profile of the AWS "
            "configuration file and put the profile's name into the extra: profile_name."
        )
    return login or extra.get("aws_access_key_id"), password or extra.get("aws_secret_access_key")

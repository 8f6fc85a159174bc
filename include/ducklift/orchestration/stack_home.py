"""What the compose stack's one-shot service `init` does before anything of Airflow's starts; it may run again and changes nothing then.

It refuses secrets that nobody made, migrates the metadata database, sets the pools and the connections, and writes the admin's password to
where the web server reads it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ducklift.errors import ConfigurationError, DuckliftError
from ducklift.orchestration.airflow_home import set_connections, set_pools
from ducklift.orchestration.environment import ADMIN, write_private

SECRETS = Path("/run/secrets")
SHORTEST_SECRET = 12
PLACEHOLDERS = ("change", "placeholder", "example", "secret", "password", "admin", "default", "replace", "todo", "xxxx", "<")
NOTE = "Set by the stack's service init at each start."


def prepare(environment: Mapping[str, str], secrets: Path = SECRETS) -> None:
    """Make the metadata database, pools, connections and the admin ready; raises `ConfigurationError` on a placeholder."""
    found = read_secrets(secrets)
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        set_pools(session)
        set_connections(session, stack_connections(found, environment))
    passwords = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    write_private(passwords, {ADMIN: found["admin_password"]})


def read_secrets(folder: Path) -> dict[str, str]:
    """Return every secret by its file's name; raises `ConfigurationError` when one was never made."""
    found = {file.name: file.read_text("utf-8").strip() for file in sorted(folder.iterdir()) if file.is_file()}
    for name, text in found.items():
        refuse_placeholder(name, text)
    return found


def refuse_placeholder(name: str, text: str) -> None:
    """Raise `ConfigurationError` for a secret, or one value within its JSON, that is short or reads like a word to be replaced."""
    for value in _secret_values(text):
        if len(value) < SHORTEST_SECRET or value.lower().startswith(PLACEHOLDERS):
            raise ConfigurationError(f"secrets/{name} holds a placeholder or less than {SHORTEST_SECRET} characters. Run: make stack-init")


def _secret_values(text: str) -> list[str]:
    if not text.startswith("{"):
        return [text]
    content = json.loads(text)
    if "identities" in content:
        return [credentials["secretKey"] for identity in content["identities"] for credentials in identity["credentials"]]
    return [str(value) for value in content.values()]


def stack_connections(secrets: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the connections as the fields of Airflow's form: the lake's where the stack's own S3 server holds it, and the sandbox's.

    What a stack does not run itself is left alone: a bucket elsewhere and Reddit's own API have the connections that somebody made.
    """
    connections: dict[str, dict[str, Any]] = {"ducklift_warehouse": {"conn_type": "duckdb", "description": NOTE}}
    if environment.get("DUCKLIFT_WAREHOUSE_URL", "").startswith("ducklake:postgresql://ducklake@postgres"):
        connections["ducklift_warehouse"]["password"] = secrets["ducklake_password"]
    if endpoint := environment.get("STACK_S3_ENDPOINT"):
        credentials = json.loads(secrets["s3_identities"])["identities"][0]["credentials"][0]
        connections["ducklift_lake"] = {
            "conn_type": "aws",
            "login": credentials["accessKey"],
            "password": credentials["secretKey"],
            "extra": json.dumps({"endpoint_url": endpoint, "region_name": environment.get("STACK_S3_REGION", "us-east-1")}),
            "description": NOTE,
        }
    if environment.get("praw_oauth_url"):
        keys = json.loads(secrets["sandbox_keys"])
        connections["reddit_default"] = {
            "conn_type": "reddit",
            "login": keys["reddit_client_id"],
            "password": keys["reddit_client_secret"],
            "extra": json.dumps({"user_agent": "linux:ducklift-stack:v1 (by /u/ducklift_sandbox)"}),
            "description": NOTE,
        }
    return connections


def main() -> int:
    """Prepare and return the exit code; what is wrong with the configuration is one line."""
    try:
        prepare(os.environ)
    except DuckliftError as err:
        sys.stderr.write(f"ducklift: {err}\n")
        return err.exit_code
    sys.stdout.write("The stack is prepared.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The environment in which Airflow runs on this machine: its home, its secrets, and where the sandbox stands.

Nothing here imports Airflow, which reads its environment while it is imported.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ducklift.errors import ConfigurationError

HOST = "127.0.0.1"
ADMIN = "admin"
# Airflow's own settings of another installation, and keys of real accounts, have no business in a sandboxed run.
FOREIGN = ("AIRFLOW_", "AWS_", "DUCKLIFT_", "PRAW_", "praw_", "REDDIT_", "motherduck_")


@dataclass(frozen=True)
class AirflowSecrets:
    """What the components of one local Airflow share; random, made once, worth nothing anywhere else."""

    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_secret: str = field(repr=False)
    admin_password: str = field(repr=False)


@dataclass(frozen=True)
class LocalAirflow:
    """The places of a local Airflow within one project; everything it writes lies in `.ducklift/`."""

    project: Path

    @property
    def home(self) -> Path:
        """Airflow's home: metadata database, secrets, the record of running processes."""
        return self.project / ".ducklift" / "airflow"

    @property
    def logs(self) -> Path:
        """The folder of all logs."""
        return self.project / ".ducklift" / "logs"

    @property
    def sandbox(self) -> Path:
        """The sandbox's folder: its bucket, its clock, its keys."""
        return self.project / ".ducklift" / "sandbox"

    @property
    def record(self) -> Path:
        """The file that tells which background processes stand."""
        return self.home / "standing.json"

    @property
    def sandbox_environment(self) -> Path:
        """The file in which a standing sandbox tells how to reach it."""
        return self.home / "sandbox.json"

    @property
    def dags(self) -> Path:
        """The folder of DAG files."""
        return self.project / "dags"

    def make_folders(self) -> None:
        """Make the folders that Airflow expects; its home is for this user alone."""
        for folder in (self.home, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)

    def secrets(self) -> AirflowSecrets:
        """Return this installation's secrets, making them first where there are none."""
        path = self.home / "secrets.json"
        if not path.exists():
            made = AirflowSecrets(
                fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                jwt_secret=secrets.token_urlsafe(48),
                api_secret=secrets.token_urlsafe(48),
                admin_password=secrets.token_urlsafe(12),
            )
            write_private(path, asdict(made))
            write_private(self.home / "passwords.json", {ADMIN: made.admin_password})
        try:
            return AirflowSecrets(**json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError) as err:
            raise ConfigurationError(f"{path} cannot be read ({err}). Run: make clean") from err


def airflow_environment(airflow: LocalAirflow, sandbox: Mapping[str, str], port: int = 8080) -> dict[str, str]:
    """Return the whole environment for an Airflow process: the user's own, without foreign settings, then ours.

    `sandbox` is what the running sandbox says about itself. All `DUCKLIFT_*` are set here, so that a `.env` which names a
    real warehouse cannot make a sandboxed run write into it.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    private = airflow.project / ".ducklift"
    places = {
        "DUCKLIFT_WAREHOUSE_URL": f"duckdb:///{private / 'warehouse.duckdb'}",
        "DUCKLIFT_SPOOL": str(private / "spool"),
        "DUCKLIFT_PIPELINES": str(airflow.project / "include" / "pipelines"),
        "DUCKLIFT_READ_COPY": "",
    }
    return inherited | places | without_proxy_on_loopback() | dict(sandbox) | airflow_settings(airflow, port)


def without_proxy_on_loopback() -> dict[str, str]:
    """Return the user's list of hosts reached without a proxy, with this machine added."""
    hosts = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    listed = ",".join(filter(None, [hosts, HOST, "localhost"]))
    return {"NO_PROXY": listed, "no_proxy": listed}


def airflow_settings(airflow: LocalAirflow, port: int) -> dict[str, str]:
    """Return Airflow's own settings, as environment variables."""
    url, shared = f"http://{HOST}:{port}", airflow.secrets()
    return {
        "AIRFLOW_HOME": str(airflow.home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(airflow.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(airflow.project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": shared.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow.home / "passwords.json"),
        # A server's first answer takes long on a busy machine; a task that gives it up, after five seconds by default, has lost a try.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        # The port stands in four places, and each must agree.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": shared.api_secret,
        "AIRFLOW__API__INSTANCE_NAME": "Ducklift sandbox",
        "AIRFLOW__API_AUTH__JWT_SECRET": shared.jwt_secret,
        # A new or changed DAG file shows within seconds; Airflow's own defaults are five minutes and thirty seconds.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow.logs / "airflow"),
        "NO_COLOR": "1",
    }


def write_private(path: Path, content: object) -> None:
    """Write JSON that only this user may read, in one step."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
    scratch.replace(path)

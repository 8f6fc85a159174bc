"""Typed settings: what Ducklift needs to know about this installation, and where each value came from.

URLs come only from `DUCKLIFT_*`, so that a DAG and the CLI cannot reach different places. Keys come from Airflow connections
(handed in by `ducklift.orchestration.connections`) or from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ducklift.errors import ConfigurationError

# An installation that is no checkout, as in an image, says where its project lies.
PROJECT = Path(os.environ.get("DUCKLIFT_PROJECT") or Path(__file__).resolve().parents[2]).absolute()


@dataclass(frozen=True)
class Connection:
    """Credentials by name, as Airflow's connections carry them; the environment stands in for them without Airflow.

    `kind` is the connection's type, such as `postgres`.
    """

    login: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    origin: str = "environment"
    kind: str | None = None


ConnectionLookup = Callable[[str], Connection | None]


def no_connections(_name: str) -> Connection | None:
    """Know no connection: every credential comes from the environment or a default chain."""
    return None


def tell_nobody(_secret: str) -> None:
    """Take note of a secret for no log: nothing here prints what it has found."""


@dataclass(frozen=True)
class Settings:
    """Where things are, and what DuckDB may use (empty: as the machine allows).

    `origins` tells for each field which variable or default it came from. `on_secret` is told each secret that is found by a name of the
    user's own or derived on the way (a token), so that a log can mask it. `opened` holds the stores that the steps of one call share, by
    their URLs; None where each step opens its own.
    """

    project: Path
    lake_url: str
    warehouse_url: str
    spool: str
    pipelines: Path
    read_copy: Path | None
    memory_limit: str
    threads: str
    temp_directory: Path | None
    environment: Mapping[str, str] = field(repr=False)
    origins: Mapping[str, str]
    connections: ConnectionLookup = field(default=no_connections, repr=False, compare=False)
    on_secret: Callable[[str], None] = field(default=tell_nobody, repr=False, compare=False)
    opened: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def home(self) -> Path:
        """Return the one git-ignored folder in which everything local lies."""
        return self.project / ".ducklift"

    def with_connections(self, lookup: ConnectionLookup) -> Settings:
        """Return the same settings with another source of credentials."""
        return replace(self, connections=lookup)


def load_settings(environment: Mapping[str, str] | None = None, project: Path | None = None) -> Settings:
    """Read the settings from the environment, then from `.env` in the project, then from the defaults.

    Raises `ConfigurationError` when a value is unusable, naming the variable and where it was found.
    """
    project = project or PROJECT
    process = dict(os.environ if environment is None else environment)
    file_values = _env_file(project / ".env")
    merged = {**file_values, **process}
    home = project / ".ducklift"
    origins: dict[str, str] = {}

    def setting(name: str, default: str) -> str:
        variable = f"DUCKLIFT_{name.upper()}"
        value = merged.get(variable, "").strip()
        origins[name] = f"{variable} in the environment" if process.get(variable) else f"{variable} in .env" if value else "default"
        return value or default

    lake_url = setting("lake_url", (home / "lake").as_uri())
    if "://" not in lake_url:
        raise ConfigurationError(
            f"DUCKLIFT_LAKE_URL is {lake_url!r}, which is not a URL. Write s3://bucket, gs://bucket, az://container, file:///folder …"
        )
    return Settings(
        project=project,
        lake_url=lake_url.rstrip("/"),
        warehouse_url=setting("warehouse_url", f"duckdb:///{home / 'warehouse.duckdb'}"),
        spool=setting("spool", str(home / "spool")),
        pipelines=Path(setting("pipelines", str(project / "include" / "pipelines"))),
        read_copy=Path(path) if (path := setting("read_copy", "")) else None,
        memory_limit=setting("memory_limit", ""),
        threads=setting("threads", ""),
        temp_directory=Path(path) if (path := setting("temp_directory", "")) else None,
        environment=merged,
        origins=origins,
    )


def _env_file(path: Path) -> dict[str, str]:
    """Return the values of a `.env` file; an absent file has none."""
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {key: value for key, value in dotenv_values(path).items() if value is not None}
    except UnicodeDecodeError as err:
        raise ConfigurationError(f"is not UTF-8 at byte {err.start}; save the file as UTF-8", file=path) from err

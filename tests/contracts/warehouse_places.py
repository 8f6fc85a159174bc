"""The places that a warehouse may be, each as an installation of its own: a DuckDB file, memory, an attached database, DuckLakes."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import STREAM, TABLE, Installation, Record, listed_source_known, sighting, sightings, slice_run
from postgres_server import USER, PostgresServer, running_postgres

from ducklift.lake.commits import read_snapshot
from ducklift.lake.filesystem import open_lake
from ducklift.lake.manifest import read_manifest
from ducklift.pipeline import Pipeline
from ducklift.settings import Settings
from ducklift.summary import LoadSummary
from ducklift.warehouse import Warehouse, motherduck, open_warehouse
from ducklift.warehouse.loading import load_into, publish_missing
from ducklift.warehouse.system import prepare_system

__all__ = [
    "STREAM",
    "TABLE",
    "Installation",
    "installed",
    "listed_source_known",
    "place",
    "postgres",
    "shared_lake",
    "sighting",
    "sightings",
    "slice_run",
]

# DuckLakes differ in their catalog alone: the one in PostgreSQL, for many writers, is always tried, the others among the slow proofs.
PLACES = (
    "file",
    "memory",
    "motherduck",
    pytest.param("ducklake-file", marks=pytest.mark.slow),
    pytest.param("ducklake-sqlite", marks=pytest.mark.slow),
    "ducklake",
)
TOKEN = "a-token-of-no-account"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@dataclass
class Place:
    """An open warehouse and the lake beside it; loading goes through all three steps."""

    kind: str
    installation: Installation
    warehouse: Warehouse

    def land(self, *batches: list[Record], day: int = 0, **spec: Any) -> LoadSummary:
        return self.load(self.installation.pipeline(*batches, **spec), day)

    def load(self, pipeline: Pipeline, day: int = 0) -> LoadSummary:
        url = self.installation.put(pipeline, day)
        lake = open_lake(self.installation.settings)
        data = lake.read(lake.key_of(url))
        assert data is not None
        published = read_snapshot(lake, TABLE)
        summary = load_into(self.warehouse, lake, read_manifest(data, url), data, pipeline.table_spec("birds"))
        publish_missing(self.warehouse, lake, TABLE, published)
        return summary

    def rows(self, columns: str = "id, bird, count") -> list[tuple[Any, ...]]:
        return self.warehouse.rows(f"SELECT {columns} FROM {TABLE} ORDER BY ALL")

    def load_id(self, day: int = 0) -> str:
        name: str = self.installation.manifest(day)["load_id"]
        return name


@pytest.fixture
def shared_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Installation]:
    """A function that makes installations over one DuckLake: its catalog in PostgreSQL, its data in a bucket."""
    server, s3 = request.getfixturevalue("postgres"), request.getfixturevalue("moto_s3")
    environment = {
        **s3.environment,
        "DUCKLIFT_WAREHOUSE_URL": f"ducklake:postgresql://{USER}@127.0.0.1:{server.port}/{server.create_database()}",
        "PGPASSWORD": server.password,
    }
    bucket = f"s3://lake-{uuid.uuid4().hex}"

    def another() -> Installation:
        project = tmp_path / f"host-{uuid.uuid4().hex[:8]}"
        project.mkdir()
        return Installation(project, bucket, environment)

    return another


@pytest.fixture
def installed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Installation]:
    """A function that makes an installation on one of the places."""

    def make(kind: str) -> Installation:
        if kind == "ducklake":
            another: Callable[[], Installation] = request.getfixturevalue("shared_lake")
            return another()
        if kind == "motherduck":
            stand_in_for_motherduck(monkeypatch)
        urls = {
            "memory": "duckdb:///:memory:",
            "motherduck": "md:birdwatch",
            "ducklake-file": f"ducklake:duckdb://{tmp_path}/catalog/catalog.ducklake",
            "ducklake-sqlite": f"ducklake:sqlite://{tmp_path}/catalog/catalog.sqlite",
        }
        project = tmp_path / "project"
        project.mkdir()
        environment = {"DUCKLIFT_WAREHOUSE_URL": urls[kind], "motherduck_token": TOKEN} if kind in urls else {}
        return Installation(project, "", environment)

    return make


def stand_in_for_motherduck(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a second, attached database in memory stand for the account; return the list of statements that would have been sent."""
    sent: list[str] = []

    class Account:
        """A connection that knows the account's own statements."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self._connection = connection

        def execute(self, sql: str, *rest: Any) -> Any:
            sent.append(sql)
            if sql.startswith(("SET motherduck_token", "ATTACH 'md:'")):
                return None
            return self._connection.execute(sql.replace("CREATE DATABASE IF NOT EXISTS", "ATTACH IF NOT EXISTS ':memory:' AS"), *rest)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    connect = duckdb.connect
    monkeypatch.setattr(motherduck.MotherDuckTarget, "_new_connection", lambda _self: Account(connect()))
    monkeypatch.setattr(motherduck.MotherDuckTarget, "_load", lambda _self, _connection: None)
    return sent


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, installed: Callable[[str], Installation]) -> Iterator[Place]:
    """Every place in turn, prepared and empty."""
    installation = installed(request.param)
    with open_warehouse(installation.settings) as warehouse:
        prepare_system(warehouse)
        yield Place(request.param, installation, warehouse)


def settings_of(installation: Installation, **environment: str) -> Settings:
    """Return an installation's settings with some variables changed."""
    return Installation(installation.project, installation.lake_url, {**installation.environment, **environment}).settings

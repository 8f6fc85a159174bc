"""Three real databases under one handle: SQLite in a file, PostgreSQL out of a wheel, MariaDB from Debian's packages."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mariadb_server import MariadbServer, running_mariadb

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from postgres_server import PostgresServer, running_postgres

NEEDS_MARIADB = pytest.mark.needs_program("mariadb-install-db", package="mariadb-server")


@dataclass(frozen=True)
class Database:
    """An empty database: its URL for Ducklift, and a way to run statements in it."""

    kind: str
    url: str
    secret: str
    at: Any
    name: str = ""

    def sql(self, *statements: str) -> None:
        if self.kind == "sqlite":
            with sqlite3.connect(self.at) as connection:
                for statement in statements:
                    connection.execute(statement)
        elif self.kind == "postgres":
            for statement in statements:
                self.at.sql(statement, self.name)
        else:
            self.at.sql(*statements, database=self.name)

    def quoted(self, name: str) -> str:
        mark = "`" if self.kind == "mariadb" else '"'
        return f"{mark}{name.replace(mark, mark * 2)}{mark}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    with running_mariadb() as server:
        yield server


def new_database(kind: str, request: pytest.FixtureRequest) -> Database:
    """Return an empty database of a kind; its server runs as long as the session."""
    if kind == "sqlite":
        file = request.getfixturevalue("tmp_path") / "shop.db"
        sqlite3.connect(file).close()
        return Database(kind, f"sqlite:///{file}", "", file)
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        name = server.create_database()
        return Database(kind, f"postgresql://keeper:{server.password}@127.0.0.1:{server.port}/{name}", server.password, server, name)
    maria: MariadbServer = request.getfixturevalue("mariadb")
    name = f"shop_{uuid4().hex}"
    maria.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4", database=None)
    return Database(kind, maria.url.replace("/shop", f"/{name}"), maria.password, maria, name)


@pytest.fixture(params=["sqlite", "postgres", pytest.param("mariadb", marks=NEEDS_MARIADB)])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database of each kind in turn."""
    return new_database(request.param, request)


@pytest.fixture
def postgres_database(request: pytest.FixtureRequest) -> Database:
    return new_database("postgres", request)


@pytest.fixture
def mariadb_database(request: pytest.FixtureRequest) -> Database:
    return new_database("mariadb", request)


@pytest.fixture
def sqlite_database(request: pytest.FixtureRequest) -> Database:
    return new_database("sqlite", request)

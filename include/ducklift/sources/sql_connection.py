"""How a SQL source reaches its database: the URL and its secrets, the engine, and what a database's errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ducklift.errors import ConfigurationError, CredentialsMissing, DuckliftError, MissingExtra, SourceUnavailable, StreamRefused
from ducklift.settings import Connection
from ducklift.sources.secret_refs import Hidden

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

# Airflow's connection types, and plain dialects, as the drivers that Ducklift's extras bring.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite",
}
_EXTRAS = {"psycopg": ("psycopg", "postgres"), "pymysql": ("pymysql", "mysql")}
_SECRET_WORD = re.compile(r"pass|secret|token|key", re.IGNORECASE)
# SQLSTATE classes, and MySQL's numbers, of what may be over by the next try: connections, resources, conflicts, shutdowns.
_PASSING_STATES = ("08", "40", "53", "55", "57")
_PASSING_NUMBERS = frozenset({1040, 1053, 1159, 1161, 1203, 1205, 1213, 2002, 2003, 2006, 2013, 2055})
_PASSING_WORDS = re.compile(
    r"terminating connection|server closed|connection (refused|reset|timed out|to server)|could not receive|conflict with recovery|"
    r"canceling statement|database is locked|lost connection|timeout expired|starting up|shutting down|too many (clients|connections)",
    re.IGNORECASE,
)
_REFUSED_STATES = ("28", "3D")
_REFUSED_NUMBERS = frozenset({1044, 1045, 1049, 1130, 1698})
_REFUSED_WORDS = re.compile(
    r"authentication failed|access denied|no pg_hba|database \"[^\"]*\" does not exist|unknown database|role \"", re.IGNORECASE
)


def plain_url(text: str) -> str:
    """Return a SQLAlchemy URL that may stand in a pipeline file; raises ValueError, without showing it, when it carries a secret."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("url is not a SQLAlchemy URL, such as sqlite:///shop.db or postgresql://reader@db.example/shop") from None
    if url.password is not None or any(_SECRET_WORD.search(name) for name in url.query):
        raise ValueError("url holds a password; write the whole URL into the environment and name it: url: {env: SHOP_DATABASE_URL}")
    return text


def url_from_text(text: str, project: Path, hidden: Hidden) -> URL:
    """Return the URL with a driver that is installed; a relative SQLite file lies in the project. Raises `ConfigurationError`."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    hidden.add(text)
    try:
        # Airflow's own form of PostgreSQL's URLs is one that SQLAlchemy no longer takes.
        url = make_url(re.sub(r"^postgres://", "postgresql://", text.strip()))
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database's URL is not one that SQLAlchemy reads, such as postgresql://user:password@host/db."
        ) from None
    return _completed(url, project, hidden)


def url_from_connection(connection: Connection, dialect: str | None, project: Path, hidden: Hidden) -> URL:
    """Return the URL that an Airflow connection stands for; raises `ConfigurationError` when its type says no dialect."""
    from sqlalchemy import URL

    kind = dialect or connection.kind
    if not kind:
        raise ConfigurationError(f"The {connection.origin} says no type; write the dialect beside it, for example dialect: postgresql.")
    names = {
        str(name): str(value) for name, value in connection.extra.items() if isinstance(value, str | int) and not isinstance(value, bool)
    }
    in_url = {name: value for name, value in names.items() if name in ("sslmode", "sslrootcert", "sslcert", "charset", "ssl_ca", "options")}
    sqlite = kind == "sqlite"
    return _completed(
        URL.create(
            kind,
            None if sqlite else connection.login,
            None if sqlite else connection.password,
            None if sqlite else connection.host,
            None if sqlite else connection.port,
            (connection.host or connection.schema) if sqlite else connection.schema,
            in_url,
        ),
        project,
        hidden,
    )


def _completed(url: URL, project: Path, hidden: Hidden) -> URL:
    if url.password:
        hidden.add(str(url.password))
    for name, value in url.query.items():
        if _SECRET_WORD.search(name):
            hidden.add(str(value))
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    package, extra = _EXTRAS.get(url.drivername.partition("+")[2], (None, ""))
    if package and find_spec(package) is None:
        raise MissingExtra(f"A database at {url.drivername}://", package, extra)
    if url.get_backend_name() == "sqlite":
        file = project / (url.database or "")
        if not url.database or not file.is_file():
            raise ConfigurationError(f"There is no SQLite database at {file}: a path in the project, or an absolute one, names it.")
        url = url.set(database=str(file))
    return url


def require_reader(url: URL) -> None:
    """Raise `MissingExtra` when PostgreSQL is to be read and its bulk reader is not installed."""
    if url.get_backend_name() == "postgresql" and find_spec("adbc_driver_postgresql") is None:
        raise MissingExtra("Reading PostgreSQL", "adbc-driver-postgresql", "postgres")


def engine_of(url: URL) -> Engine:
    """Return an engine that keeps no connections; raises `ConfigurationError` when SQLAlchemy knows no such dialect or driver."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        return create_engine(url, poolclass=NullPool, connect_args=_patience(url))
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as err:
        raise ConfigurationError(f"{url.drivername}:// cannot be used: {err}. Install its driver beside Ducklift.") from err


def _patience(url: URL) -> dict[str, Any]:
    """Return the driver's words for: do not wait for ever for a connection."""
    waits: Mapping[str, dict[str, Any]] = {"psycopg": {"connect_timeout": 15}, "pymysql": {"connect_timeout": 15, "charset": "utf8mb4"}}
    return waits.get(url.drivername.partition("+")[2], {})


@contextmanager
def database_errors(stream: str, hidden: Hidden) -> Iterator[None]:
    """Turn what drivers raise into errors of the house, without any secret: refused, passing, or for good."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except DuckliftError:
        raise
    except SQLAlchemyError as err:
        orig = err.orig if isinstance(err, DBAPIError) and err.orig is not None else err
        raise _error_of(orig, stream, hidden) from None
    except Exception as err:
        # ADBC raises errors of its own module, and bare OSErrors in the midst of a stream.
        if type(err).__module__.partition(".")[0] not in ("adbc_driver_manager", "builtins", "pymysql", "psycopg", "sqlite3"):
            raise
        if type(err).__module__ == "builtins" and not isinstance(err, OSError):
            raise
        raise _error_of(err, stream, hidden) from None


def _error_of(err: BaseException, stream: str, hidden: Hidden) -> DuckliftError:
    state = str(getattr(err, "sqlstate", None) or "")
    number = err.args[0] if err.args and isinstance(err.args[0], int) else None
    text = hidden.out_of(" ".join(str(err.args[1] if number is not None and len(err.args) > 1 else err).split()))[:400]
    if state.startswith(_REFUSED_STATES) or number in _REFUSED_NUMBERS or _REFUSED_WORDS.search(text):
        return CredentialsMissing(f"{stream}: the database refuses the connection: {text}. Check user, password, host and database.")
    if state.startswith(_PASSING_STATES) or number in _PASSING_NUMBERS or _PASSING_WORDS.search(text):
        return SourceUnavailable(f"{stream}: the database does not answer, or not now: {text}. Nothing of this reading landed.")
    return StreamRefused(stream, f"the database says: {text}", "Check the table's or query's name, columns and permissions.")

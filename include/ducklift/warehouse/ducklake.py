"""DuckLake: tables as Parquet in the lake and their catalog in PostgreSQL, so that many writers commit at once.

`ducklake:postgresql://user@host:5432/database?sslmode=require` has its password in the connection `ducklift_warehouse` or in PGPASSWORD.
`ducklake:duckdb:///folder/catalog.ducklake` and `ducklake:sqlite:///folder/catalog.sqlite` keep the catalog in a file: one writer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from ducklift.errors import ConfigurationError, WarehouseBusy, WarehouseMissing, WarehouseUnavailable, WarehouseUnusable
from ducklift.settings import Settings
from ducklift.warehouse.extensions import load_extension
from ducklift.warehouse.identifiers import quote_identifier, quote_literal
from ducklift.warehouse.object_access import execute_secretly, s3_secret, trust_certificates
from ducklift.warehouse.targets import CATALOG, Target, file_error, make_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CONNECTION = "ducklift_warehouse"
DATA_PREFIX = "warehouse"
_EXAMPLE = "ducklake:postgresql://user@host:5432/database"
_OPTIONS = ("data_path", "schema", "sslmode")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_POSTGRES_TIMEOUT_S = 10
# Commits of other tables meet in the catalog's list of snapshots; DuckLake itself repeats these, and they are short.
_RETRIES_OF_THE_CATALOG = 100
_REFUSED = ("password authentication failed", "no password supplied", "does not exist", "permission denied", "no pg_hba.conf entry", "ssl")


@dataclass(frozen=True)
class PostgresCatalog:
    """Where the catalog's database is. The password is looked up when it is needed."""

    host: str
    port: int
    database: str
    user: str | None
    ssl_mode: str | None


class DuckLakeTarget(Target):
    """Tables as Parquet under `data_path`, their catalog in PostgreSQL or in a file."""

    kind = "ducklake"

    def __init__(self, name: str, catalog: PostgresCatalog | Path, catalog_kind: str, data_path: str, schema: str | None) -> None:
        self.name, self.catalog, self.catalog_kind, self.data_path, self.schema = name, catalog, catalog_kind, data_path, schema

    def extensions(self) -> list[str]:
        """Return the extensions for the catalog and, where the data go to a bucket, for S3."""
        for_catalog = {"postgres": ["postgres_scanner"], "sqlite": ["sqlite_scanner"]}.get(self.catalog_kind, [])
        return ["ducklake", *for_catalog, *(["httpfs"] if self.data_path.startswith("s3://") else [])]

    def local_folder(self) -> Path | None:
        """Return the folder of a catalog that is a file."""
        return self.catalog.parent if isinstance(self.catalog, Path) else None

    def data_folders(self) -> list[str]:
        """Return where the Parquet files lie."""
        return [self.data_path]

    def connect(self, settings: Settings, *, read_only: bool) -> DuckDBPyConnection:
        """Attach the catalog and use it; catalog tables are made in an empty database unless `read_only`."""
        import duckdb

        if isinstance(self.catalog, Path):
            if read_only and not self.catalog.exists():
                raise WarehouseMissing(self.name)
            make_folder(self.catalog.parent)
        if "://" not in self.data_path:
            make_folder(Path(self.data_path))
        connection = duckdb.connect()
        try:
            self._prepare(connection, settings)
            self._attach(connection, read_only)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: DuckDBPyConnection, settings: Settings) -> None:
        connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
        for name in self.extensions():
            load_extension(connection, name, self.name)
        connection.execute(f"SET ducklake_max_retry_count = {_RETRIES_OF_THE_CATALOG}")
        if isinstance(self.catalog, PostgresCatalog):
            execute_secretly(connection, _postgres_secret(self.catalog, settings), self.name)
        if self.data_path.startswith("s3://"):
            trust_certificates(connection, settings)
            execute_secretly(connection, s3_secret(settings, self.data_path), self.data_path)

    def _attach(self, connection: DuckDBPyConnection, read_only: bool) -> None:
        import duckdb

        options = [f"DATA_PATH {quote_literal(self.data_path)}"]
        if isinstance(self.catalog, PostgresCatalog):
            options.append("META_SECRET 'ducklift_catalog'")
        if self.schema:
            options.append(f"METADATA_SCHEMA {quote_literal(self.schema)}")
        if read_only:
            options += ["READ_ONLY", "CREATE_IF_NOT_EXISTS false"]
        try:
            connection.execute(f"ATTACH {quote_literal(self._metadata())} AS {quote_identifier(CATALOG)} ({', '.join(options)})")
            connection.execute(f"USE {quote_identifier(CATALOG)}")
        except duckdb.Error as err:
            raise self._attach_error(err) from err

    def _metadata(self) -> str:
        if isinstance(self.catalog, Path):
            return f"ducklake:{'sqlite:' if self.catalog_kind == 'sqlite' else ''}{self.catalog}"
        words = {"connect_timeout": str(_POSTGRES_TIMEOUT_S), "application_name": "ducklift", "sslmode": self.catalog.ssl_mode}
        return "ducklake:postgres:" + " ".join(f"{name}={value}" for name, value in words.items() if value)

    def _attach_error(self, err: Exception) -> Exception:
        text = str(err)
        if "does not exist - and creating" in text:
            return WarehouseMissing(self.name)
        if "does not match existing data path" in text:
            reason = "its catalog keeps the data elsewhere: " + text.splitlines()[0].rpartition("catalog ")[2].rstrip(". ")
            return WarehouseUnusable(self.name, reason, "Set DUCKLIFT_LAKE_URL as it was, or name the place in the URL: ?data_path=…")
        if isinstance(self.catalog, Path):
            return file_error(self.name, err)
        if "unable to connect" in text.lower():
            reason = text.rpartition("failed: ")[2].strip().splitlines()[0]
            if any(word in reason.lower() for word in _REFUSED):
                advice = f"Check user and database in the URL, and the password in the connection {CONNECTION!r} or in PGPASSWORD."
                return WarehouseUnusable(self.name, reason, advice)
            return WarehouseUnavailable(self.name, reason)
        if "could not serialize" in text or "duplicate key" in text or "already exists" in text:
            # Two processes made the catalog's tables at once: the one that lost finds them there.
            return WarehouseBusy(self.name, "a process that is just making the catalog")
        return WarehouseUnusable(self.name, text.splitlines()[0], "It was not touched.")


class SharedDuckLakeTarget(DuckLakeTarget):
    """A DuckLake whose catalog takes many writers at once."""

    many_writers = True


def ducklake_target(settings: Settings) -> DuckLakeTarget:
    """Return the DuckLake that `DUCKLIFT_WAREHOUSE_URL` names; raises `ConfigurationError` with an example, and never shows a password."""
    parts = urlsplit(settings.warehouse_url.removeprefix("ducklake:"))
    if parts.password is not None:
        raise ConfigurationError(
            f"DUCKLIFT_WAREHOUSE_URL holds a password. Take it out, and put it into the connection {CONNECTION!r} or into PGPASSWORD."
        )
    options = _options(parts.query)
    data_path = _data_path(settings, options)
    schema = options.get("schema")
    if parts.scheme in ("postgresql", "postgres"):
        catalog = _postgres_catalog(parts.hostname, parts.port, parts.path, parts.username, options)
        shown = f"ducklake:postgresql://{catalog.host}:{catalog.port}/{catalog.database}"
        return SharedDuckLakeTarget(f"{shown}?schema={schema}" if schema else shown, catalog, "postgres", data_path, schema)
    if parts.scheme in ("duckdb", "sqlite"):
        path = unquote(parts.path)
        if parts.netloc or not path.strip("/"):
            raise ConfigurationError(
                f"DUCKLIFT_WAREHOUSE_URL names no catalog file: write ducklake:{parts.scheme}:///folder/catalog.ducklake."
            )
        file = (settings.project / re.sub(r"^/+", "/", path)).resolve()
        return DuckLakeTarget(f"ducklake:{parts.scheme}://{file}", file, parts.scheme, data_path, schema)
    raise ConfigurationError(f"DUCKLIFT_WAREHOUSE_URL names no known catalog of a DuckLake: write {_EXAMPLE}.")


def _options(query: str) -> dict[str, str]:
    found = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(found) - set(_OPTIONS)):
        raise ConfigurationError(f"DUCKLIFT_WAREHOUSE_URL has unknown options: {', '.join(unknown)}. There are {', '.join(_OPTIONS)}.")
    if found.get("sslmode", "prefer") not in _SSL_MODES:
        raise ConfigurationError(f"DUCKLIFT_WAREHOUSE_URL: sslmode is one of {', '.join(_SSL_MODES)}.")
    if "schema" in found and not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", found["schema"]):
        raise ConfigurationError("DUCKLIFT_WAREHOUSE_URL: schema is a plain name of lower-case letters, digits and underscores.")
    return found


def _postgres_catalog(host: str | None, port: int | None, path: str, user: str | None, options: Mapping[str, str]) -> PostgresCatalog:
    database = unquote(path).strip("/")
    if not host or not database:
        raise ConfigurationError(f"DUCKLIFT_WAREHOUSE_URL names no host or no database of the catalog: write {_EXAMPLE}.")
    return PostgresCatalog(host, port or 5432, database, unquote(user) if user else None, options.get("sslmode"))


def _postgres_secret(catalog: PostgresCatalog, settings: Settings) -> str:
    connection = settings.connections(CONNECTION)
    user = catalog.user or (connection.login if connection else None) or settings.environment.get("PGUSER")
    password = connection.password if connection and connection.password else settings.environment.get("PGPASSWORD")
    values = {"HOST": catalog.host, "DATABASE": catalog.database, "USER": user, "PASSWORD": password}
    parts = [f"{name} {quote_literal(value)}" for name, value in values.items() if value]
    return f"CREATE OR REPLACE TEMPORARY SECRET ducklift_catalog (TYPE postgres, PORT {catalog.port}, {', '.join(parts)})"


def _data_path(settings: Settings, options: Mapping[str, str]) -> str:
    """Return where the Parquet files go, with a slash at its end: DuckDB's own form of a folder or an S3 prefix."""
    url = options.get("data_path") or f"{settings.lake_url}/{DATA_PREFIX}"
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        return url.rstrip("/") + "/"
    if parts.scheme == "file":
        return str((settings.project / unquote(f"{parts.netloc}{parts.path}")).resolve()) + "/"
    raise ConfigurationError(
        f"A DuckLake keeps its data under s3:// or file://, and {parts.scheme or 'a bare path'} is neither. Name a place in the URL: "
        f"{_EXAMPLE}?data_path=s3://bucket/prefix."
    )

"""MotherDuck: a DuckDB that somebody else runs. All that is its own is how it is attached; the rest is DuckDB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ducklift.errors import ConfigurationError, CredentialsMissing, WarehouseUnavailable, WarehouseUnusable
from ducklift.settings import Settings
from ducklift.warehouse.extensions import extension_file, load_extension
from ducklift.warehouse.identifiers import quote_identifier, quote_literal
from ducklift.warehouse.object_access import execute_secretly, s3_secret, trust_certificates
from ducklift.warehouse.targets import Target

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CONNECTION = "ducklift_warehouse"
TOKEN_VARIABLES = ("motherduck_token", "MOTHERDUCK_TOKEN")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_SUPPORTED = re.compile(r"supported version is v?([0-9.]+[0-9])")
# The extension asks api.motherduck.com for its own version as soon as it is loaded.
_OUT_OF_REACH = ("could not connect", "could not establish connection", "failed to download", "timed out", "unavailable")
_REFUSALS = ("token", "authenticat", "unauthorized", "permission", "not allowed")


class MotherDuckTarget(Target):
    """A database of a MotherDuck account; it is made when it is not there."""

    kind, many_writers = "motherduck", True

    def __init__(self, database: str) -> None:
        self.database, self.name = database, f"md:{database}"

    def extensions(self) -> list[str]:
        """Return MotherDuck's own extension; httpfs is taken where it is, for queries on the lake."""
        return ["motherduck"]

    def connect(self, settings: Settings, *, read_only: bool) -> DuckDBPyConnection:
        """Attach the account and use the database. A `read_only` connection makes no database; what it may do is the token's to say."""
        import duckdb

        token = motherduck_token(settings)
        connection = self._new_connection()
        try:
            connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
            self._load(connection)
            execute_secretly(connection, f"SET motherduck_token = {quote_literal(token)}", self.name)
            self._grant_lake(connection, settings)
            for statement in attach_statements(self.database, read_only=read_only):
                connection.execute(statement)
        except duckdb.Error as err:
            connection.close()
            raise motherduck_error(self.name, err) from err
        except BaseException:
            connection.close()
            raise
        return connection

    def _new_connection(self) -> DuckDBPyConnection:
        import duckdb

        return duckdb.connect()

    def _load(self, connection: DuckDBPyConnection) -> None:
        try:
            load_extension(connection, "motherduck", self.name)
        except WarehouseUnusable as err:
            # A client that is too new is refused as early as here.
            raise motherduck_error(self.name, err.__cause__ or err) from err

    def _grant_lake(self, connection: DuckDBPyConnection, settings: Settings) -> None:
        if settings.lake_url.startswith("s3://") and extension_file("httpfs"):
            load_extension(connection, "httpfs", self.name)
            trust_certificates(connection, settings)
            execute_secretly(connection, s3_secret(settings, settings.lake_url), settings.lake_url)


def attach_statements(database: str, *, read_only: bool) -> list[str]:
    """Return the statements that attach an account and use one of its databases, made unless `read_only`."""
    made = [] if read_only else [f"CREATE DATABASE IF NOT EXISTS {quote_identifier(database)}"]
    return ["ATTACH 'md:'", *made, f"USE {quote_identifier(database)}"]


def motherduck_target(settings: Settings) -> MotherDuckTarget:
    """Return the database that `md:name` names; raises `ConfigurationError`, also when a token stands in the URL."""
    name = settings.warehouse_url.partition(":")[2]
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "DUCKLIFT_WAREHOUSE_URL names no database of MotherDuck: write md:name. The token belongs into the connection "
            f"{CONNECTION!r} or into motherduck_token, never into the URL."
        )
    return MotherDuckTarget(name)


def motherduck_token(settings: Settings) -> str:
    """Return the account's token: the connection's password or extra, else the environment; raises `CredentialsMissing`."""
    connection = settings.connections(CONNECTION)
    if connection:
        found = connection.password or connection.extra.get("motherduck_token")
        if found:
            return str(found)
    for variable in TOKEN_VARIABLES:
        if found := settings.environment.get(variable):
            return found
    raise CredentialsMissing(
        f"MotherDuck needs a token, and none was found: not as the password of the connection {CONNECTION!r} "
        f"({'it has none' if connection else 'there is no such connection'}), not in {' or '.join(TOKEN_VARIABLES)}."
    )


def motherduck_error(name: str, err: BaseException) -> Exception:
    """Return what MotherDuck's refusal means; the text is its own, and its tokens are cut out."""
    import duckdb

    text = re.sub(r"eyJ[\w.-]+", "***", str(err)).strip()
    if "duckdb version" in text.lower() and "supported" in text.lower():
        newest = _SUPPORTED.search(text)
        pin = f"duckdb=={newest[1]}" if newest else "the version that it names"
        reason = f"MotherDuck does not take DuckDB {duckdb.__version__} yet"
        return WarehouseUnusable(name, reason, f"Pin {pin} until it does. It says: {text}")
    if any(words in text.lower() for words in _OUT_OF_REACH):
        return WarehouseUnavailable(name, text.splitlines()[0])
    if any(word in text.lower() for word in _REFUSALS):
        return WarehouseUnusable(name, text.splitlines()[0], f"Check the token in the connection {CONNECTION!r} or in motherduck_token.")
    return WarehouseUnusable(name, text.splitlines()[0], "See MotherDuck's status page, and the token's rights.")

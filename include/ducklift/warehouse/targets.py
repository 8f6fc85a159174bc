"""What `DUCKLIFT_WAREHOUSE_URL` may name. Targets differ in how they are connected and attached, and in nothing else."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ducklift.errors import ConfigurationError, WarehouseBusy, WarehouseMissing, WarehouseUnusable
from ducklift.settings import Settings
from ducklift.warehouse.identifiers import quote_identifier, quote_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Kind = Literal["file", "memory", "ducklake", "motherduck"]

_SCHEME = "duckdb://"
_HOLDER = re.compile(r"Conflicting lock is held in (.+?)(?: by user .+?)?\. ", re.S)
# Not a plain name, so that no dataset can have it: DuckDB takes `x.t` for ambiguous where both a catalog and a schema are named x.
CATALOG = "ducklift-warehouse"
EXAMPLES = "duckdb:///folder/warehouse.duckdb, duckdb:///:memory:, md:name or ducklake:postgresql://user@host/database"


class Target(ABC):
    """A place that tables lie in. `name` is what messages show: it never holds a secret."""

    kind: ClassVar[Kind]
    many_writers: ClassVar[bool] = False
    name: str

    @abstractmethod
    def connect(self, settings: Settings, *, read_only: bool) -> DuckDBPyConnection:
        """Connect once, with the target's catalog as the one in use.

        Raises `WarehouseBusy` or `WarehouseUnavailable` where waiting helps, `WarehouseMissing` when there is nothing to read yet,
        `WarehouseUnusable` and `ConfigurationError` otherwise.
        """

    def extensions(self) -> list[str]:
        """Return the extensions of DuckDB that connecting needs."""
        return []

    def local_folder(self) -> Path | None:
        """Return the folder on this host's filesystem that holds the catalog, or None when there is no such folder."""
        return None

    def data_folders(self) -> list[str]:
        """Return the folders and URL prefixes that DuckDB must reach beside the staging folder."""
        return []


class FileTarget(Target):
    """A DuckDB file: one process at a time, on one machine."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    def local_folder(self) -> Path:
        """Return the file's folder."""
        return self.path.parent

    def connect(self, settings: Settings, *, read_only: bool) -> DuckDBPyConnection:
        """Open the file; it and its folder are made unless `read_only`."""
        import duckdb

        del settings
        if read_only and not self.path.exists():
            raise WarehouseMissing(self.name)
        make_folder(self.path.parent)
        connection = duckdb.connect()
        try:
            mode = " (READ_ONLY)" if read_only else ""
            connection.execute(f"ATTACH {quote_literal(self.name)} AS {quote_identifier(CATALOG)}{mode}")
            connection.execute(f"USE {quote_identifier(CATALOG)}")
        except duckdb.Error as err:
            connection.close()
            raise file_error(self.name, err) from err
        return connection


class MemoryTarget(Target):
    """A database in this process's memory: it is gone when the warehouse is closed."""

    kind, name = "memory", ":memory:"

    def connect(self, settings: Settings, *, read_only: bool) -> DuckDBPyConnection:
        """Make an empty database; there is never anything to read in one."""
        import duckdb

        del settings
        if read_only:
            raise WarehouseMissing(f"{self.name} (each process has its own, which is gone at its end)")
        return duckdb.connect(self.name)


def warehouse_target(settings: Settings) -> Target:
    """Return the target that `DUCKLIFT_WAREHOUSE_URL` names; nothing is opened. Raises `ConfigurationError` with examples.

    `duckdb:///folder/file` is absolute, as a file URL is; `duckdb:file` lies in the project; `duckdb:///:memory:` is in memory.
    """
    url = settings.warehouse_url
    if url.startswith("ducklake:"):
        from ducklift.warehouse.ducklake import ducklake_target

        return ducklake_target(settings)
    if url.startswith(("md:", "motherduck:")):
        from ducklift.warehouse.motherduck import motherduck_target

        return motherduck_target(settings)
    if not url.startswith("duckdb:"):
        # What it is instead may hold a password: it is not repeated.
        origin = settings.origins["warehouse_url"]
        raise ConfigurationError(f"DUCKLIFT_WAREHOUSE_URL ({origin}) names no known warehouse: write {EXAMPLES}.")
    path = url.removeprefix(_SCHEME) if url.startswith(_SCHEME) else url.removeprefix("duckdb:")
    if path.lstrip("/") == ":memory:":
        return MemoryTarget()
    if not path.strip("/"):
        # A variable that was never set, mostly; in memory, what is loaded would be gone at once.
        raise ConfigurationError(f"DUCKLIFT_WAREHOUSE_URL ({settings.origins['warehouse_url']}) names no file: write {EXAMPLES}.")
    file = (settings.project / re.sub(r"^/+", "/", path)).resolve()
    if "?" in str(file):
        # DuckDB takes what follows for options, and writes its log to a file before them.
        raise ConfigurationError(f"the warehouse file {file} has a '?' in its path, which DuckDB cannot open: choose another place.")
    return FileTarget(file)


def make_folder(folder: Path) -> Path:
    """Make a folder of Ducklift's own and return it; raises `ConfigurationError` where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ConfigurationError(f"the folder {folder} cannot be made: {err.strerror}. Ducklift keeps its local files there.") from err
    return folder


def file_error(database: str, err: Exception) -> WarehouseBusy | WarehouseUnusable:
    """Return what DuckDB's refusal to open a file means: held by somebody, written by a newer version, or damaged."""
    text = str(err)
    if "could not set lock" in text.lower():
        holder = _HOLDER.search(text)
        return WarehouseBusy(database, holder[1] if holder else None)
    return file_unusable(database, text)


def file_unusable(database: str, text: str) -> WarehouseUnusable:
    """Return what to do about a file that DuckDB cannot read, from DuckDB's own words."""
    first = text.splitlines()[0]
    if "version" in text.lower() and "newer" in text.lower():
        return WarehouseUnusable(database, first, "It was written by a newer DuckDB: upgrade duckdb, or point at another file.")
    return WarehouseUnusable(
        database,
        first,
        "The raw files in the lake are the truth: move this file away, and 'ducklift rebuild' makes it anew. It was not touched.",
    )

"""DuckDB's extensions out of wheels: nothing is downloaded while a pipeline runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ducklift.errors import MissingExtra, WarehouseUnusable
from ducklift.warehouse.identifiers import quote_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Each wheel `duckdb-extension-<name>` holds the binary for exactly one version of DuckDB.
EXTRAS = {
    "ducklake": "ducklake",
    "postgres_scanner": "ducklake",
    "sqlite_scanner": "ducklake",
    "httpfs": "ducklake",
    "motherduck": "motherduck",
}


def package_of(name: str) -> str:
    """Return the name of the wheel that carries an extension."""
    return f"duckdb-extension-{name.replace('_', '-')}"


def extension_file(name: str) -> Path | None:
    """Return where the extension for this very DuckDB lies, or None when its wheel is not installed or is for another version."""
    import duckdb

    found = find_spec(f"duckdb_extension_{name}")
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    return file if file.is_file() else None


def load_extension(connection: DuckDBPyConnection, name: str, what: str) -> None:
    """Load an extension from its wheel; raises `MissingExtra` (which names the extra) or `WarehouseUnusable` when the binary is refused.

    `what` says in the error what needs it.
    """
    import duckdb

    file = extension_file(name)
    if file is None:
        raise MissingExtra(what, f"{package_of(name)}=={duckdb.__version__}", EXTRAS[name])
    try:
        connection.execute(f"LOAD {quote_literal(str(file))}")
    except duckdb.Error as err:
        raise WarehouseUnusable(what, str(err).splitlines()[0], f"Install {package_of(name)} for DuckDB {duckdb.__version__}.") from err

"""Tables as Parquet that gives back exactly what is in them, whatever their types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier, quote_literal

FILE_BYTES = "512MB"
# Parquet has these as they are. HUGEINT, for one, would become a double and lose digits; all others are written as text.
_EXACT = re.compile(
    r"(BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|JSON|BLOB|UUID"
    r"|DATE|TIME|TIMESTAMP( WITH TIME ZONE)?)(\[\])*"
)


def is_exact(type_: str) -> bool:
    """Return whether Parquet keeps values of this DuckDB type as they are."""
    return _EXACT.fullmatch(type_) is not None


def written(columns: Mapping[str, str]) -> str:
    """Return the SQL select list that writes these columns."""
    return ", ".join(
        name if is_exact(type_) else f"CAST({name} AS VARCHAR) AS {name}"
        for name, type_ in ((quote_identifier(column), type_) for column, type_ in columns.items())
    )


def restored(columns: Mapping[str, str]) -> str:
    """Return the SQL select list that reads these columns back in their own types."""
    return ", ".join(f"CAST({quote_identifier(name)} AS {type_}) AS {quote_identifier(name)}" for name, type_ in columns.items())


def copy_query(warehouse: Warehouse, query: str, file: Path) -> int:
    """Write a query's rows to one Parquet file and return how many; the order of an ordered query is kept."""
    rows: int = warehouse.value(f"COPY ({query}) TO {quote_literal(str(file))} (FORMAT parquet, COMPRESSION zstd)")
    return rows


def copy_columns(warehouse: Warehouse, columns: Mapping[str, str], source: str, folder: Path) -> list[Path]:
    """Write a whole table to Parquet files of about 512 MB in `folder`, in no order, and return them."""
    options = f"FORMAT parquet, COMPRESSION zstd, FILE_SIZE_BYTES '{FILE_BYTES}'"
    warehouse.connection.execute(f"COPY (SELECT {written(columns)} FROM {source}) TO {quote_literal(str(folder))} ({options})")
    return sorted(folder.rglob("*.parquet"))


def reading(files: Sequence[Path]) -> str:
    """Return the SQL source that reads these files as one."""
    listed = ", ".join(quote_literal(str(file)) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def row_count_of(warehouse: Warehouse, file: Path) -> int:
    """Return the rows of one Parquet file."""
    count: int = warehouse.value(f"SELECT count(*) FROM {reading([file])}")
    return count

"""Types that a DuckLake takes and then changes: its Parquet files have no such type, and nothing says so when they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ducklift.errors import ContractBroken
from ducklift.specs import TableName
from ducklift.warehouse.children import family
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse

# Found by writing values and reading them back: 128-bit integers come back as doubles do, intervals without their microseconds, times
# without their zone. Small batches keep their values, since a DuckLake holds these in its catalog: a test with a few rows shows nothing.
_LOSSY = re.compile(r"\b(U?HUGEINT|INTERVAL|TIME WITH TIME ZONE)\b")
_INSTEAD = {"HUGEINT": "decimal(38,0)", "UHUGEINT": "decimal(38,0)", "INTERVAL": "bigint (microseconds)", "TIME WITH TIME ZONE": "varchar"}


def refuse_lossy_types(warehouse: Warehouse, table: TableName) -> None:
    """Raise `ContractBroken` when the table lies in a DuckLake and has a column whose values would not come back as they were.

    Child tables are looked at as well.
    """
    if warehouse.kind != "ducklake":
        return
    for member in (table, *(child for _, child in family(warehouse, table))):
        _refuse(member, existing_columns(warehouse, member))


def _refuse(table: TableName, columns: Mapping[str, str]) -> None:
    for name, type_ in columns.items():
        found = _LOSSY.search(type_)
        if found:
            raise ContractBroken(
                str(table),
                f"column {name!r} is {type_}, and a DuckLake would store its values inexactly. Declare it as {_INSTEAD[found[1]]} instead.",
            )

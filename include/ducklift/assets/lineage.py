"""What a value was made of: tables whose rows were read, and versions of other values. A deletion sweep of a table goes by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ducklift.specs import Spec, TableName


class Origin(Spec):
    """A version of a value that another one was made of."""

    key: str
    partition: str | None = None
    version: str


class Lineage:
    """Collects what is read while one value is made.

    `tables` are all tables whose rows the value may hold, however far back, each with the time when they were read; `direct` are those
    that were read for this value itself rather than for one of `made_of`. `started_at` is before anything was read.
    """

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.tables: dict[str, datetime] = {}
        self.direct: set[str] = set()
        self.made_of: dict[Origin, None] = {}

    def add_table(self, table: str) -> None:
        """Note that rows of a table are read, or were since the start; raises ValueError for what is no table's name."""
        name = str(TableName.parse(table))
        self.direct.add(name)
        self._add({name: self.started_at})

    def add_version(self, origin: Origin, tables: Mapping[str, datetime]) -> None:
        """Note that a version was loaded, with the tables that it was made of."""
        if tables:
            self.made_of[origin] = None
            self._add(tables)

    def merge(self, other: Lineage) -> None:
        """Note that a value was taken over which is not stored as a version: what it was made of counts as read here."""
        self.direct |= other.direct
        self.made_of |= other.made_of
        self._add(other.tables)

    def facts(self) -> dict[str, Any]:
        """Return the fields of a version's record."""
        return {
            "derived_from": dict(sorted(self.tables.items())),
            "direct": tuple(sorted(self.direct)),
            "made_of": tuple(sorted(self.made_of, key=lambda each: (each.key, each.partition or "", each.version))),
        }

    def _add(self, tables: Mapping[str, datetime]) -> None:
        for table, read_at in tables.items():
            self.tables[table] = min(read_at, self.tables.get(table, read_at))

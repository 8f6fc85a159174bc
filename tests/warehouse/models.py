"""What each disposition promises, in plain Python: slow, and easy to believe. A version is (has a cursor, cursor, number of its load)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from trials import START, Record

from ducklift.summary import RowCounts


def present(record: Record) -> Record:
    """Return a record as a table shows it: a field without a value is as good as absent."""
    return {name: plain(value) for name, value in record.items() if value is not None}


def plain(value: Any) -> Any:
    """Return a value so that equal ones are equal and others are not, whatever their types, and whatever column they stand in."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()  # Python takes True for 1
    if isinstance(value, int | float | Decimal):
        return int(value) if value == int(value) else float(value)
    return _read(value) if isinstance(value, str) else value


def _read(text: str) -> Any:
    """Return a number, a truth or a list that stands in a column of texts."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, list | str) else plain(found)


@dataclass
class Row:
    """One row of the model's table."""

    data: Record
    load: int
    position: int = 0
    cursor: Any = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    @property
    def version(self) -> tuple[Any, ...]:
        return (self.cursor is not None, 0 if self.cursor is None else self.cursor, self.load)

    @property
    def in_load(self) -> tuple[Any, ...]:
        return (*self.version, self.position)


@dataclass
class Model:
    """A table as it should be. `numbers` are fields whose columns hold numbers: what is none cannot be loaded where it is key or cursor."""

    key: tuple[str, ...] = ()
    cursor: str | None = None
    partition: tuple[str, ...] = ()
    deleted: str | None = None
    numbers: tuple[str, ...] = ()
    cursor_is_time: bool = False
    rows: list[Row] = field(default_factory=list)
    watermark: Any = None
    deletions: dict[tuple[Any, ...], Row] = field(default_factory=dict)

    def load(self, disposition: str, records: Sequence[Record], number: int) -> RowCounts:
        """Take a load in and return what became of its rows."""
        staged = [
            Row(present(record), number, position, record.get(self.cursor) if self.cursor else None)
            for position, record in enumerate(records)
            if self.fits(record)
        ]
        bad = len(records) - len(staged)
        reached = max((row.cursor for row in staged if row.cursor is not None), default=None)
        apply: Callable[[list[Row]], RowCounts] = getattr(self, disposition)
        counts = apply(staged)
        self.watermark = max((value for value in (self.watermark, reached) if value is not None), default=None)
        return RowCounts(**{**vars(counts), "rows_extracted": len(records), "rows_quarantined": bad})

    def fits(self, record: Record) -> bool:
        """Return whether a record has its key, and numbers where numbers are wanted; all others go to quarantine."""
        misfits = [name for name in self.numbers if isinstance(record.get(name), str | list | bool)]
        return not misfits and all(record.get(name) is not None for name in (*self.key, *self.partition))

    def key_of(self, row: Row) -> tuple[Any, ...]:
        return tuple(row.data.get(name) for name in self.key)

    def partition_of(self, row: Row) -> tuple[Any, ...]:
        return tuple(row.data.get(name) for name in self.partition)

    def newest(self, staged: list[Row]) -> list[Row]:
        """Return one row per key, the greatest; all when there is no key."""
        if not self.key:
            return staged
        found: dict[tuple[Any, ...], Row] = {}
        for row in staged:
            known = found.get(self.key_of(row))
            if known is None or row.in_load > known.in_load:
                found[self.key_of(row)] = row
        return list(found.values())

    def append(self, staged: list[Row]) -> RowCounts:
        versions = {(self.key_of(row), row.cursor): row for row in staged}
        kept = list(versions.values()) if self.key else staged
        new = [row for row in kept if not (self._may_be_known(row) and any(self._same(row, known) for known in self.rows))]
        self.rows = self.rows + new
        return RowCounts(rows_inserted=len(new), rows_unchanged=len(kept) - len(new), rows_deduplicated=len(staged) - len(kept))

    def _may_be_known(self, row: Row) -> bool:
        return self.cursor is not None and (row.cursor is None or (self.watermark is not None and row.cursor <= self.watermark))

    def _same(self, row: Row, known: Row) -> bool:
        return (self.key_of(row), row.cursor) == (self.key_of(known), known.cursor) if self.key else row.data == known.data

    def replace(self, staged: list[Row]) -> RowCounts:
        kept, gone = self.newest(staged), len(self.rows)
        self.rows = kept
        return RowCounts(rows_inserted=len(kept), rows_deleted=gone, rows_deduplicated=len(staged) - len(kept))

    def insert_only(self, staged: list[Row]) -> RowCounts:
        first = {self.key_of(row): row for row in reversed(staged)}
        new = [row for key, row in first.items() if key not in map(self.key_of, self.rows)]
        self.rows = self.rows + new
        return RowCounts(rows_inserted=len(new), rows_unchanged=len(first) - len(new), rows_deduplicated=len(staged) - len(first))

    def merge(self, staged: list[Row]) -> RowCounts:
        kept = self.newest(staged)
        counts = dict.fromkeys(("inserted", "updated", "unchanged", "deleted"), 0)
        current = {self.key_of(row): row for row in self.rows}
        for row in kept:
            key = self.key_of(row)
            known, deletion = current.get(key), self.deletions.get(key)
            if (known and known.version > row.version) or (deletion and deletion.version > row.version):
                counts["unchanged"] += 1
                continue
            self.deletions.pop(key, None)
            if self.deleted and row.data.get(self.deleted) == plain(True):
                self.deletions[key] = row
                counts["updated" if known else "unchanged"] += 1
                counts["deleted"] += current.pop(key, None) is not None
                continue
            counts["inserted" if known is None else "unchanged" if known.data == row.data else "updated"] += 1
            current[key] = row
        self.rows = list(current.values())
        return RowCounts(**{f"rows_{name}": count for name, count in counts.items()}, rows_deduplicated=len(staged) - len(kept))

    def merge_partitions(self, staged: list[Row]) -> RowCounts:
        """Replace whole partitions; one that a later extraction has replaced stays as it is."""
        kept = self.newest(staged)
        later = {self.partition_of(known) for known in self.rows if kept and known.load > kept[0].load}
        taken = [row for row in kept if self.partition_of(row) not in later]
        replaced = {self.partition_of(row) for row in taken}
        known = {self.key_of(row): row for row in self.rows} if self.key else {}
        older = [row for row in taken if self._newer_elsewhere(known.get(self.key_of(row)), row, replaced)]
        new = [row for row in taken if row not in older]
        taken_over = [known[self.key_of(row)] for row in new if self.key_of(row) in known]
        left = [row for row in self.rows if self.partition_of(row) not in replaced and row not in taken_over]
        deleted = len(self.rows) - len(left) - len(taken_over)
        same = sum(known[self.key_of(row)].data == row.data for row in new if self.key_of(row) in known)
        self.rows = left + new
        return RowCounts(
            rows_inserted=len(new) - len(taken_over),
            rows_updated=len(taken_over) - same,
            rows_unchanged=same + len(kept) - len(new),
            rows_deleted=deleted,
            rows_deduplicated=len(staged) - len(kept),
        )

    def _newer_elsewhere(self, known: Row | None, row: Row, replaced: set[tuple[Any, ...]]) -> bool:
        return known is not None and known.version > row.version and self.partition_of(known) not in replaced

    def scd2(self, staged: list[Row]) -> RowCounts:
        kept = staged if self.cursor_is_time else self.newest(staged)
        counts = dict.fromkeys(("inserted", "updated", "unchanged", "deduplicated"), 0)
        counts["deduplicated"] = len(staged) - len(kept)
        for key in dict.fromkeys(map(self.key_of, kept)):
            self._chain(key, [row for row in kept if self.key_of(row) == key], counts)
        return RowCounts(**{f"rows_{name}": count for name, count in counts.items()})

    def _chain(self, key: tuple[Any, ...], staged: list[Row], counts: dict[str, int]) -> None:
        last = next((row for row in self.rows if self.key_of(row) == key and row.valid_to is None), None)
        current = [row for row in staged if last is None or last.version <= row.version]
        counts["unchanged"] += len(staged) - len(current)
        starts, opened = last.valid_from if last else None, last
        for row in sorted(current, key=lambda row: row.in_load):
            moment = datetime.fromisoformat(row.cursor) if isinstance(row.cursor, str) else START + timedelta(hours=row.load)
            starts = moment if starts is None else max(starts, moment)
            if last is not None and last.data == row.data:
                counts["unchanged" if last is opened else "deduplicated"] += 1
                if last is opened:
                    last.load, last.cursor = row.load, row.cursor
                    opened = None
                continue
            counts["inserted" if last is None else "updated"] += 1
            row.valid_from = starts
            if last is not None:
                last.valid_to = starts
            last = row
            self.rows.append(row)

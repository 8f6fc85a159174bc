"""A table's loads, newest first, over all of its history: those that the snapshot lists, failed ones among them, then commit records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ducklift.errors import DuckliftError
from ducklift.lake.attempts import FailedLoad
from ducklift.lake.commits import Snapshot, read_commit
from ducklift.lake.layout import commit_prefix
from ducklift.lake.store import Store
from ducklift.specs import TableName
from ducklift.web.digests import later_extraction, superseded
from ducklift.web.load_rows import committed_row, failed_row, record_row
from ducklift.web.objects import FOR_EVER, Found, Objects, Wanted
from ducklift.web.views.loads import LoadRow
from ducklift.web.views.queries import Pages
from ducklift.web.views.states import Problem
from ducklift.web.views.texts import MESSAGE, shown

PAGE_LOADS = 50
UNREAD = "Older loads cannot be shown"
_DIGITS = 10  # of a sequence in a key


@dataclass(frozen=True)
class Timeline:
    """The loads that a snapshot lists, and the failed ones of the table, as rows; `gone` tells which are superseded by which."""

    table: TableName
    listed: tuple[LoadRow, ...]
    failed: tuple[LoadRow, ...]
    gone: Mapping[str, str]
    older: int
    """How many commits lie before those that are listed."""

    @classmethod
    def of(cls, table: TableName, snapshot: Snapshot | None, failed: Sequence[FailedLoad], now_s: float) -> Timeline:
        """Return the timeline of a table; `snapshot` is None before its first load, or where it cannot be read."""
        name = str(table)
        loads: Sequence[Mapping[str, Any]] = snapshot.loads if snapshot else ()
        gone, by_id = superseded(loads), {load.load_id: load for load in failed}
        listed = tuple(committed_row(name, load, gone, now_s, by_id.get(load["load_id"])) for load in loads)
        there = {row.load_id for row in listed}
        oldest = listed[-1] if listed else None
        older = (oldest.sequence or 1) - 1 if oldest else 0
        missing = [load for load in failed if load.load_id not in there and load.mended_at is None]
        # What failed before the oldest load that is listed may have come through since: that is not known here.
        shown_ones = [load for load in missing if not older or oldest is None or load.last.at >= oldest.at]
        return cls(table, listed, tuple(failed_row(name, load, now_s) for load in shown_ones), gone, older)

    @property
    def recent(self) -> list[LoadRow]:
        """Return all rows but the older ones, newest first."""
        return sorted((*self.listed, *self.failed), key=lambda row: row.at, reverse=True)

    @property
    def total(self) -> int:
        """Return how many rows there are, the older ones too."""
        return len(self.listed) + len(self.failed) + self.older

    def page(self, number: int, lake: Store, objects: Objects, now_s: float) -> tuple[list[LoadRow], Pages, list[Problem]]:
        """Return one page of rows; older ones are read from their commit records."""
        pages = Pages.of(number, self.total, PAGE_LOADS)
        recent = self.recent
        rows = recent[pages.start : pages.start + PAGE_LOADS]
        wanted = min(PAGE_LOADS - len(rows), self.total - pages.start - len(rows))
        if wanted <= 0:
            return rows, pages, []
        newest = self.older - max(pages.start - len(recent), 0)
        try:
            older, problems = self._older(range(newest, newest - wanted, -1), lake, objects, now_s)
        except DuckliftError as err:
            older, problems = [], [_unread(err)]
        return [*rows, *older], pages, problems

    def _older(self, sequences: range, lake: Store, objects: Objects, now_s: float) -> tuple[list[LoadRow], list[Problem]]:
        found = objects.read({key: Wanted(key, FOR_EVER) for key in _keys(lake, self.table, sequences)})
        names = (key.rpartition("/")[2].removesuffix(".json").partition("-")[2] for key in found)
        known = [*(row.load_id for row in self.listed), *names]
        rows, problems = [], []
        for key, answer in found.items():
            try:
                if isinstance(answer, Found):
                    record = read_commit(answer.data or b"", lake.url_of(key))
                    later = later_extraction(record.load_id, known)
                    rows.append(record_row(record, {record.load_id: later, **self.gone} if later else self.gone, now_s))
                else:
                    problems.append(_unread(answer))
            except DuckliftError as err:
                problems.append(_unread(err))
        return sorted(rows, key=lambda row: row.sequence or 0, reverse=True), problems[:1]


def _keys(lake: Store, table: TableName, sequences: range) -> list[str]:
    """Return the keys of commit records by their place in the order, which their names begin with."""
    prefix, texts = commit_prefix(table), {f"{sequence:0{_DIGITS}d}" for sequence in sequences}
    # Places that follow each other share all but their last two digits, or fall into two such hundreds.
    hundreds = sorted({text[:-2] for text in texts})
    return [found.key for hundred in hundreds for found in lake.beginning(f"{prefix}{hundred}") if _place(found.key, prefix) in texts]


def _place(key: str, prefix: str) -> str:
    return key.removeprefix(prefix)[:_DIGITS]


def _unread(err: DuckliftError) -> Problem:
    return Problem(UNREAD, shown(str(err), MESSAGE), "Open the page again in a moment; else see `ducklift doctor`.")

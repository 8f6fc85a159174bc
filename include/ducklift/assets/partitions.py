"""Which partitions an asset has: slices of time, a fixed list, or several of these crossed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Literal

from ducklift.assets.errors import AssetMisnamed
from ducklift.assets.keys import PartitionKey, in_utc, partition_key

Every = Literal["hour", "day", "week", "month", "year"]
_FORMATS: dict[Every, str] = {"hour": "%Y-%m-%dT%H:00", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}


class Partitions(ABC):
    """The partitions of an asset."""

    @abstractmethod
    def keys(self, until: datetime | None = None) -> list[str]:
        """Return all keys in order; of time, those that have ended by `until` (now)."""

    @abstractmethod
    def checked(self, key: PartitionKey) -> str:
        """Return a key as text; raises `AssetMisnamed` when there is no such partition."""


@dataclass(frozen=True)
class TimePartitions(Partitions):
    """Slices of time in UTC, each named by its start: `2026-01-31`, `2026-01-31T17:00`, `2026-01`; weeks by their Monday."""

    every: Every
    start: datetime

    def keys(self, until: datetime | None = None) -> list[str]:
        """Return the keys of all slices that ended by `until`."""
        limit = in_utc(until or datetime.now(UTC))
        return [f"{begin:{_FORMATS[self.every]}}" for begin in self._begins(limit)]

    def between(self, first: PartitionKey, last: PartitionKey) -> list[str]:
        """Return the keys from one to another, both included."""
        begin, end = self._begin(self.checked(first)), self._begin(self.checked(last))
        return [key for key in self.keys(_after(end, self.every)) if begin <= self._begin(key)]

    def checked(self, key: PartitionKey) -> str:
        """Return the key of a slice, from its key, its date or its time."""
        text = f"{in_utc(key):{_FORMATS[self.every]}}" if isinstance(key, datetime) else partition_key(key) or ""
        begin = self._begin(text)
        if f"{_floor(begin, self.every):{_FORMATS[self.every]}}" != text or begin < _floor(in_utc(self.start), self.every):
            example = f"{_floor(in_utc(self.start), self.every):{_FORMATS[self.every]}}"
            raise AssetMisnamed(f"{text!r} is no partition by {self.every}, beginning with {example!r}.")
        return text

    def _begin(self, text: str) -> datetime:
        try:
            return datetime.strptime(text, _FORMATS[self.every]).replace(tzinfo=UTC)
        except ValueError:
            example = f"{_floor(in_utc(self.start), self.every):{_FORMATS[self.every]}}"
            raise AssetMisnamed(f"{text!r} is no partition by {self.every}: write for example {example!r}.") from None

    def _begins(self, limit: datetime) -> Iterator[datetime]:
        begin = _floor(in_utc(self.start), self.every)
        while (following := _after(begin, self.every)) <= limit:
            yield begin
            begin = following


def daily(start: date | datetime | str) -> TimePartitions:
    """Return one partition a day, from a date on."""
    return time_partitions("day", start)


def time_partitions(every: Every, start: date | datetime | str) -> TimePartitions:
    """Return one partition for each hour, day, week, month or year, from a date on."""
    moment = datetime.fromisoformat(start if isinstance(start, str) else start.isoformat())
    return TimePartitions(every, in_utc(moment))


@dataclass(frozen=True)
class StaticPartitions(Partitions):
    """A fixed list of keys."""

    names: tuple[str, ...]

    def __init__(self, names: Sequence[str]) -> None:
        checked = tuple(partition_key(name) or "" for name in names)
        if len(set(checked)) != len(checked) or not checked:
            raise AssetMisnamed(f"a list of partitions names each once, and at least one; this one: {', '.join(checked) or 'none'}.")
        object.__setattr__(self, "names", checked)

    def keys(self, until: datetime | None = None) -> list[str]:
        """Return the keys in the list's order."""
        del until
        return list(self.names)

    def checked(self, key: PartitionKey) -> str:
        """Return the key when it is in the list."""
        text = partition_key(key) or ""
        if text not in self.names:
            raise AssetMisnamed(f"{text!r} is none of the partitions: {', '.join(self.names[:20])}.")
        return text


@dataclass(frozen=True)
class MultiPartitions(Partitions):
    """Several dimensions crossed; a key names one partition of each: `{'day': '2026-01-01', 'region': 'eu'}`."""

    dimensions: Mapping[str, Partitions]

    def keys(self, until: datetime | None = None) -> list[str]:
        """Return all combinations, in order."""
        names = sorted(self.dimensions)
        combinations = product(*(self.dimensions[name].keys(until) for name in names))
        return [partition_key(dict(zip(names, each, strict=True))) or "" for each in combinations]

    def checked(self, key: PartitionKey) -> str:
        """Return the key as text, from a mapping or from its text."""
        given = dict(part.partition("=")[::2] for part in key.split("|")) if isinstance(key, str) else key
        if not isinstance(given, Mapping) or set(given) != set(self.dimensions):
            raise AssetMisnamed(f"{key!r} is no partition of the dimensions {', '.join(sorted(self.dimensions))}; name one of each.")
        return partition_key({name: self.dimensions[name].checked(each) for name, each in given.items()}) or ""


def _floor(moment: datetime, every: Every) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match every:
        case "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)


def _after(begin: datetime, every: Every) -> datetime:
    match every:
        case "hour":
            return begin + timedelta(hours=1)
        case "day" | "week":
            return begin + timedelta(days=1 if every == "day" else 7)
        case "month":
            return (begin + timedelta(days=31)).replace(day=1)
        case "year":
            return begin.replace(year=begin.year + 1)

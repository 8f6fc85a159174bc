"""The layout of raw files: a template with placeholders, checked when a pipeline file is read and filled when a file is closed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ducklift.lake.date_patterns import DatePattern, moment_of
from ducklift.lake.layout import DEFAULT_LAYOUT
from ducklift.specs import TableName

NO_DATE = "__none__"
NO_DATE_HIVE = "__HIVE_DEFAULT_PARTITION__"
LONGEST_KEY, LONGEST_NAME = 1024, 255  # bytes: S3's limit for a key, and every filesystem's for one name

_PART = re.compile(r"\{([^{}]*)\}|([^{}]+)|([{}])")
_LITERAL = re.compile(r"[A-Za-z0-9_.=+@,~/-]+")
_FIELD_DATE = re.compile(r"([^:]+):(.+)")
_EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_EXTRA_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=+@,~-]{0,99}")
_PREFIX_PARTS = {"pipeline", "dataset", "schema_name", "table", "table_name", "format"}


@dataclass(frozen=True)
class FileFacts:
    """What a load's files have in common, as far as a layout may show it."""

    table: TableName
    pipeline: str
    stream: str
    load_id: str
    slice_start: datetime
    extension: str
    partition: str | None = None
    extras: Mapping[str, str] = field(default_factory=dict)


def slug(text: str) -> str:
    """Return a stream's name as a path may carry it: lower case, with a hyphen for whatever is no letter, digit or underscore."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-_") or "stream"


def _partition(facts: FileFacts) -> str:
    safe = re.sub(r"[^A-Za-z0-9_.=+@,~-]+", "-", facts.partition or "").lstrip("_.-")[:100]
    return safe or _day(facts)


def _epoch(facts: FileFacts) -> str:
    return str(int(facts.slice_start.timestamp()))


def _day(facts: FileFacts) -> str:
    return facts.slice_start.astimezone(UTC).strftime("%Y-%m-%d")


PLACEHOLDERS: dict[str, Callable[[FileFacts], str]] = {
    "dataset": lambda facts: facts.table.dataset,
    "schema_name": lambda facts: facts.table.dataset,
    "table": lambda facts: facts.table.table,
    "table_name": lambda facts: facts.table.table,
    "pipeline": lambda facts: facts.pipeline,
    "stream": lambda facts: slug(facts.stream),
    "load_id": lambda facts: facts.load_id,
    "ext": lambda facts: facts.extension,
    "format": lambda facts: facts.extension.partition(".")[0],
    "timestamp": _epoch,
    "timestamp_ms": lambda facts: str(int(facts.slice_start.timestamp() * 1000)),
    "load_package_timestamp": _epoch,
    "curr_date": _day,
    "date": _day,
    "partition": _partition,
}


@dataclass(frozen=True)
class _Part:
    """One piece of a template: literal text, a named placeholder, a date of the slice, or a date of each record (`field`)."""

    text: str = ""
    name: str = ""
    date: DatePattern | None = None
    field: str = ""
    missing: str = NO_DATE


class Layout:
    """A checked template; raises ValueError, with an example of what is valid, on one that cannot be used."""

    def __init__(self, template: str | None = None, extras: Mapping[str, str] | None = None) -> None:
        self.extras = dict(extras or {})
        self.template = template or DEFAULT_LAYOUT
        if not self.template.endswith(".{ext}"):
            self.template += ".{ext}"
        self._parts = [self._part(match) for match in _PART.finditer(self.template)]
        self._record_dates = [part for part in self._parts if part.field]
        self._check()

    @property
    def record_fields(self) -> tuple[str, ...]:
        """Return the fields whose dates split the records into files; empty when none does."""
        return tuple(dict.fromkeys(part.field for part in self._record_dates))

    @property
    def names_the_load(self) -> bool:
        """Return whether the load's id stands in every key."""
        return any(part.name == "load_id" for part in self._parts)

    def partition(self, values: Sequence[Any]) -> tuple[str, ...]:
        """Return what the record-date placeholders become for one record, from its values of `record_fields`."""
        if len(self._record_dates) == 1:
            part = self._record_dates[0]
            moment = moment_of(values[0])
            return (part.date.of(moment) if moment and part.date else part.missing,)
        moments = {name: moment_of(value) for name, value in zip(self.record_fields, values, strict=True)}
        return tuple(part.date.of(found) if (found := moments[part.field]) and part.date else part.missing for part in self._record_dates)

    def key(self, facts: FileFacts, file_id: str, partition: tuple[str, ...] = ()) -> str:
        """Return the key of one raw file; `partition` is what `partition` returned for its records."""
        dates = iter(partition)
        return "".join(self._filled(part, facts, file_id, dates) for part in self._parts)

    def table_prefix(self, facts: FileFacts) -> str | None:
        """Return the prefix that holds this table's files and no other's; None when the layout keeps no such prefix."""
        prefix, seen = "", set()
        for part, after in zip(self._parts, [*self._parts[1:], _Part()], strict=True):
            if part.date or (part.name and part.name not in _PREFIX_PARTS and part.name not in self.extras):
                return None
            seen.add({"schema_name": "dataset", "table_name": "table"}.get(part.name, part.name))
            prefix += self._filled(part, facts, "", iter(()))
            if part.name in ("dataset", "schema_name", "table", "table_name") and not _separates(after.text):
                return None
            if {"dataset", "table"} <= seen:
                return f"{prefix}{after.text[0]}"
        return None

    def _filled(self, part: _Part, facts: FileFacts, file_id: str, dates: Any) -> str:
        if part.text:
            return part.text
        if part.field:
            return str(next(dates))
        if part.date:
            return part.date.of(facts.slice_start.astimezone(UTC))
        if part.name == "file_id":
            return file_id
        return self.extras[part.name] if part.name in self.extras else PLACEHOLDERS[part.name](facts)

    def _part(self, match: re.Match[str]) -> _Part:
        inner, literal, stray = match.groups()
        if stray:
            raise _wrong(f"the layout has a {stray!r} without its other half")
        if literal is not None:
            if not _LITERAL.fullmatch(literal):
                raise _wrong(
                    f"the layout's {literal!r} holds characters that are not safe in every store: use letters, digits and _.=+@,~/-"
                )
            return _Part(text=literal)
        if inner == "file_id" or inner in PLACEHOLDERS or inner in self.extras:
            return _Part(name=inner)
        if DatePattern.is_one(inner):
            return _Part(date=DatePattern(inner))
        dated = _FIELD_DATE.fullmatch(inner)
        if dated and DatePattern.is_one(dated[2]):
            hive = self.template[: match.start()].endswith("=")
            return _Part(field=dated[1], date=DatePattern(dated[2]), missing=NO_DATE_HIVE if hive else NO_DATE)
        raise _wrong(
            f"{{{inner}}} is not a placeholder of a layout. There are: file_id, {', '.join(PLACEHOLDERS)}, dates of the load's slice "
            "such as YYYY, MM, DD, HH or YYYY-MM-DD, dates of each record such as created_at:YYYY-MM-DD, and your own under layout_values"
        )

    def _check(self) -> None:
        self._check_extras()
        if not self.template.startswith("raw/"):
            raise _wrong(f"the layout {self.template!r} has to start with 'raw/', where all raw files lie")
        segments = _segments(self.template)
        for segment in segments:
            if segment in ("", ".", "..") or segment.startswith(("_", ".")):
                raise _wrong(f"the layout has a segment {segment!r}; none may be empty or start with '.' or '_' (readers skip those)")
        if "{file_id}" not in segments[-1]:
            raise _wrong("the layout's file name has to hold {file_id}, which tells a load's files apart")
        if "{ext}" in self.template[: -len("{ext}")]:
            raise _wrong("the layout has {ext} in its middle; readers know a file by its ending, so write it last")

    def _check_extras(self) -> None:
        used = {part.name for part in self._parts}
        for name, value in self.extras.items():
            if not _EXTRA_NAME.fullmatch(name) or name == "file_id" or name in PLACEHOLDERS or DatePattern.is_one(name):
                raise _wrong(
                    f"layout_values: {name!r} cannot be a placeholder of your own: write a plain name that is not taken, such as team"
                )
            if not _EXTRA_VALUE.fullmatch(value):
                raise _wrong(
                    f"layout_values: {name} is {value!r}: it may hold letters, digits and _.=+@,~- and has to start with one of the first"
                )
            if name not in used:
                raise _wrong(f"layout_values: {name!r} is not in the layout; write {{{name}}} where it belongs")


def check_layout(layout: Layout, files: Sequence[tuple[FileFacts, str]]) -> None:
    """Raise ValueError when the layout does not serve the streams of a pipeline, given with their dispositions.

    A `replace` needs a prefix of its own; two tables never share a path; no key is longer than a store takes.
    """
    owners: dict[str, TableName] = {}
    widest = tuple("0" * 40 for _ in layout.partition([None] * len(layout.record_fields))) if layout.record_fields else ()
    for facts, disposition in files:
        key = layout.key(facts, "f" * 20, widest)
        _check_length(key)
        if hidden := next((part for part in key.split("/") if part.startswith("_")), None):
            raise _wrong(
                f"the layout puts files of {facts.table} into {hidden!r}: readers skip what starts with '_'. Name the table otherwise"
            )
        if disposition == "replace" and layout.table_prefix(facts) is None:
            raise _wrong(
                f"{facts.table} is replaced whole, so its files need a prefix that no other table shares: "
                "{dataset} and {table}, each followed by a separator such as '/', before the load's own placeholders"
            )
        alike = layout.key(replace(facts, load_id="", slice_start=datetime.fromtimestamp(0, UTC)), "", widest)
        owner = owners.setdefault(alike, facts.table)
        if owner != facts.table:
            raise _wrong(
                f"files of {owner} and {facts.table} would lie under the same names; put {{dataset}} and {{table}} into the layout"
            )


def _check_length(key: str) -> None:
    longest = max(len(name.encode()) for name in key.split("/"))
    if len(key.encode()) > LONGEST_KEY or longest > LONGEST_NAME:
        raise _wrong(
            f"the layout makes keys of up to {len(key.encode())} bytes, with names of up to {longest}; "
            f"stores take {LONGEST_KEY} and {LONGEST_NAME}"
        )


def _separates(text: str) -> bool:
    # Names hold letters, digits and underscores: anything else ends one for good.
    return bool(text) and not text[0].isalnum() and text[0] != "_"


def _segments(template: str) -> list[str]:
    # A slash within braces belongs to a date pattern, not to the path.
    return re.sub(r"\{[^{}]*\}", lambda found: found[0].replace("/", "-"), template).split("/")


def _wrong(problem: str) -> ValueError:
    return ValueError(f"{problem}. A valid layout: {DEFAULT_LAYOUT}")

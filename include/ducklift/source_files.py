"""Whole files that a source hands over as they are: where each lies, what it was when it was seen, and how it is to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from ducklift.cursors import Cursor
from ducklift.specs import Spec

FileFormat = Literal[
    "csv", "csv.gz", "csv.zst", "tsv", "tsv.gz", "tsv.zst", "json", "json.gz", "json.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet"
]
Encoding = Literal["utf-8", "utf-16", "latin-1"]

_ENDINGS = {"ndjson": "jsonl", "pq": "parquet", "gzip": "gz", "zstd": "zst"}


class Limits(Spec):
    """What a compressed file or an archive may become at most; beyond it, it is taken for a bomb."""

    entries: int = Field(default=10_000, gt=0, description="Files in one archive.")
    expanded_bytes: int = Field(default=64 * 2**30, gt=0, description="Bytes of one file, or of all files in an archive, expanded.")
    ratio: int = Field(default=1_100, gt=0, description="Expanded bytes for each byte; asked of what expands to more than 64 MiB.")


class ReadOptions(Spec):
    """How files are read; kept in the manifest, so that a rebuild reads them the same way. All but `limits` is about CSV."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=4, description="A comma, or a tab for .tsv, when absent.")
    quote: str = Field(default='"', max_length=1)
    escape: str = Field(default='"', max_length=1)
    header: bool = Field(default=True, description="Whether the first line names the columns.")
    names: tuple[str, ...] = Field(default=(), description="Names of the columns, in the place of a header's or where there is none.")
    null: tuple[str, ...] = Field(default=("",), description="Unquoted texts that stand for no value.")
    skip: int = Field(default=0, ge=0, description="Lines before the header.")
    encoding: Encoding = "utf-8"
    limits: Limits = Limits()

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _no_line_end(cls, value: str | None) -> str | None:
        if value and any(mark in value for mark in "\r\n\0"):
            raise ValueError("a line's end cannot be a delimiter or a quote")
        return value

    @model_validator(mode="after")
    def _named_once(self) -> ReadOptions:
        lower = [name.lower() for name in self.names]
        if twins := sorted({name for name in lower if lower.count(name) > 1}):
            raise ValueError(f"read.names has names twice: {', '.join(twins)}")
        if not self.header and not self.names:
            raise ValueError("without a header the columns need names, for example read: {header: false, names: [day, price]}")
        return self

    def delimiter_of(self, file_format: str) -> str:
        """Return the delimiter of a file of this format."""
        return self.delimiter or ("\t" if file_format.startswith("tsv") else ",")


class Access(Spec):
    """With whose credentials a place is reached: the lake's connection, another connection's, or none at all."""

    connection: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="An Airflow connection; the lake's when absent."
    )
    anonymous: bool = False


class Origin(Spec):
    """The object that a file is, or was copied from: what it was when it was taken, and which part of it is wanted.

    `member` is its path in the archive that the object is. `row_groups` and the cursor range (from included, to not) are about Parquet in
    place. `whole` says that nothing behind the range's start was left for later.
    """

    place: str
    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None
    modified: datetime | None = None
    member: str | None = None
    access: Access = Access()
    in_place: bool = False
    row_groups: tuple[int, ...] | None = None
    cursor: str | None = None
    cursor_from: Cursor | None = None
    cursor_to: Cursor | None = None
    whole: bool = True

    @property
    def url(self) -> str:
        """Return where the file lies, as `_source_file` tells it."""
        return f"{self.place}/{self.key}" + (f"!{self.member}" if self.member else "")

    @property
    def identity(self) -> str:
        """Return what tells this version of the object from all others: a digest of place, name, etag and size."""
        return file_identity(self.place, self.key, self.etag, self.size_bytes)


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `fetch` copies it to a local path and raises `SourceFileChanged` when it is no longer what `origin` says.

    `values` are columns that its path tells. `rows` and `greatest` (the latest cursor) are given where they were found without reading all
    of the file. One that is `in_place` is not fetched.
    """

    origin: Origin
    format: FileFormat
    read: ReadOptions
    fetch: Callable[[Path], None]
    values: Mapping[str, str | None] = field(default_factory=dict)
    rows: int | None = None
    greatest: Cursor | None = None


def file_identity(place: str, key: str, etag: str, size_bytes: int) -> str:
    """Return 24 hex digits that stand for one version of one object."""
    return hashlib.sha256("\0".join((place, key, etag, str(size_bytes))).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def kind_of(file_format: str) -> str:
    """Return the family of a format, within which a load's files may differ: csv, json or parquet."""
    kind = file_format.partition(".")[0]
    return {"tsv": "csv", "jsonl": "json"}.get(kind, kind)


def format_of_name(name: str) -> FileFormat | None:
    """Return the format that a file's name tells, or None when it tells none."""
    parts = [_ENDINGS.get(part, part) for part in name.rpartition("/")[2].lower().split(".")[1:]]
    for found in (".".join(parts[-2:]), parts[-1] if parts else ""):
        if found in get_args(FileFormat):
            return found  # type: ignore[return-value]
    return None

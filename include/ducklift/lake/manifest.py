"""The load package: what one extraction brought, written last, never changed. Raw files that no manifest names are invisible."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import Field, ValidationError, model_validator

from ducklift.errors import ManifestUnreadable
from ducklift.lake.layout import DEFAULT_LAYOUT, manifest_key
from ducklift.source_files import FileFormat, Origin, ReadOptions
from ducklift.specs import Spec, TableName, TableSpec

if TYPE_CHECKING:
    from ducklift.lake.store import Store

_READERS = 8
MANIFEST_VERSION = 2  # 1: without finished_at
RETRIES_QUARANTINE_OF = "retries_quarantine_of"
_DAMAGED = "It was damaged outside Ducklift: restore it, or extract the slice again with --reextract."
_LOAD_ID = re.compile(r"[A-Za-z0-9-]{1,80}")

Cursor = int | float | str
Format = Literal["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet"]


class Slice(Spec):
    """What one load is asked to bring, fixed and stored before extraction, so that every try asks for the same.

    `parent_load` is the stream's load before it, as the table's snapshot told when the slice was fixed. `window` says that the cursor's
    bounds are those of the interval and have nothing to do with the watermark. `partition` is the key of the partition it stands for.
    """

    load_id: str
    pipeline: str
    stream: str
    start: datetime
    end: datetime
    watermark: Cursor | None = None
    cursor_from: Cursor | None = None
    cursor_to: Cursor | None = None
    window: bool = False
    partition: str | None = None
    parent_load: str | None = None
    request: dict[str, Any] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the record as it lies in the lake."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2)


class RawFile(Spec):
    """One raw file of a load; `longest_record_bytes` is a bound that readers of JSON lines and CSV ask for, 0 for Parquet.

    A file that a source gave whole has its own `format`, its `origin`, and the `values` of the columns that its path tells. One that is
    used in place has its URL for a key and no hash; its `rows` are 0 and not `counted` where only reading all of it would tell them.
    """

    key: str
    size_bytes: int
    sha256: str
    rows: int
    longest_record_bytes: int = 0
    format: FileFormat | None = None
    origin: Origin | None = None
    values: dict[str, str | None] = Field(default_factory=dict)
    counted: bool = True

    @property
    def in_place(self) -> bool:
        """Return whether the file lies elsewhere and has no copy in the lake."""
        return self.origin is not None and self.origin.in_place

    @property
    def source(self) -> str:
        """Return what `_source_file` tells of its rows."""
        return self.origin.url if self.origin else self.key


class Manifest(Spec):
    """The content of `raw/<dataset>/<table>/_loads/<load_id>.json`.

    `read` says how files are read that a source gave whole. `fields` are the top-level fields that any record had, in the order they
    came; `field_types` their Arrow types where the format has types (Parquet), `value_kinds` what was seen of their values where it has
    none (`ducklift.lake.kinds`). `supersedes` names loads whose place this one takes, `replaces_stream` says that it takes that of all
    earlier ones of its stream. `greatest_cursor` is the latest cursor of its records. The reading began at `extracted_at`. `airflow` holds
    DAG, run, task and try when there are such.
    """

    manifest_version: int = MANIFEST_VERSION
    load_id: str
    pipeline: str
    stream: str
    spec: TableSpec
    slice: Slice
    format: FileFormat
    read: ReadOptions | None = None
    layout: str = DEFAULT_LAYOUT
    files: tuple[RawFile, ...]
    fields: tuple[str, ...] = ()
    field_types: dict[str, str] = Field(default_factory=dict)
    value_kinds: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    rows: int
    size_bytes: int
    extracted_at: datetime
    finished_at: datetime | None = Field(default=None, description="When the reading ended.")
    extractor: str
    moves_watermark: bool = False
    gap: tuple[Cursor, Cursor] | None = None
    request: dict[str, Any] = Field(default_factory=dict)
    retries: int = 0
    surrogates_replaced: int = 0
    supersedes: tuple[str, ...] = ()
    replaces_stream: bool = False
    target: str = "warehouse"
    greatest_cursor: Cursor | None = None
    airflow: dict[str, Any] = Field(default_factory=dict)
    found_key: tuple[str, ...] = Field(default=(), description="The primary key that a source of tables was told.")
    chosen: dict[str, str] = Field(default_factory=dict, description="What of the table a person chose for this run.")

    @model_validator(mode="after")
    def _names_nothing_outside_the_lake(self) -> Manifest:
        # Whoever can write to the bucket can write one of these, and what it names becomes paths.
        if not _LOAD_ID.fullmatch(self.load_id):
            raise ValueError(f"{self.load_id[:200]!r} is no id of a load")
        for file in self.files:
            if not file.in_place and any(part in ("", ".", "..") for part in file.key.split("/")):
                raise ValueError(f"{file.key[:200]!r} is no key of a lake")
        return self

    @property
    def retried_load(self) -> str | None:
        """Return the load whose quarantined records these are, tried again; None for an extraction."""
        found: str | None = self.request.get(RETRIES_QUARANTINE_OF) if self.slice.parent_load else None
        return found

    @property
    def parent_load(self) -> str | None:
        """Return the stream's load before this one."""
        return self.slice.parent_load

    @property
    def table(self) -> TableName:
        """Return the table that the load is for."""
        return self.spec.name

    def to_bytes(self) -> bytes:
        """Return the manifest as it lies in the lake."""
        return orjson.dumps(self.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2)


def read_manifest(data: bytes, url: str) -> Manifest:
    """Parse a manifest; raises `ManifestUnreadable` when it is damaged or newer than this version."""
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as err:
        raise ManifestUnreadable(url, f"it is not JSON ({err}). {_DAMAGED}") from err
    version = values.get("manifest_version") if isinstance(values, dict) else None
    if not isinstance(version, int):
        raise ManifestUnreadable(url, f"it tells no version. {_DAMAGED}")
    if version > MANIFEST_VERSION:
        raise ManifestUnreadable(url, f"its version is {version}, this Ducklift reads up to {MANIFEST_VERSION}. Upgrade Ducklift.")
    try:
        return Manifest.model_validate(values)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        raise ManifestUnreadable(url, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from err


def read_landed(data: bytes, lake: Store, key: str) -> Manifest:
    """Parse the manifest at `key`; raises `ManifestUnreadable` also for one of another load, of which the ledger knows nothing here."""
    manifest = read_manifest(data, lake.url_of(key))
    own = manifest_key(manifest.table, manifest.load_id)
    if key != own:
        raise ManifestUnreadable(lake.url_of(key), f"it is that of load {manifest.load_id}, whose place is {own}. {_DAMAGED}")
    return manifest


def read_manifests(lake: Store, keys: Iterable[str]) -> dict[str, Manifest]:
    """Return manifests by their keys, read several at a time; raises `ManifestUnreadable`, since what it names is then not known."""
    from concurrent.futures import ThreadPoolExecutor

    def read(key: str) -> tuple[str, Manifest | None]:
        data = lake.read(key)
        return key, read_manifest(data, lake.url_of(key)) if data is not None else None

    with ThreadPoolExecutor(_READERS) as pool:
        return {key: manifest for key, manifest in pool.map(read, keys) if manifest is not None}


def manifest_schema() -> bytes:
    """Return the JSON Schema of manifests as `docs/manifest.schema.json` holds it."""
    schema = Manifest.model_json_schema(by_alias=True, mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"Ducklift manifest, version {MANIFEST_VERSION}"}
    return orjson.dumps({**schema, **head}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def sha256_of(data: bytes) -> str:
    """Return the sha256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def retry_load_id(load_id: str) -> str:
    """Return the id of the load that retries the quarantined records of a load."""
    return f"{load_id}-q"


def compact_utc(moment: datetime) -> str:
    """Return a moment as load ids carry it: 20260101T000000Z."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")

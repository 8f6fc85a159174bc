"""Files of a bucket: those under a path that are new or changed since last time, copied as they are, or used where they lie."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from ducklift.errors import ConfigurationError, SourceFileChanged, SourceFileRefused, StreamRefused
from ducklift.lake.filesystem import open_place
from ducklift.lake.foreign_objects import fetch_object, origin_of, refuse_changed
from ducklift.lake.parquet_parts import Part, Range, find_part
from ducklift.lake.store import Store, StoredObject
from ducklift.settings import Settings
from ducklift.source_files import Access, FileFormat, Origin, ReadOptions, SourceFile, file_identity, format_of_name
from ducklift.sources.archives import is_archive, members_of
from ducklift.sources.base import Cursor, ReadReport, SliceRequest, Source
from ducklift.sources.file_paths import check_path, hive_values, is_hostile, matcher, only_key_of, prefix_of
from ducklift.specs import PlainName

FormatChoice = Literal["auto", FileFormat]
FormOption = Literal["bucket", "path", "format"]

_FOOTERS_AT_ONCE = 8


class BucketFilesSource(Source):
    """Files under one path of one bucket, each loaded once for every version of it."""

    gives_files: ClassVar[bool] = True

    type: Literal["bucket_files"] = "bucket_files"
    buckets: tuple[str, ...] = Field(
        min_length=1, description="URLs of buckets or folders, as a lake's; the first one unless another is chosen."
    )
    bucket: str | None = Field(default=None, description="One of `buckets`.")
    path: str = Field(description="A key, or a pattern: * and ? within a name, ** over folders, {a,b} for a choice.")
    format: FormatChoice = Field(default="auto", description="By each file's name when auto.")
    in_place: bool = Field(default=False, description="Refer to the files where they lie; no copy of them is kept in the lake.")
    hive: bool = Field(default=True, description="Make columns of folders such as day=2026-01-01.")
    path_column: PlainName | None = Field(default=None, description="A column for each file's key.")
    written_after_rows: bool = Field(
        default=False, description="No row's cursor is later than its file was written: older files than the watermark are not opened."
    )
    access: Access = Access()
    read_options: ReadOptions = Field(default=ReadOptions(), alias="read")
    form: tuple[FormOption, ...] = Field(default=(), description="What a person may choose when a run is triggered by hand.")

    _path_is_one = field_validator("path")(check_path)

    @model_validator(mode="after")
    def _bucket_is_known(self) -> BucketFilesSource:
        if self.bucket is not None and self.bucket not in self.buckets:
            raise ValueError(f"bucket {self.bucket[:100]!r} is not one of source.buckets")
        if any("://" not in url for url in self.buckets):
            raise ValueError("buckets are URLs, for example s3://my-bucket, gs://my-bucket or file:///data")
        return self

    @property
    def place(self) -> str:
        """Return the URL of the chosen bucket."""
        return (self.bucket or self.buckets[0]).rstrip("/")

    def streams(self) -> Sequence[str]:
        """Return one stream, named after the bucket and the path."""
        return [f"{self.place.partition('://')[2]}/{self.path}"]

    def effective_stream(self, stream: str) -> str | None:
        """Return the stream of the bucket and path that were chosen."""
        del stream
        return self.streams()[0]

    def stops_at_end(self) -> bool:
        """Return True for Parquet in place, the one kind of file that is read in part."""
        parquet = self.format == "parquet" or (self.format == "auto" and self.path.endswith((".parquet", ".pq")))
        return self.in_place and parquet

    def options_schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the fields of the trigger form that the pipeline file names under `source.form`."""
        fields: dict[str, dict[str, Any]] = {
            "bucket": {"type": "string", "title": "Bucket", "enum": list(self.buckets), "default": self.bucket or self.buckets[0]},
            "path": {
                "type": "string",
                "title": "Path",
                "description": "A key in the bucket, or a pattern such as sales/*.csv or sales/**/*.parquet.",
                "minLength": 1,
                "maxLength": 1024,
                "default": self.path,
            },
            "format": {
                "type": "string",
                "title": "Format",
                "description": "auto goes by each file's name.",
                "enum": list(get_args(FormatChoice)[:1]) + list(get_args(FileFormat)),
                "default": self.format,
            },
        }
        return {name: fields[name] for name in self.form}

    def with_options(self, options: Mapping[str, Any]) -> BucketFilesSource:
        """Return the source with the chosen bucket, path and format; raises `ConfigurationError` on what it does not admit."""
        if unknown := sorted(str(name)[:40] for name in options if name not in self.form):
            raise ConfigurationError(f"these are not options of this source: {', '.join(unknown)}")
        try:
            return type(self).model_validate({**self.model_dump(by_alias=True), **options})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            raise ConfigurationError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from None

    def survey(self, request: SliceRequest, settings: Settings, known: Container[str]) -> dict[str, Any]:
        """List the files that the slice is of: all that match and are not known, or again those of an earlier extraction.

        Raises `StreamRefused` when a single key is not there, `SourceFileRefused` for a name that is not safe to carry on.
        """
        store = open_place(settings, self.place, self.access)
        if request.fixed:
            listed = [self._again(store, told["key"]) for told in request.fixed["files"]]
            return {"matched": len(listed), "files": [_told(found) for found in listed]}
        matched = self._listed(store)
        fresh = [found for found in matched if file_identity(self.place, found.key, found.etag, found.size_bytes) not in known]
        # The version that was written last is the one that stays, where rows of two files share a key.
        fresh.sort(key=lambda found: (found.modified.timestamp() if found.modified else 0.0, found.key))
        return {"matched": len(matched), "files": [_told(found) for found in fresh]}

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[SourceFile]:
        """Yield the files; raises `SourceFileChanged` when one is no longer what was listed, `SourceFileRefused`, `ConfigurationError`."""
        store = open_place(settings, self.place, self.access)
        origins = [origin_of(self.place, _listed_object(told)) for told in request.fixed["files"]]
        origins = [origin.model_copy(update={"access": self.access}) for origin in origins]
        report.request = {"bucket": self.place, "path": self.path, "matched": request.fixed["matched"], "files": len(origins)}
        if request.cursor_to is not None:
            self._refuse_whole_files(origins)
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            yield from pool.map(partial(self._referred, store, request), origins) if self.in_place else ()
        for origin in () if self.in_place else origins:
            yield from self._copied(store, origin, settings)
        report.ordered_and_complete = True

    def _refuse_whole_files(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            if not self.in_place or self._format(origin.key) != "parquet":
                raise ConfigurationError(
                    f"{origin.url} is taken whole, and incremental.end wants a part of it. Only Parquet in place is read in part: "
                    "remove end, or write in_place: true and choose Parquet files."
                )

    def _listed(self, store: Store) -> list[StoredObject]:
        if (key := only_key_of(self.path)) is not None:
            found = store.stat(key)
            if found is None:
                raise StreamRefused(self.streams()[0], f"there is no object {key!r} in {self.place}", "Check bucket and path.")
            return [found]
        is_match = matcher(self.path)
        matched = [found for found in store.list(prefix_of(self.path)) if is_match(found.key) and not found.key.endswith("/")]
        for found in matched:
            if is_hostile(found.key):
                raise SourceFileRefused(f"{self.place}/{found.key!r}", "its name has '..', an empty part or a control character")
        return matched

    def _again(self, store: Store, key: str) -> StoredObject:
        found = store.stat(key)
        if found is None:
            raise SourceFileChanged(f"{self.place}/{key}", "an object", "none")
        return found

    def _format(self, name: str) -> FileFormat:
        if self.format != "auto":
            return self.format
        found = format_of_name(name)
        if found is None:
            raise SourceFileRefused(f"{self.place}/{name}", "its name tells no format: set source.format")
        return found

    def _values(self, key: str) -> dict[str, str | None]:
        return {**(hive_values(key) if self.hive else {}), **({self.path_column: key} if self.path_column else {})}

    def _referred(self, store: Store, request: SliceRequest, origin: Origin) -> SourceFile:
        file_format = self._format(origin.key)
        if is_archive(origin.key) and self.format == "auto":
            raise SourceFileRefused(origin.url, "an archive cannot be used in place: set source.in_place to false")
        origin = origin.model_copy(update={"in_place": True})
        part = None
        if file_format == "parquet":
            wanted = Range(request.cursor, request.cursor_from, request.cursor_to)
            part = self._part(store, origin, wanted)
            range_ = {"cursor": wanted.cursor, "cursor_from": wanted.start, "cursor_to": wanted.end}
            origin = origin.model_copy(update={**range_, "row_groups": part.row_groups, "whole": not part.reaches_the_end})
        return self._file(origin, origin.key, file_format, store, part)

    def _part(self, store: Store, origin: Origin, wanted: Range) -> Part:
        if self.written_after_rows and origin.modified and wanted.start is not None and origin.modified < _moment(wanted.start):
            return Part((), 0, None, False)
        refuse_changed(store, origin)
        with store.opened(origin.key) as source:
            found = find_part(source, wanted, origin.url)
        refuse_changed(store, origin)
        return found

    def _copied(self, store: Store, origin: Origin, settings: Settings) -> Iterator[SourceFile]:
        if self.format == "auto" and is_archive(origin.key):
            for member, fetch in members_of(store, origin, self.read_options.limits, settings):
                whole = origin.model_copy(update={"member": member})
                values = self._values(f"{origin.key}/{member}")
                yield SourceFile(whole, self._format(member), self.read_options, fetch, values)
        else:
            yield self._file(origin, origin.key, self._format(origin.key), store, None)

    def _file(self, origin: Origin, name: str, file_format: FileFormat, store: Store, part: Part | None) -> SourceFile:
        return SourceFile(
            origin,
            file_format,
            self.read_options,
            lambda local: fetch_object(store, origin, local),
            self._values(name),
            part.rows if part else None,
            part.greatest if part else None,
        )


def _told(found: StoredObject) -> dict[str, Any]:
    modified = found.modified.isoformat() if found.modified else None
    return {"key": found.key, "size_bytes": found.size_bytes, "etag": found.etag, "version_id": found.version_id, "modified": modified}


def _listed_object(told: Mapping[str, Any]) -> StoredObject:
    origin = Origin.model_validate({"place": "", **told})
    return StoredObject(origin.key, origin.size_bytes, origin.modified, origin.etag, origin.version_id)


def _moment(cursor: Cursor) -> datetime:
    """Return a cursor as a moment; raises `ConfigurationError` when it is none."""
    try:
        found = datetime.fromtimestamp(cursor, UTC) if isinstance(cursor, int | float) else datetime.fromisoformat(cursor)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"written_after_rows needs a cursor that is a moment, and {cursor!r} is none: remove it") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

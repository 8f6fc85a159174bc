"""The pipeline model: what one YAML file in `include/pipelines/` says, checked, with file and line in every error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SerializeAsAny, ValidationError, ValidationInfo, field_validator, model_validator

from ducklift.batches import Batch, JsonLines
from ducklift.cursors import cursor_at, latest
from ducklift.documents import Document, Place, read_document
from ducklift.errors import ConfigurationError
from ducklift.lake.manifest import Format
from ducklift.lake.templates import FileFacts, Layout, check_layout
from ducklift.load_streams import check_chosen_whole, check_loads, loads_of
from ducklift.settings import Settings
from ducklift.source_files import SourceFile
from ducklift.sources.base import Source
from ducklift.sources.registry import source_class
from ducklift.specs import (
    Check,
    ColumnSpec,
    ContractMode,
    Disposition,
    Fields,
    Incremental,
    PlainName,
    QuarantineLimit,
    Spec,
    SyntheticKey,
    TableName,
    TableSpec,
    seconds,
)
from ducklift.table_choices import TableChoice, choice_fields, chosen_values

END = "end"
END_FIELD = {
    "type": ["string", "null"],
    "format": "date",
    "title": "End",
    "description": "Read nothing of this day (UTC) or later, for a quick first run; the next run goes on from there. Empty: to the end.",
    "default": None,
}


def _source(value: Any) -> Any:
    if isinstance(value, Source):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ValueError("a source needs a type, for example type: reddit")
    return source_class(value["type"]).model_validate(value)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]
_OF_ONE_TABLE = ("columns", "checks", "merge_key", "deleted_column", "synthetic_key", "record_column")


class Retention(Spec):
    """How long things stay in the lake: raw files by age, superseded loads by a grace period. Absent: for ever."""

    raw_s: int | None = Field(default=None, alias="raw", gt=0, description="Raw files older than this go, after a checkpoint, e.g. '30d'.")
    keep_superseded_s: int = Field(default=7 * 86400, alias="keep_superseded", ge=0)

    _seconds = field_validator("raw_s", "keep_superseded_s", mode="before")(seconds)


class Sweeping(Spec):
    """Which records a deletion sweep asks their source about, and how many of them may be gone."""

    window_s: int = Field(
        default=30 * 86400, alias="window", gt=0, description="Records of this time, counted from the newest, e.g. '30d'."
    )
    max_ratio: float = Field(default=0.5, gt=0, le=1, description="When a greater share is said to be gone, nothing is changed.")

    _seconds = field_validator("window_s", mode="before")(seconds)


class StreamTable(Spec):
    """What differs for one stream of a source that yields several tables; whatever is absent is as the pipeline says."""

    name: str
    table: str
    disposition: Disposition | None = None
    primary_key: Listed | None = None
    incremental: Incremental | None = None
    columns: tuple[ColumnSpec, ...] | None = None
    checks: tuple[Check, ...] | None = None


class Pipeline(Spec):
    """One pipeline: where records come from and what table they make. When it runs stands in its DAG file."""

    name: PlainName
    source: Annotated[SerializeAsAny[Source], BeforeValidator(_source)]
    table: str | None = None
    tables: tuple[StreamTable, ...] = Field(default=(), alias="streams")
    disposition: Disposition = "append"
    primary_key: Listed = ()
    merge_key: Listed = ()
    deleted_column: str | None = None
    incremental: Incremental | None = None
    columns: tuple[ColumnSpec, ...] = ()
    fields: Fields = Field(default="all", description="declared: fields that are not listed under columns stay in the raw files.")
    record_column: str | None = None
    synthetic_key: SyntheticKey | None = None
    nested: Literal["json", "tables"] = "json"
    format: Format | None = Field(default=None, description="Of raw files; without it jsonl.gz for records, parquet for Arrow tables.")
    layout_values: dict[str, str] = Field(default_factory=dict, description="Placeholders of the layout that you define yourself.")
    layout: str | None = Field(default=None, validate_default=True, description="Where raw files lie, see docs/layouts.md.")
    contract: ContractMode = "evolve"
    quarantine_limit: QuarantineLimit = QuarantineLimit()
    checks: tuple[Check, ...] = ()
    retention: Retention = Retention()
    sweep: Sweeping | None = Field(default=None, description="Take out of the lake and the warehouse what is gone at its source.")
    sample: bool = True
    allow_empty: bool = False
    target: Literal["warehouse", "lake"] = "warehouse"
    form: tuple[TableChoice, ...] = Field(default=(), description="What of the table may be chosen when a run is triggered by hand.")
    file: Path | None = Field(default=None, exclude=True)
    _chosen: dict[str, str] = PrivateAttr(default_factory=dict)
    _loads: tuple[Source, dict[str, tuple[str, ...]]] | None = PrivateAttr(default=None)

    @field_validator("layout")
    @classmethod
    def _layout_is_one(cls, value: str | None, info: ValidationInfo) -> str | None:
        Layout(value, info.data.get("layout_values"))
        return value

    @model_validator(mode="after")
    def _table_is_sound(self) -> Pipeline:
        files = []
        for stream in self.streams():
            spec = self.table_spec(stream)
            _personal_fields_are_sound(spec, self.raw_layout.record_fields)
            if self.target == "lake":
                _files_can_keep(spec)
            files.append((self.file_facts(stream, spec, "20260101T000000Z-00000000-r99", datetime.now(UTC)), spec.disposition))
        check_layout(self.raw_layout, files)
        check_loads(self)
        if self.target == "lake" and self.retention.raw_s is not None:
            raise ValueError("retention.raw would delete the table itself: with target 'lake' the raw files are the table; remove it")
        return self

    @model_validator(mode="after")
    def _nested_values_are_there(self) -> Pipeline:
        if self.source.yields_tables and self.format_of(None) != "parquet":
            kept = "child tables need JSON lines" if self.nested == "tables" else f"format {self.format!r} loses the types"
            raise ValueError(f"{kept}, which {self.source.type} keeps by Parquet: leave out nested and format")
        if self.nested == "tables" and not self.format_of(None).startswith("jsonl"):
            raise ValueError(f"nested: tables needs lists and objects, which format {self.format!r} keeps as text: write format: jsonl.gz")
        return self

    @model_validator(mode="after")
    def _choices_are_of_one_table(self) -> Pipeline:
        if self.form and (self.tables or "." not in (self.table or "") or (self.table or "").endswith("*")):
            raise ValueError(
                "form lets a person choose a table, so the pipeline needs one of its own: table: dataset.table, without streams"
            )
        return self

    @model_validator(mode="after")
    def _whole_files_are_taken_as_they_are(self) -> Pipeline:
        if not self.source.gives_files:
            return self
        specs = [self.table_spec(stream) for stream in self.source.streams()]
        personal = [column.name for spec in specs for column in spec.columns if column.pii]
        if personal:
            raise ValueError(f"files are kept unaltered, so that nothing can be hashed or dropped in them: remove pii of {personal[0]!r}")
        if self.raw_layout.record_fields:
            raise ValueError("files are kept whole, so that the layout cannot go by dates of the records in them; use dates of the slice")
        if any(spec.incremental and spec.incremental.end is not None for spec in specs) and not getattr(self.source, "in_place", False):
            raise ValueError("files are taken whole, so that nothing in them can wait: remove incremental.end (Parquet in_place may)")
        if self.target == "lake" and getattr(self.source, "in_place", False):
            raise ValueError("with target 'lake' the raw files are the table, and with in_place there are none: remove one of them")
        return self

    @property
    def raw_layout(self) -> Layout:
        """Return the checked layout of raw files."""
        return Layout(self.layout, self.layout_values)

    def format_of(self, first: Batch | JsonLines | SourceFile | None) -> Format:
        """Return the format of a load's raw files, which the first batch decides where the pipeline file does not.

        Arrow tables have types, and Parquet alone keeps them; records are JSON lines, every field as the source had it.
        """
        if self.format is not None:
            return self.format
        arrow = self.source.yields_tables if first is None else not isinstance(first, list | JsonLines)
        return "parquet" if arrow and self.nested != "tables" else "jsonl.gz"

    def file_facts(
        self,
        stream: str,
        spec: TableSpec,
        load_id: str,
        slice_start: datetime,
        first: Batch | JsonLines | SourceFile | None = None,
        partition: str | None = None,
    ) -> FileFacts:
        """Return what the keys of one load's files are made of."""
        return FileFacts(spec.name, self.name, stream, load_id, slice_start, self.format_of(first), partition)

    @property
    def loads(self) -> Mapping[str, tuple[str, ...]]:
        """Return for the stream of each load the source's streams that it brings: itself, or all of a table that is replaced whole."""
        # A copy with another source has this one's private attributes too.
        if self._loads is None or self._loads[0] is not self.source:
            self._loads = (self.source, loads_of(self))
        return self._loads[1]

    def streams(self) -> Sequence[str]:
        """Return the names of all streams, in the file's order; each is extracted, uploaded and loaded by itself."""
        return list(self.loads)

    def table_of(self, stream: str) -> tuple[TableName, Disposition]:
        """Return which table the records of one of the source's streams make, and how they go into it."""
        own, defaults = self._entry_of(stream), self.source.defaults_of(stream)
        table = own.table if own else self.table
        if own is None and table and defaults.table:
            table = f"{table.partition('.')[0]}.{defaults.table}"
        if table is None:
            raise ValueError(f"stream {stream!r} has no table: write table: dataset.table (or dataset.*), or name the stream under streams")
        return TableName.of_stream(table, stream), (own.disposition if own else None) or self.disposition

    def _entry_of(self, stream: str) -> StreamTable | None:
        return next((entry for entry in self.tables if entry.name == stream), None)

    def table_spec(self, stream: str, found_key: Sequence[str] | None = None) -> TableSpec:
        """Return what the stream's table should be: its own entry over the whole file's over the source's defaults.

        `found_key` is the primary key that the reading was told; None before there was one.
        """
        stream = self.loads.get(stream, (stream,))[0]
        defaults, own = self.source.defaults_of(stream), self._entry_of(stream)
        chosen = {name: getattr(self, name) for name in TableSpec.model_fields if name != "name" and name in type(self).model_fields}
        if defaults.table:
            # What the file says of columns and rows, it says of the table that it names.
            fresh = TableSpec.model_construct()
            chosen.update({name: getattr(fresh, name) for name in _OF_ONE_TABLE}, primary_key=defaults.primary_key)
        if own:
            given = own.model_dump(exclude_none=True, exclude={"name", "table"}).keys()
            chosen.update({name: getattr(own, name) for name in given})
        named = {column.name for column in chosen["columns"]}
        table, disposition = self.table_of(stream)
        return TableSpec.model_validate(
            {
                **chosen,
                "name": table,
                "disposition": disposition,
                "primary_key": chosen["primary_key"] or defaults.primary_key or tuple(found_key or ()),
                "columns": (*(column for column in defaults.columns if column.name not in named), *chosen["columns"]),
                "record_column": chosen["record_column"] or defaults.record_column,
            },
            context={"key_follows": self.source.finds_keys and found_key is None},
        )

    def options_schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the trigger form: the source's fields, the table's under `form`, and where it can stop at a cursor, the day of that."""
        fields = {**self.source.options_schema(), **choice_fields(self.form, self.table, self.disposition, self.primary_key)}
        return {**({END: END_FIELD} if self.incremental and self.source.stops_at_end() else {}), **fields}

    def with_options(self, options: Mapping[str, Any]) -> Pipeline:
        """Return the pipeline with trigger-form options applied, each checked again (they are hostile)."""
        own = END in self.options_schema() and END not in self.source.options_schema()
        of_table: dict[str, Any] = {name: value for name, value in options.items() if name in self.form}
        of_source = {name: value for name, value in options.items() if not (own and name == END) and name not in of_table}
        configured = self._with_table(of_table)
        chosen = configured.model_copy(update={"source": self.source.with_options(of_source)}) if of_source else configured
        check_chosen_whole(chosen, configured)
        return ending_before(chosen, options[END]) if own and options.get(END) is not None else chosen

    @property
    def chosen(self) -> dict[str, str]:
        """Return what of the table was chosen, as it was written; its loads go by that wherever they are done."""
        return dict(self._chosen)

    def _with_table(self, options: Mapping[str, Any]) -> Pipeline:
        schema = self.options_schema()
        options = {name: value for name, value in options.items() if value != schema[name]["default"]}
        if not options:
            return self
        changed = self.model_copy(update=chosen_values(options, self.table))
        try:
            found = type(self).model_validate({**changed.model_dump(by_alias=True), "file": self.file})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            raise ConfigurationError(f"{', '.join(options)}: {first['msg'].removeprefix('Value error, ')}") from None
        # An emptied field of Airflow's form is null.
        found._chosen = {**self._chosen, **{name: value or "" for name, value in options.items()}}
        return found


def ending_before(pipeline: Pipeline, text: Any) -> Pipeline:
    """Return the pipeline with `incremental.end` at the beginning of a day, in UTC; a day to come changes nothing."""
    try:
        day = datetime.combine(date.fromisoformat(text), time(), UTC)
    except (TypeError, ValueError):
        raise ConfigurationError(f"end: {str(text)[:40]!r} is not a day: write it as 2026-01-31") from None
    incremental = pipeline.incremental
    if incremental is None or day > datetime.now(UTC):
        return pipeline
    end = cursor_at(day, incremental.epoch)
    if incremental.end not in (None, "now"):
        end = incremental.end if latest(incremental.end, end) == end else end
    return pipeline.model_copy(update={"incremental": incremental.model_copy(update={"end": end})})


def _files_can_keep(spec: TableSpec) -> None:
    """Raise ValueError where a table in the lake alone is to be what files cannot make it: rows there are neither compared nor checked."""
    asked = {
        f"disposition: {spec.disposition}": spec.disposition in ("insert_only", "scd2"),
        "merge_key": spec.merge_key,
        "deleted_column": spec.deleted_column,
        "checks": spec.checks,
        f"contract: {spec.contract}": spec.contract != "evolve",
        "quarantine_limit": spec.quarantine_limit != QuarantineLimit(),
        "nested: tables": spec.nested == "tables",
    }
    if unkept := [name for name, is_asked in asked.items() if is_asked]:
        raise ValueError(f"{', '.join(unkept)}: only a warehouse can do this; remove it, or write target: warehouse")


def _personal_fields_are_sound(spec: TableSpec, layout_fields: Sequence[str]) -> None:
    """Raise ValueError where a field that is hashed, blanked or dropped is needed as it was."""
    cursor = [spec.incremental.cursor] if spec.incremental else []
    for column in (column for column in spec.columns if column.pii):
        if column.field in cursor or column.field in layout_fields:
            raise ValueError(f"column {column.name!r}: the cursor or the layout needs {column.field!r} as it is; remove its pii")
        if column.pii != "hash" and column.name in (*spec.primary_key, *spec.merge_key):
            raise ValueError(f"column {column.name!r} is part of a key: write pii: hash, which keeps values apart")
        if column.pii != "drop" and (column.type or "varchar").lower() not in ("varchar", "text", "string"):
            raise ValueError(f"column {column.name!r}: pii: {column.pii} makes a text of it; write type: varchar")


def pipeline_names(settings: Settings) -> list[str]:
    """Return the names of all pipeline files, sorted."""
    return sorted(path.stem for path in settings.pipelines.glob("*.yaml"))


def load_pipeline(name: str, settings: Settings, overrides: Sequence[str] = ()) -> Pipeline:
    """Read and check `<pipelines>/<name>.yaml`, with `key.path=value` overrides applied (a value is JSON, or else plain text).

    Raises `ConfigurationError` naming the file, the line and the fix.
    """
    file = settings.pipelines / f"{name}.yaml"
    if name not in pipeline_names(settings):
        known = ", ".join(pipeline_names(settings)) or "none"
        raise ConfigurationError(f"There is no pipeline {name!r} in {settings.pipelines}; there are: {known}.")
    document = read_document(file)
    for override in overrides:
        _apply(document.values, override)
    try:
        pipeline = Pipeline.model_validate({**document.values, "file": file})
    except ValidationError as err:
        raise _explained(err, document, bool(overrides)) from err
    if pipeline.name != name:
        message = f"the pipeline is named {pipeline.name!r}, but its file {file.name!r}; make the two agree"
        raise ConfigurationError(message, file=file, line=document.line_of(("name",)))
    return pipeline


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigurationError(f"{override!r} is not an override: write key.path=value, for example 'source.listing=top'")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *parents, last = path.split(".")
    place: Any = values
    for parent in parents:
        place = place.setdefault(parent, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise ConfigurationError(f"{override!r}: {path!r} does not lead into a mapping of the pipeline file")
    place[last] = value


def _explained(err: ValidationError, document: Document, overridden: bool) -> ConfigurationError:
    """Turn pydantic's first error into one line with file, line and the key."""
    first = err.errors(include_url=False)[0]
    place: Place = tuple(part for part in first["loc"] if not (isinstance(part, str) and part.startswith("function-")))
    key = ".".join(str(part) for part in place) or "the pipeline"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "is not a known field here; look for a typing mistake"
    elif first["type"] == "missing":
        message = "is missing"
    hint = " (as overridden by --set)" if overridden else ""
    return ConfigurationError(f"{key}: {message}{hint}", file=document.file, line=document.line_of(place))

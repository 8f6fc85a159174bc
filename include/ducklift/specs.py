"""What a table should be: key, columns, disposition, contract. Plain data, shared by pipeline files, manifests and the warehouse."""

from __future__ import annotations

import re
from datetime import date
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from ducklift.cursors import Epoch

Disposition = Literal["append", "replace", "merge", "insert_only", "scd2"]
PiiTreatment = Literal["hash", "redact", "drop"]
ContractMode = Literal["evolve", "freeze", "quarantine"]
Fields = Literal["all", "declared"]
# Ducklift's own schema, and those that DuckDB keeps for itself.
RESERVED_DATASETS = ("_ducklift", "information_schema", "pg_catalog", "system", "temp")
LINEAGE_COLUMNS = ("_load_id", "_loaded_at", "_extracted_at", "_source_file")

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_NOT_PLAIN = re.compile(r"[^a-z0-9_]+")
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_TYPE = re.compile(r"[a-z][a-z0-9]*( (with time zone|precision|varying))?( ?\(\d{1,4}(, ?\d{1,3})?\))?(\[\])?", re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Spec(BaseModel):
    """Base of all specifications: immutable, and an unknown field is an error."""

    # A secret that was written into a file by mistake must not come out again in a traceback.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, defer_build=True)


def plain_name(value: str) -> str:
    """Return `value` when it is a plain lower-case name of up to 63 letters, digits and underscores; else raise ValueError."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a plain name: lower-case letters, digits and underscores, for example 'posts_2026'")
    return value


def seconds(value: Any) -> Any:
    """Turn '48h', '30d' or a number of seconds into seconds."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if not match:
            raise ValueError(f"{value!r} is not a duration: write a number and a unit (s, m, h, d, w), for example '48h'")
        return int(match[1]) * _UNIT_S[match[2]]
    return value


def duration_s(text: str) -> int:
    """Return a duration such as '36h' in seconds; raises ValueError with an example otherwise."""
    found: int = seconds(text)
    return found


PlainName = Annotated[str, AfterValidator(plain_name)]


class TableName(Spec):
    """A table and the dataset (schema) it lies in."""

    dataset: PlainName
    table: PlainName

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Split `dataset.table`; raises ValueError with an example otherwise."""
        dataset, dot, table = text.partition(".")
        if not dot:
            raise ValueError(f"{text!r} names no dataset: write dataset.table, for example 'reddit.posts'")
        return cls(dataset=dataset, table=table)

    @classmethod
    def of_stream(cls, text: str, stream: str) -> TableName:
        """Return the table that a pipeline file's `table` gives a stream: `dataset.*` names it after the stream's last part.

        The stream `public.Order Lines` under `shop.*` makes the table `shop.order_lines`.
        """
        dataset, _, table = text.partition(".")
        if table != "*":
            return cls.parse(text)
        plain = _NOT_PLAIN.sub("_", stream.rpartition(".")[2].lower()).strip("_")[:60]
        return cls(dataset=dataset, table=plain if plain[:1].isalpha() else f"t_{plain}")

    def __str__(self) -> str:
        return f"{self.dataset}.{self.table}"


class ColumnSpec(Spec):
    """One column: its name, the record's field it comes from, and its type in DuckDB's words.

    `null_if` lists JSON values that stand for "no value" in this field (Reddit's `edited` is `false` when it never was). A column `from`
    a lineage column (`_source_file`, `_loaded_at` …) is that one under another name.
    """

    name: str = Field(min_length=1, max_length=255)
    source: str | None = Field(default=None, alias="from", description="The record's field, or a lineage column; its own name when absent.")
    type: str | None = Field(default=None, description="A DuckDB type such as bigint, decimal(18,2) or timestamptz.")
    nullable: bool = True
    null_if: tuple[bool | int | str, ...] = ()
    contract: ContractMode | None = Field(default=None, description="What to do when values do not fit; the table's contract when absent.")
    pii: PiiTreatment | None = Field(default=None, description="Applied before anything is written: hash, redact or drop.")

    @field_validator("name")
    @classmethod
    def _not_a_lineage_column(cls, value: str) -> str:
        if value.lower() in LINEAGE_COLUMNS:
            raise ValueError(f"{value!r} is a column that Ducklift adds itself; choose another name")
        return value

    @field_validator("type")
    @classmethod
    def _plain_type(cls, value: str | None) -> str | None:
        # The type stands in SQL as it is: nothing but a type's name may pass.
        if value is not None and not _TYPE.fullmatch(value):
            raise ValueError(f"{value!r} is not a column type: write for example bigint, varchar, timestamptz or decimal(18,2)")
        return value

    @model_validator(mode="after")
    def _lineage_as_it_is(self) -> ColumnSpec:
        if self.is_lineage and self != ColumnSpec.model_construct(name=self.name, source=self.source):
            raise ValueError(f"column {self.name!r} is {self.field!r} under another name: write nothing but name and from")
        return self

    @property
    def field(self) -> str:
        """Return the record's field that the column is filled from."""
        return self.source or self.name

    @property
    def is_lineage(self) -> bool:
        """Return whether the column is a lineage column under another name."""
        return self.field in LINEAGE_COLUMNS


class Incremental(Spec):
    """How the next extraction knows where to start: an ordered field of the records, and how far to read back behind it."""

    cursor: str = Field(description="The record's field whose greatest loaded value is the watermark.")
    overlap_s: int = Field(default=0, alias="overlap", ge=0, description="Read this far back behind the watermark, e.g. '48h'.")
    initial: int | float | str | None = Field(default=None, description="Where the first extraction starts.")
    end: int | float | str | None = Field(
        default=None, description="Records at or beyond this cursor are not read yet; now: none that lie in the run's future."
    )
    epoch: Epoch | None = Field(default=None, description="What a cursor that is a number counts since 1970; absent: dates are texts.")
    null_cursor: Literal["load", "quarantine", "fail"] = Field(default="load", description="What becomes of records without a cursor.")

    _seconds = field_validator("overlap_s", mode="before")(seconds)

    @field_validator("initial", "end", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, bool) or (isinstance(value, float) and not isfinite(value)):
            raise ValueError(f"{value} is no cursor: write a date, a time, a number or a text")
        # YAML makes a date of 2026-01-01 without quotes.
        return value.isoformat() if isinstance(value, date) else value


class SyntheticKey(Spec):
    """A key column made of others: the md5 of their texts joined by '|', stable across types and versions."""

    name: str
    columns: tuple[str, ...] = Field(min_length=1)


class Blanking(Spec):
    """What is taken out of a record when it is swept: the fields in `content`, or all but those in `keep`; the key stays in any case.

    A field that is taken out is null afterwards, or has its text from `values` where it was not null.
    """

    content: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()
    values: dict[str, str] = Field(default_factory=dict)

    def takes(self, field: str) -> bool:
        """Return whether a field is content."""
        return field not in self.keep if self.content is None else field in self.content and field not in self.keep

    def keeping(self, fields: tuple[str, ...]) -> Blanking:
        """Return the same, without taking out these fields."""
        return self.model_copy(update={"keep": (*self.keep, *fields)})


class QuarantineLimit(Spec):
    """Above this many quarantined rows, or this share of a load, the load fails instead."""

    rows: int | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)


class Check(Spec):
    """One check on the staged rows, run before commit: exactly one of the kinds, and what a failure means."""

    not_null: str | None = None
    unique: str | tuple[str, ...] | None = None
    accepted_values: dict[str, tuple[bool | int | float | str, ...]] | None = None
    min_rows: int | None = None
    freshness: dict[str, str] | None = Field(default=None, description="column: greatest age, e.g. {created_at: 36h}")
    relationship: dict[str, str] | None = Field(default=None, description="column: dataset.table.column of this warehouse")
    sql: str | None = Field(default=None, description="A query over `staged` whose rows are the failures.")
    level: Literal["fail", "warn"] = "fail"

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        kinds = [name for name in type(self).model_fields if name != "level" and getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(f"a check has exactly one kind, this one has {', '.join(kinds) or 'none'}; for example {{not_null: title}}")
        for age in (self.freshness or {}).values():
            duration_s(age)
        for reference in (self.relationship or {}).values():
            dataset, _, rest = reference.partition(".")
            if not dataset or rest.count(".") != 1 or not all(rest.split(".")):
                raise ValueError(f"{reference!r} is no column of a table: write dataset.table.column, for example 'reddit.posts.name'")
        return self


class TableSpec(Spec):
    """All that loading one table needs to know; stored with every commit, so that a rebuild needs nothing else.

    `merge_key` columns name partitions that a merge replaces whole; `deleted_column` is a boolean or a deletion time: rows where it is
    set are deleted by a merge. `nested` says what becomes of lists and objects: one JSON column each, or child tables. With `fields` as
    `declared`, nothing becomes a column but `columns` and what the key, the cursor and the like name.
    """

    name: TableName
    disposition: Disposition = "append"
    primary_key: tuple[str, ...] = ()
    merge_key: tuple[str, ...] = ()
    deleted_column: str | None = None
    incremental: Incremental | None = None
    columns: tuple[ColumnSpec, ...] = ()
    fields: Fields = "all"
    record_column: str | None = Field(default=None, description="Keep the whole record as JSON here; undeclared fields stay in it.")
    synthetic_key: SyntheticKey | None = None
    nested: Literal["json", "tables"] = "json"
    contract: ContractMode = "evolve"
    quarantine_limit: QuarantineLimit = QuarantineLimit()
    checks: tuple[Check, ...] = ()
    sample: bool = Field(default=True, description="Publish a sample of 50 rows; off by itself where a column is personal.")
    allow_empty: bool = False

    @property
    def is_private(self) -> bool:
        """Return whether the table's values must not be shown: a column is personal, or the sample is switched off."""
        return not self.sample or any(column.pii for column in self.columns)

    @property
    def cursor_name(self) -> str | None:
        """Return what the cursor is called in the table, or its field's name where no column is declared for it; None without a cursor."""
        if self.incremental is None:
            return None
        named = (column.name for column in self.columns if self.incremental.cursor in (column.name, column.field))
        return next(named, self.incremental.cursor)

    @field_validator("name")
    @classmethod
    def _dataset_is_free(cls, value: TableName) -> TableName:
        if value.dataset in RESERVED_DATASETS:
            raise ValueError(f"dataset {value.dataset!r} is not for tables of yours: choose another name, for example 'reddit'")
        return value

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> TableSpec:
        key_follows = bool(info.context and info.context.get("key_follows"))
        if self.disposition in ("merge", "insert_only", "scd2") and not (self.primary_key or self.merge_key or key_follows):
            raise ValueError(f"disposition {self.disposition!r} needs a primary_key, for example primary_key: [id]")
        if self.merge_key and self.disposition != "merge":
            raise ValueError("merge_key belongs to disposition 'merge': it names the partitions that are replaced whole")
        if self.deleted_column and self.disposition != "merge":
            raise ValueError("deleted_column belongs to disposition 'merge': it deletes the rows in which it is set")
        if self.nested == "tables" and self.disposition == "scd2":
            raise ValueError("disposition 'scd2' keeps no history of child tables: write nested: json, or disposition: merge")
        if self.nested == "tables" and self.record_column:
            raise ValueError("record_column keeps a record whole, nested: tables takes it apart: write one of them")
        if self.nested == "tables" and self.fields == "declared":
            raise ValueError("nested: tables makes a table of every list, fields: declared leaves undeclared ones out: write one of them")
        if self.fields == "declared" and not self.columns:
            raise ValueError("fields: declared takes no field that is not listed under columns; list them")
        leaned_on = {*self.primary_key, *self.merge_key, self.deleted_column, self.incremental.cursor if self.incremental else None}
        if unfit := [column.name for column in self.columns if column.is_lineage and column.name in leaned_on]:
            raise ValueError(f"{', '.join(unfit)}: a lineage column under another name is neither key nor cursor; name a field")
        names = [column.name.lower() for column in self.columns]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise ValueError(f"columns are named twice: {', '.join(twins)}")
        return self

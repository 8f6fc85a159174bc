"""Deletion sweeps: what is gone at its source is taken out of the table and of everything in the lake that holds it.

A sweep is fixed as a record in the lake before anything is changed, and done from that record alone, so that one that was cut short is
done to its end by the next. See docs/decisions/0004-deletion-sweeps.md for why it goes this way.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ducklift.errors import ConfigurationError, SweepRefused, WarehouseMissing
from ducklift.failpoints import reach
from ducklift.lake.blanking import Blanker
from ducklift.lake.filesystem import open_lake
from ducklift.lake.layout import sweep_key
from ducklift.lake.manifest import compact_utc
from ducklift.lake.raw_sweeping import recorded_fields, refuse_whole_files
from ducklift.lake.store import Store
from ducklift.lake.swept import SweepRecord, put_sweep, unfinished_sweeps
from ducklift.pipeline_file import Pipeline, Sweeping
from ducklift.settings import Settings
from ducklift.sources.base import KnownKeys, SweepRule
from ducklift.specs import Blanking, TableName, TableSpec
from ducklift.sweeping_steps import carry_out

if TYPE_CHECKING:
    from ducklift.warehouse.connect import Warehouse

Key = tuple[str, ...]
_TELLING = 20  # records in one answer from which on a share says something


@dataclass(frozen=True)
class Swept:
    """What a sweep of one table found, and when it was `applied`, did.

    `asked` records were asked about, and `gone` are gone. `rows` of the table were blanked, `rewritten` raw files written anew, `erased`
    objects deleted, among them `values` versions of stored values; `to_make` are the values that have to be made again. `left` is what
    holds records and was not reached: what is under way, for the next sweep. `resumed` are sweeps that were cut short before.
    """

    table: str
    asked: int
    gone: int
    applied: bool
    rows: int = 0
    rewritten: int = 0
    erased: int = 0
    values: int = 0
    to_make: Sequence[str] = ()
    left: Sequence[str] = ()
    resumed: Sequence[str] = ()
    record: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "to_make": list(self.to_make), "left": list(self.left), "resumed": list(self.resumed)}


def sweep_pipeline(pipeline: Pipeline, settings: Settings, *, apply: bool = False, max_ratio: float | None = None) -> list[Swept]:
    """Ask the source which records of the pipeline's tables are gone, and when told to `apply`, take them out.

    Raises `ConfigurationError` where the source cannot tell or a table cannot be swept, `SweepRefused` when too many are said to be gone,
    and the source's, the lake's and the warehouse's errors.
    """
    rule, wanted = pipeline.source.sweep_rule(), pipeline.sweep or Sweeping()
    if rule is None:
        raise ConfigurationError(f"source type {pipeline.source.type!r} cannot tell which of its records are gone; nothing can be swept.")
    specs = {str(spec.name): spec for spec in map(pipeline.table_spec, pipeline.streams())}
    most = wanted.max_ratio if max_ratio is None else max_ratio
    return [_sweep_table(pipeline, spec, rule, wanted.window_s, most, settings, apply) for spec in specs.values()]


def sweep_keys(
    pipeline: Pipeline, table: str, keys: Iterable[Key], blanking: Blanking, settings: Settings, *, apply: bool = False
) -> Swept:
    """Take the content of the records with these keys out of one table of a pipeline, whatever its source says."""
    spec = next((spec for spec in map(pipeline.table_spec, pipeline.streams()) if str(spec.name) == table), None)
    if spec is None:
        raise ConfigurationError(f"{pipeline.name} has no table {table}.")
    _check(spec)
    chosen = sorted(set(keys))
    _check_columns(spec, blanking.keeping(tuple(_fields(spec))))
    if wrong := [key for key in chosen if len(key) != len(spec.primary_key)]:
        raise ConfigurationError(f"{table}: a key has {len(spec.primary_key)} parts ({', '.join(spec.primary_key)}), not {len(wrong[0])}.")
    lake = open_lake(settings)
    _check_content(lake, spec, blanking.content or ())
    resumed = _resume(lake, settings, spec.name) if apply else []
    if not apply or not chosen:
        return Swept(table, len(chosen), len(chosen), applied=apply, resumed=resumed)
    return _done(_begun(lake, pipeline, spec, chosen, len(chosen), blanking, None), lake, settings, resumed)


def _sweep_table(
    pipeline: Pipeline, spec: TableSpec, rule: SweepRule, window_s: int, most: float, settings: Settings, apply: bool
) -> Swept:
    _check(spec)
    if len(spec.primary_key) != 1:
        raise ConfigurationError(f"{spec.name}: a source is asked about records by one key, this table has {len(spec.primary_key)}.")
    lake = open_lake(settings)
    resumed = _resume(lake, settings, spec.name) if apply else []
    blanking = rule.blanking.keeping(tuple(_fields(spec)))
    _check_columns(spec, blanking)
    known = list(_asked(lake, pipeline, spec, SweepRule(rule.moment, blanking), window_s, settings))
    asked, gone = _gone(pipeline, spec, known, most, settings)
    if not apply or not gone:
        return Swept(str(spec.name), asked, len(gone), applied=apply, resumed=resumed)
    keys = sorted((name,) for name in gone)
    since = _oldest(spec, keys, rule, settings) if pipeline.target == "warehouse" else None
    return _done(_begun(lake, pipeline, spec, keys, asked, blanking, since), lake, settings, resumed)


def _gone(pipeline: Pipeline, spec: TableSpec, known: Sequence[list[str]], most: float, settings: Settings) -> tuple[int, list[str]]:
    """Return how many records were asked about, and which are gone; raises `SweepRefused` when these are too many.

    Each answer about a good number of records is looked at by itself as well: one that is broken would be lost among many that are not.
    """
    asked, gone = 0, list[str]()
    for count, missing in pipeline.source.find_gone(known, settings) if known else ():
        asked += count
        gone += missing
        if count >= _TELLING and len(missing) > most * count:
            raise SweepRefused(str(spec.name), len(missing), count, most)
    if len(gone) > most * asked:
        raise SweepRefused(str(spec.name), len(gone), asked, most)
    return asked, gone


def _check(spec: TableSpec) -> None:
    """Raise `ConfigurationError` for a table whose records cannot be told by their key."""
    reason = None
    if not spec.primary_key:
        reason = "it has no primary_key to tell its records by"
    elif spec.synthetic_key and spec.synthetic_key.name in spec.primary_key:
        reason = "its key is made by synthetic_key, which raw files do not hold"
    elif any(column.pii and column.name in spec.primary_key for column in spec.columns):
        reason = "its key is hidden by pii"
    elif spec.nested == "tables":
        reason = "nested: tables spreads a record over several tables; use nested: json"
    if reason:
        raise ConfigurationError(f"{spec.name} cannot be swept: {reason}.")


def _check_columns(spec: TableSpec, blanking: Blanking) -> None:
    """Raise `ConfigurationError` for a column that must not be empty and has no text to take its content's place."""
    for column in spec.columns:
        taken = column.name not in spec.primary_key and blanking.takes(column.field)
        if taken and not column.nullable and column.field not in blanking.values:
            raise ConfigurationError(f"{spec.name}: column {column.name!r} must not be empty, so a sweep cannot take its content out.")


def _check_content(lake: Store, spec: TableSpec, content: Sequence[str]) -> None:
    """Raise `ConfigurationError` for a field that would stay where it is, while the sweep said that it is done."""
    if staying := [name for name in content if name in _fields(spec)]:
        raise ConfigurationError(f"{spec.name}: {', '.join(staying)} is its key or its cursor, which a sweep leaves; sweep other fields.")
    known = recorded_fields(lake, spec.name)
    if known and (unknown := [name for name in content if name not in known]):
        fields = ", ".join(sorted(known)[:50])
        raise ConfigurationError(f"{spec.name}: no record has a field {', '.join(unknown)}. Name them as the records do: {fields}.")


def _fields(spec: TableSpec) -> list[str]:
    """Return the records' fields that make the key, and the cursor, without which a replay would not know the newest."""
    named = {column.name: column.field for column in spec.columns}
    return [*(named.get(name, name) for name in spec.primary_key), *([spec.incremental.cursor] if spec.incremental else [])]


def _blanker(spec: TableSpec, keys: Sequence[Key], blanking: Blanking) -> Blanker:
    return Blanker(_fields(spec)[: len(spec.primary_key)], frozenset(keys), blanking)


def _asked(lake: Store, pipeline: Pipeline, spec: TableSpec, rule: SweepRule, window_s: int, settings: Settings) -> Iterator[list[str]]:
    """Yield the keys to ask about: of the table's rows that still hold content; of a table in the lake, all that were not swept before."""
    if pipeline.target == "lake":
        from ducklift.known_records import known_keys
        from ducklift.lake.swept import all_swept_keys

        swept = all_swept_keys(lake, spec.name)
        for names in known_keys(lake, spec, KnownKeys(_fields(spec)[0], rule.moment, window_s), settings):
            yield [name for name in names if (name,) not in swept]
        return
    from ducklift.warehouse.swept_rows import rows_to_ask_about

    with _reading(settings) as warehouse:
        if warehouse is not None:
            yield from rows_to_ask_about(warehouse, spec, _blanker(spec, [], rule.blanking), rule.moment, window_s)


def _reading(settings: Settings) -> Any:
    from contextlib import contextmanager

    from ducklift.warehouse.connect import open_warehouse
    from ducklift.warehouse.system import has_system

    @contextmanager
    def opened() -> Iterator[Warehouse | None]:
        try:
            with open_warehouse(settings, read_only=True) as warehouse:
                yield warehouse if has_system(warehouse) else None
        except WarehouseMissing:
            yield None

    return opened()


def _oldest(spec: TableSpec, keys: Sequence[Key], rule: SweepRule, settings: Settings) -> datetime | None:
    from ducklift.warehouse.swept_rows import oldest_moment

    with _reading(settings) as warehouse:
        found = oldest_moment(warehouse, spec, keys, rule.moment)
    # Less a day: the clocks of the source and of this machine need not agree.
    return found - timedelta(days=1) if isinstance(found, datetime) else None


def _begun(
    lake: Store, pipeline: Pipeline, spec: TableSpec, keys: Sequence[Key], asked: int, blanking: Blanking, since: datetime | None
) -> SweepRecord:
    refuse_whole_files(lake, spec.name)
    now = datetime.now(UTC)
    record = SweepRecord(
        sweep_id=f"{compact_utc(now)}-{uuid.uuid4().hex[:8]}",
        table=spec.name,
        spec=spec,
        pipeline=pipeline.name,
        target=pipeline.target,
        fields=tuple(_fields(spec)[: len(spec.primary_key)]),
        keys=tuple(keys),
        blanking=blanking.keeping(tuple(_fields(spec))),
        asked=asked,
        started_at=now,
        since=since,
    )
    put_sweep(lake, record)
    reach("sweep.recorded")
    return record


def _resume(lake: Store, settings: Settings, table: TableName) -> list[str]:
    """Do the sweeps of a table to their end that were cut short; return their ids."""
    return [carry_out(lake, settings, record).sweep_id for record in unfinished_sweeps(lake, table)]


def _done(record: SweepRecord, lake: Store, settings: Settings, resumed: Sequence[str]) -> Swept:
    done = carry_out(lake, settings, record)
    return Swept(
        str(done.table),
        done.asked,
        len(done.keys),
        applied=True,
        rows=done.rows,
        rewritten=done.rewritten,
        erased=len(done.erased),
        values=done.values,
        to_make=done.to_make,
        left=done.left,
        resumed=resumed,
        record=lake.url_of(sweep_key(done.table, done.sweep_id)),
    )

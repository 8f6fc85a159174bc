"""From downloaded files to rows in the table: the quick way for loads that need no second look, staging for all others.

`take_in` reads and types the files before the transaction, so that a reader that stumbles can be replaced by a more patient one;
`bring_in` runs inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import orjson

from ducklift.cursors import Cursor, storable
from ducklift.errors import CorruptObject, LoadFailed
from ducklift.failpoints import reach
from ducklift.lake.manifest import Manifest
from ducklift.specs import TableSpec
from ducklift.summary import RowCounts
from ducklift.warehouse.children import PARENT_LINKS, Child, bring_in_children, make_children, take_in_children, unfold
from ducklift.warehouse.columns import Column, existing_columns
from ducklift.warehouse.connect import Warehouse, errors_named
from ducklift.warehouse.dispositions import apply
from ducklift.warehouse.evolution import Plan, apply_plan, plan_columns, settle_types
from ducklift.warehouse.identifiers import quote_identifier
from ducklift.warehouse.landing import Landing, changed, cursor_column
from ducklift.warehouse.nesting import NestedReader
from ducklift.warehouse.quarantine import release, set_aside
from ducklift.warehouse.readers import Reader, reader_for
from ducklift.warehouse.staging import STAGED, Staged, greatest_cursor_text, stage, stream


class SecondLookNeeded(Exception):
    """The quick way met a row that does not fit: the transaction is rolled back and the load staged."""


@dataclass(frozen=True)
class Intake:
    """A load's files, read: `staged` is None when the rows stream straight into the table."""

    manifest: Manifest
    plan: Plan
    reader: Reader | None
    keys: dict[str, str]
    staged: Staged | None
    children: tuple[Child, ...] = ()


@dataclass(frozen=True)
class Brought:
    """What became of the rows, the greatest cursor among those without a problem, and the table's columns where the load changed them.

    `warnings` is what checks of level `warn` found.
    """

    counts: RowCounts
    cursor: Cursor | None
    columns: dict[str, str] | None = None
    warnings: tuple[str, ...] = ()

    def with_left_out(self, rows: int) -> Brought:
        """Return the same with rows accounted for that were not read, since their files are in the table already."""
        counts = replace(
            self.counts, rows_extracted=self.counts.rows_extracted + rows, rows_deduplicated=self.counts.rows_deduplicated + rows
        )
        return replace(self, counts=counts)


@contextmanager
def refusals_named(warehouse: Warehouse, manifest: Manifest) -> Iterator[None]:
    """Turn what DuckDB refuses during a load into errors of the house, so that one stream's trouble stays one stream's."""
    import duckdb

    try:
        with errors_named(warehouse.database):
            yield
    except duckdb.InterruptException as err:
        raise KeyboardInterrupt from err
    except duckdb.Error as err:
        raise LoadFailed(str(manifest.table), manifest.load_id, str(err).splitlines()[0]) from err


def take_in(
    warehouse: Warehouse,
    manifest: Manifest,
    spec: TableSpec,
    files: list[Path],
    watermark: Cursor | None,
    quick: bool = True,
    patience: int = 0,
) -> Intake:
    """Plan the table's columns and read the files; raises `CorruptObject` when rows are missing, `ContractBroken` by the contract.

    `patience` says how many of the quicker readers not to try: in a transaction, one that stumbles ends it.
    """
    reader = reader_for(manifest, files, whole_records=spec.record_column is not None)
    for _ in range(patience):
        reader = (reader.slower() or reader) if reader else None
    plan, reader = _planned(warehouse, manifest, spec, reader)
    keys = {str(local): file.source for local, file in zip(files, manifest.files, strict=True)}
    if quick and reader is not None and _streams(plan, watermark):
        return Intake(manifest, plan, reader, keys, None)
    staged = stage(warehouse, plan, reader, keys)
    if staged.rows != manifest.rows:
        raise CorruptObject(manifest.load_id, f"{manifest.rows} rows", f"{staged.rows} rows")
    staged, children = take_in_children(warehouse, staged, keys)
    return Intake(manifest, staged.plan, staged.reader, keys, staged, children)


def _planned(warehouse: Warehouse, manifest: Manifest, spec: TableSpec, reader: Reader | None) -> tuple[Plan, Reader | None]:
    """Return the load's columns, and the reader that could see the types of new ones: a more patient one where the quickest stumbles."""
    import duckdb

    links = PARENT_LINKS if spec.nested == "tables" else {}
    while True:
        try:
            found, fields = reader, manifest.fields or None
            if spec.nested == "tables":
                found = unfold(warehouse, spec, reader, manifest.fields)
                fields = found.found if isinstance(found, NestedReader) else fields
            return settle_types(warehouse, plan_columns(warehouse, spec, found, fields, links)), found
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            slower = reader.slower() if reader else None
            if slower is None:
                raise
            reader = slower


def _streams(plan: Plan, watermark: Cursor | None) -> bool:
    """Return whether rows can go straight into the table: no keys to compare, no checks to run, nothing read twice by an overlap."""
    spec = plan.spec
    variants = any(column.variant_of for column in plan.columns)
    if spec.primary_key or spec.merge_key or spec.checks or variants or spec.disposition not in ("append", "replace"):
        return False
    if spec.nested == "tables":
        return False
    return spec.disposition == "replace" or spec.incremental is None or watermark is None


def bring_in(
    warehouse: Warehouse, intake: Intake, loaded_at: datetime, watermark: Cursor | None, before_rows: Callable[[], None] | None = None
) -> Brought:
    """Change the table as planned and bring the rows in, inside the load's transaction.

    `before_rows` is called once the columns are there: the moment to take out what the load supersedes. Raises `SecondLookNeeded` when
    rows that streamed do not all fit; the caller rolls back and takes the files in without `quick`.
    """
    manifest, plan = intake.manifest, intake.plan
    landing = _landing(manifest, plan, loaded_at, watermark)
    before = existing_columns(warehouse, manifest.table)
    if intake.staged and intake.staged.nothing_fits and (plan.is_new or plan.spec.disposition != "replace"):
        if before_rows:
            before_rows()
        release(warehouse, manifest)
        return _nothing_brought(warehouse, intake, landing)
    if manifest.rows or plan.columns:
        apply_plan(warehouse, plan, manifest.load_id, loaded_at)
        make_children(warehouse, intake.children, manifest.load_id, loaded_at)
    reach("load.table_made")
    if before_rows:
        before_rows()
    release(warehouse, manifest)
    column = cursor_column(plan)
    if intake.staged is None:
        brought = _streamed(warehouse, intake, landing, column)
    else:
        cursor = _greatest_staged(warehouse, column)
        quarantined = set_aside(warehouse, manifest, intake.staged, loaded_at)
        warnings = _checked(warehouse, landing)
        counts = apply(warehouse, landing, intake.staged.rows)
        bring_in_children(warehouse, landing, intake.children, counts)
        brought = Brought(replace(counts, rows_quarantined=quarantined), cursor, warnings=warnings)
    after = existing_columns(warehouse, manifest.table)
    columns = after if after != before or any(child.changes for child in intake.children) else None
    return replace(brought, counts=replace(brought.counts, rows_extracted=manifest.rows), columns=columns)


def _landing(manifest: Manifest, plan: Plan, loaded_at: datetime, watermark: Cursor | None) -> Landing:
    stream = (manifest.pipeline, manifest.stream)
    return Landing(plan, manifest.load_id, loaded_at, manifest.extracted_at, stream, watermark, manifest.retried_load is not None)


def _checked(warehouse: Warehouse, landing: Landing) -> tuple[str, ...]:
    if not landing.spec.checks:
        return ()
    from ducklift.warehouse.checks import run_checks

    return run_checks(warehouse, landing)


def _nothing_brought(warehouse: Warehouse, intake: Intake, landing: Landing) -> Brought:
    """Set every row aside: what is wrong with a whole load must not decide what the table is, its key may not even have a type."""
    assert intake.staged is not None  # noqa: S101 — the caller has seen its rows
    quarantined = set_aside(warehouse, intake.manifest, intake.staged, landing.loaded_at)
    warnings = _checked(warehouse, landing)
    return Brought(RowCounts(rows_extracted=intake.manifest.rows, rows_quarantined=quarantined), None, warnings=warnings)


def _streamed(warehouse: Warehouse, intake: Intake, landing: Landing, column: Column | None) -> Brought:
    import duckdb

    if intake.reader is None:
        raise SecondLookNeeded
    try:
        replacing = landing.spec.disposition == "replace" and not landing.plan.is_new
        deleted = changed(warehouse, f"DELETE FROM {landing.target}") if replacing else 0
        inserted = stream(warehouse, intake.plan, intake.reader, intake.keys, landing.target, landing.lineage())
        text, without = greatest_cursor_text(warehouse, intake.plan, intake.reader, column) if column else (None, 0)
    except (duckdb.InvalidInputException, duckdb.ConversionException) as err:
        raise SecondLookNeeded from err
    read_again = (
        (without or column is None) and landing.spec.incremental and landing.spec.disposition == "append" and not landing.plan.is_new
    )
    if inserted != intake.manifest.rows or read_again:
        raise SecondLookNeeded
    return Brought(RowCounts(rows_inserted=inserted, rows_deleted=deleted), _cursor(text, column))


def _greatest_staged(warehouse: Warehouse, column: Column | None) -> Cursor | None:
    if column is None:
        return None
    name = quote_identifier(column.name)
    return _cursor(warehouse.value(f"SELECT arg_max(_cursor_text, {name}) FROM {STAGED} WHERE _problem IS NULL"), column)


def _cursor(text: str | None, column: Column | None) -> Cursor | None:
    """Return a cursor's text as it stood in its record: a number where it is one and the column is no text."""
    if text is None or column is None or column.type == "VARCHAR":
        return text
    try:
        number = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if isinstance(number, float) and text.lstrip("-").isdigit():
        return storable(int(text), column.field)
    return number if isinstance(number, int | float) else text

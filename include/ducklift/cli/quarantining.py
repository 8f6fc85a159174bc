"""`ducklift quarantine`: the records that did not fit, why, and what becomes of them after a fix."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ducklift.cli.opening import reading
from ducklift.cli.outcome import Json, complain, note, print_json
from ducklift.cli.tabular import Heading, console, print_rows, print_table
from ducklift.errors import ConfigurationError
from ducklift.settings import load_settings

if TYPE_CHECKING:
    from ducklift.specs import TableName
    from ducklift.warehouse import Warehouse

verbs = typer.Typer(no_args_is_help=True, help="Look at records that could not be loaded, and retry them after a fix.")

_Table = Annotated[str | None, typer.Option("--table", metavar="DATASET.TABLE", help="Only this table's.")]

_LIST = """
    SELECT q.dataset || '.' || q."table" AS "table", q.load_id, any_value(l.stream) AS stream, count(*) AS rows,
           max(q.quarantined_at) AS quarantined_at, arg_min(q.reason, (q.source_file, q.line)) AS reason,
           count(DISTINCT q.reason) AS reasons
    FROM _ducklift.quarantine AS q LEFT JOIN _ducklift.loads AS l USING (load_id)
    WHERE $table IS NULL OR q.dataset || '.' || q."table" = $table
    GROUP BY ALL ORDER BY quarantined_at DESC, q.load_id DESC
"""
_SHOW = """
    SELECT dataset || '.' || "table" AS "table", load_id, source_file, line, reason, record, quarantined_at
    FROM _ducklift.quarantine
    WHERE ($table IS NULL OR dataset || '.' || "table" = $table) AND ($load_id IS NULL OR load_id = $load_id)
    ORDER BY quarantined_at DESC, load_id, source_file, line LIMIT $limit
"""


@verbs.command("list")
def list_loads(table: _Table = None, as_json: Json = False) -> None:
    """List the loads that have records in quarantine, newest first."""
    with reading() as warehouse:
        found = _rows(warehouse, _LIST, table=table)
    if as_json:
        print_json({"quarantine": found})
        return
    if not found:
        note("Nothing is in quarantine.")
        return
    headings = [Heading("table"), Heading("load", whole=True), Heading("stream"), Heading("records", True), Heading("first reason")]
    print_table(console(), headings, [_line(each) for each in found])


def _line(load: dict[str, Any]) -> list[str | None]:
    others = load["reasons"] - 1
    reason = f"{load['reason']}{f' (and {others} other reasons)' if others else ''}"
    return [load["table"], load["load_id"], load["stream"], f"{load['rows']:,}", reason]


@verbs.command()
def show(
    load_id: Annotated[str | None, typer.Argument(metavar="[LOAD_ID]", help="Only this load's; see `ducklift quarantine list`.")] = None,
    table: _Table = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """Show quarantined records, each whole, with its file, line and reason."""
    if load_id is None and table is None:
        raise ConfigurationError("Name a load or a table: ducklift quarantine show LOAD_ID, or --table dataset.table.")
    with reading() as warehouse:
        found = _rows(warehouse, _SHOW, table=table, load_id=load_id, limit=limit)
    if as_json:
        print_json({"records": found})
        return
    if not found:
        note("Nothing is in quarantine there.")
        return
    headings = [Heading("load", whole=True), Heading("file"), Heading("line", True), Heading("reason"), Heading("record")]
    print_rows(headings, [[each["load_id"], each["source_file"], str(each["line"]), each["reason"], each["record"]] for each in found])


@verbs.command()
def retry(
    table: Annotated[str, typer.Option("--table", metavar="DATASET.TABLE", help="The table whose records are to be tried again.")],
    load_id: Annotated[str | None, typer.Option("--load-id", help="Only the records of this load.")] = None,
    as_json: Json = False,
) -> None:
    """Load quarantined records again, after a fix of the pipeline file; what still does not fit stays in quarantine.

    Each load's records land in the lake as a load of their own and go through the usual contract and checks. A retry that was interrupted
    is safe to repeat.
    """
    from ducklift.cli.summary import failure_of
    from ducklift.retrying import retry_quarantine
    from ducklift.summary import RunSummary

    loads = retry_quarantine(load_settings(), _parsed(table), load_id)
    summary = RunSummary(pipeline="quarantine", run_id="", seconds=sum(load.seconds for load in loads), loads=loads)
    run = summary.as_dict()
    if as_json:
        print_json(run)
        for each in run["loads"]:
            if reason := failure_of(each):
                complain(reason)
    else:
        from ducklift.cli.summary import print_summary

        print_summary(run, [f"ducklift quarantine show --table {table}"] if run["rows_quarantined"] else [])
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _parsed(table: str) -> TableName:
    from ducklift.specs import TableName

    try:
        return TableName.parse(table)
    except ValueError as err:
        raise ConfigurationError(f"--table {table}: write dataset.table, for example reddit.posts.") from err


def _rows(warehouse: Warehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    import duckdb

    try:
        result = warehouse.connection.execute(sql, parameters)
    except duckdb.CatalogException as err:
        raise ConfigurationError(f"This database was not filled by Ducklift: {str(err).splitlines()[0]}") from err
    names = [column[0] for column in result.description]
    return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in result.fetchall()]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value

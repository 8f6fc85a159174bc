"""`ducklift gc` and `ducklift publish`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ducklift.cli.outcome import Json, complain, note, print_json
from ducklift.errors import EXIT_DONE, ConfigurationError
from ducklift.settings import load_settings

if TYPE_CHECKING:
    from ducklift.specs import TableName

_MOST_SHOWN = 20
_Table = Annotated[str | None, typer.Option(metavar="DATASET.TABLE", help="Only this table's; spool and local folders are left alone.")]
_Apply = Annotated[bool, typer.Option("--apply", help="Delete. Without it, only show what would go and why.")]
_PartitionBy = Annotated[list[str] | None, typer.Option("--partition-by", metavar="COLUMN,…", help="Hive partitions, the outermost first.")]


def gc(table: _Table = None, apply: _Apply = False, as_json: Json = False) -> None:
    """Find what the lake no longer needs: orphans, superseded and expired raw files, unfinished uploads, old versions.

    Shows what would go; --apply deletes it and leaves a record in the lake.
    """
    from ducklift.keeping import collect_garbage

    found = collect_garbage(load_settings(), _parsed(table) if table else None, apply=apply)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found.as_dict())
    for reason in found.failures.values():
        complain(reason)
    if found.exit_code != EXIT_DONE:
        raise typer.Exit(found.exit_code)


def _show(found: dict[str, Any]) -> None:
    from ducklift.cli.summary import size
    from ducklift.cli.tabular import Heading, console, print_table, say

    screen = console()
    items = found["items"]
    if items:
        headings = [Heading("kind", whole=True), Heading("bytes", True), Heading("what"), Heading("why")]
        lines = [[each["kind"], size(each["size_bytes"]), each["place"], each["reason"]] for each in items[:_MOST_SHOWN]]
        print_table(screen, headings, lines)
    if len(items) > _MOST_SHOWN:
        say(screen, f"… and {len(items) - _MOST_SHOWN} more; --json names all of them.")
    for table, sequence in found["checkpoints"].items():
        say(screen, f"{table}: a rebuild starts from checkpoint {sequence} now.")
    for place, reason in found["kept"].items():
        say(screen, f"kept after all: {place} ({reason})")
    amount = f"{found['found'] - len(found['kept']):,} things, {size(found['bytes'])}"
    if found["applied"]:
        say(screen, f"{amount} deleted. {'Recorded in ' + found['record'] if found['record'] else ''}".rstrip(), "bold")
    else:
        say(screen, f"{amount} would go; nothing was deleted.", "bold")
        if items:
            note("Add --apply to delete.")


def publish(
    table: Annotated[str, typer.Argument(metavar="DATASET.TABLE", help="The table to publish.")],
    partition_by: _PartitionBy = None,
    as_json: Json = False,
) -> None:
    """Write a table to curated/ in the lake as Parquet; readers see the old version or the new one, whole."""
    from ducklift.cli.summary import size
    from ducklift.keeping import publish as publish_table

    names = [name.strip() for given in partition_by or () for name in given.split(",")]
    done = publish_table(load_settings(), _parsed(table), names)
    if as_json:
        print_json(done.as_dict())
        return
    told = "has this content already" if done.unchanged else "is current now"
    typer.echo(f"{done.table}: version {done.version} {told}: {done.rows:,} rows, {done.files:,} files, {size(done.bytes)}")
    typer.echo(done.url)


def _parsed(table: str) -> TableName:
    from ducklift.specs import TableName

    try:
        return TableName.parse(table)
    except ValueError as err:
        raise ConfigurationError(f"{table!r} is not a table: write dataset.table, for example 'reddit.posts'.") from err

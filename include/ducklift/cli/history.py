"""`ducklift rebuild` and `ducklift reset`: a table's history, done again or turned back on purpose."""

from __future__ import annotations

from typing import Annotated

import typer

from ducklift.cli.outcome import Json, print_json
from ducklift.cli.tabular import Heading, console, print_table, say
from ducklift.errors import ConfigurationError
from ducklift.settings import load_settings

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline: a file NAME.yaml among the pipeline files.")]


def reset(
    name: _Name,
    streams: Annotated[list[str] | None, typer.Option("--stream", metavar="STREAM", help="Only this stream. Repeatable.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Where to read from again: a cursor, or a date. [default: the beginning]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Move watermarks back, so that the next run reads again from there. Rows stay; the reset is recorded like a load."""
    from ducklift.pipeline_file import load_pipeline
    from ducklift.resets import reset_pipeline

    settings = load_settings()
    done = reset_pipeline(load_pipeline(name, settings), settings, streams or (), to)
    if as_json:
        print_json({"state": "reset" if any(each.changed for each in done) else "unchanged", "streams": [each.as_dict() for each in done]})
        return
    headings = [Heading("stream", whole=True), Heading("table"), Heading("watermark before"), Heading("watermark now")]
    lines = [[each.stream, each.table, _shown(each.before), _shown(each.after)] for each in done]
    if any(each.files_forgotten for each in done):
        headings.append(Heading("files to read again"))
        lines = [[*line, str(each.files_forgotten)] for line, each in zip(lines, done, strict=True)]
    print_table(console(), headings, lines)


def _shown(cursor: object) -> str:
    return "none" if cursor is None else str(cursor)


def rebuild(
    into: Annotated[str | None, typer.Option(metavar="URL", help="Build this one (duckdb:///file) and leave the configured one.")] = None,
    replacing: Annotated[bool, typer.Option("--replace", help="Put the rebuilt warehouse in the place of one that holds tables.")] = False,
    verifying: Annotated[bool, typer.Option("--verify", help="Change nothing: rebuild beside it and compare both by hash.")] = False,
    as_json: Json = False,
) -> None:
    """Make the warehouse anew from the lake alone: every commit again, in order.

    It is built beside and renamed into place when it is complete. One that holds tables is never overwritten without --replace.
    """
    from ducklift.lake.filesystem import open_lake
    from ducklift.warehouse.rebuild import rebuild as rebuild_warehouse, verify

    if verifying and (into or replacing):
        raise ConfigurationError("--verify changes nothing, so it goes with neither --into nor --replace.")
    settings = load_settings()
    lake = open_lake(settings)
    made = verify(lake, settings) if verifying else rebuild_warehouse(lake, settings, into=into, replacing=replacing)
    if as_json:
        print_json({"state": "verified" if verifying else "rebuilt", **made.as_dict()})
        return
    screen = console()
    headings = [Heading("table", whole=True), Heading("rows", True), Heading("commits", True), Heading("superseded", True)]
    lines = [[each.table, f"{each.rows:,}", f"{each.commits:,}", f"{each.superseded:,}"] for each in made.tables]
    print_table(screen, headings, lines)
    say(screen, f"{made.warehouse} {'is what the lake gives' if verifying else 'is rebuilt'}", "bold")
    for name in made.in_lake:
        say(screen, f"{name} lives in the lake alone; no warehouse holds it.")
    for url in made.pending:
        say(screen, f"landed, never committed: {url}")
    if made.pending:
        say(screen, "  ducklift load MANIFEST takes each of them", "dim")

"""`ducklift sweep`: take what is gone at its source out of the lake and the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ducklift.cli.outcome import Json, note, print_json
from ducklift.errors import ConfigurationError
from ducklift.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from ducklift.deletion_sweeps import Swept

_Name = Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline whose tables are swept.")]
_Apply = Annotated[bool, typer.Option("--apply", help="Take it out, for good. Without it, only ask and show how much it would be.")]
_Ratio = Annotated[float | None, typer.Option("--max-ratio", min=0, max=1, help="The share of records that may be gone, this once.")]
_Keys = Annotated[str | None, typer.Option("--keys", metavar="FILE", help="Sweep these records instead of asking: one key a line.")]
_Table = Annotated[str | None, typer.Option("--table", metavar="DATASET.TABLE", help="Which table the keys are of.")]
_Fields = Annotated[str | None, typer.Option("--fields", metavar="FIELD,…", help="What to take out of these records.")]


def sweep(
    name: _Name,
    apply: _Apply = False,
    max_ratio: _Ratio = None,
    keys: _Keys = None,
    table: _Table = None,
    fields: _Fields = None,
    as_json: Json = False,
) -> None:
    """Ask the source which records are gone, and take their content out of the table and of everything in the lake that holds it.

    Shows how many it would be; --apply does it, first finishing a sweep that was cut short, and leaves a record in the lake.
    """
    from ducklift.deletion_sweeps import sweep_keys, sweep_pipeline
    from ducklift.pipeline_file import load_pipeline
    from ducklift.specs import Blanking

    settings = load_settings()
    pipeline = load_pipeline(name, settings)
    if keys is None:
        if table or fields:
            raise ConfigurationError("--table and --fields go with --keys: without it, the source says what is gone.")
        done = sweep_pipeline(pipeline, settings, apply=apply, max_ratio=max_ratio)
    else:
        if not table or not fields:
            raise ConfigurationError("--keys needs --table DATASET.TABLE and --fields FIELD,…: what is taken out of which records.")
        content = tuple(field.strip() for field in fields.split(",") if field.strip())
        done = [sweep_keys(pipeline, table, _listed(_path(keys)), Blanking(content=content), settings, apply=apply)]
    if as_json:
        print_json({"applied": apply, "tables": [each.as_dict() for each in done]})
        return
    for each in done:
        _show(each)
    if not apply:
        note("Nothing was changed. Add --apply to take it out.")


def _path(name: str) -> Path:
    from pathlib import Path

    return Path(name)


def _listed(file: Path) -> list[tuple[str, ...]]:
    """Return the keys of a file: one a line, the parts of a key apart by a tab."""
    try:
        # Windows' editors begin a file with a mark that would be taken for a part of the first key.
        lines = file.read_text("utf-8-sig").split("\n")
    except OSError as err:
        raise ConfigurationError(f"the keys cannot be read: {err.strerror}", file=file) from err
    except UnicodeDecodeError as err:
        raise ConfigurationError(f"the keys cannot be read: byte {err.start} is no UTF-8; save the file as UTF-8", file=file) from err
    return [tuple(line.split("\t")) for line in lines if line.strip()]


def _show(swept: Swept) -> None:
    for sweep_id in swept.resumed:
        typer.echo(f"{swept.table}: the sweep {sweep_id}, which was cut short, is done now.")
    found = f"{swept.table}: {swept.gone:,} of {swept.asked:,} records are gone"
    if not swept.applied or not swept.gone:
        typer.echo(f"{found}.")
        return
    typer.echo(f"{found}; {swept.rows:,} rows blanked, {swept.rewritten:,} raw files written anew, {swept.erased:,} objects erased.")
    if swept.values:
        typer.echo(f"{swept.values:,} versions of stored values were among them.")
    for value in swept.to_make:
        typer.echo(f"to be made again: {value}")
    for place in swept.left:
        typer.echo(f"not reached: {place}")
    typer.echo(f"Recorded in {swept.record}")

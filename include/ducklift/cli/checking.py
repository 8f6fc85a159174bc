"""`ducklift validate`: are the pipeline files fit to run?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ducklift.cli.outcome import complain
from ducklift.errors import EXIT_USAGE, ConfigurationError
from ducklift.safe_text import visible
from ducklift.settings import load_settings

if TYPE_CHECKING:
    from ducklift.pipeline_file import Pipeline


def validate(name: Annotated[str | None, typer.Argument(metavar="NAME", help="One pipeline; all of them when left out.")] = None) -> None:
    """Check pipeline files and storage.yaml; an error names the file, the line and the fix."""
    from ducklift.assets.storage import Storage
    from ducklift.pipeline_file import load_pipeline, pipeline_names

    settings = load_settings()
    names = [name] if name is not None else pipeline_names(settings)
    has_storage = (settings.pipelines.parent / "storage.yaml").is_file()
    if not names and not has_storage:
        raise ConfigurationError(f"There is no pipeline file in {settings.pipelines} ({settings.origins['pipelines']}).")
    broken = 0
    for each in names:
        try:
            pipeline = load_pipeline(each, settings)
        except ConfigurationError as err:
            # One broken file does not hide what is wrong with the next.
            complain(str(err))
            broken += 1
        else:
            streams = pipeline.streams()
            plural = "stream" if len(streams) == 1 else "streams"
            typer.echo(visible(f"{each}: fit to run, {len(streams)} {plural} into {_tables(pipeline)}"))
    if name is None and has_storage:
        try:
            with Storage(settings) as storage:
                storage.check()
                typer.echo(visible(f"storage.yaml: fit to use, managers {', '.join(storage.names)}"))
        except ConfigurationError as err:
            complain(str(err))
            broken += 1
    if broken:
        raise typer.Exit(EXIT_USAGE)


def _tables(pipeline: Pipeline) -> str:
    """Return the names of the tables; a pattern stays one, since only the source knows what it stands for."""
    if (pipeline.table or "").endswith(".*"):
        return str(pipeline.table)
    return ", ".join(dict.fromkeys(str(pipeline.table_spec(stream).name) for stream in pipeline.streams()))

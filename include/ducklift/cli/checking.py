"""`ducklift validate`: are the pipeline files fit to run?"""

from __future__ import annotations

from typing import Annotated

import typer

from ducklift.cli.outcome import complain
from ducklift.errors import EXIT_USAGE, ConfigurationError
from ducklift.safe_text import visible
from ducklift.settings import load_settings


def validate(name: Annotated[str | None, typer.Argument(metavar="NAME", help="One pipeline; all of them when left out.")] = None) -> None:
    """Check pipeline files and storage.yaml; an error names the file, the line and the fix."""
    from ducklift.assets.storage import Storage
    from ducklift.pipeline_file import load_pipeline, pipeline_names

    settings = load_settings()
    names = [name] if name else pipeline_names(settings)
    if not names:
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
            typer.echo(visible(f"{each}: fit to run, {len(streams)} {plural} into {pipeline.table}"))
    if name is None and (settings.pipelines.parent / "storage.yaml").is_file():
        try:
            with Storage(settings) as storage:
                storage.check()
                typer.echo(visible(f"storage.yaml: fit to use, managers {', '.join(storage.names)}"))
        except ConfigurationError as err:
            complain(str(err))
            broken += 1
    if broken:
        raise typer.Exit(EXIT_USAGE)

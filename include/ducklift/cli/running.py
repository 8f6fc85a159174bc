"""`ducklift run` and `ducklift load`: the three steps without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ducklift.cli.outcome import Json, complain, print_json
from ducklift.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from ducklift.settings import Settings, load_settings

if TYPE_CHECKING:
    from ducklift.pipeline_file import Pipeline
    from ducklift.planning import Run

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline: a file NAME.yaml among the pipeline files.")]
_Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the file, e.g. 'source.subreddits=[\"python\"]'. Repeatable."),
]


def run(
    name: _Name,
    overrides: _Overrides = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Run one slice of time, which begins here (ISO 8601, UTC). Needs --to.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Where the slice ends.")] = None,
    reextract: Annotated[bool, typer.Option("--reextract", help="Read the slice anew, in the place of its earlier load.")] = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Read from the beginning, in the place of all that each stream loaded.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be read, written and changed; touch nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run a pipeline: extract, upload, load, for each of its streams.

    A stream that fails does not stop the others; the summary names it and why. With --from and --to the run stands for that slice of time:
    running it twice is a no-op, and --reextract replaces it.
    """
    from ducklift.cli.progress import shown_progress
    from ducklift.pipeline import load_pipeline, resolved, run_pipeline

    asked = _asked(start, end, reextract, full_refresh)
    settings = load_settings()
    pipeline = resolved(load_pipeline(name, settings, overrides or ()), settings)
    if dry_run:
        _show_plans(pipeline, asked, settings, as_json)
        return
    with shown_progress(len(pipeline.streams())) as on_step:
        summary = run_pipeline(pipeline, asked, settings, on_step)
    _show(summary.as_dict(), as_json, in_lake=pipeline.target == "lake")
    if summary.exit_code != EXIT_DONE:
        raise typer.Exit(summary.exit_code)


def _asked(start: str | None, end: str | None, reextract: bool, full_refresh: bool) -> Run:
    """Return the run that the options ask for; raises `ConfigurationError` when they do not go together."""
    from ducklift.planning import Run

    if full_refresh and (reextract or start or end):
        raise ConfigurationError("--full-refresh reads everything, so it goes with none of --from, --to and --reextract.")
    if (start is None) != (end is None):
        raise ConfigurationError("A slice has two ends: give both --from and --to, for example --from 2026-01-01 --to 2026-01-02.")
    if start is None or end is None:
        if reextract:
            raise ConfigurationError("--reextract replaces a slice: say which one with --from and --to.")
        return Run.now("full_refresh" if full_refresh else "new")
    first, last = _moment("--from", start), _moment("--to", end)
    if last <= first:
        raise ConfigurationError(f"The slice from {start} to {end} is empty: --to has to come after --from.")
    return Run.of_interval(first, last, "reextract" if reextract else "new")


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as err:
        raise ConfigurationError(f"{option} is {text!r}: write a date or a time such as 2026-01-01 or 2026-01-01T06:00:00Z.") from err


def _show_plans(pipeline: Pipeline, asked: Run, settings: Settings, as_json: bool) -> None:
    from ducklift.dry_run import foretell
    from ducklift.lake.filesystem import open_lake

    lake = open_lake(settings)
    plans = foretell(lake, pipeline, asked, settings)
    if as_json:
        print_json({"pipeline": pipeline.name, "state": "planned", "lake": lake.url, "loads": plans})
        return
    from ducklift.cli.summary import print_plans

    print_plans(plans)


def load(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="A manifest in the lake: its URL, or its key (raw/…/_loads/….json).")],
    as_json: Json = False,
) -> None:
    """Load one package that is in the lake already. Loading it twice changes nothing."""
    from ducklift.pipeline import load as load_manifest

    settings = load_settings()
    url = manifest if "://" in manifest else f"{settings.lake_url}/{manifest.lstrip('/')}"
    summary = load_manifest(url, settings)
    result = summary.as_dict()
    if as_json:
        print_json(result)
    else:
        _show({**result, "loads": [result]}, as_json=False)
    if summary.gap is not None:
        raise typer.Exit(EXIT_FAILED)


def _show(run: dict[str, Any], as_json: bool, in_lake: bool = False) -> None:
    from ducklift.cli.summary import failure_of, print_summary

    if as_json:
        print_json(run)
        for each in run["loads"]:
            if reason := failure_of(each):
                complain(reason)
        return
    done = [each for each in run["loads"] if each["table"] and each["state"] in ("loaded", "already_loaded")]
    landed = sorted({each["table"] for each in done if each["total_rows"]})
    hints = [f'ducklift query {f"--lake {table} " if in_lake else ""}"from {table} limit 5"' for table in landed[:2]]
    # What is all in quarantine has made no table.
    hints += [f"ducklift quarantine show {each['load_id']}" for each in done if each["rows_quarantined"]][:2]
    print_summary(run, hints)

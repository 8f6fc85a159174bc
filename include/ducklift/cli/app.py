"""The verbs of the command line, in the order in which `--help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

import ducklift
from ducklift.cli import (
    checking,
    diagnosing,
    history,
    inspecting,
    keeping,
    quarantining,
    querying,
    running,
    standing_in,
    starting,
    sweeping,
    valuing,
)
from ducklift.cli.outcome import Verbs

app = typer.Typer(
    cls=Verbs,
    help=ducklift.__doc__,
    epilog="Exit codes: 0 done · 1 the run failed · 2 bad usage or configuration · 3 retry later (locked, throttled, unreachable).",
    no_args_is_help=True,
    add_completion=False,
    # A rich traceback would need rich at start-up, and one with local variables would show secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ducklift {ducklift.__version__}")
        raise typer.Exit


@app.callback()
def _ducklift(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")] = False,
) -> None:
    del version  # answered by its callback


app.command("run")(running.run)
app.command("load")(running.load)
app.command("query")(querying.query)
app.command("tables")(inspecting.tables)
app.command("loads")(inspecting.loads)
app.command("status")(inspecting.status)
app.command("reset")(history.reset)
app.command("rebuild")(history.rebuild)
app.add_typer(quarantining.verbs, name="quarantine")
app.add_typer(valuing.verbs, name="asset")
app.command("gc")(keeping.gc)
app.command("publish")(keeping.publish)
app.command("sweep")(sweeping.sweep)
app.command("validate")(checking.validate)
app.command("init")(starting.init)
app.command("doctor")(diagnosing.doctor)
app.command("sandbox")(standing_in.sandbox)

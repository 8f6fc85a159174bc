"""The verbs of the command line, in the order in which `--help` lists them, and the application of all or some of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

import ducklift
from ducklift.cli.outcome import Verbs

# A verb's function, or its typer application where it has verbs of its own.
VERBS = {
    "run": "running:run",
    "load": "running:load",
    "query": "querying:query",
    "tables": "inspecting:tables",
    "loads": "inspecting:loads",
    "status": "inspecting:status",
    "reset": "history:reset",
    "rebuild": "history:rebuild",
    "gc": "keeping:gc",
    "publish": "keeping:publish",
    "sweep": "sweeping:sweep",
    "validate": "checking:validate",
    "init": "starting:init",
    "doctor": "diagnosing:doctor",
    "ui": "page:ui",
    "sandbox": "standing_in:sandbox",
    "quarantine": "quarantining:verbs",
    "asset": "valuing:verbs",
}


def application(names: Iterable[str] = VERBS) -> typer.Typer:
    """Return the application with these verbs: a call needs one, and making all takes as long as its work may take."""
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
    app.callback()(_ducklift)
    for name in names:
        module, _, attribute = VERBS[name].partition(":")
        verb = getattr(import_module(f"ducklift.cli.{module}"), attribute)
        if isinstance(verb, typer.Typer):
            app.add_typer(verb, name=name)
        else:
            app.command(name)(verb)
    return app


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ducklift {ducklift.__version__}")
        raise typer.Exit


def _ducklift(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")] = False,
) -> None:
    del version  # answered by its callback

"""How a verb ends: an error on purpose is one line and an exit code; anything else is a traceback and 1."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ducklift.cli.outputs import OutputFailed
from ducklift.errors import DuckliftError
from ducklift.safe_text import visible

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]

_JSON_ASKED = "ducklift.json"


class Verbs(TyperGroup):
    """The group of all verbs; every error passes here once."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Note `--json` before anything can go wrong, so that bad usage is answered in JSON as well."""
        ctx.meta[_JSON_ASKED] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the verb and turn a DuckliftError into its message and exit code."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except DuckliftError as err:
            self._answer(ctx, err)
            complain(str(err))
            raise typer.Exit(err.exit_code) from err
        except (BrokenPipeError, OutputFailed):
            raise  # the reader has seen enough, and typer ends quietly; or there is nothing to answer on
        except Exception as err:
            self._answer(ctx, err)
            raise

    @staticmethod
    def _answer(ctx: typer.Context, err: Exception) -> None:
        if ctx.meta.get(_JSON_ASKED):
            message = err.format_message() if isinstance(err, typer.TyperException) else str(err)
            print_json({"state": "failed", "error": message, "error_type": type(err).__name__})


def print_json(value: Any) -> None:
    """Print one JSON document, pure ASCII, so that no terminal or locale can garble it."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    sys.stdout.flush()


def complain(message: str) -> None:
    """Print one line to standard error; control characters in it (it may quote data) are shown, not obeyed."""
    sys.stderr.write(f"ducklift: {visible(message)}\n")
    sys.stderr.flush()


def note(message: str) -> None:
    """Print a remark to standard error, where it does not mix with the data."""
    sys.stderr.write(visible(message) + "\n")
    sys.stderr.flush()

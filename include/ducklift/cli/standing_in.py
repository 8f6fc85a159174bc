"""`ducklift sandbox`: the stand-ins for S3 and Reddit, by themselves."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

from ducklift.cli.outcome import Json, note, print_json
from ducklift.settings import load_settings

_Port = typer.Option(min=0, max=65535, help="0 takes a free one.")


def sandbox(
    s3_port: Annotated[int, _Port] = 0,
    reddit_port: Annotated[int, _Port] = 0,
    as_json: Json = False,
) -> None:
    """Run the sandbox (an S3 endpoint with taxi trips and a Reddit API, on 127.0.0.1) until Ctrl-C.

    Prints the environment to export in another terminal. What it holds stays on disk between runs.
    """
    from ducklift.sandbox import Sandbox

    settings = load_settings()
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    with Sandbox(settings.home / "sandbox", s3_port=s3_port, reddit_port=reddit_port, trips=True) as running:
        # Both ways to end are clean ones here: the servers stop, and the exit code is 0.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        if as_json:
            print_json({"environment": running.environment})
        else:
            typer.echo(running.describe())
            note("Ctrl-C ends it.")
            sys.stdout.flush()
        ended.wait()
    note("The sandbox has ended.")

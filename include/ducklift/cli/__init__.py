"""`ducklift …`: the same three steps as the DAGs, without Airflow, and a look into what they made.

Start-up is kept short: a verb's module imports typer and the error tree only, and everything heavier inside the verb.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with the exit codes of `ducklift.errors`."""
    from ducklift.cli.app import app

    app(prog_name="ducklift")

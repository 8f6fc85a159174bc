"""`ducklift …`: the same three steps as the DAGs, without Airflow, and a look into what they made.

Start-up is kept short: a verb's module imports typer and the error tree only, and everything heavier inside the verb.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with the exit codes of `ducklift.errors`."""
    import atexit
    import gc
    import os
    import sys

    from ducklift.cli.outcome import complain
    from ducklift.cli.outputs import OutputFailed, give_up_output, have_outputs
    from ducklift.cli.verbs import VERBS, application
    from ducklift.errors import EXIT_FAILED

    # Imports make many objects and no garbage, and what is left at the end goes with the process: looking through all of it again and
    # again took a tenth of the CPU time of a run with nothing new.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    # Nobody's plugin watches this program's models; to look for one, pydantic would read every installed distribution's entry points.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    have_outputs()
    asked = sys.argv[1:2]
    try:
        application(asked if asked and asked[0] in VERBS else VERBS)(prog_name="ducklift")
    except KeyboardInterrupt:
        # While a verb works, typer ends like this; here its modules are still on their way in.
        sys.exit(130)
    except OutputFailed as err:
        give_up_output()
        complain(f"standard output takes nothing more ({err}); what the command did stands.")
        sys.exit(EXIT_FAILED)

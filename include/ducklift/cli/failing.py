"""Which streams fail at the moment: told by the notes of failed tries in the lake, and by what was committed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ducklift.cli.outcome import note
from ducklift.cli.tabular import Screen, say
from ducklift.errors import DuckliftError
from ducklift.settings import Settings

Facts = dict[str, Any]
_SHOWN = 20


def failing_streams(settings: Settings, loads: Sequence[tuple[str, str, str, datetime]]) -> list[Facts]:
    """Return the failures that nothing came after, newest first; `loads` are pipeline, stream, load id and time of what was committed.

    A lake that cannot be read is told on standard error: what the warehouse knows is shown all the same.
    """
    from ducklift.lake.attempts import failed_loads, standing_failures
    from ducklift.lake.filesystem import open_lake

    newest: dict[tuple[str, str], datetime] = {}
    committed: dict[str, datetime] = {}
    for pipeline, stream, load_id, loaded_at in loads:
        newest[pipeline, stream] = max(loaded_at, newest.get((pipeline, stream), loaded_at))
        committed[load_id] = loaded_at
    try:
        standing = standing_failures(failed_loads(open_lake(settings)), newest, committed)
    except DuckliftError as err:
        note(f"Failed tries are not shown, since the lake cannot be read: {err}")
        return []
    return [
        {
            "table": load.table,
            "pipeline": load.pipeline,
            "stream": load.stream,
            "load_id": load.load_id,
            "step": load.last.step,
            "failed_at": load.last.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tries": len(load.tries),
            "error": load.last.message,
            "error_type": load.last.error,
            "retryable": load.last.retryable,
        }
        for load in standing
    ]


def print_failing(screen: Screen, failing: Sequence[Mapping[str, Any]]) -> None:
    """Print the failures, their messages whole: they say what to do."""
    for each in failing[:_SHOWN]:
        tries = "1 try" if each["tries"] == 1 else f"{each['tries']} tries"
        say(
            screen,
            f"failing    {each['table']}  {each['stream']}: {each['step']} of {each['load_id']}, {tries}, last {each['failed_at']}",
            "red",
        )
        say(screen, f"           {each['error']}")
    if len(failing) > _SHOWN:
        say(screen, f"           and {len(failing) - _SHOWN} more; see them with: ducklift status --json")

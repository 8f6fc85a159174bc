"""Who is told when a run fails or is late: Airflow notifiers, named by import path in one setting.

A DAG's `notify=` or the environment's `DUCKLIFT_NOTIFY` names them: one import path, or a JSON object of import paths, each with the
arguments of its notifier. A notifier is imported when there is something to tell; that it can be found is looked at when the DAG is
parsed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ducklift.errors import ConfigurationError
from ducklift.settings import Settings

VARIABLE = "DUCKLIFT_NOTIFY"
Notify = str | Mapping[str, Mapping[str, Any]]
Arguments = dict[str, Any]


def alerting(notify: Notify | None, deadline: timedelta | None, settings: Settings) -> dict[str, Any]:
    """Return the arguments of a DAG that tells of its failed runs, and of runs not done `deadline` after they were queued.

    Raises `ConfigurationError` when a notifier is not to be found.
    """
    told = notifiers(notify if notify is not None else settings.environment.get(VARIABLE, ""))
    arguments: dict[str, Any] = {}
    if told:
        arguments["on_failure_callback"] = [FailureNotice(path, kwargs) for path, kwargs in told.items()]
    if deadline is not None:
        arguments["deadline"] = _deadline(deadline, told)
    return arguments


def notifiers(notify: Notify) -> dict[str, Arguments]:
    """Return the notifiers by import path, with their arguments; raises `ConfigurationError` when one is not to be found."""
    if isinstance(notify, str):
        text = notify.strip()
        notify = _parsed(text) if text.startswith("{") else {text: {}} if text else {}
    for path in notify:
        module, _, name = path.rpartition(".")
        if not module or not name.isidentifier() or not _is_there(module):
            raise ConfigurationError(
                f"The notifier {path!r} ({VARIABLE}, or notify= of the DAG) is not to be found. Write the import path of a notifier class, "
                "such as ducklift.orchestration.webhook.WebhookNotifier, and install the provider that it comes with."
            )
    return {path: dict(kwargs) for path, kwargs in notify.items()}


def _parsed(text: str) -> dict[str, Arguments]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or any(not isinstance(kwargs, dict) for kwargs in found.values()):
        # Not shown: its arguments may hold what nobody should read in a log.
        raise ConfigurationError(
            f'{VARIABLE} is no JSON object of notifiers. Write {{"import.path.of.Notifier": {{"argument": "value"}}}}.'
        )
    return found


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


class FailureNotice:
    """Calls one notifier about a failed run; every notifier of a DAG gets its own, so that one that fails keeps no other from its turn."""

    def __init__(self, path: str, kwargs: Arguments) -> None:
        self.path, self.kwargs = path, kwargs
        self.__name__ = f"notify by {path}"

    def __call__(self, context: Any) -> None:
        """Tell of the run in `context`."""
        _made(self.path, self.kwargs)(context)


def _made(path: str, kwargs: Mapping[str, Any]) -> Callable[[Any], None]:
    module, _, name = path.rpartition(".")
    made: Callable[[Any], None] = getattr(import_module(module), name)(**kwargs)
    return made


def _deadline(within: timedelta, told: Mapping[str, Arguments]) -> Any:
    from airflow.sdk.definitions.callback import AsyncCallback
    from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

    # From the queue on: a run that was started by hand or by an event has no logical date.
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=within,
        callback=AsyncCallback(deadline_missed, kwargs={"notify": dict(told), "within_s": within.total_seconds()}),
    )


async def deadline_missed(notify: Mapping[str, Arguments], within_s: float, context: Mapping[str, Any] | None = None) -> str:
    """Tell each notifier that a run is late; runs in the triggerer. Raises an `ExceptionGroup` of those that could not be told.

    Airflow writes the result into a text column as it is: anything but a text would end the triggerer.
    """
    told = {**(context or {}), "reason": f"The run was not done {timedelta(seconds=within_s)} after it was queued."}
    outcomes = await asyncio.gather(
        *(asyncio.to_thread(_tell, path, kwargs, told) for path, kwargs in notify.items()), return_exceptions=True
    )
    raise_together(outcomes)
    return ", ".join(notify)


def _tell(path: str, kwargs: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    _made(path, kwargs)(dict(context))


def raise_together(outcomes: Iterable[BaseException | None]) -> None:
    """Raise what went wrong, all of it, once everybody had a turn."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failed:
        raise ExceptionGroup("Some notifiers could not be told.", failed)

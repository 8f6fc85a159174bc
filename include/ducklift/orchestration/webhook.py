"""A notifier for whatever takes JSON over HTTP: a chat's incoming webhook, an incident tool, a service of your own."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import BaseNotifier

from ducklift.errors import ConfigurationError, SourceUnavailable

TIMEOUT_S = 10.0
CONNECTION = "ducklift_webhook"
LONGEST_REASON = 2000


class _AsAddressed(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for the failure that it is: what follows is a GET without the message, and with the token, elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


class WebhookNotifier(BaseNotifier):
    """Posts what happened to a run: `text` in words, as chats show it, and the same facts by name.

    The address stands in an Airflow connection, since it is a secret for many services: `host` (with `schema` and `port`, or the whole
    URL), and in `password` what goes into the header `Authorization: Bearer`.
    """

    def __init__(self, conn_id: str = CONNECTION) -> None:
        super().__init__()
        self.conn_id = conn_id

    def notify(self, context: Any) -> None:
        """Post, and raise when the answer is not a success."""
        url, token = self._address()
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        request = urllib.request.Request(url, json.dumps(facts_of(context)).encode(), headers, method="POST")  # noqa: S310 - checked below
        try:
            urllib.request.build_opener(_AsAddressed).open(request, timeout=TIMEOUT_S).close()
        except (OSError, HTTPException, ValueError) as err:
            # Not its URL, which may be the secret, and not what an error other than the network's shows of URL and token.
            told = err if isinstance(err, OSError) else f"{type(err).__name__}: look at its host, port and password"
            raise SourceUnavailable(f"The webhook of connection {self.conn_id!r} did not take the message: {told}") from None

    def _address(self) -> tuple[str, str | None]:
        from airflow.sdk import BaseHook

        found = BaseHook.get_connection(self.conn_id)
        host = found.host or ""
        port = f":{found.port}" if found.port else ""
        url = host if "://" in host else f"{found.schema or 'https'}://{host}{port}"
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigurationError(f"Connection {self.conn_id!r} names no http(s) address: put the webhook's URL into its host.")
        return url, found.password


def facts_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to tell of a run, from a task runner's context or the small one that comes with a missed deadline."""
    run, task_instance = context.get("dag_run"), context.get("ti")
    given = run.get if isinstance(run, Mapping) else lambda name, default=None: getattr(run, name, default)
    dag_id = given("dag_id") or getattr(context.get("dag"), "dag_id", None)
    run_id = given("dag_run_id") or given("run_id") or context.get("run_id")
    reason = str(context.get("reason") or "failed")[:LONGEST_REASON]
    facts = {
        "dag_id": dag_id,
        "run_id": run_id,
        "partition_key": given("partition_key"),
        "reason": reason,
        "last_task": getattr(task_instance, "task_id", None),
        "url": getattr(task_instance, "log_url", None),
    }
    return {"text": f"Ducklift: run {run_id} of DAG {dag_id}: {reason}", **{name: value for name, value in facts.items() if value}}

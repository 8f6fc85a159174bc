"""The few questions that are put to a standing Airflow over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 60.0  # a busy machine keeps a scheduler, a web server and ten tasks waiting for each other
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


@dataclass(frozen=True)
class AirflowApi:
    """A standing Airflow's REST API; `token` is needed for all but its health."""

    url: str
    token: str | None = None

    def unhealthy(self) -> list[str]:
        """Return the components that do not say they are healthy; all of them while nobody answers."""
        try:
            answer = self.get("/api/v2/monitor/health")
        except (OSError, ValueError):
            return ["api_server"]
        return [name for name in COMPONENTS if (answer.get(name) or {}).get("status") != "healthy"]

    def logged_in(self, user: str, password: str) -> AirflowApi:
        """Return this API with a token of the given user."""
        answer = self._call("POST", "/auth/token", {"username": user, "password": password})
        return AirflowApi(self.url, answer["access_token"])

    def get(self, path: str) -> Any:
        """Return the parsed answer; raises `OSError` when there is none or it is an error status."""
        return self._call("GET", path, None)

    def post(self, path: str, content: object) -> Any:
        """Send JSON and return the parsed answer."""
        return self._call("POST", path, content)

    def _call(self, method: str, path: str, content: object) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 - our own http URL
        # A proxy of the user's would not find this machine's loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)

"""The hook behind connections of type `reddit`: it tests them, and lends the client that the extraction uses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from ducklift.errors import DuckliftError
from ducklift.orchestration.connections import airflow_connection, airflow_settings

if TYPE_CHECKING:
    from ducklift.sources.reddit_client import RedditClient
    from ducklift.sources.reddit_credentials import RedditCredentials

_OTHER_KEYS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET", "praw_client_id", "praw_client_secret")


class RedditHook(BaseHook):
    """Reads Reddit with the client id and secret of a connection. Its form is described in `ducklift.orchestration.provider`."""

    conn_name_attr = "reddit_conn_id"
    default_conn_name = "reddit_default"
    conn_type = "reddit"
    hook_name = "Reddit"

    def __init__(self, reddit_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.reddit_conn_id = reddit_conn_id

    def credentials(self) -> RedditCredentials:
        """Return this connection's credentials, never those of the environment.

        Raises `CredentialsMissing` or `ConfigurationError` when the connection does not hold usable ones.
        """
        from ducklift.sources.reddit_credentials import find_credentials

        settings = airflow_settings()
        environment = {name: value for name, value in settings.environment.items() if name not in _OTHER_KEYS}
        return find_credentials(replace(settings, environment=environment, connections=lambda _: airflow_connection(self.reddit_conn_id)))

    def get_conn(self) -> RedditClient:
        """Return a client with the patience of the extraction; close it, or use it as a context manager."""
        from ducklift.sources.reddit_client import Patience, RedditClient

        return RedditClient(self.credentials(), Patience(), lambda: None)

    def test_connection(self) -> tuple[bool, str]:
        """Ask Reddit for a token and one empty page with it; return whether it worked, and what to tell."""
        from ducklift.sources.reddit_client import Patience, RedditClient

        try:
            with RedditClient(self.credentials(), Patience(attempts=1, timeout_s=10), lambda: None) as client:
                client.page(f"Connection {self.reddit_conn_id!r}", "api/info", {"id": "t3_1", "raw_json": 1})
        except DuckliftError as err:
            return False, str(err)
        return True, "Reddit gave a token and answered a request with it."

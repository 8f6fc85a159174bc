"""PRAW's HTTP seam: one request, one outcome. Imported by `reddit_client` when it connects, for it imports `requests`.

prawcore repeats some failures by itself, with waits that nobody can count, raises `ValueError` or `KeyError` on headers it does not expect,
and keeps the request (with its keys) in its exceptions. A requestor of our own sees every answer first: failures leave it as errors that
prawcore does not know and so lets pass, and rate-limit headers reach prawcore's pacing as the whole numbers it needs.
"""

from __future__ import annotations

import logging
from typing import Any

import requests
from prawcore import Requestor
from prawcore.const import ACCESS_TOKEN_PATH
from urllib3.exceptions import HTTPError

from ducklift.sources.reddit_answers import ErrorAnswer, Fault, plain_reason, quota_of, wait_asked_for_s
from ducklift.sources.reddit_credentials import is_loopback

log = logging.getLogger("ducklift.sources.reddit")

_QUOTA_HEADERS = ("x-ratelimit-remaining", "x-ratelimit-used", "x-ratelimit-reset")


class OneAttemptRequestor(Requestor):
    """Sends each request once; raises `Fault` when no answer came and `ErrorAnswer` when it is not a 200."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if is_loopback(self.oauth_url):
            # A proxy set in the environment cannot reach this machine's own loopback.
            self._http.trust_env = False

    def request(self, *args: Any, timeout: float | None = None, **options: Any) -> requests.Response:
        """Send one request, given as method and URL, and return its answer, a 200."""
        del timeout  # prawcore's own; ours came with the settings
        method, url = args
        try:
            response = self._http.request(method, url, **(options | {"allow_redirects": False, "timeout": self.timeout}))
        except (OSError, HTTPError) as err:
            what = "no answer in time" if isinstance(err, requests.Timeout) else f"the connection failed ({type(err).__name__})"
            # Not chained: the error holds the request, and the request holds the keys.
            raise Fault("unavailable", what) from None
        from_token_endpoint = url.endswith(ACCESS_TOKEN_PATH)
        if from_token_endpoint:
            # prawcore asks with "Connection: close", which urllib3 does not note: it would use the closed connection again.
            self._http.close()
        if response.status_code != requests.codes["ok"]:
            reason, wait_s = plain_reason(_document(response)), wait_asked_for_s(response.headers)
            raise ErrorAnswer(response.status_code, reason, wait_s, from_token_endpoint=from_token_endpoint)
        _make_quota_headers_sound(response)
        return response


def _document(response: requests.Response) -> object:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _make_quota_headers_sound(response: requests.Response) -> None:
    quota = quota_of(response.headers)
    if quota is None:
        for name in _QUOTA_HEADERS:
            response.headers.pop(name, None)
        return
    if quota.remaining == 0:
        log.warning("Reddit's quota of requests is used up; the next one waits for %s s", quota.reset_s)
    values = (quota.remaining, quota.used, quota.reset_s)
    response.headers.update({name: str(value) for name, value in zip(_QUOTA_HEADERS, values, strict=True)})

"""The sandbox: a local S3 endpoint, taxi trips in a bucket of it, and a local Reddit API, so that all runs without an account or a key.

    with Sandbox(root) as sandbox:
        os.environ.update(sandbox.environment)

Everything it keeps lies in `root`: the buckets (`s3/`), its clock (`clock.json`), its own random keys (`keys.json`), rclone's log.
Both servers listen on 127.0.0.1 alone and end with this process.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from ducklift import __version__
from ducklift.errors import SandboxUnavailable
from ducklift.sandbox import samples
from ducklift.sandbox.clock import SandboxClock
from ducklift.sandbox.communities import COMMUNITIES
from ducklift.sandbox.faults import Fault
from ducklift.sandbox.keys import load_or_make_keys
from ducklift.sandbox.reddit_api import RedditApi, RedditOptions
from ducklift.sandbox.reddit_server import RedditServer
from ducklift.sandbox.s3 import HOST, S3Server
from ducklift.sandbox.submissions import utc_text
from ducklift.sandbox.trips import BUCKET, PREFIX, TripFeed

__all__ = ["Fault", "RedditOptions", "Sandbox"]

LAKE_URL = "s3://ducklift-sandbox"
TRIPS_URL = f"s3://{BUCKET}/{PREFIX}"
SAMPLES_URL = f"s3://{samples.BUCKET}/{samples.PREFIX}"
REGION = "us-east-1"
# Variables that would send a client elsewhere, or make it sign with somebody's real session, next to the sandbox's own.
AWS_OVERRIDES = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ENDPOINT_URL_S3")
PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


class Sandbox:
    """Both stand-ins together. Starts as a context manager or by `start` and `stop`.

    `advance` moves the clock on at a start (not at the very first one in a new `root`); with `speed` above 0, virtual time also
    flows that many times as fast as real time. With `trips`, files of taxi trips follow it (`ducklift.sandbox.trips`; half a second at the
    first start). A port of 0 takes a free one. Raises `SandboxUnavailable` when a server cannot start.
    """

    def __init__(
        self,
        root: Path,
        *,
        s3_port: int = 0,
        reddit_port: int = 0,
        advance: timedelta = timedelta(0),
        speed: float = 0.0,
        trips: bool = False,
        options: RedditOptions = RedditOptions(),  # noqa: B008 - frozen
    ) -> None:
        self.root, self._trips = root, trips
        self._ports = (s3_port, reddit_port)
        self._advance, self._speed, self._options = advance, speed, options
        self._running: _Running | None = None

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start both servers; return once they answer."""
        if self._running is not None:
            raise SandboxUnavailable(f"The sandbox in {self.root} is running already.")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._running = _Running(self.root, self._ports, self._advance, self._speed, self._options, self._trips)
        except OSError as err:
            raise SandboxUnavailable(
                f"The sandbox cannot use the folder {self.root} ({err.strerror or err}). Give it one that it can write to."
            ) from err

    def stop(self) -> None:
        """End both servers and keep the clock; does nothing when they are not running, or in a forked child."""
        running = self._running
        if running is None or running.pid != os.getpid():
            return
        self._running = None
        running.stop()

    def advance(self, by: timedelta) -> None:
        """Move the clock on, up to the real time, and bring out what it makes due."""
        self._started.clock.advance(by)

    def catch_up(self) -> None:
        """Bring out what a flowing clock has made due since it was last asked: the files of taxi trips."""
        self._started.feed.publish()

    @property
    def reddit(self) -> RedditApi:
        """Return the Reddit API: `script` faults for it, `advance` its clock, read the `requests` it served."""
        return self._started.api

    @property
    def s3_url(self) -> str:
        """Return the S3 endpoint's URL."""
        return self._started.s3.url

    @property
    def reddit_url(self) -> str:
        """Return the Reddit API's URL."""
        return self._started.server.url

    @property
    def s3_folder(self) -> Path:
        """Return the folder that holds the buckets, one folder each."""
        return self.root / "s3"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables to export.

        PRAW itself reads `praw_client_id` and the like from the environment, but neither URL: whoever makes a `praw.Reddit` passes
        `praw_reddit_url` and `praw_oauth_url` on as its settings `reddit_url` and `oauth_url`.
        """
        keys = self._started.keys
        return {
            "DUCKLIFT_LAKE_URL": LAKE_URL,
            "AWS_ENDPOINT_URL": self.s3_url,
            "AWS_ACCESS_KEY_ID": keys.s3_access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.s3_secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "REDDIT_CLIENT_ID": keys.reddit_client_id,
            "REDDIT_CLIENT_SECRET": keys.reddit_client_secret,
            "REDDIT_USER_AGENT": f"{sys.platform}:ducklift-sandbox:v{__version__} (by /u/ducklift_sandbox)",
            "praw_reddit_url": self.reddit_url,
            "praw_oauth_url": self.reddit_url,
            **_neutralised(os.environ, self.s3_url),
        }

    def describe(self) -> str:
        """Return what runs where and what to export, as text for people."""
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.environment.items())
        names = ", ".join(community.name for community in COMMUNITIES)
        return (
            "This is the Ducklift sandbox: local stand-ins, not AWS and not Reddit. Every post in it is invented.\n\n"
            f"  S3 endpoint   {self.s3_url}   (objects are files in {self.s3_folder})\n"
            f"  Reddit API    {self.reddit_url}   (r/ {names})\n"
            f"  Taxi trips    {TRIPS_URL if self._trips else 'none'}   (a month, and a file for each day that the clock finishes)\n"
            f"  Sample files  {SAMPLES_URL}   (prices, for DAG bucket_file)\n"
            f"  Its clock     {utc_text(self._started.clock.now().timestamp())}; move it on with\n"
            f"                curl -H 'Content-Type: application/json' -d '{{\"hours\": 24}}' {self.reddit_url}/sandbox/advance\n\n"
            f"To use it from another shell:\n\n{exports}\n"
        )

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise SandboxUnavailable(f"The sandbox in {self.root} is not running. Call start(), or use it in a with statement.")
        return self._running


class _Running:
    """What exists from start to stop."""

    def __init__(self, root: Path, ports: tuple[int, int], advance: timedelta, speed: float, options: RedditOptions, trips: bool) -> None:
        self.pid = os.getpid()
        self.keys = load_or_make_keys(root / "keys.json")
        self.clock = SandboxClock(root / "clock.json", advance=advance, speed=speed)
        self.feed = TripFeed(root / "s3", self.clock)
        samples.put_samples(root / "s3")
        if trips:
            self.feed.publish()
            self.clock.after_advance = self.feed.publish
        self.api = RedditApi(self.clock, self.keys, options)
        self.s3 = S3Server(root / "s3", root / "s3.log", self.keys.s3_access_key_id, self.keys.s3_secret_access_key, ports[0])
        self.server = RedditServer(self.api, ports[1])
        try:
            self.s3.start()
        except BaseException:
            self.server.server_close()
            self.s3.stop()
            raise
        self.server.start()

    def stop(self) -> None:
        try:
            self.server.stop()
            self.clock.save()
        finally:
            self.s3.stop()


def _neutralised(environment: Mapping[str, str], s3_url: str) -> dict[str, str]:
    """Return overrides for what the caller's environment holds that would lead a client past the sandbox."""
    overrides = {name: s3_url if name == "AWS_ENDPOINT_URL_S3" else "" for name in AWS_OVERRIDES if environment.get(name)}
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if any(environment.get(name) for name in PROXY_VARIABLES) and HOST not in exempt.split(","):
        overrides |= dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, (exempt, HOST))))
    return overrides

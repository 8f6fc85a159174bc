"""Sandboxes to test, shared or of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import praw
import pytest
from sandbox_clients import reddit_client

from ducklift.sandbox import RedditOptions, Sandbox


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without a quota, for tests that neither move its clock nor script faults."""
    with Sandbox(tmp_path_factory.mktemp("shared"), options=RedditOptions(requests_per_minute=None, synthetic_posts=1_234)) as running:
        yield running


@pytest.fixture(scope="session")
def reddit(shared: Sandbox) -> praw.Reddit:
    return reddit_client(shared)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes of the test's own, in one folder unless told otherwise; they are stopped afterwards."""
    started: list[Sandbox] = []

    def starting(root: Path | None = None, **settings: Any) -> Sandbox:
        settings.setdefault("options", RedditOptions(requests_per_minute=None))
        sandbox = Sandbox(root or tmp_path / "sandbox", **settings)
        sandbox.start()
        started.append(sandbox)
        return sandbox

    yield starting
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def http(shared: Sandbox) -> Iterator[httpx.Client]:
    """A bare HTTP client of the shared sandbox, without a token."""
    with httpx.Client(base_url=shared.reddit_url, trust_env=False) as client:
        yield client

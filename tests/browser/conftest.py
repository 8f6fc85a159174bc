"""A real browser, kept off every network but loopback, and the page served to it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from npm_packages import installed

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from serving import served
from visitors import anybody

from ducklift.web.app import create_app

AXE_LOCK = Path(__file__).with_name("axe")
# As root, Chromium has no sandbox; the rest keeps it from asking its maker for anything.
FLAGS = [
    *(
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--disable-quic",
    ),
    *("--disable-default-apps", "--disable-gpu", "--disable-dev-shm-usage"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; for one module only, since Playwright keeps an event loop running on this thread while it lives."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, from npm."""
    return installed(AXE_LOCK, "axe-core/axe.min.js").read_text("utf-8")


@dataclass
class Watched:
    """A page, and everything in it that no page of ours may do."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors on the console, uncaught errors, dialogs and refusals of the policy."""
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Return what opens a page in a context of its own; the test fails when the page did what it may not."""
    contexts: list[BrowserContext] = []
    pages: list[Watched] = []

    def opened(**options: Any) -> Watched:
        context = chromium.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.watch()
        pages.append(watched)
        return watched

    yield opened
    for context in contexts:
        context.close()
    assert [wrong for watched in pages for wrong in watched.wrong] == []


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Return what serves the page of a reader, and gives its address."""
    with ExitStack() as stack:

        def start(reader: Any, *, authorize: Any = anybody, **options: Any) -> str:
            return stack.enter_context(served(create_app(authorize, lambda: reader, **options)))

        yield start

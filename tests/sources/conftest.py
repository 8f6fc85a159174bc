"""Reading from the sandbox's Reddit over real HTTP, with waits noted instead of waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rest_reader import RestReader
from scripted_api import ScriptedApi, scripted_api

from ducklift.sandbox import Fault, Sandbox
from ducklift.settings import Connection, Settings, load_settings
from ducklift.sources.base import ReadReport, Record, SliceRequest
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_client import Patience
from ducklift.sources.rest_api import RestApiSource

pytest.register_assert_rewrite("source_contract")

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Reader:
    """Reads one stream of a sandbox and remembers what the source told and how it waited."""

    sandbox: Sandbox
    project: Path
    waits_s: list[float]
    patience: Patience
    report: ReadReport = field(default_factory=ReadReport)
    environment: Mapping[str, str] = field(default_factory=dict)
    connection: Connection | None = None
    batches: list[list[Record]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        environment = {**self.sandbox.environment, **self.environment}
        return load_settings(environment, self.project).with_connections(lambda _name: self.connection)

    def __call__(
        self, stream: str = "python/new", *, watermark: float | None = None, cursor_from: Any = None, **config: Any
    ) -> list[Record]:
        name, _, listing = stream.rpartition("/")
        source = RedditSource(subreddits=(name,), listing=listing, **config)
        self.report = ReadReport()
        self.batches = []
        request = SliceRequest(stream, NOW, NOW, watermark, watermark if cursor_from is None else cursor_from)
        for batch in source.read(request, self.settings, self.report):
            self.batches.append(batch)
        return [record for batch in self.batches for record in batch]

    def script(self, *faults: Fault) -> None:
        self.sandbox.reddit.script(faults)

    def asked(self, during: Callable[[], object]) -> Sequence[Any]:
        """Return the requests that the sandbox served while `during` ran."""
        before = len(self.sandbox.reddit.requests)
        during()
        return self.sandbox.reddit.requests[before:]


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
def read(sandbox: Sandbox, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    waits_s: list[float] = []
    patient = replace(patience, sleep=waits_s.append)
    monkeypatch.setattr(RedditSource, "patience", patient)
    yield Reader(sandbox, tmp_path, waits_s, patient)
    sandbox.reddit.script([])


@pytest.fixture
def capped(tmp_path: Path, read: Reader, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader of a sandbox that shows only the first 200 posts of a listing."""
    from ducklift.sandbox import RedditOptions

    monkeypatch.setattr(RedditSource, "listing_cap", 200)
    with Sandbox(tmp_path / "capped", options=RedditOptions(listing_cap=200)) as sandbox:
        yield replace(read, sandbox=sandbox)


@pytest.fixture(scope="session")
def served_api() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        yield api


@pytest.fixture
def api(served_api: ScriptedApi) -> Iterator[ScriptedApi]:
    """An API on loopback without anything on it yet."""
    served_api.reset()
    yield served_api
    served_api.reset()


@pytest.fixture
def rest(api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestReader:
    """Read from the scripted API, with waits noted instead of waited."""
    waits_s: list[float] = []
    monkeypatch.setattr(RestApiSource, "patience", replace(RestApiSource.patience, sleep=waits_s.append))
    return RestReader(api, tmp_path, waits_s)

"""Reads a REST source from the scripted API, as a pipeline would ask it to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripted_api import ScriptedApi

from ducklift.settings import Connection, load_settings
from ducklift.sources.base import ReadReport, Record, SliceRequest
from ducklift.sources.rest_api import RestApiSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class RestReader:
    """Reads one stream and remembers what the source told."""

    api: ScriptedApi
    project: Path
    waits_s: list[float]
    environment: Mapping[str, str] = field(default_factory=dict)
    connection: Connection | None = None
    report: ReadReport = field(default_factory=ReadReport)
    told_secrets: list[str] = field(default_factory=list)

    def source(self, *resources: Any, defaults: Any = None, **client: Any) -> RestApiSource:
        extra = {"resource_defaults": defaults} if defaults else {}
        return RestApiSource.model_validate({"client": {"base_url": self.api.url, **client}, "resources": list(resources), **extra})

    def __call__(
        self,
        *resources: Any,
        stream: str | None = None,
        start: Any = None,
        end: Any = None,
        cursor: str | None = "seen",
        window: bool = False,
        **config: Any,
    ) -> list[Record]:
        from dataclasses import replace

        source = self.source(*resources, **config)
        settings = load_settings(dict(self.environment), self.project).with_connections(lambda _name: self.connection)
        settings = replace(settings, on_secret=self.told_secrets.append)
        self.report = ReadReport()
        name = stream or source.streams()[-1]
        request = SliceRequest(name, NOW, NOW, start, start, end, cursor=cursor, window=window)
        return [record for batch in source.read(request, settings, self.report) for record in batch]

    @property
    def queries(self) -> list[dict[str, str]]:
        """Return the queries that the API was asked with."""
        return [dict(asked.query) for asked in self.api.asked]

    @property
    def paths(self) -> list[str]:
        """Return the paths that the API was asked for."""
        return [asked.path for asked in self.api.asked]

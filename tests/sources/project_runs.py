"""A project folder in which pipelines are run from their YAML, and its warehouse asked."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.settings import Connection, Settings, load_settings
from ducklift.summary import RunSummary


@dataclass(frozen=True)
class Project:
    """A project with its own lake and warehouse."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, Connection] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return load_settings(dict(self.environment), self.folder).with_connections(self.connections.get)

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def pipeline(self, name: str, text: str) -> None:
        self.write(f"include/pipelines/{name}.yaml", f"name: {name}\n{textwrap.dedent(text)}")

    def run(self, name: str, run: Run | None = None, *overrides: str) -> RunSummary:
        return run_pipeline(load_pipeline(name, self.settings, overrides), run or Run.now(), self.settings)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / ".ducklift" / "warehouse.duckdb"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
            return connection.execute(sql).fetchall()

    def columns(self, table: str) -> dict[str, str]:
        dataset, _, name = table.partition(".")
        rows = self.query(f"SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = '{dataset}' AND table_name = '{name}'")
        return {column: type_ for column, type_ in rows if column not in ("_load_id", "_loaded_at", "_extracted_at", "_source_file")}

    def raw(self) -> list[str]:
        lake = self.folder / ".ducklift" / "lake" / "raw"
        return sorted(path.name for path in lake.rglob("*") if path.is_file() and path.parent.name != "_loads")

    def manifests(self) -> list[dict[str, Any]]:
        found = sorted((self.folder / ".ducklift" / "lake").rglob("_loads/*.json"))
        return [json.loads(path.read_text()) for path in found]


def succeeded(summary: RunSummary) -> RunSummary:
    assert [load.error for load in summary.loads if load.error] == []
    return summary

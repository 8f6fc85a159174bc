"""One installation of Ducklift in a folder of its own: settings, pipelines over given records, and its whole state in comparable form."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from listed_source import ListedSource

from ducklift.lake.filesystem import open_lake
from ducklift.lake.layout import commit_prefix, manifest_key, snapshot_key
from ducklift.lake.store import Store
from ducklift.pipeline import Pipeline, Run, extract, load, load_id_for, upload
from ducklift.settings import Settings, load_settings
from ducklift.sources.registry import SOURCE_TYPES
from ducklift.specs import TableName
from ducklift.summary import LoadSummary

Record = dict[str, Any]

CLOCK = ("loaded_at", "extracted_at", "seconds")

DAY = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = "birds"
TABLE = TableName(dataset="nature", table="sightings")
COLUMNS: tuple[dict[str, Any], ...] = (
    {"name": "id", "type": "varchar"},
    {"name": "seen_at", "from": "seen", "type": "timestamptz"},
    {"name": "bird", "type": "varchar"},
    {"name": "count", "type": "bigint"},
)
MERGED: dict[str, Any] = {
    "table": str(TABLE),
    "disposition": "merge",
    "primary_key": ["id"],
    "incremental": {"cursor": "seen", "overlap": "1h"},
    "columns": COLUMNS,
    "record_column": "raw",
}
APPENDED: dict[str, Any] = {**MERGED, "disposition": "append", "primary_key": []}


def sighting(number: int, **fields: Any) -> Record:
    """Return one well-formed record; `seen` is in seconds and grows with the number."""
    return {"id": f"s{number:04d}", "seen": 1_767_225_600 + 60 * number, "bird": "wren", "count": number, **fields}


def sightings(*numbers: int, **fields: Any) -> list[Record]:
    """Return well-formed records of these numbers, all with these fields."""
    return [sighting(number, **fields) for number in numbers]


def slice_run(day: int = 0) -> Run:
    """Return a scheduled run of one day, named by its slice as Airflow's runs are."""
    start = DAY + timedelta(days=day)
    return Run(run_id=f"scheduled-{day}", slice_start=start, slice_end=start + timedelta(days=1), by_slice=True)


@dataclass(frozen=True)
class Installation:
    """A project folder, a lake and a warehouse."""

    project: Path
    lake_url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        lake = self.lake_url or (self.project / "lake").as_uri()
        return load_settings(environment={**self.environment, "DUCKLIFT_LAKE_URL": lake}, project=self.project)

    @property
    def lake(self) -> Store:
        return open_lake(self.settings)

    @property
    def warehouse_file(self) -> Path:
        return self.project / ".ducklift" / "warehouse.duckdb"

    def pipeline(
        self, *batches: Sequence[Record], streams: Mapping[str, Any] | None = None, complete: bool = True, **spec: Any
    ) -> Pipeline:
        """Return a pipeline that merges these batches by key, with other specifications where given."""
        listing = streams if streams is not None else {STREAM: batches}
        text = json.dumps(listing)
        file = self.project / f"records-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        if not file.exists():
            own = file.with_suffix(f".{uuid.uuid4().hex}")
            own.write_text(text)
            own.replace(file)
        return Pipeline.model_validate({"name": "nature", "source": ListedSource(file=file, complete=complete), **MERGED, **spec})

    def land(self, *batches: Sequence[Record], day: int = 0, stream: str = STREAM, **spec: Any) -> LoadSummary:
        """Take these batches through all three steps as the run of one day."""
        return self.run(self.pipeline(*batches, **spec), day, stream)

    def run(self, pipeline: Pipeline, day: int = 0, stream: str = STREAM) -> LoadSummary:
        """Run the three steps for one stream."""
        return load(self.put(pipeline, day, stream), self.settings, pipeline)

    def put(self, pipeline: Pipeline, day: int = 0, stream: str = STREAM) -> str:
        """Extract and upload only; return the manifest's URL."""
        return upload(extract(pipeline, stream, slice_run(day), self.settings), self.settings)

    def manifest_key(self, day: int = 0, stream: str = STREAM) -> str:
        """Return the key of the manifest of a day's load."""
        return manifest_key(TABLE, load_id_for("nature", stream, slice_run(day)))

    def manifest(self, day: int = 0, stream: str = STREAM) -> dict[str, Any]:
        """Return a landed manifest as plain JSON."""
        return self.json(self.manifest_key(day, stream))

    def json(self, key: str) -> dict[str, Any]:
        """Return a JSON object of the lake."""
        data = self.lake.read(key)
        assert data is not None, f"{key} is not in the lake"
        found: dict[str, Any] = json.loads(data)
        return found

    def keys(self, prefix: str) -> list[str]:
        """Return the keys under a prefix of the lake."""
        return [found.key for found in self.lake.list(prefix)]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return a query's rows from the warehouse; none when it has no such table yet."""
        if not self.warehouse_file.exists():
            return []
        with duckdb.connect(str(self.warehouse_file), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
            try:
                return connection.execute(sql).fetchall()
            except duckdb.CatalogException:
                return []

    def rows(self, columns: str = "id, bird, count") -> list[tuple[Any, ...]]:
        """Return the table's rows in the order of all their columns."""
        return self.query(f"SELECT {columns} FROM {TABLE} ORDER BY ALL")

    def state(self) -> dict[str, Any]:
        """Return everything that two installations with the same history share; moments of the clock are left out."""
        published = self.lake.read(snapshot_key(TABLE))
        snapshot = json.loads(published) if published else {}
        commits = [self.json(key) for key in self.keys(commit_prefix(TABLE))]
        loads = [commit for commit in commits if commit["manifest"]]
        return {
            "rows": self.query(f"SELECT * EXCLUDE (_loaded_at, _extracted_at) FROM {TABLE} ORDER BY ALL"),
            "ledger": self.query("SELECT load_id, stream, sequence, state, manifest_sha256 IS NOT NULL, rows_extracted, rows_inserted, "
                "rows_updated, rows_unchanged, rows_deleted, rows_deduplicated, rows_quarantined, total_rows, bytes, files, watermark, gap "
                "FROM _ducklift.loads ORDER BY sequence"),
            "quarantine": self.query("SELECT load_id, source_file, line, reason, record FROM _ducklift.quarantine ORDER BY ALL"),
            "watermarks": self.query("SELECT pipeline, stream, cursor, value, load_id FROM _ducklift.watermarks ORDER BY ALL"),
            "schema": self.query('SELECT "column", change, type_after FROM _ducklift.schema_changes ORDER BY ALL'),
            "commits": [
                {**commit, **dict.fromkeys(CLOCK), "manifest": self.lake.key_of(commit["manifest"]), "manifest_sha256": None}
                for commit in loads
            ],
            "snapshot": {
                **{name: snapshot.get(name) for name in ("sequence", "rows", "watermarks")},
                "loads": [{**load, "loaded_at": None, "seconds": None} for load in snapshot.get("loads", [])],
            },
            "raw": self.keys("raw/"),
        }  # fmt: skip

    def inconsistencies(self) -> list[str]:
        """Return what is wrong: raw files that are not what manifests say, hashes that differ between lake and ledger, forgotten files."""
        found = []
        for key in (key for key in self.keys("raw/") if "/_loads/" in key):
            for file in self.json(key)["files"]:
                data = self.lake.read(file["key"])
                if data is None or hashlib.sha256(data).hexdigest() != file["sha256"]:
                    found.append(f"{file['key']} is not what its manifest says")
        hashes = dict(self.query("SELECT load_id, manifest_sha256 FROM _ducklift.loads"))
        for key in self.keys(commit_prefix(TABLE)):
            commit = self.json(key)
            if commit["manifest"] is None:
                continue
            manifest = self.lake.read(manifest_key(TABLE, commit["load_id"])) or b""
            if {commit["manifest_sha256"], hashlib.sha256(manifest).hexdigest()} != {hashes[commit["load_id"]]}:
                found.append(f"{key} has another manifest hash")
        leftovers = [path for folder in ("spool", "loading") for path in (self.project / ".ducklift" / folder).rglob("*") if path.is_file()]
        return found + [f"{path} was left behind" for path in leftovers]


@pytest.fixture(autouse=True)
def listed_source_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `type: listed` a source of pipeline files."""
    monkeypatch.setitem(SOURCE_TYPES, "listed", "listed_source:ListedSource")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation on files that nothing was loaded into yet."""
    project = tmp_path / "project"
    project.mkdir()
    return Installation(project)

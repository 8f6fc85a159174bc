"""Tables to try: one warehouse in memory, one lake in a folder, and packages made by hand or by the spool writer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ducklift.lake.filesystem import open_lake
from ducklift.lake.kinds import FieldKinds
from ducklift.lake.layout import DEFAULT_LAYOUT, manifest_key
from ducklift.lake.manifest import Manifest, RawFile, Slice, sha256_of
from ducklift.lake.privacy import Privacy
from ducklift.lake.records import LineEncoder
from ducklift.lake.spool import SpoolWriter
from ducklift.lake.spool_place import open_spool
from ducklift.lake.store import Store
from ducklift.lake.templates import FileFacts, Layout
from ducklift.settings import Settings, load_settings
from ducklift.specs import TableSpec
from ducklift.summary import LoadSummary
from ducklift.warehouse.columns import existing_columns
from ducklift.warehouse.connect import Warehouse, open_warehouse
from ducklift.warehouse.loading import load_into
from ducklift.warehouse.system import prepare_system

Record = dict[str, Any]

START = datetime(2026, 1, 1, tzinfo=UTC)
LINEAGE = "_load_id, _loaded_at, _extracted_at, _source_file"


@dataclass
class Ground:
    """Where tables are tried; each trial has a table of its own, so that one connection serves them all.

    `tells_kinds` says whether manifests tell what kinds of values there are, as those of other writers do not.
    """

    warehouse: Warehouse
    lake: Store
    settings: Settings
    numbers: Iterator[int] = field(default_factory=itertools.count)
    tells_kinds: bool = True

    def table(self, **spec: Any) -> Trial:
        """Return a table that nothing was loaded into yet."""
        name = {"dataset": "d", "table": f"t{next(self.numbers)}"}
        return Trial(self, TableSpec.model_validate({"name": name, **spec}))

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.warehouse.connection.execute(sql, parameters).fetchall()


@dataclass
class Trial:
    """One table and the loads that it got."""

    ground: Ground
    spec: TableSpec
    loads: int = 0

    def load(self, records: Sequence[Record], number: int | None = None, format: str = "jsonl", **facts: Any) -> LoadSummary:
        """Load records as the load of that number (the next one when absent), which also tells when they were extracted."""
        if format != "jsonl":
            return self.load_spooled([records], number, format, **facts)
        data = b"".join(LineEncoder().lines(records))
        fields = tuple(dict.fromkeys(name for record in records for name in record))
        kinds = FieldKinds()
        kinds.note(records)
        told = {"value_kinds": kinds.known} if self.ground.tells_kinds else {}
        return self.load_bytes(data, len(records), number, fields=fields, **told, **facts)

    def load_bytes(self, data: bytes, rows: int, number: int | None = None, longest: int | None = None, **facts: Any) -> LoadSummary:
        """Load a file of these bytes; `longest` is the bound on a record's length that its manifest tells, the true one when absent."""
        load_id = self._load_id(number)
        key = f"raw/d/{self.spec.name.table}/{load_id}.{sha256_of(data)[:12]}.{facts.get('format', 'jsonl')}"
        local = Path(self.ground.lake.path(key))
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(data)
        longest = max(map(len, data.splitlines() or [b""])) if longest is None else longest
        file = RawFile(key=key, size_bytes=len(data), sha256=sha256_of(data), rows=rows, longest_record_bytes=longest)
        return self.load_files([file] if rows else [], load_id, **facts)

    def load_spooled(self, batches: Sequence[Any], number: int | None = None, format: str = "jsonl", **facts: Any) -> LoadSummary:
        """Load what the spool writer makes of these batches of records or Arrow tables."""
        ground, load_id = self.ground, self._load_id(number)
        spool = open_spool(ground.settings)
        file_facts = FileFacts(self.spec.name, "p", "s", load_id, START, format)
        with SpoolWriter(spool, Layout(DEFAULT_LAYOUT), file_facts, Privacy(self.spec.columns, ground.settings)) as writer:
            for batch in batches:
                writer.write(batch)
            files = writer.close()
            more = {"format": format, "fields": writer.fields, "field_types": dict(writer.field_types)}
            if ground.tells_kinds:
                more["value_kinds"] = dict(writer.value_kinds)
            package = writer.finish(self._manifest(files, load_id, more))
        for file in files:
            spool.put_into(ground.lake, package, file)
        return self.load_files(files, load_id, **more, **facts)

    def load_files(self, files: Sequence[RawFile], load_id: str, spec: TableSpec | None = None, **facts: Any) -> LoadSummary:
        """Load files that lie in the lake."""
        manifest = self._manifest(files, load_id, facts)
        self.ground.lake.create(manifest_key(manifest.table, load_id), manifest.to_bytes())
        summary = load_into(self.ground.warehouse, self.ground.lake, manifest, manifest.to_bytes(), spec or self.spec)
        assert summary.state == "already_loaded" or summary.rows_extracted == summary.accounted
        return summary

    def _load_id(self, number: int | None) -> str:
        number = self.loads if number is None else number
        self.loads = max(self.loads, number) + 1
        return f"{self.spec.name.table}-{number:04d}"

    def _manifest(self, files: Sequence[RawFile], load_id: str, facts: dict[str, Any]) -> Manifest:
        moment = START + timedelta(hours=int(load_id.rpartition("-")[2]))
        given = {"format": "jsonl", "moves_watermark": True, "extracted_at": moment, **facts}
        return Manifest(
            load_id=load_id,
            pipeline="p",
            stream="s",
            spec=self.spec,
            slice=Slice(load_id=load_id, pipeline="p", stream="s", start=moment, end=moment),
            files=tuple(files),
            rows=sum(file.rows for file in files),
            size_bytes=sum(file.size_bytes for file in files),
            extractor="test",
            **given,
        )

    def rows(self, columns: str = f"* EXCLUDE ({LINEAGE})") -> list[tuple[Any, ...]]:
        """Return the table's rows in the order of all their columns."""
        return self.ground.query(f"SELECT {columns} FROM {self.spec.name} ORDER BY ALL")

    def types(self) -> dict[str, str]:
        """Return the types of the table's columns but lineage."""
        found = self.ground.query(f"DESCRIBE SELECT * EXCLUDE ({LINEAGE}) FROM {self.spec.name}")
        return {row[0]: row[1] for row in found}

    def exists(self) -> bool:
        """Return whether there is a table yet."""
        return bool(existing_columns(self.ground.warehouse, self.spec.name))

    def quarantine(self) -> list[tuple[Any, ...]]:
        """Return line, reason and record of each row in quarantine."""
        return self.system("quarantine", "line, reason, record ORDER BY load_id, source_file, line")

    def changes(self) -> list[tuple[Any, ...]]:
        """Return the schema changes but those of the first load."""
        wanted = '"column", change, type_before, type_after ORDER BY rowid'
        return self.system("schema_changes", wanted, f"AND load_id <> '{self.spec.name.table}-0000'")

    def watermark(self) -> Any:
        """Return the stream's watermark as JSON text."""
        return next(iter(self.system("watermarks", "value")), (None,))[0]

    def system(self, table: str, wanted: str, condition: str = "") -> list[tuple[Any, ...]]:
        columns, _, order = wanted.partition(" ORDER BY ")
        where = f"WHERE \"table\" = '{self.spec.name.table}' {condition}"
        return self.ground.query(f"SELECT {columns} FROM _ducklift.{table} {where} {'ORDER BY ' + order if order else ''}")


@contextmanager
def trial_ground(folder: Path) -> Iterator[Ground]:
    """A warehouse in memory, hardened as real ones are, beside a lake in `folder`."""
    environment = {"DUCKLIFT_LAKE_URL": (folder / "lake").as_uri(), "DUCKLIFT_WAREHOUSE_URL": "duckdb:///:memory:"}
    settings = load_settings(environment=environment, project=folder)
    with open_warehouse(settings) as warehouse:
        prepare_system(warehouse)
        yield Ground(warehouse, open_lake(settings), settings)

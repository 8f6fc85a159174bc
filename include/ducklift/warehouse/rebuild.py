"""A warehouse made anew from the lake alone: every table's commits are done again in their order.

It is built in a file beside the one it will be and renamed into place when it is complete, so that nothing ever sees half of one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ducklift.errors import ConfigurationError, HistoryBroken, WarehouseDiffers, WarehouseUnusable
from ducklift.failpoints import reach
from ducklift.lake.commits import CommitRecord, committed_tables, read_commits, read_snapshot, superseded_loads
from ducklift.lake.layout import commit_prefix
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.specs import TableName
from ducklift.warehouse import ledger
from ducklift.warehouse.children import family
from ducklift.warehouse.connect import Warehouse, open_file, open_warehouse
from ducklift.warehouse.content import SYSTEM, family_hash, system_hashes
from ducklift.warehouse.loading import publish_missing
from ducklift.warehouse.read_copy import check_read_copy, refresh_read_copy
from ducklift.warehouse.replay import replay
from ducklift.warehouse.staging_folder import staging_folder
from ducklift.warehouse.system import prepare_system
from ducklift.warehouse.targets import FileTarget, warehouse_target

BUILDING = ".rebuilding"


@dataclass(frozen=True)
class RebuiltTable:
    """One table of a rebuild: how many commits made it, how many of them were superseded, and what it holds."""

    table: str
    commits: int
    superseded: int
    rows: int
    content_hash: str


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild made. `pending` are manifests that were landed and never committed; `in_lake` are tables that no warehouse holds."""

    warehouse: str
    tables: Sequence[RebuiltTable]
    pending: Sequence[str] = ()
    in_lake: Sequence[str] = ()
    system: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def rebuild(lake: Store, settings: Settings, *, into: str | None = None, replacing: bool = False) -> Rebuilt:
    """Make the warehouse that the settings name, or `into`, anew from the lake and return what was made.

    Raises `ConfigurationError` when there is a warehouse that holds something and `replacing` was not asked for, and when the lake knows no
    commit; `HistoryBroken`, `CorruptObject` or `ManifestConflict` when the lake's history is damaged. The old file stands until the new
    one is complete.
    """
    target = replace(settings, warehouse_url=into, origins={**settings.origins, "warehouse_url": "--into"}) if into else settings
    histories = _histories(lake)
    if not histories:
        raise ConfigurationError(f"The lake {lake.url} knows no commit, so there is nothing to rebuild. Check DUCKLIFT_LAKE_URL.")
    place = warehouse_target(target)
    if into is None:
        check_read_copy(settings)
    if not isinstance(place, FileTarget):
        return _rebuild_in_place(lake, target, histories, publishing=into is None)
    database = place.name
    with _held(lake, target, database, replacing, histories):
        building = Path(f"{database}{BUILDING}")
        _remove(building, settings)
        with staging_folder(_folder(settings)) as staging, open_file(building, staging, settings) as warehouse:
            reach("rebuild.begun")
            made = _fill(warehouse, lake, histories, database)
            reach("rebuild.replayed")
        if into is None:
            _publish(building, lake, settings, histories)
        reach("rebuild.before_rename")
        # A log of the old file beside the new one would be played into it.
        Path(f"{database}.wal").unlink(missing_ok=True)
        building.replace(database)
        reach("rebuild.renamed")
    if into is None and settings.read_copy:
        with open_warehouse(settings) as warehouse:
            refresh_read_copy(warehouse, settings, anew=True)
    return made


def _rebuild_in_place(lake: Store, settings: Settings, histories: dict[TableName, list[CommitRecord]], *, publishing: bool) -> Rebuilt:
    """Fill an empty catalog that is no file; nothing can be renamed over one that holds something."""
    target = warehouse_target(settings)
    if target.kind == "memory":
        raise ConfigurationError("A warehouse in memory cannot be rebuilt: it ends with its process. Give a file with --into duckdb:///….")
    with open_warehouse(settings) as warehouse:
        if _holds_something(warehouse):
            raise ConfigurationError(
                f"{target.name} holds tables already, and a rebuild of a {target.kind} needs an empty one: name another database in "
                "DUCKLIFT_WAREHOUSE_URL (or another ?schema= of a DuckLake's catalog, with another ?data_path=), or drop its schemas."
            )
        made = _fill(warehouse, lake, histories, target.name)
        if publishing:
            for table, records in histories.items():
                if records[-1].target != "lake":
                    publish_missing(warehouse, lake, table, read_snapshot(lake, table))
    return made


def verify(lake: Store, settings: Settings) -> Rebuilt:
    """Rebuild beside the warehouse and compare all tables by hash, the system's too; raises `WarehouseDiffers`, naming what differs."""
    histories, name = _histories(lake), warehouse_target(settings).name
    with staging_folder(_folder(settings)) as staging:
        with open_file(staging / "verify.duckdb", staging, settings) as scratch:
            made = _fill(scratch, lake, histories, name)
        with open_warehouse(settings, read_only=True) as warehouse:
            tables = {made_table.table: made_table.content_hash for made_table in made.tables}
            found = {name: family_hash(warehouse, TableName.parse(name)) for name in tables} | system_hashes(warehouse)
            held = warehouse.rows("SELECT DISTINCT dataset || '.' || \"table\" FROM _ducklift.loads ORDER BY ALL")
    expected = tables | made.system
    differences = [f"{name} differs" for name in expected if expected[name] != found[name]]
    differences += [f"{name} has no commit in the lake" for (name,) in held if name not in tables]
    if differences:
        raise WarehouseDiffers(name, differences)
    return made


def _histories(lake: Store) -> dict[TableName, list[CommitRecord]]:
    return {table: _history(lake, table) for table in committed_tables(lake)}


def _history(lake: Store, table: TableName) -> list[CommitRecord]:
    # The snapshot first: each record was put before the snapshot that tells of it.
    published, records = read_snapshot(lake, table), read_commits(lake, table)
    if published is not None and published.sequence > len(records):
        raise HistoryBroken(str(table), lake.url_of(commit_prefix(table)), f"commit {len(records) + 1} is missing")
    return records


def _fill(warehouse: Warehouse, lake: Store, histories: dict[TableName, list[CommitRecord]], database: str) -> Rebuilt:
    prepare_system(warehouse)
    tables, in_lake = [], []
    for table, records in histories.items():
        if records[-1].target == "lake":
            in_lake.append(str(table))
            continue
        superseded = superseded_loads(records)
        replay(warehouse, lake, records, superseded)
        skipped = sum(record.load_id in superseded for record in records)
        rows = ledger.row_count(warehouse, table)
        tables.append(RebuiltTable(str(table), len(records), skipped, rows, family_hash(warehouse, table)))
    return Rebuilt(database, tables, pending_manifests(lake, histories), in_lake, system_hashes(warehouse))


def pending_manifests(lake: Store, histories: dict[TableName, list[CommitRecord]]) -> list[str]:
    """Return the URLs of manifests that landed, were never committed and are not superseded: `ducklift load` takes them."""
    settled = {}
    for table, records in histories.items():
        done = {record.load_id for record in records} | superseded_loads(records).keys()
        settled[f"raw/{table.dataset}/{table.table}/_loads"] = done
    found = []
    for item in lake.list("raw/"):
        folder, _, name = item.key.rpartition("/")
        if folder.endswith("/_loads") and name.endswith(".json") and name.removesuffix(".json") not in settled.get(folder, set()):
            found.append(lake.url_of(item.key))
    return found


def _folder(settings: Settings) -> Path:
    folder = settings.home / "loading"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove(building: Path, settings: Settings) -> None:
    """Remove what an interrupted rebuild left; raises `WarehouseBusy` when another one is at work on it."""
    if building.exists():
        with suppress(WarehouseUnusable), open_file(building, building.parent, settings, wait_s=0):
            pass
    building.unlink(missing_ok=True)
    Path(f"{building}.wal").unlink(missing_ok=True)


@contextmanager
def _held(lake: Store, settings: Settings, database: str, replacing: bool, known: Collection[TableName]) -> Iterator[None]:
    """Keep writers away from the warehouse as long as the body runs; refuse one that holds something unless it is to be replaced.

    One that holds what is not of the `known` tables is refused all the same: a rebuild would leave it out.
    """
    if not Path(database).exists():
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        yield
        return
    with ExitStack() as stack:
        try:
            warehouse = stack.enter_context(open_warehouse(settings))
        except WarehouseUnusable:
            if not replacing:
                raise
        else:
            if not replacing and _holds_something(warehouse):
                raise ConfigurationError(
                    f"{database} holds tables already; a rebuild never overwrites them unasked. Add --replace to put the rebuilt warehouse "
                    "in its place, or --into duckdb:///another/file to build beside it."
                )
            if others := _others(warehouse, known):
                raise ConfigurationError(
                    f"{database} also holds {', '.join(others)}, of which the lake {lake.url} knows nothing: they would be gone. Check "
                    "DUCKLIFT_LAKE_URL; or rebuild --into duckdb:///another/file and copy there what is to stay; or move this file away."
                )
        yield


def _others(warehouse: Warehouse, known: Collection[TableName]) -> list[str]:
    """Return the tables and views that are none of these tables, nor child tables of theirs."""
    made = {str(name) for table in known for name in (table, *(child for _, child in family(warehouse, table)))}
    relations = " UNION ALL ".join(
        f"SELECT schema_name, {kind}_name AS name FROM duckdb_{kind}s() "
        "WHERE database_name = current_database() AND NOT internal AND NOT temporary"
        for kind in ("table", "view")
    )
    found = warehouse.rows(f"SELECT schema_name || '.' || name FROM ({relations}) WHERE schema_name <> '{SYSTEM}' ORDER BY ALL")
    return [name for (name,) in found if name not in made]


def _holds_something(warehouse: Warehouse) -> bool:
    tables = warehouse.rows(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal AND NOT temporary"
    )
    if any(schema != SYSTEM for schema, _ in tables):
        return True
    return (SYSTEM, "loads") in tables and bool(warehouse.value(f"SELECT count(*) FROM {SYSTEM}.loads"))


def _publish(building: Path, lake: Store, settings: Settings, histories: dict[TableName, list[CommitRecord]]) -> None:
    """Publish the snapshots that a crash left behind their commits."""
    with staging_folder(_folder(settings)) as staging, open_file(building, staging, settings) as warehouse:
        for table, records in histories.items():
            if records[-1].target != "lake":
                publish_missing(warehouse, lake, table, read_snapshot(lake, table))

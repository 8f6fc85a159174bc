"""What an installation is like: what it would use, what it reaches, and what would go wrong before it does. Secrets are never told."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ducklift import __version__
from ducklift.errors import EXIT_DONE, EXIT_FAILED, EXIT_RETRY, EXIT_USAGE, DuckliftError, LakeRefused, Retryable, WarehouseMissing
from ducklift.errors.base import pip_install
from ducklift.settings import Settings

if TYPE_CHECKING:
    from ducklift.lake.store import Store
    from ducklift.warehouse import Warehouse
    from ducklift.warehouse.resources import Resources
    from ducklift.warehouse.targets import Target

State = Literal["ok", "note", "wait", "problem"]

PACKAGES = ("duckdb", "apache-airflow", "apache-airflow-providers-amazon", "s3fs", "praw", "pyarrow")
NETWORK_FILESYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "ceph",
    "gluster",
    "lustre",
    "9p",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "virtiofs",
    "beegfs",
)
SHUT = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}
"""What DuckDB's settings are once a connection is shut."""
# Executors that run tasks on other machines than the one that this process is on.
SPREADING_EXECUTORS = ("CeleryExecutor", "KubernetesExecutor", "EcsExecutor", "BatchExecutor", "EdgeExecutor")
SMALLEST_FREE_BYTES = 2 * 10**9
_WAIT_S = 1.0
_ROOT = Path("/")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `wait` goes away by itself, a `problem` has to be mended; `exit_code` is the error's own."""

    area: str
    state: State
    text: str
    exit_code: int = EXIT_DONE


def diagnose(settings: Settings, root: Path = _ROOT) -> Iterator[Finding]:
    """Look at everything and yield what was found, in the order of the way data take; `root` is where `/proc` is looked for."""
    areas: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("spool", lambda: _spool(settings, root)),
        ("lake", lambda: _lake(settings)),
        ("warehouse", lambda: _warehouse(settings, root)),
        ("resources", lambda: _resources(settings)),
    )
    for area, look in areas:
        try:
            yield from look()
        except DuckliftError as err:
            yield Finding(area, "wait" if isinstance(err, Retryable) else "problem", str(err), err.exit_code)


def exit_code(findings: list[Finding]) -> int:
    """Return 0 when nothing is wrong, 3 when waiting helps all that is, else the code of the first problem."""
    problems = [finding for finding in findings if finding.state == "problem"]
    if problems:
        return problems[0].exit_code or EXIT_FAILED
    return EXIT_RETRY if any(finding.state == "wait" for finding in findings) else EXIT_DONE


def versions() -> dict[str, str | None]:
    """Return what is installed; None is what is not."""
    found: dict[str, str | None] = {"ducklift": __version__, "python": platform.python_version()}
    return found | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _spool(settings: Settings, root: Path) -> Iterator[Finding]:
    if "://" in settings.spool:
        yield Finding("spool", "ok", f"{settings.spool.partition('://')[0]}:// is reached from every host")
        return
    folder = existing(settings.project / settings.spool)
    if not os.access(folder, os.W_OK):
        yield Finding("spool", "problem", f"{folder} is not writable for this user; set DUCKLIFT_SPOOL to a folder that is.", EXIT_FAILED)
        return
    shared, executor = network_filesystem(folder, root), spreading_executor(settings)
    if shared:
        yield Finding("spool", "ok", f"on shared storage ({shared})")
    elif executor:
        text = (
            f"{executor} may run the next task on another host, which does not see {settings.spool}. Set DUCKLIFT_SPOOL to shared storage."
        )
        yield Finding("spool", "problem", text, EXIT_FAILED)
    else:
        yield Finding("spool", "ok", "on this host's own disk: all tasks of a run have to run here")
    free = shutil.disk_usage(folder).free
    if free < SMALLEST_FREE_BYTES:
        yield Finding("spool", "note", f"only {free / 1e9:.1f} GB are free at {folder}")


def _lake(settings: Settings) -> Iterator[Finding]:
    from ducklift.lake.filesystem import open_lake
    from ducklift.lake.layout import LAKE_MARKER

    lake = open_lake(settings)
    connection = settings.connections("ducklift_lake")
    yield Finding("lake", "ok", f"credentials: {connection.origin if connection else 'environment or default chain'}")
    try:
        marked = lake.read(LAKE_MARKER) is not None
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
        marked = False
    if not marked:
        yield Finding("lake", "note", f"there is no lake at {lake.url} yet; the first run makes it")
        return
    probe = f"_ducklift/doctor/{uuid.uuid4().hex}"
    lake.replace(probe, b"probe")
    readable = lake.read(probe) == b"probe"
    lake.delete(probe)
    if readable:
        yield Finding("lake", "ok", "reachable, readable and writable")
    else:
        yield Finding("lake", "problem", "an object that was just put did not come back as it was", EXIT_FAILED)
    yield _conditional_puts(lake)


def _conditional_puts(lake: Store) -> Finding:
    if lake.keeps_the_first(f"_ducklift/doctor/{uuid.uuid4().hex}"):
        return Finding("lake", "ok", "create-only puts are honoured")
    text = "the store overwrites on a create-only put: two runs of one slice at the very same moment could replace each other's manifest"
    return Finding("lake", "note", text)


def _warehouse(settings: Settings, root: Path) -> Iterator[Finding]:
    from ducklift.warehouse import open_warehouse
    from ducklift.warehouse.targets import warehouse_target

    target = warehouse_target(settings)
    yield from _extensions(target)
    yield from _several_hosts(target, settings, root)
    if target.kind == "memory":
        yield Finding("warehouse", "note", "in memory: every process has its own, which is gone at its end")
        return
    try:
        with open_warehouse(settings, read_only=True, wait_s=_WAIT_S) as warehouse:
            yield Finding("warehouse", "ok", f"{target.name} opens")
            yield from _in_step(warehouse, settings)
    except WarehouseMissing:
        yield Finding("warehouse", "note", f"there is no warehouse at {target.name} yet; the first load makes it")


def _extensions(target: Target) -> Iterator[Finding]:
    from ducklift.warehouse.extensions import EXTRAS, extension_file

    for name in target.extensions():
        if extension_file(name) is None:
            text = f"DuckDB's extension {name} is not installed for this DuckDB. Install it with: {pip_install(EXTRAS[name])}"
            yield Finding("warehouse", "problem", text, EXIT_USAGE)
        else:
            yield Finding("warehouse", "ok", f"extension {name} is there")


def _several_hosts(target: Target, settings: Settings, root: Path) -> Iterator[Finding]:
    if target.many_writers:
        yield Finding("warehouse", "ok", "many writers at once, from any host")
        return
    advice = "Use md: or ducklake:postgresql://…, or let one worker alone run the tasks of the pool ducklift_warehouse."
    if executor := spreading_executor(settings):
        text = (
            f"{executor} runs tasks on several hosts, and an embedded DuckDB is for one: each host would fill a file of its own. {advice}"
        )
        yield Finding("warehouse", "problem", text, EXIT_FAILED)
    folder = target.local_folder()
    shared = network_filesystem(existing(folder), root) if folder else None
    if shared:
        text = f"{folder} is on a network filesystem ({shared}), whose locks do not keep two hosts apart. {advice}"
        yield Finding("warehouse", "problem", text, EXIT_FAILED)


def _in_step(warehouse: Warehouse, settings: Settings) -> Iterator[Finding]:
    """Tell whether the lake knows commits that this warehouse does not hold: then another host fills one of its own."""
    from ducklift.errors import WarehouseBehind
    from ducklift.lake.commits import committed_tables, read_snapshot
    from ducklift.lake.filesystem import open_lake
    from ducklift.lake.layout import order_key
    from ducklift.warehouse import ledger
    from ducklift.warehouse.system import has_system

    if not has_system(warehouse):
        yield Finding("warehouse", "note", "nothing was loaded into it by Ducklift yet")
        return
    lake, held = open_lake(settings), 0
    try:
        for table in committed_tables(lake):
            published = read_snapshot(lake, table)
            if published and lake.size(order_key(table, published.sequence)) is not None:
                continue  # it lives in the lake alone, which gives out the places of its commits
            ledger.check_in_step(warehouse, table, published)
            held += 1
    except WarehouseBehind as err:
        yield Finding("warehouse", "problem", f"{err} Does another host fill a warehouse of its own from this lake?", err.exit_code)
        return
    except LakeRefused as err:
        if err.code != "NoSuchBucket":
            raise
    yield Finding("warehouse", "ok", f"holds all that the lake knows to be committed ({held} tables)")


def _resources(settings: Settings) -> Iterator[Finding]:
    from ducklift.warehouse.resources import resources

    spill = settings.temp_directory or settings.home / "loading"
    granted = resources(settings, spill)
    yield Finding("resources", "ok", f"memory {granted.memory_limit_bytes / 2**20:,.0f} MiB ({granted.memory_origin})")
    yield Finding("resources", "ok", f"threads {granted.threads} ({granted.threads_origin})")
    origin = settings.origins["temp_directory"]
    yield Finding("resources", "ok", f"spills up to {granted.temp_limit_bytes / 1e9:,.1f} GB into {spill} ({origin})")
    if not os.access(existing(spill), os.W_OK):
        yield Finding("resources", "problem", f"{spill} is not writable for this user; set DUCKLIFT_TEMP_DIRECTORY.", EXIT_FAILED)
    yield _hardening(spill, granted)


def _hardening(spill: Path, granted: Resources) -> Finding:
    """Tell what a connection is like after it was shut, asked of one that was."""
    import duckdb

    from ducklift.warehouse.connect import harden

    with duckdb.connect() as connection:
        harden(connection, [], spill, granted)
        found = dict(connection.execute("SELECT name, value FROM duckdb_settings() WHERE list_contains(?, name)", [list(SHUT)]).fetchall())
    told = ", ".join(f"{name}={found[name]}" for name in SHUT)
    text = f"hardening: a connection reaches the load's own folder and a DuckLake's data, no other file ({told})"
    return Finding("resources", "ok", text) if found == SHUT else Finding("resources", "problem", f"not in force: {text}", EXIT_FAILED)


def spreading_executor(settings: Settings) -> str | None:
    """Return the name of the Airflow executor that runs tasks on other hosts, if the environment names one."""
    wanted = settings.environment.get("AIRFLOW__CORE__EXECUTOR", "")
    return next((name for name in SPREADING_EXECUTORS if name in wanted), None)


def network_filesystem(folder: Path, root: Path = _ROOT) -> str | None:
    """Return the type of the filesystem that a folder lies on when several hosts may mount it, else None."""
    try:
        lines = (root / "proc" / "self" / "mounts").read_text().splitlines()
    except OSError:
        return None
    mounts = [line.split()[1:3] for line in lines]
    above = [(place, kind) for place, kind in mounts if folder.resolve().is_relative_to(place.replace("\\040", " "))]
    kind = max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]
    return kind if kind.startswith(NETWORK_FILESYSTEMS) else None


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder

"""How much of this machine DuckDB may use: the container's limits where there are any, and what the settings say over them."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ducklift.errors import ConfigurationError
from ducklift.settings import Settings

# The rest is for Python, Airflow's task runner and what DuckDB allocates beside its buffers.
MEMORY_SHARE = 0.6
SMALLEST_MEMORY_BYTES = 64 * 2**20
# With less than this per thread DuckDB runs out of memory where fewer threads would have spilled.
MEMORY_PER_THREAD_BYTES = 128 * 2**20
# Filling the disk to the last byte takes the whole machine down with the load.
DISK_SHARE = 0.8

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|kb|mb|gb|tb|kib|mib|gib|tib)?", re.IGNORECASE)
_UNIT_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
# cgroup v1 writes "no limit" as the greatest multiple of a page.
_NO_LIMIT_BYTES = 2**60
_ROOT = Path("/")


@dataclass(frozen=True)
class Resources:
    """What DuckDB is given, and for each value where it comes from."""

    memory_limit_bytes: int
    memory_origin: str
    threads: int
    threads_origin: str
    temp_limit_bytes: int


def resources(settings: Settings, spill: Path, root: Path = _ROOT) -> Resources:
    """Return what DuckDB may use; `spill` is the folder it may spill into, `root` where `/proc` and `/sys` are looked for.

    Raises `ConfigurationError` when DUCKLIFT_MEMORY_LIMIT or DUCKLIFT_THREADS is not usable.
    """
    memory, memory_origin = _memory(settings, root)
    threads, threads_origin = _threads(settings, memory, root)
    free = shutil.disk_usage(_existing(spill)).free
    return Resources(memory, memory_origin, threads, threads_origin, int(free * DISK_SHARE))


def size_bytes(text: str) -> int:
    """Return '512MB', '4GiB' or a plain number as bytes; raises ValueError otherwise."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write for example 512MB or 4GiB")
    return int(float(match[1]) * _UNIT_BYTES[(match[2] or "b").lower()])


def _memory(settings: Settings, root: Path) -> tuple[int, str]:
    if settings.memory_limit:
        try:
            size = size_bytes(settings.memory_limit)
        except ValueError as err:
            raise ConfigurationError(f"DUCKLIFT_MEMORY_LIMIT: {err}.") from err
        if size < SMALLEST_MEMORY_BYTES:
            raise ConfigurationError(f"DUCKLIFT_MEMORY_LIMIT is {settings.memory_limit!r}: DuckDB needs 64MiB at the very least.")
        return size, settings.origins["memory_limit"]
    limit, installed = container_memory_bytes(root), _installed_memory_bytes(root)
    if limit is not None and limit < installed:
        return _share(limit), f"{MEMORY_SHARE:.0%} of the container's limit"
    return _share(installed), f"{MEMORY_SHARE:.0%} of this machine's memory"


def _share(size: int) -> int:
    return max(int(size * MEMORY_SHARE), SMALLEST_MEMORY_BYTES)


def _threads(settings: Settings, memory: int, root: Path) -> tuple[int, str]:
    if settings.threads:
        if not settings.threads.isdecimal() or not 1 <= int(settings.threads) <= 1024:
            raise ConfigurationError(f"DUCKLIFT_THREADS is {settings.threads!r}: write a number from 1 to 1024.")
        return int(settings.threads), settings.origins["threads"]
    found, origin = _usable_cpus(), "the processors that this process may use"
    quota = container_cpus(root)
    if quota is not None and quota < found:
        found, origin = max(1, math.ceil(quota)), "the container's processor quota"
    fed = max(1, memory // MEMORY_PER_THREAD_BYTES)
    return (fed, "the memory limit, 128 MiB for each") if fed < found else (found, origin)


def _usable_cpus() -> int:
    # macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def container_memory_bytes(root: Path = _ROOT) -> int | None:
    """Return the least memory limit of the control groups that this process is in (v2 or v1), or None without one."""
    names = ("memory.max", "memory.limit_in_bytes")
    limits = [int(text) for folder in _control_groups(root, "memory") for name in names if (text := _text(folder / name)).isdecimal()]
    return min((limit for limit in limits if limit < _NO_LIMIT_BYTES), default=None)


def container_cpus(root: Path = _ROOT) -> float | None:
    """Return the least processor quota of the control groups that this process is in, in processors, or None without one."""
    return min((quota for folder in _control_groups(root, "cpu") if (quota := _cpu_quota(folder)) is not None), default=None)


def _cpu_quota(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield this process's control groups and all above them: each of them limits it.

    Inside a container the process's own path is often not there, since the container's group is mounted as the top.
    """
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mounted / controller if controllers else mounted
        inside = Path(path.lstrip("/"))
        yield from (top / folder for folder in (inside, *inside.parents))


def _installed_memory_bytes(root: Path) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc" / "meminfo"), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder

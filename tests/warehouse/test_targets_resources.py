"""How much of the machine DuckDB is given: control groups of both kinds, settings over them, and a load that spills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ducklift.errors import ConfigurationError
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse
from ducklift.warehouse.resources import container_cpus, container_memory_bytes, resources, size_bytes

GIB = 2**30


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": "MemTotal:       8388608 kB\nMemFree: 1 kB\n", **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def granted(tmp_path: Path, root: Path, **environment: str):
    settings = load_settings({"DUCKLIFT_LAKE_URL": "file:///x", **environment}, tmp_path)
    return resources(settings, tmp_path / "not" / "there", root)


def test_without_a_container_it_is_a_share_of_the_memory(tmp_path):
    found = granted(tmp_path, machine(tmp_path / "host", {}))

    assert (found.memory_limit_bytes, found.memory_origin) == (int(8 * GIB * 0.6), "60% of this machine's memory")


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": f"{GIB}", "sys/fs/cgroup/a/b/memory.max": "max"},
        {"proc/self/cgroup": "0::/../../host/path\n", "sys/fs/cgroup/memory.max": f"{GIB}"},
        {
            "proc/self/cgroup": "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n",
            "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": f"{GIB}",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        },
    ],
)
def test_the_least_limit_of_the_control_groups_counts(tmp_path, files):
    root = machine(tmp_path / "host", files)

    assert container_memory_bytes(root) == GIB
    assert granted(tmp_path, root).memory_origin == "60% of the container's limit"


def test_no_limit_is_no_limit(tmp_path):
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/cpu.max": "max 100000"}
    root = machine(tmp_path, files)

    assert (container_memory_bytes(root), container_cpus(root)) == (None, None)


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "50000 100000"},
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/x\n",
            "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
        },
    ],
)
def test_half_a_processor_is_one_thread(tmp_path, files):
    root = machine(tmp_path / "host", files)

    assert container_cpus(root) == 0.5
    assert (granted(tmp_path, root).threads, granted(tmp_path, root).threads_origin) == (1, "the container's processor quota")


def test_little_memory_means_few_threads_unless_they_are_asked_for(tmp_path):
    root = machine(tmp_path / "host", {})

    assert granted(tmp_path, root, DUCKLIFT_MEMORY_LIMIT="128MiB").threads == 1
    assert granted(tmp_path, root, DUCKLIFT_MEMORY_LIMIT="128MiB", DUCKLIFT_THREADS="7").threads == 7


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512_000_000), ("1.5 GiB", 3 * GIB // 2), ("4gb", 4_000_000_000), ("70000000", 70_000_000)]
)
def test_sizes_are_read_in_both_kinds_of_units(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize(
    "environment",
    [{"DUCKLIFT_MEMORY_LIMIT": "much"}, {"DUCKLIFT_MEMORY_LIMIT": "1MB"}, {"DUCKLIFT_THREADS": "0"}, {"DUCKLIFT_THREADS": "two"}],
)
def test_a_setting_that_is_of_no_use_is_named(tmp_path, environment):
    with pytest.raises(ConfigurationError, match=next(iter(environment))):
        granted(tmp_path, machine(tmp_path / "host", {}), **environment)


def test_what_the_settings_say_is_what_duckdb_is_given(tmp_path):
    environment = {
        "DUCKLIFT_WAREHOUSE_URL": "duckdb:///:memory:",
        "DUCKLIFT_MEMORY_LIMIT": "256MiB",
        "DUCKLIFT_THREADS": "3",
        "DUCKLIFT_TEMP_DIRECTORY": str(tmp_path / "spill"),
    }
    with open_warehouse(load_settings(environment, tmp_path)) as warehouse:
        names = ("memory_limit", "threads", "temp_directory")
        found = [warehouse.value(f"SELECT current_setting('{name}')") for name in names]
        assert found[:2] == ["256.0 MiB", 3]
        assert Path(found[2]).parent == tmp_path / "spill"
    assert list((tmp_path / "spill").iterdir()) == []


SPILLING = """
import sys
from pathlib import Path
from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse
with open_warehouse(load_settings(project=Path(sys.argv[1]))) as warehouse:
    warehouse.connection.execute("CREATE TABLE big AS SELECT hash(i) AS a, repeat('x', 100) || i AS b FROM range(6000000) t(i)")
    warehouse.connection.execute("CREATE TEMPORARY TABLE sorted AS FROM big ORDER BY a")
    spilled = warehouse.value("SELECT sum(size) FROM duckdb_temporary_files()")
    # Not getrusage: after a fork that counts what the parent, a long test session, took before the program was replaced.
    greatest_kb = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(f"\\nspilled {spilled} {warehouse.value('SELECT count(*) FROM sorted')} {greatest_kb}")
"""


def test_a_table_larger_than_the_memory_limit_spills_instead_of_ending_the_process(tmp_path):
    environment = {"DUCKLIFT_MEMORY_LIMIT": "256MB", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SPILLING, str(tmp_path)], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    # DuckDB draws a progress bar before it, which no setting of a locked connection takes away.
    spilled, rows, greatest_kb = map(float, done.stdout.rpartition("spilled ")[2].split())
    assert rows == 6_000_000
    assert spilled > 256e6
    assert greatest_kb < 900_000

"""Run the benchmarks: `python -m benchmarks [--rows 1000000] [--repeat 3] [case …]`. Prints a table of ratios; nothing is a test here."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from benchmarks.cases import ALONE, AROUND, CASES

SIDES = ("ours", "floor")


def measured(arguments: list[str]) -> tuple[float, float]:
    """Run a process and return its CPU seconds and its peak memory in MB."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare(name: str, rows: int, repeat: int, scratch: Path) -> str:
    """Measure both sides in turn, on folders prepared alike, and return a line of medians and their ratios."""
    figures: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for _ in range(repeat):
        for side in SIDES:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            measured(["--prepare", name, "--folder", str(folder), "--rows", str(rows)])
            took = measured(["--side", side, name, "--folder", str(folder), "--rows", str(rows)])
            if (alone := folder / ALONE).exists():
                cpu, memory = map(float, alone.read_text().split())
                took = cpu, memory
            figures[side].append(took)
            shutil.rmtree(folder)
    (cpu, memory), (floor_cpu, floor_memory) = (
        tuple(statistics.median(figure[index] for figure in figures[side]) for index in (0, 1)) for side in SIDES
    )
    ratios = f"{cpu / floor_cpu:.2f} | {memory / floor_memory:.2f}"
    return f"| {name} | {rows:,} | {cpu:.2f} | {floor_cpu:.2f} | {ratios} | {memory:.0f} | {floor_memory:.0f} |"


def main() -> None:
    """Parse the command line, and measure or be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("cases", nargs="*", choices=[[], *CASES])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    # Nobody compiles a program anew at each start, and the libraries beside it are compiled in any case.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if asked.prepare or asked.side:
        prepare, ours, floor = CASES[asked.cases[0]]
        {None: prepare, "ours": ours, "floor": floor}[asked.side](asked.folder, asked.rows)
        return
    print("| case | rows | ours, CPU s | floor, CPU s | CPU ratio | memory ratio | ours, MB | floor, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="ducklift-bench-") as scratch:
        for name in asked.cases or CASES:
            with AROUND.get(name, nullcontext)(Path(scratch)):
                print(compare(name, asked.rows, asked.repeat, Path(scratch)), flush=True)


if __name__ == "__main__":
    main()

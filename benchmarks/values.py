"""Values in storage against pyarrow by itself: `python -m benchmarks.values [--megabytes 1000] [--repeat 3]`.

A DataFrame goes to a local S3 endpoint and comes back, by a manager and by hand; each side is a process of its own, and what makes the
DataFrame and imports the libraries is measured apart and taken off both. Then what a reference adds to an XCom.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ducklift.settings import Settings, load_settings

BYTES_A_ROW = 104  # of the DataFrame below, in memory
SIDES = ("nothing", "by hand", "by a manager")


def frame(megabytes: int) -> Any:
    """Return a DataFrame of this size in memory: numbers that hardly compress, and times."""
    import numpy as np
    import pandas as pd

    rows, random = megabytes * 1_000_000 // BYTES_A_ROW, np.random.default_rng(1)
    columns = {f"f{number}": random.random(rows) for number in range(8)} | {
        f"n{number}": random.integers(0, 10**9, rows) for number in range(4)
    }
    return pd.DataFrame({**columns, "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="s")})


def by_hand(settings: Settings, value: Any) -> Any:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    import s3fs

    environment = settings.environment
    # Not pyarrow's own S3 client, whose uploads without a length the local endpoint refuses.
    filesystem = s3fs.S3FileSystem(
        key=environment["AWS_ACCESS_KEY_ID"], secret=environment["AWS_SECRET_ACCESS_KEY"], endpoint_url=environment["AWS_ENDPOINT_URL"]
    )
    filesystem.makedirs("by-hand", exist_ok=True)
    pq.write_table(pa.Table.from_pandas(value), "by-hand/value.parquet", filesystem=filesystem, compression="zstd", compression_level=1)
    del value
    found: pd.DataFrame = pq.read_table("by-hand/value.parquet", filesystem=filesystem).to_pandas(split_blocks=True, self_destruct=True)
    return found


def by_a_manager(settings: Settings, value: Any) -> Any:
    import pandas as pd

    from ducklift.assets import OutputContext, Storage
    from ducklift.assets.storage import input_context

    with Storage(settings) as storage:
        storage.store(OutputContext("value", (), "run"), value)
        del value
        return storage.load(input_context("value", type=pd.DataFrame))


def side(name: str, settings: Settings, megabytes: int) -> None:
    """Run one side in this process."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401
    import s3fs  # noqa: F401

    value = frame(megabytes)
    rows = len(value)
    doing: dict[str, Callable[[Settings, Any], pd.DataFrame]] = {"by hand": by_hand, "by a manager": by_a_manager}
    if name in doing:
        assert len(doing[name](settings, value)) == rows


def measured(name: str, megabytes: int, environment: dict[str, str]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory in MB of one side."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.values", "--side", name, "--megabytes", str(megabytes)], env={**os.environ, **environment}
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def references(times: int = 300) -> None:
    """Print what storing and loading a value by reference takes, beyond writing and reading its file; one of each in turn."""
    import pandas as pd

    from ducklift.assets import FilesystemIOManager, InputContext, OutputContext
    from ducklift.assets.path_manager import open_store

    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"DUCKLIFT_PIPELINES": f"{folder}/pipelines"}, Path(folder))
        manager, value = FilesystemIOManager(open_store(settings, None), settings), pd.DataFrame({"n": range(100)})

        def plain(number: int) -> None:
            value.to_parquet(f"{folder}/{number}.parquet")
            pd.read_parquet(f"{folder}/{number}.parquet")

        def stored(number: int) -> None:
            reference = manager.store_reference(OutputContext("xcom/d/t/k", (f"r{number}",)), value)
            manager.load_value(InputContext("xcom/d/t/k", (f"r{number}",), version=reference.version), reference)

        spent: dict[Any, list[tuple[float, float]]] = {plain: [], stored: []}
        for number in range(times):
            for each, seconds in spent.items():
                wall, cpu = time.perf_counter(), time.process_time()
                each(number)
                seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    for place, what in enumerate(("wall", "CPU")):
        theirs, ours = (statistics.median(each[place] for each in seconds[1:]) * 1000 for seconds in spent.values())
        print(f"a reference adds {ours - theirs:.2f} ms ({what}) to a small DataFrame of {theirs:.2f} ms; medians of {times}")


def main() -> None:
    """Measure, or be one side."""
    parser = argparse.ArgumentParser(prog="benchmarks.values")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    asked = parser.parse_args()
    if asked.side:
        side(asked.side, load_settings(), asked.megabytes)
        return
    from ducklift.sandbox.s3 import S3Server

    references()
    with tempfile.TemporaryDirectory(prefix="ducklift-bench-") as folder:
        server = S3Server(Path(folder) / "bucket", Path(folder) / "log", "key", "secretsecret")
        server.start()
        environment = {
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secretsecret", "AWS_ENDPOINT_URL": server.url, "AWS_REGION": "us-east-1",
            "DUCKLIFT_LAKE_URL": "s3://by-manager", "DUCKLIFT_PIPELINES": f"{folder}/pipelines", "DUCKLIFT_TEMP_DIRECTORY": f"{folder}/tmp",
        }  # fmt: skip
        try:
            figures = {name: [measured(name, asked.megabytes, environment) for _ in range(asked.repeat)] for name in SIDES}
        finally:
            server.stop()
    nothing, hand, manager = ([statistics.median(column) for column in zip(*figures[name], strict=True)] for name in SIDES)
    print("| a DataFrame to S3 and back | by hand | by a manager | ratio |\n| --- | --- | --- | --- |")
    for place, what in enumerate(("wall s", "CPU s")):
        ours, theirs = manager[place] - nothing[place], hand[place] - nothing[place]
        print(f"| {asked.megabytes} MB, {what} | {theirs:.2f} | {ours:.2f} | {ours / theirs:.2f} |")
    print(f"| {asked.megabytes} MB, peak MB | {hand[2]:.0f} | {manager[2]:.0f} | {manager[2] / hand[2]:.2f} |")


if __name__ == "__main__":
    main()

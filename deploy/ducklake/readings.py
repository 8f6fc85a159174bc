"""Made-up readings of weather stations: each hour has rows of its own, and the same stations report in all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

ROWS = int(os.environ.get("READINGS_ROWS", "20000"))
BATCH = 10_000


def readings(stream: str, interval_start: datetime) -> Iterator[Any]:
    """Yield an hour's readings as Arrow tables; `id` is in no other hour, `station` is in all."""
    import pyarrow as pa

    hour = int(interval_start.timestamp()) // 3600
    for first in range(0, ROWS, BATCH):
        stations = range(first, min(first + BATCH, ROWS))
        yield pa.table(
            {
                "id": [hour * ROWS + station for station in stations],
                "station": list(stations),
                "read_at": [hour * 3600 + station % 3600 for station in stations],
                "value": [(station * 7919 + hour * 104729) % 1000 / 10 for station in stations],
                "kind": [stream] * len(stations),
            }
        )

"""Dumps as the archives publish them: JSON lines in zstandard frames of a long window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard

FIRST_S = 1_767_225_600  # 2026-01-01, UTC
HOUR_S = 3600


def post(number: int, **fields: Any) -> dict[str, Any]:
    """Return a post; one comes every hour, `python` and `dataengineering` by turns."""
    identity = f"{number:06x}"
    return {
        "id": identity,
        "name": f"t3_{identity}",
        "subreddit": "python" if number % 2 else "dataengineering",
        "title": f"Post {number}",
        "author": "ann",
        "selftext": 'it says "subreddit":"python", and so on',
        "created_utc": FIRST_S + HOUR_S * number,
        "score": number,
        **fields,
    }


def line(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record) + b"\n"


def write_dump(path: Path, lines: Iterable[bytes], frames: int = 1) -> Path:
    """Write lines as a dump of so many frames, each with a checksum and a window of 2^31."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = list(lines)
    each = -(-len(waiting) // frames)
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31, write_checksum=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with path.open("wb") as target:
        for part in chunks(waiting, each):
            # Written as a stream, the frame does not tell its size, and so really asks for its window.
            with compressor.stream_writer(target, closefd=False) as writer:
                writer.write(b"".join(part))
    return path


def chunks(items: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (items[start : start + size] for start in range(0, len(items), max(size, 1)))

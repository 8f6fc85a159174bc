"""Lines out of dumps: zstandard frames of any window and plain files, in blocks of whole lines; a cut file is an error, never its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ducklift.errors import SourceFileRefused

LONGEST_WINDOW = 2**31  # bytes: what the archives are compressed with, and DuckDB's own reader refuses
BLOCK_BYTES = 4 * 2**20
_READ_BYTES = 8 * 2**20  # of one request to a store
_FED_BYTES = 16 * 2**10  # at once: even the most compressible input then becomes no more than some hundred megabytes
_LONGEST_LINE = 256 * 2**20


def blocks_of_lines(source: BinaryIO, url: str, compressed: bool) -> Iterator[bytes]:
    """Yield blocks of about `BLOCK_BYTES` that end with a line; the last one as it is. Raises `SourceFileRefused` for a damaged file."""
    pieces = _expanded(source, url) if compressed else iter(lambda: source.read(_READ_BYTES), b"")
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size < BLOCK_BYTES:
            continue
        block = b"".join(waiting)
        end = block.rfind(b"\n") + 1
        if not end and size > _LONGEST_LINE:
            raise SourceFileRefused(url, f"it has a line of more than {_LONGEST_LINE >> 20} MiB, so it is no file of JSON lines")
        if end:
            yield block[:end]
        waiting, size = [block[end:]], len(block) - end
    if rest := b"".join(waiting):
        yield rest


def _expanded(source: BinaryIO, url: str) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=LONGEST_WINDOW)
    frame, read = None, 0
    try:
        while fetched := source.read(_READ_BYTES):
            for start in range(0, len(fetched), _FED_BYTES):
                fed = fetched[start : start + _FED_BYTES]
                while fed:
                    frame = frame or decompressor.decompressobj()
                    if piece := frame.decompress(fed):
                        yield piece
                    # One file may hold several frames, one after the other.
                    fed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
            read += len(fetched)
    except zstandard.ZstdError as err:
        raise SourceFileRefused(
            url, f"it is damaged, or no zstandard file, within the {_READ_BYTES >> 20} MiB from byte {read} on: {err}"
        ) from err
    if frame is not None or not read:
        raise SourceFileRefused(url, f"it ends in the midst of a frame after {read} bytes: it was not downloaded to its end")

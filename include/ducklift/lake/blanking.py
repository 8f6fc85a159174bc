"""Taking the content out of swept records: in texts, and in raw files, which are written anew with every other record as it was."""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ducklift.lake.hashed_file import HashedFile
from ducklift.lake.manifest import RawFile
from ducklift.lake.records import LineEncoder
from ducklift.specs import Blanking

# A line that is no record of anything any more, and as little to be loaded as what it was.
NO_RECORD = b'["swept"]'
Key = tuple[str, ...]


@dataclass(frozen=True)
class Blanker:
    """Blanks the records whose `fields` make one of `keys`."""

    fields: Sequence[str]
    keys: Set[Key]
    blanking: Blanking

    def line(self, line: bytes) -> bytes | None:
        """Return a line of JSON without its content, or None when it is not to be swept.

        What is no JSON object is swept whole when one of the keys stands in it: nobody can tell what else does.
        """
        try:
            record = _parsed(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            return NO_RECORD if self._stands_in(line) else None
        if tuple(_text(record.get(field)) for field in self.fields) not in self.keys:
            return None
        return LineEncoder().lines([self.record(record)])[0].rstrip(b"\n")

    def record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a record without its content."""
        return {name: self._value(name, value) if self._takes(name) else value for name, value in record.items()}

    def _takes(self, name: str) -> bool:
        return name not in self.fields and self.blanking.takes(name)

    def _value(self, name: str, value: Any) -> str | None:
        return None if value is None else self.blanking.values.get(name)

    def _stands_in(self, line: bytes) -> bool:
        # Broken lines are few; each key of one field is a text of its own.
        return any(len(key) == 1 and key[0].encode() in line for key in self.keys)

    def column(self, name: str) -> tuple[bool, str | None]:
        """Return whether a field is taken out, and the text that stands for it then."""
        return self._takes(name), self.blanking.values.get(name)


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # Integers beyond 64 bits, which orjson does not read.
        return json.loads(line)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def rewritten(local: Path, target: Path, extension: str, blanker: Blanker) -> RawFile | None:
    """Write a raw file anew without the content of swept records and return its facts, still without a key; None when it holds none."""
    kind, _, compression = extension.partition(".")
    if kind == "jsonl":
        return _rewritten_lines(local, target, compression, blanker)
    from ducklift.lake.blanked_tables import rewritten_csv, rewritten_parquet

    return rewritten_csv(local, target, compression, blanker) if kind == "csv" else rewritten_parquet(local, target, blanker)


def _rewritten_lines(local: Path, target: Path, compression: str, blanker: Blanker) -> RawFile | None:
    out = HashedFile(target, compression)
    rows = longest = swept = 0
    with opened(local, compression) as source:
        for line in source:
            text = line.rstrip(b"\r\n")
            blanked = blanker.line(text) if text.strip() else None
            if blanked is not None:
                swept += 1
                line = blanked + b"\n"
            rows += bool(text.strip())
            longest = max(longest, len(line) - 1)
            out.put(line)
    sha256 = out.close()
    return RawFile(key="", size_bytes=out.size_bytes, sha256=sha256, rows=rows, longest_record_bytes=longest) if swept else None


@contextmanager
def opened(local: Path, compression: str) -> Iterator[BinaryIO]:
    """Open a raw file for reading what it holds, whatever it is compressed by."""
    if compression == "zst":
        import io

        import zstandard

        with local.open("rb") as source, zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True) as stream:
            yield io.BufferedReader(stream)
        return
    if compression == "gz":
        with _gzip().open(local, "rb") as source:
            yield source
        return
    with local.open("rb") as source:
        yield source


def _gzip() -> Any:
    try:
        return importlib.import_module("isal.igzip")
    except ImportError:
        return gzip

"""Reading a dump beside `zstdcat --long=31` into DuckDB: both choose posts of two subreddits, or take all, and write them as jsonl.gz."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import orjson
import zstandard

from ducklift.pipeline import Run, extract
from ducklift.pipeline_file import Pipeline
from ducklift.sandbox.submissions import CONSTANT_FIELDS
from ducklift.settings import load_settings
from ducklift.sources.reddit_dump import RedditDumpSource

WANTED = ("python", "dataengineering")
_WORDS = ["lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "do", "eiusmod", "tempor"]
_FIRST_S = 1_700_000_000


def prepare(folder: Path, rows: int) -> None:
    """Write a dump of posts of 502 subreddits with a window of 2^31."""
    chance = random.Random(1)
    subreddits = [*WANTED, *(f"sub{number}" for number in range(500))]
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=31, write_checksum=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with (folder / "RS.zst").open("wb") as target, compressor.stream_writer(target) as writer:
        for number in range(rows):
            subreddit = chance.choice(WANTED) if number % 20 == 0 else chance.choice(subreddits)
            writer.write(orjson.dumps(_post(number, subreddit, chance)) + b"\n")


def _post(number: int, subreddit: str, chance: random.Random) -> dict[str, object]:
    texts = {"title": " ".join(chance.choices(_WORDS, k=8)), "selftext": " ".join(chance.choices(_WORDS, k=60))}
    names = {"id": f"{number:x}", "name": f"t3_{number:x}", "subreddit": subreddit, "permalink": f"/r/{subreddit}/comments/{number:x}/"}
    return {**CONSTANT_FIELDS, **names, **texts, "created_utc": _FIRST_S + number, "score": chance.randrange(999), "num_comments": 3}


def sides(subreddits: tuple[str, ...]) -> tuple[Callable[[Path, int], None], Callable[[Path, int], None], Callable[[Path, int], None]]:
    """Return what prepares, what reads with the source, and what reads by hand."""

    def ours(folder: Path, rows: int) -> None:
        del rows
        source = RedditDumpSource(files=("RS.zst",), subreddits=subreddits)
        pipeline = Pipeline.model_validate({"name": "bench", "source": source, "table": "bench.posts", "disposition": "merge"})
        moment = datetime.now(UTC)
        extract(pipeline, "RS.zst", Run("bench", moment, moment), load_settings({}, folder))

    def floor(folder: Path, rows: int) -> None:
        del rows
        chosen = f"WHERE json ->> '$.subreddit' IN {subreddits}" if subreddits else ""
        with subprocess.Popen(["zstdcat", "--long=31", str(folder / "RS.zst")], stdout=subprocess.PIPE) as expanded:
            assert expanded.stdout is not None
            duckdb.sql(
                f"COPY (SELECT json FROM read_ndjson_objects('/dev/fd/{expanded.stdout.fileno()}') {chosen}) TO '{folder}/out.jsonl.gz' "
                "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01', COMPRESSION gzip)"
            )

    return prepare, ours, floor

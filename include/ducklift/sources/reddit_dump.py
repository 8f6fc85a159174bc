"""reddit_dump: posts out of the archives that Arctic Shift and Pushshift publish, as the lines that stand there.

A record is a post that Reddit's own API gives as well, and so makes the same table by the same key. What is no JSON object goes through as
it is, for the load to keep in quarantine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ducklift.batches import JsonLines, Record
from ducklift.errors import ConfigurationError, SourceFileRefused, StreamRefused
from ducklift.lake.filesystem import open_place
from ducklift.lake.store import Store
from ducklift.settings import Settings
from ducklift.source_files import Access
from ducklift.sources.base import Batch, Cursor, ReadReport, SliceRequest, Source, TableDefaults
from ducklift.sources.dump_lines import blocks_of_lines
from ducklift.sources.file_paths import is_hostile, is_pattern, matcher, prefix_of
from ducklift.sources.reddit_columns import POSTS

_SUBREDDIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}|u_[A-Za-z0-9_-]{1,30}")
_ENDINGS = (".zst", ".jsonl", ".ndjson")
_BROKEN_EDGE = re.compile(rb"[^}\r]\n|\n[^{]")
BATCH_BYTES = 8 * 2**20
BATCH_LINES = 10_000


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Return a day as its beginning; a time without a zone is one in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class RedditDumpSource(Source):
    """Posts in dump files, each file or pattern of files a stream."""

    table_defaults: ClassVar[TableDefaults] = POSTS

    type: Literal["reddit_dump"] = "reddit_dump"
    files: Names = Field(min_length=1, description="Paths in the project, or URLs as a lake's; * stands for a part of a name.")
    subreddits: Names = Field(default=(), description="Only these, without r/; all of them when absent.")
    start: Moment | None = Field(default=None, alias="from", description="Only posts made then or later.")
    end: Moment | None = Field(default=None, alias="to", description="Only posts made before then.")
    access: Access = Access()

    @field_validator("subreddits")
    @classmethod
    def _named_as_reddit_names_them(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _SUBREDDIT.fullmatch(name):
                raise ValueError(f"{name[:60]!r} is not the name of a subreddit; write it without r/, for example 'dataengineering'")
        return names

    @field_validator("files")
    @classmethod
    def _of_a_known_kind(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for file in files:
            if not file.endswith(_ENDINGS) or is_hostile(file.partition("://")[2].lstrip("/") if "://" in file else file.lstrip("/")):
                raise ValueError(f"{file[:100]!r}: a dump is a path or URL that ends in {', '.join(_ENDINGS)}, without '..'")
        if len(set(files)) < len(files):
            raise ValueError("a file is named twice")
        return files

    @model_validator(mode="after")
    def _a_range_has_an_order(self) -> RedditDumpSource:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("to has to come after from")
        return self

    def streams(self) -> Sequence[str]:
        """Return the files and patterns as they are configured."""
        return list(self.files)

    def uses_watermark(self) -> bool:
        """Return False: a dump is what it is, and says nothing of how far the subreddit goes."""
        return False

    def reads_windows(self) -> bool:
        """Return True: an interval selects the posts made in it."""
        return True

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch | JsonLines]:
        """Yield the posts as lines; raises `SourceFileRefused` for a cut or damaged dump, `StreamRefused` when there is none."""
        if request.stream not in self.files:
            raise ConfigurationError(f"{request.stream!r} is not a stream of this source; its streams are {', '.join(self.files)}")
        selection = _Selection(self, request)
        report.request = {"files": [], "subreddits": list(self.subreddits), "from": selection.start, "to": selection.end}
        store, keys = self._found(request.stream, settings)
        for key in keys:
            report.request["files"].append(store.url_of(key))
            with store.opened(key) as source:
                for block in blocks_of_lines(source, store.url_of(key), key.endswith(".zst")):
                    yield from selection.of_block(block, store.url_of(key))
            yield from selection.rest()
        report.request |= {"lines_malformed": selection.malformed, "names_added": selection.named}

    def _found(self, file: str, settings: Settings) -> tuple[Store, list[str]]:
        folder, name = _place_of(file, settings.project)
        store = open_place(settings, folder, self.access)
        if is_pattern(name):
            matches = matcher(name)
            keys = [found.key for found in store.list("") if matches(found.key)]
        else:
            keys = [name] if store.stat(name) is not None else []
        if not keys:
            raise StreamRefused(
                file, f"there is no such file in {store.url}", "Check the path; a path without a scheme is one in the project."
            )
        return store, keys


def _place_of(file: str, project: Path) -> tuple[str, str]:
    """Return the URL of the folder that every match lies in, and the name or pattern in it."""
    if "://" not in file:
        path = str(project / file)
        folder = prefix_of(path) if is_pattern(path) else f"{Path(path).parent}/"
        return Path(folder).as_uri(), path[len(folder) :].lstrip("/")
    parts = urlsplit(file)
    folder = prefix_of(parts.path) if is_pattern(parts.path) else parts.path[: parts.path.rfind("/") + 1]
    return f"{parts.scheme}://{parts.netloc}{folder}".rstrip("/"), parts.path[len(folder) :]


@dataclass
class _Selection:
    """What of a dump is wanted, gathered into batches; counts what was malformed and what got its name."""

    source: RedditDumpSource
    request: SliceRequest
    start: float | None = field(init=False)
    end: float | None = field(init=False)
    malformed: int = 0
    named: int = 0

    def __post_init__(self) -> None:
        window = (self.request.cursor_from, self.request.cursor_to) if self.request.window else (None, None)
        starts = [_epoch_s(window[0]), _epoch_s(self.source.start)]
        ends = [_epoch_s(window[1]), _epoch_s(self.source.end)]
        self.start = max((moment for moment in starts if moment is not None), default=None)
        self.end = min((moment for moment in ends if moment is not None), default=None)
        self._subreddits = frozenset(name.lower() for name in self.source.subreddits)
        names = b"|".join(re.escape(name.encode()) for name in sorted(self._subreddits))
        self._mention = re.compile(rb'"subreddit"\s*:\s*"(?i:' + names + rb')"') if names else None
        self._lines: list[bytes] = []
        self._size = 0
        self._fields: dict[str, None] = {}
        self._shapes: set[tuple[str, ...]] = set()
        self._greatest: float | None = None

    def of_block(self, block: bytes, url: str) -> Iterator[Batch | JsonLines]:
        """Yield what is wanted of a block of lines."""
        for line in self._candidates(block):
            record = _parsed(line)
            if record is not None:
                if not self._wanted(record, url):
                    continue
                self._keep(line, record)
            elif (odd := _oddly_written(line)) is not None:
                # Valid JSON with lone surrogates, say: written anew, and counted where such things are.
                if self._wanted(odd, url):
                    yield from self.rest()
                    yield [self._with_name(odd)]
            elif line.strip():
                self.malformed += 1
                self._add(line.decode("utf-8", "replace").encode().rstrip(b"\r\n") + b"\n")
            if self._size >= BATCH_BYTES or len(self._lines) >= BATCH_LINES:
                yield from self.rest()

    def rest(self) -> Iterator[JsonLines]:
        """Yield what was gathered."""
        if self._lines:
            yield JsonLines(self._lines, tuple(self._fields), self._greatest)
        self._lines, self._size, self._greatest = [], 0, None

    def _candidates(self, block: bytes) -> Iterator[bytes]:
        """Yield the lines that may be wanted: those that name a subreddit, found without parsing any, and those that look broken."""
        if self._mention is None:
            yield from block.splitlines(keepends=True)
            return
        places = sorted([match.start() for match in self._mention.finditer(block)] + self._broken(block))
        end = 0
        for place in places:
            if place < end:
                continue
            start = block.rfind(b"\n", 0, place) + 1
            end = block.find(b"\n", place) + 1 or len(block)
            yield block[start:end]

    def _broken(self, block: bytes) -> list[int]:
        """Return places in lines that do not begin and end as an object does: only parsing tells what they are."""
        if block.count(b"}\n{") == block.count(b"\n") - 1 and block[:1] == b"{" and block[-2:] == b"}\n":
            return []  # counting is ten times quicker than looking at each
        found = [place for match in _BROKEN_EDGE.finditer(block) for place in (match.start(), match.end() - 1)]
        if block[:1] != b"{":
            found.append(0)
        if block[-1:] != b"\n":
            found.append(len(block) - 1)
        return found

    def _wanted(self, record: Record, url: str) -> bool:
        if "link_id" in record and "title" not in record:
            raise SourceFileRefused(url, "it holds comments, and posts are wanted: a dump of submissions is named RS_…")
        if self._subreddits and str(record.get("subreddit", "")).lower() not in self._subreddits:
            return False
        created = _created_s(record)
        if created is None:
            return True  # whether it is a post is for the load to judge
        return (self.start is None or created >= self.start) and (self.end is None or created < self.end)

    def _keep(self, line: bytes, record: Record) -> None:
        shape = tuple(record)
        if shape not in self._shapes:
            if len(self._shapes) > 10_000:
                self._shapes.clear()
            self._shapes.add(shape)
            self._fields.update(dict.fromkeys(shape))
        created = _created_s(record)
        if created is not None and (self._greatest is None or created > self._greatest):
            self._greatest = created
        if "name" not in record and isinstance(record.get("id"), str):
            # Pushshift leaves it out, and it is the key by which the posts of the API and of dumps are one table.
            self.named += 1
            self._fields["name"] = None
            line = b'{"name":' + orjson.dumps(f"t3_{record['id']}") + b"," + line.lstrip()[1:].lstrip()
        self._add(line if line.endswith(b"\n") else line + b"\n")

    def _with_name(self, record: Record) -> Record:
        return record if "name" in record or "id" not in record else {"name": f"t3_{record['id']}", **record}

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)


def _parsed(line: bytes) -> Record | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _oddly_written(line: bytes) -> Record | None:
    """Return the record of a line that is JSON all the same, but none that every reader takes: lone surrogates, for one."""
    try:
        record = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _created_s(record: Record) -> float | None:
    """Return when a post was made, in seconds since 1970; old dumps write it as a text."""
    value = record.get("created_utc")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        created = float(value)
    except (ValueError, OverflowError):
        return None
    return created if math.isfinite(created) else None


def _epoch_s(bound: Cursor | datetime | None) -> float | None:
    if bound is None or isinstance(bound, int | float):
        return bound
    moment: datetime = _moment(bound)
    return moment.timestamp()

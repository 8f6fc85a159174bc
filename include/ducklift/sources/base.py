"""What every source is: a configuration (a pipeline file's `source:`), streams, and a way to read one slice of one stream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ducklift.batches import Batch as Batch, JsonLines as JsonLines, Record as Record
from ducklift.settings import Settings
from ducklift.source_files import SourceFile as SourceFile
from ducklift.specs import Blanking, ColumnSpec, Spec

Cursor = int | float | str


@dataclass(frozen=True)
class TableDefaults:
    """What a source knows about the table its records make; a pipeline file adds to it or overrides it.

    `table` names a table of its own beside the pipeline's, for streams whose records are of another kind.
    """

    table: str | None = None
    primary_key: tuple[str, ...] = ()
    columns: tuple[ColumnSpec, ...] = ()
    record_column: str | None = None


@dataclass(frozen=True)
class KnownKeys:
    """Which records of its table a stream wants to be told: the field of their key, the field of their moment, and how far back.

    The time is counted from the newest of them, so that a source that stands still is not forgotten.
    """

    key: str
    moment: str
    window_s: int


@dataclass(frozen=True)
class SweepRule:
    """How records that are gone at their source are swept: the field that tells when one was made, and what is taken out of it."""

    moment: str
    blanking: Blanking


def _nothing_known() -> Iterator[list[str]]:
    yield from ()


@dataclass(frozen=True)
class SliceRequest:
    """What one extraction is asked for.

    `watermark` is the greatest cursor value that was loaded, `cursor_from` the same less the overlap: read down to it. Both are None on a
    first run and whenever the reading neither uses nor moves the watermark. `cursor_to` is where the reading ends: records at or beyond
    it are not wanted. `cursor` is the name of the records' field that holds these values. With `window` the two bounds are those of the
    interval (`Source.reads_windows`), whatever was loaded before. `partition` is the run's partition key, None for a run without one.
    `known` yields the keys that the stream asked to be told (see `Source.wanted_keys`), newest first. `fixed` is what the source's own
    `survey` answered when the slice was fixed.
    """

    stream: str
    interval_start: datetime
    interval_end: datetime
    watermark: Cursor | None = None
    cursor_from: Cursor | None = None
    cursor_to: Cursor | None = None
    cursor: str | None = None
    known: Callable[[], Iterable[list[str]]] = _nothing_known
    window: bool = False
    partition: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class ReadReport:
    """What the source tells about a reading, filled while it reads and stored in the manifest.

    `ordered_and_complete` is True only when every record from `cursor_from` on was read: the watermark then moves.
    `gap` holds (from, to) in cursor values when the source's cap was hit before the watermark. `primary_key` is what a
    source that reads tables was told of this one's, before the first batch; the pipeline file goes before it.
    """

    request: dict[str, Any] = field(default_factory=dict)
    ordered_and_complete: bool = False
    gap: tuple[Cursor, Cursor] | None = None
    primary_key: tuple[str, ...] = ()
    retries: int = 0


class Source(Spec):
    """Base of all sources: a frozen pydantic model of the `source:` block, so that it validates itself."""

    table_defaults: ClassVar[TableDefaults] = TableDefaults()
    # Whether all batches are Arrow tables: raw files are then Parquet, unless the pipeline file says otherwise.
    yields_tables: ClassVar[bool] = False
    gives_files: ClassVar[bool] = False
    """Whether it yields whole files, of which each is loaded once, and no batches."""
    # Whether the reading tells the tables' primary keys, so that a pipeline file need not.
    finds_keys: ClassVar[bool] = False

    type: str

    @abstractmethod
    def streams(self) -> Sequence[str]:
        """Return the names of the streams, in order; each is extracted, uploaded and loaded by itself."""

    @abstractmethod
    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch | JsonLines | SourceFile]:
        """Yield batches in bounded memory; raise a Terminal or Retryable error, never end early in silence.

        A batch is a list of dicts, which are the lake's to change from then on, or an Arrow table. A source that `gives_files` yields
        those instead.
        """

    def survey(self, request: SliceRequest, settings: Settings, known: Container[str]) -> dict[str, Any]:
        """Return, as plain JSON, what has to stay the same for every try at a slice; stored with it before anything is read.

        A source that `gives_files` lists them here, leaving out those whose identity is `known`. `request.fixed` is what an earlier
        extraction of the same slice went by, when it is to be done anew.
        """
        del request, settings, known
        return {}

    def resolved(self, settings: Settings) -> Source:
        """Return the source with its streams by name, where the pipeline file has patterns that only the source's server can fill in."""
        del settings
        return self

    def effective_stream(self, stream: str) -> str | None:
        """Return what to read in the place of a configured stream once options are applied; None when it was not chosen.

        A DAG maps its tasks over the configured streams before anybody fills the trigger form, so that the form can narrow or redirect a
        mapped stream, never add one.
        """
        return stream if stream in self.streams() else None

    def uses_watermark(self) -> bool:
        """Return whether this reading, as configured, reads and may move the watermark."""
        return True

    def stream_uses_watermark(self, stream: str) -> bool:
        """Return whether the reading of this stream, as configured, reads and may move its watermark."""
        del stream
        return self.uses_watermark()

    def defaults_of(self, stream: str) -> TableDefaults:
        """Return what the source knows about the table of one stream's records."""
        del stream
        return self.table_defaults

    def wanted_keys(self, stream: str) -> KnownKeys | None:
        """Return which of the table's records the stream reads again by their keys; None when it needs to know of none."""
        del stream
        return None

    def reads_windows(self) -> bool:
        """Return whether a reading can be bounded on both sides, from `cursor_from` up to but without `cursor_to`.

        A run that stands for an interval (a partition, a backfill) then reads that interval, and neither reads nor moves the watermark.
        """
        return False

    def stops_at_end(self) -> bool:
        """Return whether a reading stays before `cursor_to`, so that a person may choose where it ends."""
        return self.reads_windows()

    def sweep_rule(self) -> SweepRule | None:
        """Return how records are swept that are gone at the source; None where the source cannot tell which are."""
        return None

    def find_gone(self, known: Iterable[list[str]], settings: Settings) -> Iterator[tuple[int, list[str]]]:
        """Ask the source about known keys; yield for each request how many it was about, and which of them are gone.

        Raises `ConfigurationError` where the source cannot tell, and the errors of `read`: a broken answer is no sign that all are gone.
        """
        from ducklift.errors import ConfigurationError

        raise ConfigurationError(f"source type {self.type!r} cannot tell which of its records are gone, so there is nothing to sweep.")

    def options_schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the JSON Schemas of what a person may choose at trigger time, by option name, each with its default."""
        return {}

    def with_options(self, options: Mapping[str, Any]) -> Source:
        """Return the source with hostile `options` applied; raises ConfigurationError on anything the schema does not admit."""
        from ducklift.errors import ConfigurationError

        if options:
            raise ConfigurationError(f"source type {self.type!r} takes no options, but got {sorted(options)}")
        return self

"""Which of a source's streams one load brings: a stream by itself, but those of a table that is replaced whole all together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from ducklift.errors import ConfigurationError
from ducklift.sources.base import Source
from ducklift.specs import Disposition, TableName, TableSpec


class Entry(Protocol):
    """What a pipeline file says of one stream."""

    @property
    def name(self) -> str:
        """Return the stream."""


class Pipeline(Protocol):
    """What is asked of a pipeline here; `ducklift.pipeline_file` has it."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def source(self) -> Source:
        """Return its source, as it is configured or chosen."""

    @property
    def table(self) -> str | None:
        """Return the table, or `dataset.*`, of the streams that have no entry of their own."""

    @property
    def tables(self) -> Sequence[Entry]:
        """Return the entries of streams that have one of their own."""

    @property
    def loads(self) -> Mapping[str, tuple[str, ...]]:
        """Return what `loads_of` gave for it."""

    def table_of(self, stream: str) -> tuple[TableName, Disposition]:
        """Return the table of one of the source's streams, and how its records go into it."""

    def table_spec(self, stream: str) -> TableSpec:
        """Return what the table of one of the source's streams should be."""


def loads_of(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """Return for the stream of each load the source's streams that it brings, in the file's order.

    Several streams of a table that is replaced are one load, named after the table: as loads of their own, each would take the rows of
    the one before it away. Raises ValueError for a stream without a table, and for two loads of one name.
    """
    tables = {stream: pipeline.table_of(stream) for stream in pipeline.source.streams()}
    together: dict[TableName, list[str]] = {}
    for stream, (table, disposition) in tables.items():
        if disposition == "replace":
            together.setdefault(table, []).append(stream)
    found: dict[str, tuple[str, ...]] = {}
    for stream, (table, _) in tables.items():
        parts = tuple(together.get(table, ()))
        name, parts = (str(table), parts) if len(parts) > 1 and stream in parts else (stream, (stream,))
        if found.setdefault(name, parts) != parts:
            raise ValueError(f"{name} is replaced whole by one load of that name, and a stream of another table has it too: rename one")
    return found


def parts_of(pipeline: Pipeline, stream: str) -> tuple[str, ...]:
    """Return the source's streams that the stream's load brings; raises `ConfigurationError` for one that is a mere part of a load."""
    if (whole := whole_of(pipeline, stream)) is not None:
        raise ConfigurationError(f"{whole} is replaced whole, so that {stream!r} is not read by itself: name the stream {whole!r}.")
    return pipeline.loads.get(stream, (stream,))


def whole_of(pipeline: Pipeline, stream: str) -> str | None:
    """Return the load that a stream is a mere part of; None for one that is a load of its own, or that the pipeline does not know."""
    return None if stream in pipeline.loads else next((name for name, of in pipeline.loads.items() if stream in of), None)


def stream_under(chosen: Pipeline, configured: Pipeline, stream: str) -> str | None:
    """Return the load's stream of `chosen` that stands for one of `configured`, of which it was made by options; None when there is none.

    Streams that a choice puts into one load are that of the first of them. Raises `ConfigurationError` where the choice takes one apart.
    """
    parts = parts_of(configured, stream)
    wanted = [found for part in parts if (found := chosen.source.effective_stream(part)) is not None]
    standing = {name: of for name, of in chosen.loads.items() if any(part in of for part in wanted)}
    if len(standing) > 1:
        raise ConfigurationError(
            f"{stream!r} is one load of {_listed(parts)}, since {configured.name}'s file replaces the table whole. "
            "Any other disposition has to be written there: it cannot be chosen for one run."
        )
    for name, of in standing.items():
        # By the file's order: a form may well name them in another one.
        effective = map(chosen.source.effective_stream, configured.source.streams())
        return name if wanted[0] == next(found for found in effective if found in of) else None
    # A table that stands behind a pattern has a name that no file tells.
    return wanted[0] if wanted else None


def check_chosen_whole(chosen: Pipeline, configured: Pipeline) -> None:
    """Raise `ConfigurationError` where options leave out a part of a table that is replaced: the rows of that part would be lost."""
    for name, parts in configured.loads.items():
        left_out = [part for part in parts if chosen.source.effective_stream(part) is None]
        if left_out and len(left_out) < len(parts):
            raise ConfigurationError(
                f"{name} is replaced whole, so that a run without {_listed(left_out)} would take the rows of that away. "
                f"Choose all of {_listed(parts)}, or none."
            )


def check_loads(pipeline: Pipeline) -> None:
    """Raise ValueError where `dataset.*` gives two streams one table, or where the streams of a replaced table do not go together."""
    named = {entry.name for entry in pipeline.tables}
    unnamed: dict[TableName, str] = {}
    owners: dict[TableName, tuple[str, TableSpec]] = {}
    for stream in pipeline.source.streams():
        spec = pipeline.table_spec(stream)
        by_pattern = (pipeline.table or "").endswith(".*") and stream not in named
        if by_pattern and (owner := unnamed.setdefault(spec.name, stream)) != stream:
            raise ValueError(f"table: {pipeline.table} makes {spec.name} of both {owner!r} and {stream!r}: name one of them under streams")
        owner, first = owners.setdefault(spec.name, (stream, spec))
        if "replace" in (first.disposition, spec.disposition) and spec != first:
            raise ValueError(
                f"{spec.name} is replaced whole, by one load of all its streams, and {owner!r} and {stream!r} differ in "
                f"{', '.join(_differences(first, spec))}: let them agree, or give each a table of its own under streams"
            )
    for name, parts in pipeline.loads.items():
        if len(parts) > 1 and pipeline.source.gives_files:
            raise ValueError(f"{name} is replaced whole by one load, and files of {_listed(parts)} cannot be in one: give each its table")


def _differences(first: TableSpec, second: TableSpec) -> Iterator[str]:
    for name in TableSpec.model_fields:
        if getattr(first, name) != getattr(second, name):
            yield name


def _listed(streams: Sequence[str]) -> str:
    return ", ".join(map(repr, streams))

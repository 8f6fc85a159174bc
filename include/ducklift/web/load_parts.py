"""Parts of a load's page: what came in, what happened to every row, its files, and how long each step took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from ducklift.lake.commits import CommitRecord
from ducklift.lake.manifest import Manifest
from ducklift.web.views.loads import Fact, Fate, FileView, Flow, FlowPart, Step, StepTime
from ducklift.web.views.places import file_path
from ducklift.web.views.queries import Pages
from ducklift.web.views.texts import CELL, NAME, shown

PAGE_FILES, MOST_FACTS = 100, 60
MEANINGS: Mapping[Fate, str] = {
    "inserted": "New rows of the table.",
    "updated": "Rows that were there and are changed.",
    "unchanged": "Rows that are in the table as they are, or in a newer version.",
    "deduplicated": "Records that came more than once in this load; one of each counts.",
    "quarantined": "Records that do not fit, kept whole with the reason.",
}
# Stores tell whole seconds, and two machines' clocks differ a little.
_SKEW = timedelta(seconds=5)


def flow(record: CommitRecord) -> Flow:
    """Return what happened to every row of a committed load."""
    counts: dict[Fate, int] = {
        "inserted": record.rows_inserted,
        "updated": record.rows_updated,
        "unchanged": record.rows_unchanged,
        "deduplicated": record.rows_deduplicated,
        "quarantined": record.rows_quarantined,
    }
    total = record.rows_extracted
    parts = tuple(FlowPart(fate, rows, rows / total if total else 0.0, MEANINGS[fate]) for fate, rows in counts.items())
    return Flow(total, parts, record.rows_deleted, accounted=sum(counts.values()) == total)


def files(manifest: Manifest, number: int, expired: bool) -> tuple[tuple[FileView, ...], Pages]:
    """Return one page of a load's files; what is gone by retention has no download."""
    pages = Pages.of(number, len(manifest.files), PAGE_FILES)
    table = str(manifest.table)
    found = enumerate(manifest.files[pages.start : pages.start + PAGE_FILES], start=pages.start)
    return tuple(
        FileView(
            number=place,
            key=shown(file.key, CELL * 2),
            size_bytes=file.size_bytes,
            sha256=shown(file.sha256, NAME),
            rows=file.rows if file.counted else None,
            origin=shown(file.origin.url, CELL * 2) if file.origin else None,
            in_place=file.in_place,
            path=None if file.in_place or expired else file_path(table, manifest.load_id, place),
        )
        for place, file in found
    ), pages


def steps(manifest: Manifest, landed_at: datetime | None, record: CommitRecord | None) -> tuple[StepTime, ...]:
    """Return how long each step took, as far as it is known, and its place in the whole span."""
    known: list[tuple[Step, datetime, datetime]] = []
    if manifest.finished_at is not None:
        known.append(("extract", manifest.extracted_at, manifest.finished_at))
        if (
            landed_at is not None
            and manifest.finished_at - _SKEW <= landed_at
            and (record is None or landed_at <= record.loaded_at + _SKEW)
        ):
            known.append(("upload", manifest.finished_at, max(landed_at, manifest.finished_at)))
    if record is not None and record.seconds > 0:
        known.append(("load", record.loaded_at - timedelta(seconds=record.seconds), record.loaded_at))
    if not known:
        return ()
    first, last = min(began for _, began, _ in known), max(ended for _, _, ended in known)
    whole_s = max((last - first).total_seconds(), 1e-6)
    return tuple(
        StepTime(
            step=step,
            seconds=round((ended - began).total_seconds(), 3),
            began=began,
            ended=ended,
            offset=round((began - first).total_seconds() / whole_s, 4),
            width=round((ended - began).total_seconds() / whole_s, 4),
            includes_wait=step == "upload",
        )
        for step, began, ended in known
    )


def came_in(manifest: Manifest) -> tuple[Fact, ...]:
    """Return what was asked for and what the source gave; what says nothing is left out."""
    slice_ = manifest.slice
    facts: list[tuple[str, Any]] = [
        ("slice", f"{slice_.start.isoformat()} to {slice_.end.isoformat()}"),
        ("partition", slice_.partition),
        ("watermark before", slice_.watermark),
        ("read from cursor", slice_.cursor_from),
        ("read to cursor", slice_.cursor_to),
        ("greatest cursor", manifest.greatest_cursor),
        ("moves the watermark", "yes" if manifest.moves_watermark else "no"),
        ("records", f"{manifest.rows:,}"),
        ("format", manifest.format),
        ("fields", f"{len(manifest.fields):,}" if manifest.fields else None),
        ("extractor", manifest.extractor),
        ("disposition", manifest.spec.disposition),
        ("contract", manifest.spec.contract),
        ("primary key", ", ".join(manifest.spec.primary_key) or None),
        ("target", manifest.target),
        ("retries of requests", manifest.retries or None),
        ("lone surrogates replaced", manifest.surrogates_replaced or None),
        ("retries quarantine of", manifest.retried_load),
        ("load before", manifest.parent_load),
        ("kind of run", manifest.airflow.get("run_type")),
        *((f"chosen {name}", value) for name, value in manifest.chosen.items()),
        *_request(manifest.request),
    ]
    told = [(name, value) for name, value in facts if value not in (None, "")]
    return tuple(Fact(shown(name, NAME), shown(str(value), CELL * 2)) for name, value in told[:MOST_FACTS])


def _request(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in request.items():
        if value is not None:
            yield f"request {name}", value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def schema_changes(changes: Sequence[Mapping[str, str | None]]) -> tuple[Fact, ...]:
    """Return what a load changed of the table's columns."""
    found = []
    for change in changes[:MOST_FACTS]:
        types = " → ".join(type_ for type_ in (change.get("type_before"), change.get("type_after")) if type_)
        found.append(Fact(shown(str(change.get("column")), NAME), shown(f"{change.get('change')}: {types}", CELL * 2)))
    return tuple(found)

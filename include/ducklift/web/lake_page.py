"""The lake's page, from a survey of its objects, the pipelines' retention and the stored values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ducklift.lake.gc import Item
from ducklift.web.pipelines import PipelineFacts
from ducklift.web.refreshed import Held
from ducklift.web.stored_values import StoredValues
from ducklift.web.survey import DAYS, MOST_MANIFESTS, Heap, Survey, day_of, examples, seen
from ducklift.web.views.lakes import Amount, DayRow, GarbageRow, LakeView, PrefixRow, RetentionRow
from ducklift.web.views.queries import LakeQuery
from ducklift.web.views.states import Problem, Read
from ducklift.web.views.texts import NAME, shown

MOST_PREFIXES = 200
MEANINGS: Mapping[str, str] = {
    "orphan": "Raw files that no manifest names, a day old at least.",
    "superseded": "Raw files of loads whose place a later one took, kept long enough.",
    "expired": "Raw files older than their pipeline keeps them; a checkpoint is written before they go.",
    "unfinished": "Uploads that were begun and never completed: the store keeps, and bills, their parts.",
    "spool": "Packages of the spool that are of no more use.",
    "loading": "Folders of loads whose process is gone.",
    "slice": "Slices whose load never landed.",
    "checkpoint": "Checkpoints that newer ones took the place of.",
    "curated": "Published versions that newer ones took the place of.",
}


@dataclass(frozen=True)
class Surveyed:
    """What the page is made of; `visible` is None for who may see everything."""

    lake: str
    survey: Held[Survey]
    values: Held[StoredValues]
    pipelines: Mapping[str, PipelineFacts]
    visible: Collection[str] | None


def lake_page(known: Surveyed, query: LakeQuery, read: Read, problems: Sequence[Problem], now: datetime) -> LakeView:
    """Return the lake's page."""
    survey, values = known.survey.value, known.values.value or StoredValues()
    heaps = list(seen(survey.heaps, known.visible)) if survey else []
    total = Amount(sum(heap.objects for _, heap in heaps), sum(heap.bytes for _, heap in heaps), 1.0)
    garbage, note = _garbage(survey, known.visible)
    failed = [held.failed for held in (known.survey, known.values) if held.failed]
    told = survey.collections if survey and known.visible is None else ()
    return LakeView(
        read=read,
        lake=known.lake,
        survey=known.survey.read(now),
        total=total,
        prefixes=_prefixes(heaps, total),
        days=_days(survey, heaps) if survey else (),
        garbage=garbage,
        garbage_note=note,
        retention=tuple(
            RetentionRow(shown(facts.name, NAME), facts.retention.raw_s, facts.retention.keep_superseded_s)
            for facts in known.pipelines.values()
            if facts.problem is None
        ),
        collections=told,
        assets=values.views(now, visible=known.visible),
        problems=(*problems, *failed, *(values.problems if known.visible is None else ())),
        query=query,
    )


def _prefixes(heaps: Sequence[tuple[str, Heap]], total: Amount) -> tuple[PrefixRow, ...]:
    objects: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for prefix, heap in heaps:
        objects[prefix] += heap.objects
        sizes[prefix] += heap.bytes
    largest = sorted(sizes, key=lambda prefix: (sizes[prefix], objects[prefix]), reverse=True)
    kept, others = largest[:MOST_PREFIXES], largest[MOST_PREFIXES:]
    rows = [(shown(prefix, NAME), objects[prefix], sizes[prefix]) for prefix in kept]
    if others:
        rows.append(("…", sum(objects[prefix] for prefix in others), sum(sizes[prefix] for prefix in others)))
    return tuple(PrefixRow(name, Amount(count, size, size / total.bytes if total.bytes else 0.0)) for name, count, size in rows)


def _days(survey: Survey, heaps: Sequence[tuple[str, Heap]]) -> tuple[DayRow, ...]:
    sums = [0] * (2 * DAYS)
    for _, heap in heaps:
        for place, number in enumerate(heap.days):
            sums[place] += number
    most, all_bytes = max(sums[1::2], default=0) or 1, sum(sums[1::2]) or 1
    return tuple(
        DayRow(
            day_of(survey, place), Amount(sums[2 * place], sums[2 * place + 1], sums[2 * place + 1] / all_bytes), sums[2 * place + 1] / most
        )
        for place in range(DAYS)
    )


def _garbage(survey: Survey | None, visible: Collection[str] | None) -> tuple[tuple[GarbageRow, ...] | None, str | None]:
    if survey is None:
        return None, "All objects of the lake are being listed. This takes a while, in the background."
    if survey.failed is not None:
        return None, f"What could go is not known: {survey.failed}"
    if survey.garbage is None:
        advice = "`ducklift gc` tells what could go, and the DAG lake_maintenance collects it."
        return None, f"The lake holds {survey.manifests:,} manifests, more than {MOST_MANIFESTS:,}: too many to read for a page. {advice}"
    kinds: dict[str, list[Item]] = {}
    for item in survey.garbage:
        if visible is None or (item.table is not None and item.table in visible):
            kinds.setdefault(item.kind, []).append(item)
    rows = [
        GarbageRow(kind, MEANINGS[kind], len(items), sum(item.size_bytes for item in items), examples(items))
        for kind, items in kinds.items()
    ]
    return tuple(sorted(rows, key=lambda row: row.bytes, reverse=True)), None

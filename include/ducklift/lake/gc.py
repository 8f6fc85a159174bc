"""What may go from the lake, and why; nothing is deleted here. See `ducklift.lake.sweeping` for that.

Kept in any case: every manifest, every commit record, every raw file that a rebuild of the table still needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from ducklift.lake.checkpoints import checkpoint_sequences, superseded_later
from ducklift.lake.commits import CommitRecord, committed_tables, read_commits, superseded_loads
from ducklift.lake.curated import read_current
from ducklift.lake.layout import CURATED, PROBE, SLICES, checkpoint_prefix, curated_prefix, manifest_key
from ducklift.lake.manifest import Manifest, read_manifest, read_manifests
from ducklift.lake.order import hidden_loads
from ducklift.lake.spool_place import SpoolPlace, read_package
from ducklift.lake.store import Store, StoredObject
from ducklift.lake.swept import swept_loads
from ducklift.specs import Spec, TableName

GRACE = timedelta(hours=24)
UNSENT_GRACE = timedelta(days=7)  # a complete package that no upload took: whoever repairs the upload may still want it
KEPT_CHECKPOINTS = 2

Kind = Literal["orphan", "superseded", "expired", "unfinished", "spool", "loading", "slice", "checkpoint", "curated"]


class Item(Spec):
    """One thing that may go; `place` is a key of the lake, a path of the spool or a local folder, as `kind` says."""

    kind: Kind
    place: str
    reason: str
    size_bytes: int = 0
    table: str | None = None
    load_id: str | None = None
    handle: str | None = None


@dataclass(frozen=True)
class Keeping:
    """How long one pipeline keeps raw files, and those of superseded loads; `raw` is None for ever."""

    raw: timedelta | None
    superseded: timedelta


@dataclass(frozen=True)
class Terms:
    """What a collection of garbage goes by: the moment, the grace for things that nothing names, and each pipeline's retention."""

    now: datetime
    keeping_of: Callable[[str], Keeping]
    grace: timedelta = GRACE

    def is_old(self, moment: datetime | None, grace: timedelta | None = None) -> bool:
        """Return whether a moment lies longer back than the grace; an unknown one never does."""
        return moment is not None and self.now - moment > (self.grace if grace is None else grace)


@dataclass
class Seen:
    """What lies in the lake, read once: raw files, manifests, commits."""

    raw: dict[str, StoredObject]
    manifests: dict[str, Manifest]
    commits: dict[TableName, list[CommitRecord]] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, list[Manifest]]:
        """Return which manifests name each raw file."""
        found: dict[str, list[Manifest]] = {}
        for manifest in self.manifests.values():
            for file in manifest.files:
                found.setdefault(file.key, []).append(manifest)
        return found


def is_manifest(key: str) -> bool:
    """Return whether a key under `raw/` is a manifest's."""
    return key.endswith(".json") and key.rpartition("/")[0].endswith("/_loads")


def look(lake: Store, table: TableName | None) -> Seen:
    """Read what lies in the lake. All manifests are read, for one table too: layouts may put its files anywhere under `raw/`."""
    found = {item.key: item for item in lake.list("raw/") if item.key != PROBE}
    raw = {key: item for key, item in found.items() if not is_manifest(key)}
    tables = [name for name in committed_tables(lake) if table in (None, name)]
    manifests = read_manifests(lake, (key for key in found if is_manifest(key)))
    swept = dict(swept_loads(lake))
    instead = read_manifests(lake, swept.values())
    manifests |= {key: instead[place] for key, place in swept.items() if key in manifests and place in instead}
    return Seen(raw, manifests, {name: read_commits(lake, name) for name in tables})


def under_way(spool: SpoolPlace, terms: Terms) -> set[str]:
    """Return the manifest keys of the loads that have something in the spool that is not stale: an extraction or an upload is under way."""
    return {
        manifest_key(package.name.table, package.name.load_id)
        for package in spool.packages()
        if not terms.is_old(package.modified, UNSENT_GRACE if package.complete else None)
    }


def spooled_files(spool: SpoolPlace) -> set[str]:
    """Return the keys of all raw files that some complete package of the spool will put, or has put already."""
    found: set[str] = set()
    for package in spool.packages():
        if package.complete:
            data = read_package(spool, package.path)
            found.update(file.key for file in read_manifest(data, package.path).files)
    return found


def orphans(seen: Seen, spooled: set[str], terms: Terms, table: TableName | None) -> Iterator[Item]:
    """Yield the raw files that no manifest names, past their grace, and that no package in the spool is about to name."""
    named = seen.named
    for key, item in seen.raw.items():
        mine = table is None or key.startswith(f"raw/{table.dataset}/{table.table}/")
        if mine and key not in named and key not in spooled and terms.is_old(item.modified):
            reason = f"no manifest names it, and it was written {item.modified:%Y-%m-%d %H:%M} UTC"
            yield Item(kind="orphan", place=key, reason=reason, size_bytes=item.size_bytes)


def superseded(seen: Seen, terms: Terms) -> Iterator[Item]:
    """Yield the raw files of superseded loads, past the time that their pipeline keeps them."""
    named = seen.named
    for table, records in seen.commits.items():
        # A rebuild of a warehouse does every load again that another replaced; in the lake alone nothing reads those any more.
        hidden = hidden_loads(records) if records[-1].target == "lake" else {}
        taken_over = hidden | superseded_loads(records)
        moments = {record.load_id: record.loaded_at for record in records}
        for load_id, by in taken_over.items():
            manifest = seen.manifests.get(manifest_key(table, load_id))
            if manifest is None or not terms.is_old(moments.get(by), terms.keeping_of(manifest.pipeline).superseded):
                continue
            reason = f"its load was superseded by {by}"
            yield from _raw_of(seen, named, manifest, "superseded", reason, taken_over.keys())


def expired(seen: Seen, terms: Terms) -> Iterator[Item]:
    """Yield the raw files of committed loads that are older than their pipeline keeps them; a checkpoint has to hold what they brought."""
    named = seen.named
    for table, records in seen.commits.items():
        if records[-1].target == "lake":
            continue  # the raw files are the table
        taken_over = superseded_loads(records)
        for record in records:
            manifest = seen.manifests.get(manifest_key(table, record.load_id))
            if manifest is None or record.load_id in taken_over:
                continue
            raw = terms.keeping_of(manifest.pipeline).raw
            if raw is not None and terms.is_old(manifest.extracted_at, raw):
                reason = f"read {manifest.extracted_at:%Y-%m-%d %H:%M} UTC, and kept for {_span(raw)}"
                yield from _raw_of(seen, named, manifest, "expired", reason, {record.load_id})


def _raw_of(
    seen: Seen, named: Mapping[str, Sequence[Manifest]], manifest: Manifest, kind: Kind, reason: str, going: Set[str]
) -> Iterator[Item]:
    """Yield the raw files of a load that are there, and that only loads name whose files are `going`."""
    for file in manifest.files:
        item = seen.raw.get(file.key)
        if item is not None and all(other.load_id in going for other in named[file.key]):
            yield _loads_item(kind, item.key, reason, item.size_bytes, manifest.table, manifest.load_id)


def _loads_item(kind: Kind, place: str, reason: str, size_bytes: int, table: TableName, load_id: str) -> Item:
    return Item(kind=kind, place=place, reason=reason, size_bytes=size_bytes, table=str(table), load_id=load_id)


def _span(span: timedelta) -> str:
    return f"{span.days} days" if span >= timedelta(days=2) else f"{span.total_seconds() / 3600:.0f} hours"


def unlanded_slices(lake: Store, seen: Seen, busy: set[str], terms: Terms, table: TableName | None) -> Iterator[Item]:
    """Yield the slice records whose load never landed, past their grace; a run of that slice fixes it anew."""
    for item in lake.list(f"{SLICES}{table}/" if table else SLICES):
        name, _, file = item.key.removeprefix(SLICES).partition("/")
        of, load_id = TableName.parse(name), file.removesuffix(".json")
        landed = manifest_key(of, load_id)
        if landed not in seen.manifests and landed not in busy and terms.is_old(item.modified):
            yield _loads_item("slice", item.key, "no manifest of its load ever landed", item.size_bytes, of, load_id)


def old_checkpoints(lake: Store, seen: Seen, terms: Terms) -> Iterator[Item]:
    """Yield the checkpoints that newer ones took the place of, and files that no checkpoint's manifest stands over."""
    for table, records in seen.commits.items():
        sequences = checkpoint_sequences(lake, table)
        gone = superseded_loads(records)
        # Those behind the newest one that nothing has to be taken out of are never needed again; one is kept in reserve.
        clean = [place for place, sequence in enumerate(sequences) if not superseded_later(records, gone, sequence)]
        kept = set(sequences[: max(clean[0] + 1, KEPT_CHECKPOINTS)] if clean else sequences)
        prefix = checkpoint_prefix(table)
        for item in lake.list(prefix):
            sequence = int(item.key.removeprefix(prefix).partition("/")[0])
            if sequence not in kept and terms.is_old(item.modified):
                reason = "a newer checkpoint took its place" if sequence in sequences else "its checkpoint was never completed"
                yield Item(kind="checkpoint", place=item.key, reason=reason, size_bytes=item.size_bytes, table=str(table))


def old_versions(lake: Store, terms: Terms, table: TableName | None) -> Iterator[Item]:
    """Yield the files of published versions that are neither current nor among those that are kept beside it."""
    kept: dict[str, set[str]] = {}
    for item in lake.list(curated_prefix(table) if table else CURATED):
        parts = item.key.split("/")
        if len(parts) < 5:  # _current.json itself
            continue
        name = f"{parts[1]}.{parts[2]}"
        if name not in kept:
            current = read_current(lake, TableName.parse(name))
            kept[name] = set(current.versions) if current else set()
        if parts[3] not in kept[name] and terms.is_old(item.modified):
            yield Item(kind="curated", place=item.key, reason="newer versions took its place", size_bytes=item.size_bytes, table=name)


def unfinished_writes(lake: Store, terms: Terms) -> Iterator[Item]:
    """Yield what unfinished writes left in the store: parts of multipart uploads, temporary files."""
    for found in lake.unfinished():
        if terms.is_old(found.started):
            reason = f"begun {found.started:%Y-%m-%d %H:%M} UTC and never completed"
            yield Item(kind="unfinished", place=found.key, reason=reason, size_bytes=found.size_bytes, handle=found.handle)


def stale_packages(spool: SpoolPlace, seen: Seen, terms: Terms) -> Iterator[Item]:
    """Yield the spool packages that are of no more use: landed, never completed, or complete and not taken for a week."""
    for package in spool.packages():
        landed = manifest_key(package.name.table, package.name.load_id) in seen.manifests
        if not terms.is_old(package.modified, None if landed or not package.complete else UNSENT_GRACE):
            continue
        reason = "its load has landed" if landed else "no upload took it for a week" if package.complete else "its extraction did not end"
        yield _loads_item("spool", package.path, reason, package.size_bytes, package.name.table, package.name.load_id)

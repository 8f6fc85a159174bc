"""Which files of a source a table has already, at the moment of a load: each is loaded once, whichever runs listed it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ducklift.lake.commits import CommitRecord
from ducklift.lake.loaded_files import LoadedFiles, follow_all, loaded_files
from ducklift.lake.manifest import Manifest
from ducklift.lake.store import Store
from ducklift.specs import TableSpec
from ducklift.warehouse import ledger
from ducklift.warehouse.connect import Warehouse


def files_there(warehouse: Warehouse, lake: Store, manifest: Manifest, spec: TableSpec) -> LoadedFiles | None:
    """Return the files that the pipeline has brought into the table by now; None where the load does not go by files.

    Two runs that overlap list the same files, and one that began before another's commit was published does not know of it.
    """
    if not goes_by_files(manifest, spec):
        return None
    takes_over = bool(manifest.supersedes) or manifest.replaces_stream
    records_after = partial(ledger.commit_records, warehouse, manifest.table)
    found = loaded_files(lake, manifest.table, manifest.pipeline, records_after, with_owners=takes_over)
    found.release(manifest.supersedes, manifest.stream if manifest.replaces_stream else None)
    return found


def goes_by_files(manifest: Manifest, spec: TableSpec) -> bool:
    """Return whether a load leaves out files that were loaded before; a replacement brings all of them anew."""
    return spec.disposition != "replace" and any(file.origin for file in manifest.files)


class FollowedFiles:
    """The same for commits that are done again in their order, as it was when each was committed first."""

    def __init__(self, lake: Store, records: Sequence[CommitRecord]) -> None:
        self._lake, self._records = lake, records
        self._pipelines: dict[str, LoadedFiles] = {}

    def before(self, manifest: Manifest, record: CommitRecord, spec: TableSpec) -> LoadedFiles | None:
        """Return the files that were in the table when this commit began."""
        if not goes_by_files(manifest, spec):
            return None
        found = self._pipelines.setdefault(manifest.pipeline, LoadedFiles())
        earlier = [each for each in self._records if found.sequence < each.sequence < record.sequence]
        follow_all(self._lake, found, manifest.pipeline, earlier)
        found.release(record.supersedes, record.stream if record.replaces_stream else None)
        return found

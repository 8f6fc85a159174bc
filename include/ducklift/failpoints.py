"""Named places where a test may stop the process or raise, to prove that nothing is lost there.

`DUCKLIFT_FAILPOINTS=load.committed:kill,upload.file_put@2:raise` kills at the first pass of one and raises at the second of another.
Unset, `reach` is one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passes: Counter[str] = Counter()

FAILPOINTS = (
    "lake.container_made",
    "lake.probed",
    "lake.marked",
    "extract.slice_fixed",
    "extract.batch_written",
    "extract.file_closed",
    "extract.manifest_written",
    "extract.packaged",
    "upload.file_sent",
    "upload.file_put",
    "upload.files_put",
    "upload.manifest_put",
    "upload.spool_removed",
    "load.system_made",
    "load.downloaded",
    "load.table_made",
    "load.staged",
    "load.applied",
    "load.before_commit",
    "load.committed",
    "load.commit_record_put",
    "load.snapshot_put",
    "load.published",
)

# Passed only where they are asked for: superseding, resetting, rebuilding, committing to the lake alone, copying for readers.
HISTORY_FAILPOINTS = (
    "supersede.refolded",
    "supersede.removed",
    "reset.before_commit",
    "reset.committed",
    "rebuild.begun",
    "rebuild.replayed",
    "rebuild.before_rename",
    "rebuild.renamed",
    "commit.place_claimed",
    "commit.recorded",
    "commit.marked",
    "load.read_copy_written",
)

# Passed only by what keeps the lake small: checkpoints, collections of garbage, publishing.
KEEPING_FAILPOINTS = (
    "checkpoint.copied",
    "checkpoint.files_put",
    "checkpoint.manifest_put",
    "gc.planned",
    "gc.recorded",
    "gc.noted",
    "gc.deleted",
    "gc.completed",
    "publish.written",
    "publish.file_put",
    "publish.files_put",
    "publish.swapped",
)

# Passed only where values are stored.
ASSET_FAILPOINTS = (
    "assets.value_written",
    "assets.value_put",
    "assets.version_recorded",
    "assets.moved",
    "assets.version_unrecorded",
)

# Passed only by deletion sweeps.
SWEEP_FAILPOINTS = (
    "sweep.recorded",
    "sweep.file_put",
    "sweep.manifest_put",
    "sweep.before_commit",
    "sweep.committed",
    "sweep.checkpointed",
    "sweep.notes_blanked",
    "sweep.value_replaced",
    "sweep.erased",
    "sweep.completed",
)


class FailpointReached(Exception):
    """What a fail point set to `raise` raises; no part of Ducklift catches it."""


def reach(name: str) -> None:
    """Pass the fail point `name`: nothing happens unless DUCKLIFT_FAILPOINTS names it (see the module's text)."""
    wanted = os.environ.get("DUCKLIFT_FAILPOINTS")
    if not wanted:
        return
    _passes[name] += 1
    for entry in wanted.split(","):
        place, _, action = entry.strip().partition(":")
        point, _, nth = place.partition("@")
        known = (*FAILPOINTS, *HISTORY_FAILPOINTS, *KEEPING_FAILPOINTS, *ASSET_FAILPOINTS, *SWEEP_FAILPOINTS)
        if point not in known or action not in ("kill", "raise"):
            raise ValueError(f"DUCKLIFT_FAILPOINTS: {entry!r} is not name[@n]:kill|raise with a name of {', '.join(FAILPOINTS)}")
        if point == name and _passes[name] == int(nth or 1):
            if action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise FailpointReached(name)

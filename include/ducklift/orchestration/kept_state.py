"""What Airflow keeps and shows of a pipeline's state: the slice of a task under way, and how far each stream of a table is loaded.

Both are copies for people to look at. The lake holds the originals (the slice, fixed before the first record is read, and the table's
snapshot), so that a run on another Airflow, or on none, goes on where this one was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ducklift.lake.manifest import Slice

if TYPE_CHECKING:
    from airflow.sdk import Asset

log = logging.getLogger(__name__)
TOLD_EVERY_S = 30.0
SLICE, ROWS = "slice", "rows_read"


@contextmanager
def only_a_copy(what: str) -> Iterator[None]:
    """Tell in the log, and go on, when Airflow cannot keep a copy: the original is safe, and the next run makes the copy anew."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        yield
    except AirflowRuntimeError as err:
        log.warning("Airflow could not keep %s: %s", what, err)


@dataclass
class SliceNotes:
    """What an extraction tells of itself: kept with the task over its retries, where the context has a place for it."""

    store: Any = None
    told_at_s: float = field(default_factory=time.monotonic)

    def slice(self, asked: Slice) -> None:
        """Keep what is about to be read; a retry that reads the same again says so."""
        # Not which files were found: those may be many thousands.
        told = asked.model_dump(mode="json", exclude_none=True, exclude={"request"})
        if self.store is None:
            return
        with only_a_copy("the slice of this task"):
            if self.store.get(SLICE) == told:
                log.info("An earlier try had fixed this slice; it is read again from its beginning: %s", told)
            self.store.set(SLICE, told)

    def progress(self, rows: int) -> None:
        """Keep the number of records so far, now and then."""
        now_s = time.monotonic()
        if self.store is not None and now_s - self.told_at_s >= TOLD_EVERY_S:
            with only_a_copy("the progress of this task"):
                self.store.set(ROWS, rows)
            self.told_at_s = now_s


def slice_notes(context: Mapping[str, Any]) -> SliceNotes:
    """Return the notes of the task under way; they go nowhere outside Airflow."""
    return SliceNotes(context.get("task_state_store"))


def mirror_load(context: Mapping[str, Any], asset: Asset, values: Mapping[str, Any]) -> None:
    """Copy a stream's watermark and its last load to the state of the table's asset, where Airflow shows them; the load is committed."""
    stores = context.get("asset_state_store")
    if stores is None:
        log.info("Nothing here keeps the state of assets: the watermark of %s stands in the lake alone.", values["stream"])
        return
    told = {f"watermark/{values['stream']}": values["watermark"], f"last_load/{values['stream']}": values["load_id"]}
    with only_a_copy(f"the watermark of {values['stream']}"):
        for key, value in told.items():
            if value is not None:
                stores[asset].set(key, value)

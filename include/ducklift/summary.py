"""What a load and a run tell afterwards: every row accounted for, as plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ducklift.errors import EXIT_DONE, EXIT_FAILED, DuckliftError, ListingGap

State = Literal["loaded", "already_loaded", "empty", "failed"]
Cursor = int | float | str


@dataclass(frozen=True)
class RowCounts:
    """What happened to the rows of a load; the identity of CONTRACT holds: `rows_extracted` is the sum of the others but deleted."""

    rows_extracted: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_deleted: int = 0
    rows_deduplicated: int = 0
    rows_quarantined: int = 0

    @property
    def accounted(self) -> int:
        """Return the sum that has to equal `rows_extracted`."""
        return self.rows_inserted + self.rows_updated + self.rows_unchanged + self.rows_deduplicated + self.rows_quarantined

    @property
    def rows_loaded(self) -> int:
        """Return how many rows are in the table that were not, or not so: new and changed ones."""
        return self.rows_inserted + self.rows_updated


@dataclass(frozen=True)
class LoadSummary(RowCounts):
    """One stream's load. `cursor_name` is what the cursor, whose greatest loaded value is the `watermark`, is called in the table."""

    load_id: str = ""
    stream: str = ""
    state: State = "loaded"
    table: str = ""
    manifest: str | None = None
    bytes: int = 0
    files: int = 0
    seconds: float = 0.0
    watermark: Cursor | None = None
    cursor_name: str | None = None
    total_rows: int | None = None
    gap: tuple[Cursor, Cursor] | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    exit_code: int = EXIT_DONE

    @classmethod
    def failed(cls, stream: str, table: str, err: DuckliftError, **known: Any) -> LoadSummary:
        """Return the summary of a stream that failed; `known` is what is known all the same."""
        return cls(stream=stream, table=table, state="failed", error=str(err), exit_code=err.exit_code, **known)

    def raise_for_gap(self) -> None:
        """Raise `ListingGap` when the source could not reach back to the watermark; the load itself is committed."""
        if self.gap is not None:
            raise ListingGap(self.stream, *self.gap)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; the watermark stands there a second time, as `last_` and the cursor's name."""
        values = {**asdict(self), "rows_loaded": self.rows_loaded, "warnings": list(self.warnings)}
        del values["exit_code"], values["cursor_name"]
        return {**values, f"{LAST}{self.cursor_name}": self.watermark} if self.cursor_name else values


LAST = "last_"
COUNTED = (
    "rows_loaded",
    "rows_extracted",
    "rows_inserted",
    "rows_updated",
    "rows_unchanged",
    "rows_deleted",
    "rows_deduplicated",
    "rows_quarantined",
    "bytes",
    "files",
)


@dataclass(frozen=True)
class RunSummary:
    """One run over all its streams."""

    pipeline: str
    run_id: str
    seconds: float
    loads: Sequence[LoadSummary] = field(default_factory=tuple)

    @property
    def failures(self) -> list[LoadSummary]:
        """Return the loads that end the run red: failed ones, and landed ones with a gap."""
        return [load for load in self.loads if load.state == "failed" or load.gap is not None]

    @property
    def state(self) -> State:
        """Return the worst state: `failed` when any stream failed or has a gap."""
        if self.failures:
            return "failed"
        states = {load.state for load in self.loads}
        for state in ("loaded", "already_loaded"):
            if state in states:
                return state
        return "empty"

    @property
    def exit_code(self) -> int:
        """Return 0, or what all failures agree on (3 when waiting helps, 2 when settings are to be mended), or else 1."""
        codes = {load.exit_code or EXIT_FAILED for load in self.failures}
        return EXIT_DONE if not codes else codes.pop() if len(codes) == 1 else EXIT_FAILED

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON: the totals, and one object per stream under `loads`."""
        totals = {name: sum(getattr(load, name) for load in self.loads) for name in COUNTED}
        head = {"pipeline": self.pipeline, "run_id": self.run_id, "state": self.state, **totals, "seconds": round(self.seconds, 3)}
        return {**head, "loads": [load.as_dict() for load in self.loads]}


COUNT_NAMES = tuple(entry.name for entry in fields(RowCounts))

"""Loading: what the warehouse, the table's contract or its history does not admit."""

from __future__ import annotations

from collections.abc import Sequence

from ducklift.errors.base import ConfigurationError, Retryable, Terminal


class WarehouseMissing(ConfigurationError):
    """There is no warehouse yet from which one could read."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(f"There is no warehouse at {database} yet. Fill it with: ducklift run <pipeline>, or make run.")


class LoadSuperseded(Terminal):
    """A later extraction of the same slice or stream is in the table; loading the earlier one would bring back what it removed."""

    def __init__(self, load_id: str, superseded_by: str) -> None:
        self.load_id, self.superseded_by = load_id, superseded_by
        super().__init__(f"Load {load_id} was superseded by {superseded_by} before it was loaded. Nothing was changed, nothing is to do.")


class LoadFailed(Terminal):
    """DuckDB refused a statement of a load; the load was rolled back."""

    def __init__(self, table: str, load_id: str, reason: str) -> None:
        self.table, self.load_id, self.reason = table, load_id, reason
        super().__init__(
            f"{table}: load {load_id} failed in DuckDB: {reason}. It was rolled back, and its raw files are in the lake: "
            "mend the cause (the pipeline file, memory, disk), then run it again, or load its manifest with `ducklift load`."
        )


class WarehouseBehind(Terminal):
    """The lake's history of a table is not the warehouse's; loading on would make a second one."""

    def __init__(self, database: str, table: str, sequence: int, load_id: str | None) -> None:
        self.database, self.table, self.sequence, self.load_id = database, table, sequence, load_id
        super().__init__(
            f"{database} does not hold commit {sequence} of {table} (load {load_id}), which the lake knows. Nothing was loaded. "
            "The warehouse is new, an old copy, or another one than the lake was filled with: make it anew with "
            "`ducklift rebuild --replace`, or point DUCKLIFT_WAREHOUSE_URL at the right one."
        )


class WarehouseDiffers(Terminal):
    """A rebuild from the lake gives something else than what stands in the warehouse."""

    def __init__(self, database: str, differences: Sequence[str]) -> None:
        self.database, self.differences = database, list(differences)
        super().__init__(
            f"{database} is not what the lake's history gives: {'; '.join(differences)}. "
            "If it was changed by hand, `ducklift rebuild --replace` makes it anew."
        )


class WarehouseUnusable(Terminal):
    """The warehouse file cannot be opened as it is; it is never overwritten."""

    def __init__(self, database: str, reason: str, advice: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database} cannot be opened: {reason.rstrip('.!')}. {advice}")


class ContractBroken(Terminal):
    """Records do not fit the table, and its contract does not admit them."""

    def __init__(self, table: str, reason: str) -> None:
        self.table, self.reason = table, reason
        super().__init__(f"{table}: {reason}")


class CheckFailed(Terminal):
    """Checks of the pipeline file failed on the staged rows; nothing was committed."""

    def __init__(self, table: str, failures: Sequence[str]) -> None:
        self.table, self.failures = table, list(failures)
        super().__init__(f"{table}: {'; '.join(failures)}. The load was rolled back; its raw files are in the lake.")


class RetryOutdated(Terminal):
    """A package of records retried from quarantine whose time is over."""

    def __init__(self, load_id: str, retried_load: str, reason: str) -> None:
        self.load_id, self.retried_load, self.reason = load_id, retried_load, reason
        super().__init__(f"Load {load_id} retries quarantined records of load {retried_load}, but {reason}. Nothing was loaded.")


class AccountingMismatch(Terminal):
    """Rows extracted and rows accounted for differ; nothing was committed."""

    def __init__(self, load_id: str, expected: int, found: int, terms: str) -> None:
        self.load_id, self.expected, self.found = load_id, expected, found
        super().__init__(
            f"Load {load_id}: {expected} rows were extracted, but {found} are accounted for ({terms}). The load was rolled back. "
            "This is a defect in Ducklift: please report it with the manifest."
        )


class SweepRefused(Terminal):
    """More of a table is said to be gone than a sweep may blank; a broken answer must not blank everything."""

    def __init__(self, table: str, gone: int, asked: int, most: float) -> None:
        self.table, self.gone, self.asked, self.most = table, gone, asked, most
        super().__init__(
            f"{table}: of {asked} records that were asked about, {gone} are said to be gone, more than the share {most:g} that is allowed. "
            "Nothing was changed. Look at some of them at the source; if they are gone indeed, allow it once with --max-ratio."
        )


class WarehouseBusy(Retryable):
    """Another process holds the DuckDB file; only one may write at a time."""

    def __init__(self, database: str, holder: str | None) -> None:
        self.database, self.holder = database, holder
        super().__init__(
            f"{database} is held by {holder or 'another process'}. Wait for it, or give the task the pool 'ducklift_warehouse' (1 slot). "
            "BI tools that keep the file open can read a copy instead: set DUCKLIFT_READ_COPY."
        )


class ReadCopyFailed(Retryable):
    """The load is committed, but the copy of the warehouse for readers could not be renewed."""

    def __init__(self, copy: str, reason: str) -> None:
        self.copy, self.reason = copy, reason
        super().__init__(
            f"The load is committed, but the read copy {copy} could not be renewed and is the one before: {reason}. "
            "The next load tries again, and so does this one when it is run again; nothing is loaded twice."
        )


class WarehouseUnavailable(Retryable):
    """The server behind the warehouse does not answer; whether a commit under way took place shows at the next try."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database} does not answer: {reason}. Try again later; a load that was committed is not loaded twice.")


class WriteConflict(Retryable):
    """Another writer committed to the same table first; nothing of this transaction was kept."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database}: another writer was first, and nothing was kept: {reason}. Run it again.")

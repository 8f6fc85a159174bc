"""The error tree. Whether a run may simply be tried again is decided by the class, nowhere else.

DuckliftError
├── Terminal                     mend it, then run again; Airflow does not retry it
│   ├── ConfigurationError       a file, a setting, a form field; the CLI answers 2
│   │   ├── CredentialsMissing
│   │   ├── MissingExtra         an optional package is not installed
│   │   ├── WarehouseMissing     there is nothing to read yet
│   │   ├── SpoolMissing         the package's path is not on this machine
│   │   └── ManifestMissing      no manifest lies at the URL to load
│   ├── StreamRefused            the source will not give this stream: private, banned, missing …
│   ├── FunctionFailed           a person's own function raised, or gave what holds no records
│   ├── RecordUnwritable         a record holds a value that no file format can carry
│   ├── ReadingLimit             a limit of the pipeline file on the reading was reached; nothing was kept
│   ├── ListingGap               the source could not reach back to the watermark; what it gave is loaded
│   ├── SourceFileChanged        an object that a load refers to, or was to copy, is another one by now, or gone
│   ├── SourceFileRefused        a file that is cut, a bomb, of another format, or hostile
│   ├── FilesTaken               two runs of a lake without a warehouse listed the same files, and the other one was first
│   ├── LakeRefused              keys, permission, foreign bucket, skewed clock
│   ├── CorruptObject            size or hash differs from the manifest
│   │   └── RawExpired           the raw file was deleted on purpose, by retention or because it was superseded
│   ├── CopyDiffers              a Parquet copy of a table does not give back what is in it
│   ├── ManifestConflict         one load id, two contents
│   ├── ManifestUnreadable       damaged, or written by a newer Ducklift
│   ├── LoadSuperseded           a later extraction took this load's place before it was loaded
│   ├── LoadFailed               DuckDB refused something that no other class names; rolled back
│   ├── HistoryBroken            commit records are missing, or two claim one place
│   ├── WarehouseBehind          the lake knows commits that this warehouse does not hold: rebuild it
│   ├── WarehouseDiffers         the warehouse and its rebuild from the lake are not the same
│   ├── DiskFull
│   ├── WarehouseUnusable        corrupt, or written by a newer DuckDB
│   ├── ContractBroken           records that the table's contract does not admit
│   ├── RetryOutdated            quarantined records that were retried, superseded or replaced in the meantime
│   ├── CheckFailed              a check of the pipeline file failed on the staged rows
│   ├── AccountingMismatch       rows in and rows accounted for differ; rolled back
│   ├── SweepRefused             too much of a table is said to be gone at its source
│   ├── SandboxUnavailable       a stand-in server did not start
│   └── StreamsFailed            some streams of a run failed, the others landed
└── Retryable                    wait, then run again; the CLI answers 3
    ├── SourceThrottled          429; `retry_after_s` when the source said so
    ├── SourceUnavailable        5xx, resets, time-outs, answers that make no sense
    ├── SliceNotOver             the interval still runs: what comes until its end would be missed
    ├── ExtractionIncomplete     the listing ended without reason; nothing was kept
    ├── LakeUnavailable          5xx, throttling, resets, time-outs
    ├── WarehouseBusy            another process holds the file
    ├── WarehouseUnavailable     the catalog's server or MotherDuck does not answer
    ├── ReadCopyFailed           the load is committed, the copy for BI tools is the one before
    └── WriteConflict            another writer committed first; the transaction is repeated
"""

from ducklift.errors.base import (
    EXIT_DONE as EXIT_DONE,
    EXIT_FAILED as EXIT_FAILED,
    EXIT_RETRY as EXIT_RETRY,
    EXIT_USAGE as EXIT_USAGE,
    ConfigurationError as ConfigurationError,
    CredentialsMissing as CredentialsMissing,
    DiskFull as DiskFull,
    DuckliftError as DuckliftError,
    MissingExtra as MissingExtra,
    Retryable as Retryable,
    SandboxUnavailable as SandboxUnavailable,
    StreamsFailed as StreamsFailed,
    Terminal as Terminal,
)
from ducklift.errors.of_lake import (
    CopyDiffers as CopyDiffers,
    CorruptObject as CorruptObject,
    HistoryBroken as HistoryBroken,
    LakeRefused as LakeRefused,
    LakeUnavailable as LakeUnavailable,
    ManifestConflict as ManifestConflict,
    ManifestMissing as ManifestMissing,
    ManifestUnreadable as ManifestUnreadable,
    RawExpired as RawExpired,
    SpoolMissing as SpoolMissing,
)
from ducklift.errors.of_sources import (
    ExtractionIncomplete as ExtractionIncomplete,
    FilesTaken as FilesTaken,
    FunctionFailed as FunctionFailed,
    ListingGap as ListingGap,
    ReadingLimit as ReadingLimit,
    RecordUnwritable as RecordUnwritable,
    SliceNotOver as SliceNotOver,
    SourceFileChanged as SourceFileChanged,
    SourceFileRefused as SourceFileRefused,
    SourceThrottled as SourceThrottled,
    SourceUnavailable as SourceUnavailable,
    StreamRefused as StreamRefused,
)
from ducklift.errors.of_warehouse import (
    AccountingMismatch as AccountingMismatch,
    CheckFailed as CheckFailed,
    ContractBroken as ContractBroken,
    LoadFailed as LoadFailed,
    LoadSuperseded as LoadSuperseded,
    ReadCopyFailed as ReadCopyFailed,
    RetryOutdated as RetryOutdated,
    SweepRefused as SweepRefused,
    WarehouseBehind as WarehouseBehind,
    WarehouseBusy as WarehouseBusy,
    WarehouseDiffers as WarehouseDiffers,
    WarehouseMissing as WarehouseMissing,
    WarehouseUnavailable as WarehouseUnavailable,
    WarehouseUnusable as WarehouseUnusable,
    WriteConflict as WriteConflict,
)

"""The errors of values in storage; all of them Terminal or Retryable by their bases, see `ducklift.errors`.

├── ConfigurationError
│   ├── AssetMisnamed            a key or partition that no path can carry
│   ├── NoSerializer             no registered serializer takes values of this type
│   └── UnknownManager           storage.yaml names a manager or a backend that is not there
├── Retryable
│   └── SweptMeanwhile           a deletion sweep ran while the value was made
└── Terminal
    ├── ValueMissing             nothing is stored under this key, partition or version
    │   └── ValueSwept           a deletion sweep took it away
    └── ValueUnreadable          what is stored cannot become what was asked for
"""

from __future__ import annotations

from collections.abc import Sequence

from ducklift.errors import ConfigurationError, Retryable, Terminal


class AssetMisnamed(ConfigurationError):
    """An asset's or a partition's key is none."""


class UnknownManager(ConfigurationError):
    """No manager has this name."""

    def __init__(self, name: str, known: Sequence[str], where: str) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"{where} names {name!r}, which is not declared; there are: {', '.join(sorted(known)) or 'none'}.")


class NoSerializer(ConfigurationError):
    """No serializer takes values of this type. There is no pickle to fall back on, on purpose: docs/assets.md says why."""

    def __init__(self, type_name: str, reason: str = "") -> None:
        self.type_name = type_name
        super().__init__(
            f"No serializer takes a value of type {type_name}{reason and f' ({reason})'}. Return one of the types in docs/assets.md, "
            "or register your own with ducklift.assets.register_serializer."
        )


class ValueMissing(Terminal):
    """Nothing is stored there; `missing` names the partitions, when only some are."""

    def __init__(self, key: str, missing: Sequence[str | None] = (), version: str | None = None) -> None:
        self.key, self.missing, self.version = key, tuple(missing), version
        partitions = [part for part in self.missing if part is not None]
        what = f"{len(partitions)} partition(s) of {key} are" if partitions else f"{key} is"
        named = f": {', '.join(partitions[:20])}{' …' if len(partitions) > 20 else ''}" if partitions else ""
        of_version = f" in version {version}" if version else ""
        super().__init__(f"{what} not stored{of_version}{named}. Run what makes the asset, or look with: ducklift asset list.")


class ValueSwept(ValueMissing):
    """The value held content that is gone at its source, or may have; nobody can tell it from the rest of the value."""

    def __init__(self, key: str, partition: str | None, version: str, table: str, sweep_id: str) -> None:
        self.key, self.missing, self.version, self.table, self.sweep_id = key, (partition,), version, table, sweep_id
        Terminal.__init__(
            self,
            f"{key}{f' in partition {partition}' if partition else ''} was deleted in version {version} by the deletion sweep {sweep_id}: "
            f"it was made of records of {table} that are gone at their source. Run what makes the asset again"
            f"; if this version is pinned, afterwards: ducklift asset unpin {key}.",
        )


class SweptMeanwhile(Retryable):
    """What the value was made of may have been read before the sweep took it out."""

    def __init__(self, key: str, table: str, sweep_id: str, completed: bool) -> None:
        self.key, self.table, self.sweep_id = key, table, sweep_id
        way = "run it again" if completed else "let it end (one that was cut short: ducklift sweep NAME --apply), then run this again"
        super().__init__(f"{key} was not stored: the deletion sweep {sweep_id} of {table} ran while it was made; {way}.")


class ValueUnreadable(Terminal):
    """A stored value is damaged, or is not of the kind that was asked for."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        super().__init__(f"{where}: {reason}")

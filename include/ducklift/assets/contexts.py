"""What an IO manager is told: small, frozen, the same in Airflow, in a plain Python session and in a test."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ducklift.assets.lineage import Lineage

_LOG = logging.getLogger("ducklift.assets")


@dataclass(frozen=True)
class OutputContext:
    """One value about to be stored.

    `key` is the asset's, or the task's where there is no asset; `type` the annotated type. `metadata` and `group` are those that
    the asset was declared with; what `add_output_metadata` is told ends in the version's record and in the asset event.
    """

    key: str
    partition_keys: tuple[str, ...] = ()
    run_id: str = ""
    type: type | None = None
    group: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    log: logging.Logger = field(default=_LOG, compare=False, repr=False)
    output_metadata: dict[str, Any] = field(default_factory=dict, compare=False)
    lineage: Lineage = field(default_factory=Lineage, compare=False, repr=False)

    @property
    def partition_key(self) -> str | None:
        """Return the one partition that is written, or None when there is none; raises ValueError when there are several."""
        return _only(self.partition_keys, self.key)

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add facts about the value, plain JSON: rows, bytes, whatever the manager or the function knows."""
        self.output_metadata.update(metadata)

    def add_origin(self, table: str) -> None:
        """Tell that the value holds rows of a table (`reddit.posts`), where no input does: a deletion sweep of the table goes by it."""
        self.lineage.add_table(table)


@dataclass(frozen=True)
class InputContext:
    """One value about to be loaded.

    `type` is what the receiver asks for (its parameter's annotation, `as_type`), None for whatever was stored. `version` or `as_of` choose
    another version than the current one; a moment without a zone is one of UTC. `columns` asks for these columns only, where
    the stored form has columns.
    """

    key: str
    partition_keys: tuple[str | None, ...] = ()
    run_id: str = ""
    type: Any = None
    group: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    as_of: datetime | None = None
    columns: tuple[str, ...] | None = None
    parameter: str | None = None
    log: logging.Logger = field(default=_LOG, compare=False, repr=False)
    lineage: Lineage = field(default_factory=Lineage, compare=False, repr=False)

    @property
    def partition_key(self) -> str | None:
        """Return the one partition that is read, or None when there is none; raises ValueError when there are several."""
        return _only(self.partition_keys, self.key)


def _only(keys: Sequence[str | None], asset: str) -> str | None:
    if len(keys) > 1:
        raise ValueError(f"{asset} is asked for {len(keys)} partitions at once: take partition_keys, or one at a time")
    return keys[0] if keys else None

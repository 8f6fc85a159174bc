"""Loading an asset's value from anywhere: a notebook, a script, a test, another asset's function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal

from ducklift.assets.keys import PartitionKey, asset_key
from ducklift.assets.managers import InputManager
from ducklift.assets.storage import Storage, input_context
from ducklift.settings import Settings


class AssetValueLoader:
    """Loads values by the managers that stored them. As a context manager it keeps connections open between loads.

    ```python
    with AssetValueLoader() as loader:
        top = loader.load_asset_value("top_posts", partition_key="2026-01-01", as_type=pandas.DataFrame)
    ```
    """

    def __init__(self, settings: Settings | None = None, managers: Mapping[str, InputManager] | None = None) -> None:
        self._settings, self._managers = settings, managers
        self._storage: Storage | None = None

    def __enter__(self) -> AssetValueLoader:
        self._storage = Storage(self._settings, self._managers).__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        storage, self._storage = self._storage, None
        if storage is not None:
            storage.__exit__(kind, error, trace)

    def load_asset_value(
        self,
        key: str | Sequence[str],
        *,
        partition_key: PartitionKey | Sequence[PartitionKey] | Literal["all"] | None = None,
        as_type: Any = None,
        version: str | None = None,
        as_of: datetime | None = None,
        columns: Sequence[str] | None = None,
        io_manager_key: str | None = None,
        missing: Literal["raise", "skip"] = "raise",
    ) -> Any:
        """Return a value: the current one, a given version, or the one that was current at a time.

        A list of partition keys, or `all`, gives a dictionary by partition key. Raises `ValueMissing` naming the partitions that are not
        stored (`missing="skip"` leaves those out), `ValueUnreadable` when the value cannot become `as_type`, `CorruptObject`.
        """
        if self._storage is None:
            with self as loader:
                return loader.load_asset_value(
                    key,
                    partition_key=partition_key,
                    as_type=as_type,
                    version=version,
                    as_of=as_of,
                    columns=columns,
                    io_manager_key=io_manager_key,
                    missing=missing,
                )
        wanted: Any = (self._storage.partitions(asset_key(key), io_manager_key) or []) if partition_key == "all" else partition_key
        several = isinstance(wanted, list | tuple)
        context = input_context(key, wanted, type=as_type, version=version, as_of=as_of, columns=columns)
        return self._storage.load(context, io_manager_key, missing=missing, several=several)

    def load_asset_values(self, keys: Sequence[str], **chosen: Any) -> dict[str, Any]:
        """Return several assets' values by key, each loaded as `load_asset_value` does."""
        if self._storage is None:
            with self as loader:
                return loader.load_asset_values(keys, **chosen)
        return {asset_key(key): self.load_asset_value(key, **chosen) for key in keys}

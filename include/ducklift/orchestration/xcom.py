"""An XCom backend that keeps large values, and values that are no JSON, in storage, and a tagged reference in Airflow's database.

Switched on by `AIRFLOW__CORE__XCOM_BACKEND=ducklift.orchestration.xcom.StoredXCom`; which values, and where, stands in `storage.yaml`.
A reference whose value is gone raises; it never becomes a text. Airflow purges what it clears, and with it the stored value.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.path_manager import PathIOManager
from ducklift.assets.serializers import serializer_for
from ducklift.assets.storage import Storage
from ducklift.errors import ConfigurationError
from ducklift.orchestration.connections import airflow_settings

REFERENCE = "ducklift_stored_value"
FOLDER = "xcom"


class StoredXCom(BaseXCom):
    """The backend; see the module."""

    @staticmethod
    def serialize_value(
        value: Any,
        *,
        key: str | None = None,
        task_id: str | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_index: int | None = None,
    ) -> Any:
        """Return what Airflow's database keeps: the value, or the reference to where it was stored."""
        if _fits_the_database(value):
            return BaseXCom.serialize_value(value)
        place = "/".join([FOLDER, *(_segment(each or "none") for each in (dag_id, task_id, key))])
        partition = (run_id or "none") if map_index in (None, -1) else f"{run_id}|{map_index}"
        manager = _manager()
        version = manager.store_value(OutputContext(place, (partition,), run_id or ""), value, current=False)
        facts = {"key": place, "partition": partition, "version": version.version, "type": version.type, "bytes": version.size_bytes}
        return BaseXCom.serialize_value({REFERENCE: facts})

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """Return the value, from storage where a reference stands for it; raises `ValueMissing` when it is gone."""
        value = BaseXCom.deserialize_value(result)
        reference = reference_of(value)
        if reference is None:
            return value
        return _manager().load_input(InputContext(reference["key"], (reference["partition"],), version=reference["version"]))

    @classmethod
    def purge(cls, xcom: Any, *args: Any) -> None:
        """Delete what a reference names; called by Airflow for every value that it clears."""
        del args
        reference = reference_of(BaseXCom.deserialize_value(xcom)) if xcom.value is not None else None
        if reference is not None:
            _manager().versions.delete(reference["key"], reference["partition"], reference["version"])


def reference_of(value: Any) -> dict[str, str] | None:
    """Return the facts of a reference, or None for any other value."""
    if not isinstance(value, dict) or set(value) != {REFERENCE}:
        return None
    facts: dict[str, str] = value[REFERENCE]
    return facts


def _fits_the_database(value: Any) -> bool:
    """Return whether the value stays with Airflow: plain JSON below the threshold, or what only Airflow knows how to keep."""
    if value is None or isinstance(value, bool | int | float):
        return True
    if reference_of(value) is not None:
        return False  # a user's own dictionary that looks like a reference must come back as it was
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return not _is_stored_by_type(value)
    return size <= _storage().xcom.larger_than


def _is_stored_by_type(value: Any) -> bool:
    """Return whether a value that is no plain JSON is one of a registered type, rather than one of Airflow's own serializers'."""
    try:
        return serializer_for(value) is not None
    except ConfigurationError:
        return False


def _segment(text: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", text)[:100]
    return plain if plain == text and plain[0].isalnum() else f"x{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@cache
def _storage() -> Storage:
    # One for the process: a task's many values share its connections.
    return Storage(airflow_settings())


def _manager() -> PathIOManager:
    name = _storage().xcom.io_manager
    found = _storage().io_manager(name)
    if not isinstance(found, PathIOManager):
        raise ConfigurationError(f"xcom.io_manager in storage.yaml is {name!r}, which keeps no files; name one of type filesystem.")
    return found

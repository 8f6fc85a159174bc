"""An XCom backend that keeps large values, and values that are no JSON, in storage, and a tagged reference in Airflow's database.

Switched on by `AIRFLOW__CORE__XCOM_BACKEND=ducklift.orchestration.xcom.StoredXCom`; which values, and where, stands in `storage.yaml`.
A reference whose value is gone raises; it never becomes a text. Airflow purges what it clears, and with it the stored value.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from functools import cache
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom
from pydantic import Field, ValidationError

from ducklift.assets.contexts import InputContext, OutputContext
from ducklift.assets.errors import NoSerializer, ValueUnreadable
from ducklift.assets.keys import VERSION_ID
from ducklift.assets.path_manager import PathIOManager
from ducklift.assets.serializers import serializer_for
from ducklift.assets.storage import Storage
from ducklift.assets.versions import Version
from ducklift.errors import ConfigurationError
from ducklift.orchestration.connections import airflow_settings

REFERENCE = "ducklift_stored_value"
FOLDER = "xcom"
NOT_IN_REFERENCES = {"seconds", "metadata", "derived_from", "direct", "made_of"}


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
        try:
            version = manager.store_reference(OutputContext(place, (partition,), run_id or ""), value)
        except NoSerializer as err:
            return _kept_by_airflow(value, err)
        return BaseXCom.serialize_value({REFERENCE: version.model_dump(mode="json", exclude=NOT_IN_REFERENCES)})

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """Return the value, from storage where a reference stands for it; raises `ValueMissing` when it is gone."""
        value = BaseXCom.deserialize_value(result)
        reference = reference_of(value)
        if reference is None:
            return value
        return _manager().load_value(InputContext(reference.key, (reference.partition or "",), version=reference.version), reference)

    @classmethod
    def purge(cls, xcom: Any, *args: Any) -> None:
        """Delete what a reference names; called by Airflow for every value that it clears."""
        del args
        try:
            reference = reference_of(BaseXCom.deserialize_value(xcom)) if xcom.value is not None else None
        except ValueUnreadable as err:
            logging.getLogger(__name__).warning("Nothing is deleted with an XCom: %s", err)  # its task has to run again all the same
            return
        if reference is not None:
            _manager().store.delete(reference.file_key)


class Reference(Version):
    """What stands in Airflow's database for a stored value: the whole record of its version, which names nothing outside of its folder."""

    key: str = Field(pattern=rf"^{FOLDER}(/[A-Za-z0-9][A-Za-z0-9_-]*){{3}}$")
    version: str = Field(pattern=VERSION_ID)
    file: str = Field(pattern=r"^value\.[A-Za-z0-9.]+$")


def reference_of(value: Any) -> Reference | None:
    """Return the record that a reference carries, or None for any other value."""
    if not isinstance(value, dict) or set(value) != {REFERENCE}:
        return None
    try:
        return Reference.model_validate(value[REFERENCE])
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueUnreadable("a reference in XCom", f"it was not written by this version of Ducklift: {place}: {first['msg']}") from err


def _fits_the_database(value: Any) -> bool:
    """Return whether the value stays with Airflow: plain JSON below the threshold, or what only Airflow knows how to keep."""
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, dict) and set(value) == {REFERENCE}:
        return False  # a user's own dictionary that looks like a reference must come back as it was
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return not _is_stored_by_type(value)
    return size <= _storage().xcom.larger_than


def _kept_by_airflow(value: Any, unfit: NoSerializer) -> Any:
    """Return what Airflow's own serializers make of a container that holds something which only they know, as a time of pendulum is."""
    try:
        return BaseXCom.serialize_value(value)
    except Exception as err:
        raise unfit from err


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

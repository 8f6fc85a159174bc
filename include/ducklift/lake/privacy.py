"""Personal fields are hashed, blanked or dropped before anything is written: what never reached the bucket need not be deleted from it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ducklift.batches import Batch, Record
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.specs import ColumnSpec, PiiTreatment

if TYPE_CHECKING:
    import pyarrow as pa

SALT = "DUCKLIFT_PII_SALT"
REDACTED = "[redacted]"
_STRICTEST_FIRST: tuple[PiiTreatment, ...] = ("drop", "redact", "hash")

Treatment = Callable[[Any], Any]


class Privacy:
    """Applies the `pii` of a table's columns to batches, in place where they are dicts.

    A field is named as the record has it; `author.email` names a field within `author`, in each item when that is a list. The hash is
    HMAC-SHA256 of the value's text (5 and "5" are alike), in hex, under the salt: equal values stay joinable, guessing needs the salt.
    """

    def __init__(self, columns: Sequence[ColumnSpec], settings: Settings) -> None:
        treated = {column.field: column.pii for column in sorted(columns, key=_strictness, reverse=True) if column.pii}
        self._treatments: dict[str, Treatment | None] = {}
        for name, kind in treated.items():
            self._treatments[name] = None if kind == "drop" else _redacted if kind == "redact" else _hasher(settings, name)

    def __bool__(self) -> bool:
        return bool(self._treatments)

    def applied(self, batch: Batch) -> Batch:
        """Return the batch with every personal field treated."""
        if isinstance(batch, list):
            for record in batch:
                self._treat(record)
            return batch
        if any("." in name and name not in batch.schema.names for name in self._treatments):
            return self.applied(batch.to_pylist())
        return self._treated_columns(batch)

    def _treat(self, record: Record) -> None:
        for name, treatment in self._treatments.items():
            if name in record:
                _treat_field(record, name, treatment)
            elif "." in name:
                _treat_path(record, name.split("."), treatment)

    def _treated_columns(self, table: pa.Table | pa.RecordBatch) -> Any:
        import pyarrow as pa

        for name, treatment in self._treatments.items():
            place = table.schema.get_field_index(name)
            if place < 0:
                continue
            if treatment is None:
                table = table.remove_column(place)
            else:
                values = [None if value is None else treatment(value) for value in table.column(place).to_pylist()]
                table = table.set_column(place, name, pa.array(values, pa.string()))
        return table


def _strictness(column: ColumnSpec) -> int:
    return _STRICTEST_FIRST.index(column.pii) if column.pii else len(_STRICTEST_FIRST)


def _treat_field(record: Record, name: str, treatment: Treatment | None) -> None:
    if treatment is None:
        del record[name]
    elif record[name] is not None:
        record[name] = treatment(record[name])


def _treat_path(value: Any, path: Sequence[str], treatment: Treatment | None) -> None:
    if isinstance(value, list):
        for item in value:
            _treat_path(item, path, treatment)
    elif isinstance(value, dict) and path[0] in value:
        if len(path) == 1:
            _treat_field(value, path[0], treatment)
        else:
            _treat_path(value[path[0]], path[1:], treatment)


def _redacted(_value: Any) -> str:
    return REDACTED


def _hasher(settings: Settings, field: str) -> Treatment:
    salt = settings.environment.get(SALT, "")
    if not salt:
        raise ConfigurationError(
            f"The field {field!r} is to be hashed (pii: hash), which needs a secret salt, or the hashes could be guessed. "
            f"Set {SALT}, for example to the output of: openssl rand -hex 32. Keep it: other salts give other hashes."
        )
    key = salt.encode()

    @lru_cache(maxsize=10_000)
    def hashed_text(text: bytes) -> str:
        return hmac.digest(key, text, hashlib.sha256).hex()

    def hashed(value: Any) -> str:
        if isinstance(value, str):
            return hashed_text(value.encode("utf-8", "surrogatepass"))
        return hashed_text(json.dumps(value, sort_keys=True, default=str).encode())

    return hashed

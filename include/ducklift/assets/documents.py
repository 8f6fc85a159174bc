"""Plain values as JSON: dictionaries, lists, scalars, dataclasses, pydantic models; what JSON has no word for is kept by a tag.

A tagged value is an object with the one key `$type` and its `value`. A class's name is recorded, but never imported from a file: a
dataclass or model comes back as such where the receiver's annotation asks for it, and as a dictionary otherwise.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from ducklift.assets.errors import NoSerializer, ValueUnreadable
from ducklift.assets.serializers import Serializer, full_name

TAG = "$type"
_DEEPEST = 200

_TO_TEXT: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda each: [each.days, each.seconds, each.microseconds]),
    Decimal: ("decimal", str),
    bytes: ("bytes", lambda each: base64.b64encode(each).decode()),
    bytearray: ("bytearray", lambda each: base64.b64encode(each).decode()),
    UUID: ("uuid", str),
    complex: ("complex", lambda each: [repr(each.real), repr(each.imag)]),
}
_FROM_TEXT: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "bytes": base64.b64decode,
    "bytearray": lambda text: bytearray(base64.b64decode(text)),
    "uuid": UUID,
    "complex": lambda parts: complex(*map(float, parts)),
    "float": float,
    "text": lambda codes: "".join(map(chr, codes)),
}
_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}


class DocumentSerializer(Serializer):
    """JSON, readable by anything; dates, decimals, bytes, sets, tuples, and keys that are no texts come back as they were."""

    name: ClassVar[str] = "json"
    extension: ClassVar[str] = "json"
    types: ClassVar[tuple[str, ...]] = ("*",)

    def takes(self, value: Any) -> bool:
        """Return whether this is a plain value, a dataclass or a pydantic model; what lies inside is looked at when it is written."""
        plain = isinstance(value, dict | list | tuple | set | frozenset | str | int | float | bool | Enum | None) or type(value) in _TO_TEXT
        return plain or _fields_of(value) is not None

    def wanted(self, annotation: Any) -> Any:
        """Return the annotation itself: what is stored may well be None."""
        return annotation

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the value; raises `NoSerializer` naming the place of what JSON cannot hold."""
        text = json.dumps(_tagged(value, "value", 0), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        path.write_bytes(text.encode())
        return {"entries": len(value)} if isinstance(value, dict | list | tuple | set | frozenset) else {}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the value; a wanted type is met by pydantic's rules, so that dataclasses and models are made again and checked."""
        try:
            value = _untagged(json.loads(path.read_bytes()))
        except (ValueError, RecursionError) as err:
            raise ValueUnreadable(path.name, f"it is not the JSON that was stored ({err})") from err
        if columns is not None and isinstance(value, dict):
            if unknown := sorted(set(columns) - value.keys()):
                raise ValueUnreadable(path.name, f"it has no {', '.join(unknown)}; it has {', '.join(map(str, value))}")
            value = {name: value[name] for name in columns}
        return value if wanted is None else _as_wanted(value, wanted)


def _as_wanted(value: Any, wanted: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    try:
        # By name: fields are stored under their own names, whatever their aliases.
        return TypeAdapter(wanted).validate_python(value, by_alias=True, by_name=True)
    except PydanticUserError as err:
        raise ValueUnreadable("a stored document", f"cannot become {full_name(wanted)}; ask for dict, list or a model") from err
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the value"
        raise ValueUnreadable("a stored document", f"is no {full_name(wanted)}: {place}: {first['msg']}") from err


def _fields_of(value: Any) -> dict[str, Any] | None:
    """Return the fields of a dataclass instance or a pydantic model, as they are; None for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if any(full_name(each) == "pydantic.main.BaseModel" for each in type(value).__mro__):
        return {**{name: getattr(value, name) for name in type(value).model_fields}, **(value.model_extra or {})}
    return None


def _tagged(value: Any, place: str, depth: int) -> Any:  # noqa: C901 — one branch for each kind of value that JSON knows
    if depth > _DEEPEST:
        raise NoSerializer(full_name(type(value)), f"{place[:200]} is nested deeper than {_DEEPEST}, or holds itself")
    if value is None or isinstance(value, bool) or type(value) is int:
        return value
    if type(value) is str:
        # A lone surrogate has no form in UTF-8.
        return value if value.isascii() or _encodes(value) else {TAG: "text", "value": [ord(letter) for letter in value]}
    if type(value) is float:
        return value if math.isfinite(value) else {TAG: "float", "value": str(value)}
    if isinstance(value, Enum):
        return _tagged(value.value, place, depth + 1)
    if isinstance(value, list) and not _named_tuple(value):
        return [_tagged(each, f"{place}[{index}]", depth + 1) for index, each in enumerate(value)]
    if isinstance(value, dict):
        return _tagged_mapping(value, place, depth)
    if type(value) in _TO_TEXT:
        tag, written = _TO_TEXT[type(value)]
        return {TAG: tag, "value": written(value)}
    if isinstance(value, tuple | set | frozenset):
        kind = "tuple" if isinstance(value, tuple) else type(value).__name__
        return {TAG: kind, "value": [_tagged(each, f"{place}[{index}]", depth + 1) for index, each in enumerate(_in_order(value))]}
    if any(full_name(each) == "pydantic.root_model.RootModel" for each in type(value).__mro__):
        return _tagged(value.root, place, depth + 1)
    if (fields := _fields_of(value)) is not None:
        return _tagged_mapping(fields, place, depth)
    if isinstance(value, int | float | str):
        return _tagged(next(kind(value) for kind in (int, float, str) if isinstance(value, kind)), place, depth + 1)
    if full_name(type(value)).startswith("numpy.") and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        plain = value.item()
        # Python has no nanoseconds and no months: NumPy gives their bare number, as if it had no unit.
        if not (value.dtype.kind in "mM" and isinstance(plain, int)):
            return _tagged(plain, place, depth + 1)
    raise NoSerializer(full_name(type(value)), f"at {place[:200]}")


def _tagged_mapping(value: Mapping[Any, Any], place: str, depth: int) -> Any:
    plain = all(type(name) is str and _encodes(name) for name in value) and TAG not in value
    if plain:
        return {name: _tagged(each, f"{place}.{name}", depth + 1) for name, each in value.items()}
    pairs = [[_tagged(name, f"{place}'s key", depth + 1), _tagged(each, f"{place}[{name!r}]", depth + 1)] for name, each in value.items()]
    return {TAG: "mapping", "value": pairs}


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(each) for each in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {name: _untagged(each) for name, each in value.items()}
    tag, held = value[TAG], value.get("value")
    if tag == "mapping":
        return {_untagged(name): _untagged(each) for name, each in held or []}
    if tag in _COLLECTIONS:
        return _COLLECTIONS[tag]([_untagged(each) for each in held or []])
    if tag in _FROM_TEXT:
        return _FROM_TEXT[tag](held)
    raise ValueError(f"it holds a tag that this Ducklift does not know: {tag!r}")


def _in_order(value: Any) -> Any:
    """Return a set's elements in an order that does not change from run to run, so that equal sets give equal files."""
    return value if isinstance(value, tuple) else sorted(value, key=lambda each: (type(each).__name__, repr(each)))


def _named_tuple(value: Any) -> bool:
    return hasattr(value, "_fields")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""From a value to a file and back, by its type: an open registry. None of them pickles: loading a file never runs code.

A serializer is found by the names of the value's classes, so that no library is imported before a value of it turns up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from ducklift.assets.errors import NoSerializer


class Serializer(ABC):
    """One stored form.

    `name` stands in each version's record and finds the serializer again; `types` are the full names of the classes that it takes, with
    their subclasses.
    """

    name: ClassVar[str]
    extension: ClassVar[str]
    types: ClassVar[tuple[str, ...]]

    @abstractmethod
    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the value to a local file and return facts about it, plain JSON (`rows`, `columns` …)."""

    @abstractmethod
    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Read the file as the type `wanted`, or as its natural type when that is None; raises `ValueUnreadable`.

        The file is gone after the call: a result must not lean on it.
        """

    def wanted(self, annotation: Any) -> Any:
        """Return what `load` is asked for where a parameter is annotated so: of `DataFrame | None` what is no None."""
        return single(annotation)

    def takes(self, value: Any) -> bool:
        """Return whether this serializer takes a value of one of its types; a second look, for containers."""
        del value
        return True


# In the order in which they are asked: a dictionary of arrays is one of NumPy's before it is JSON.
_BUILT_IN = (
    "ducklift.assets.tables:TableSerializer",
    "ducklift.assets.arrays:ArraySerializer",
    "ducklift.assets.arrays:ArraysSerializer",
    "ducklift.assets.pictures:PictureSerializer",
    "ducklift.assets.texts:TextSerializer",
    "ducklift.assets.texts:BytesSerializer",
    "ducklift.assets.documents:DocumentSerializer",
)
_registered: list[Serializer] = []


def register_serializer(serializer: Serializer) -> Serializer:
    """Add a serializer, ahead of all others; one of the same name takes that one's place."""
    _registered[:] = [each for each in _registered if each.name != serializer.name]
    _registered.insert(0, serializer)
    return serializer


def serializers() -> list[Serializer]:
    """Return all serializers, in the order in which they are asked."""
    names = {each.name for each in _registered}
    return [*_registered, *(each for each in map(_built_in, _BUILT_IN) if each.name not in names)]


def _built_in(place: str) -> Serializer:
    module, _, name = place.partition(":")
    made: Serializer = getattr(import_module(module), name)()
    return made


def serializer_for(value: Any) -> Serializer:
    """Return the serializer of a value; raises `NoSerializer` naming its type."""
    names = {full_name(each) for each in type(value).__mro__}
    for serializer in serializers():
        if ("*" in serializer.types or names & set(serializer.types)) and serializer.takes(value):
            return serializer
    raise NoSerializer(full_name(type(value)))


def serializer_named(name: str, where: str) -> Serializer:
    """Return the serializer that wrote a value; raises `NoSerializer` when it is not registered here."""
    for serializer in serializers():
        if serializer.name == name:
            return serializer
    raise NoSerializer(name, f"{where} was stored by a serializer of this name, which is not registered in this process")


def single(wanted: Any) -> Any:
    """Return the one type of `DataFrame | None`, None for a choice of several types, and anything else as it is."""
    if get_origin(wanted) not in (Union, UnionType):
        return wanted
    members = [each for each in get_args(wanted) if each is not NoneType]
    return members[0] if len(members) == 1 else None


def full_name(type_: Any) -> str:
    """Return a class's full name, as `module.Class`."""
    return f"{getattr(type_, '__module__', '')}.{getattr(type_, '__qualname__', type_)}".removeprefix("builtins.")


def root_module(type_: Any) -> str:
    """Return the name of the top-level package that a class comes from."""
    return str(getattr(type_, "__module__", "")).partition(".")[0]

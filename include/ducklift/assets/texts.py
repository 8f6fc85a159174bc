"""Texts and bytes, as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ducklift.assets.errors import NoSerializer, ValueUnreadable
from ducklift.assets.serializers import Serializer, full_name


class TextSerializer(Serializer):
    """UTF-8 text, newlines untouched."""

    name: ClassVar[str] = "text"
    extension: ClassVar[str] = "txt"
    types: ClassVar[tuple[str, ...]] = ("str",)

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the text; a lone surrogate is an error, since UTF-8 has no form for it."""
        try:
            path.write_bytes(value.encode())
        except UnicodeEncodeError as err:
            raise NoSerializer("str", f"it holds a lone surrogate at position {err.start}, which UTF-8 has no form for") from err
        return {"characters": len(value)}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the text, or its bytes."""
        del columns
        data = path.read_bytes()
        if wanted is bytes:
            return data
        if wanted in (None, str):
            return data.decode()
        raise ValueUnreadable("a stored text", f"cannot become {full_name(wanted)}; ask for str or bytes")


class BytesSerializer(Serializer):
    """Bytes, as they are."""

    name: ClassVar[str] = "bytes"
    extension: ClassVar[str] = "bin"
    types: ClassVar[tuple[str, ...]] = ("bytes", "bytearray", "memoryview")

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the bytes."""
        path.write_bytes(value)
        return {}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the bytes; as text only when they are valid UTF-8."""
        del columns
        data = path.read_bytes()
        if wanted in (None, bytes):
            return data
        if wanted is bytearray:
            return bytearray(data)
        if wanted is str:
            try:
                return data.decode()
            except UnicodeDecodeError as err:
                raise ValueUnreadable("stored bytes", f"are not UTF-8 text ({err.reason} at {err.start}); ask for bytes") from err
        raise ValueUnreadable("stored bytes", f"cannot become {full_name(wanted)}; ask for bytes")

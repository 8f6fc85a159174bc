"""Figures and pictures as PNG: matplotlib's figures and Pillow's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ducklift.assets.errors import ValueUnreadable
from ducklift.assets.serializers import Serializer, full_name, root_module


class PictureSerializer(Serializer):
    """PNG. Loaded as its bytes, unless a Pillow image or an array is asked for: a picture is no figure any more."""

    name: ClassVar[str] = "png"
    extension: ClassVar[str] = "png"
    types: ClassVar[tuple[str, ...]] = ("matplotlib.figure.Figure", "PIL.Image.Image")

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the picture; a figure is drawn without any date or version in it, so that equal figures give equal files."""
        if root_module(type(value)) == "matplotlib":
            value.savefig(path, format="png", metadata={"Software": None})
            width, height = (round(inches * value.dpi) for inches in value.get_size_inches())
        else:
            value.save(path, format="PNG")
            width, height = value.size
        return {"width": width, "height": height}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the PNG's bytes, a Pillow image, or an array of its pixels."""
        del columns
        if wanted in (None, bytes):
            return path.read_bytes()
        if root_module(wanted) in ("PIL", "numpy"):
            from PIL import Image

            with Image.open(path) as image:
                image.load()
                if root_module(wanted) == "PIL":
                    return image.copy()
                import numpy as np

                return np.asarray(image)
        raise ValueUnreadable("a stored picture", f"cannot become {full_name(wanted)}; ask for bytes, PIL.Image.Image or numpy.ndarray")

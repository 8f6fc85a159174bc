"""NumPy arrays, one as .npy and several by name as .npz; arrays of Python objects are refused, since NumPy pickles them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, get_origin

from ducklift.assets.errors import NoSerializer, ValueUnreadable
from ducklift.assets.serializers import Serializer, full_name, root_module


class ArraySerializer(Serializer):
    """One array, as NumPy's own format."""

    name: ClassVar[str] = "npy"
    extension: ClassVar[str] = "npy"
    types: ClassVar[tuple[str, ...]] = ("numpy.ndarray", "numpy.generic")

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the array as it is, with its order, shape and type."""
        import numpy as np

        if isinstance(value, np.ma.MaskedArray):
            raise NoSerializer(
                "numpy.ma.MaskedArray", "the mask would be lost; store array.filled(…), or {'data': array.data, 'mask': array.mask}"
            )
        array = _plain(np.asanyarray(value))
        with path.open("wb") as target:
            np.save(target, array, allow_pickle=False)
        return {"shape": list(array.shape), "dtype": str(array.dtype)}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the array, or a list or one scalar when that is asked for."""
        import numpy as np

        del columns
        array = np.load(path, allow_pickle=False)
        if wanted is None or root_module(wanted) == "numpy":
            scalar = isinstance(wanted, type) and issubclass(wanted, np.generic)
            if scalar and array.ndim:
                raise ValueUnreadable(
                    "a stored array", f"has {array.ndim} dimensions, and is no {full_name(wanted)}; ask for numpy.ndarray"
                )
            return array[()] if scalar else array
        if (get_origin(wanted) or wanted) is list:
            return array.tolist()
        if wanted in (int, float, bool, complex, str) and array.ndim == 0:
            return array.item()
        raise ValueUnreadable("a stored array", f"cannot become {full_name(wanted)}; ask for numpy.ndarray or list")


class ArraysSerializer(Serializer):
    """Several arrays by name, as NumPy's own archive."""

    name: ClassVar[str] = "npz"
    extension: ClassVar[str] = "npz"
    types: ClassVar[tuple[str, ...]] = ("dict",)

    def takes(self, value: Any) -> bool:
        """Return whether this is a dictionary of arrays and of nothing else."""
        return bool(value) and all(isinstance(name, str) and full_name(type(each)) == "numpy.ndarray" for name, each in value.items())

    def dump(self, value: Any, path: Path) -> dict[str, Any]:
        """Write the arrays, uncompressed: numbers seldom shrink, and reading stays quick."""
        import numpy as np

        if unfit := sorted(name for name in value if not name or "/" in name or name.endswith(".npy") or name == "file"):
            raise NoSerializer("dict of numpy.ndarray", f"an archive of arrays cannot hold these names: {', '.join(map(repr, unfit))}")
        with path.open("wb") as target:
            np.savez(target, **{name: _plain(each) for name, each in value.items()})
        return {"arrays": {name: {"shape": list(each.shape), "dtype": str(each.dtype)} for name, each in value.items()}}

    def load(self, path: Path, wanted: Any, columns: tuple[str, ...] | None) -> Any:
        """Return the arrays by name; `columns` chooses among them."""
        import numpy as np

        if (get_origin(wanted) or wanted) not in (None, dict):
            raise ValueUnreadable("stored arrays", f"cannot become {full_name(wanted)}; ask for dict")
        with np.load(path, allow_pickle=False) as archive:
            if unknown := sorted(set(columns or ()) - set(archive.files)):
                raise ValueUnreadable("stored arrays", f"hold no {', '.join(unknown)}, but {', '.join(archive.files)}")
            return {name: archive[name] for name in (columns or archive.files)}


def _plain(array: Any) -> Any:
    if array.dtype.hasobject:
        raise NoSerializer("numpy.ndarray", "its elements are Python objects, which NumPy could only pickle; give it a dtype")
    return array

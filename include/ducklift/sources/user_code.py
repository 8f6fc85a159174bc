"""A person's own function: found by `module:function` or `file.py:function`, called with what it declares, its errors told by line."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ducklift.errors import ConfigurationError, DuckliftError, FunctionFailed

PLACE = re.compile(r"(?P<file>[^:]+\.py):(?P<attribute>[A-Za-z_]\w*)|(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


class UserFunction:
    """A function of the user's; it is loaded when it is made.

    A file lies in the project and is run by itself: neither its folder nor the project is put on Python's search path, and no module of the
    same name is hidden or replaced. Raises `ConfigurationError` where there is no such function, `FunctionFailed` when its module fails.
    """

    def __init__(self, place: str, project: Path) -> None:
        self.place = place
        match = PLACE.fullmatch(place)
        if match is None:
            raise ConfigurationError(f"{place!r} names no function: {HOW_TO_NAME}")
        with self.errors_told():
            module = self._from_file(match["file"], project) if match["file"] else self._imported(match["module"])
        found = getattr(module, match["attribute"] or match["name"], None)
        if not callable(found):
            has = "is no function" if found is not None else "is not there"
            raise ConfigurationError(f"{place}: {match['attribute'] or match['name']!r} {has} in {module.__file__}.")
        self._function: Callable[..., Any] = found

    def _from_file(self, file: str, project: Path) -> ModuleType:
        path = (project / file).resolve()
        if not path.is_relative_to(project.resolve()):
            raise ConfigurationError(f"{self.place}: the file has to lie in the project, {project}.")
        if not path.is_file():
            raise ConfigurationError(f"{self.place}: there is no file {path}.")
        name = f"ducklift_function_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        spec = spec_from_file_location(name, path)
        assert spec is not None  # noqa: S101 — the name ends in .py
        assert spec.loader is not None  # noqa: S101
        module = module_from_spec(spec)
        # Dataclasses look their module up there.
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def _imported(self, module: str) -> ModuleType:
        try:
            return import_module(module)
        except ModuleNotFoundError as err:
            if err.name is None or not f"{module}.".startswith(f"{err.name}."):
                raise
            raise ConfigurationError(f"{self.place}: there is no module {err.name!r} to import. {HOW_TO_NAME}") from err

    def takes(self, name: str) -> bool:
        """Return whether the function declares a parameter of this name."""
        return name in inspect.signature(self._function).parameters

    def call(self, offered: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
        """Call the function with the pipeline file's `params` and with those of the `offered` values that it declares.

        Raises `ConfigurationError` when the two do not make a call.
        """
        arguments = {**params, **{name: value for name, value in offered.items() if self.takes(name)}}
        try:
            inspect.signature(self._function).bind(**arguments)
        except TypeError as err:
            raise ConfigurationError(
                f"{self.place}{inspect.signature(self._function)} cannot be called with params {sorted(params)}: {err}. "
                f"Without a params entry it may declare {', '.join(offered)}."
            ) from None
        with self.errors_told():
            return self._function(**arguments)

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Turn what the user's code raises into `FunctionFailed`; Ducklift's own errors, which it may raise on purpose, go through."""
        try:
            yield
        except (DuckliftError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as err:
            file, line = _where(err, getattr(inspect.unwrap(self._function), "__code__", None) if hasattr(self, "_function") else None)
            raise FunctionFailed(self.place, file, line, err) from err


HOW_TO_NAME = (
    "Write module:function for what is installed, or a file of the project as in include/sources/weather.py:observations "
    "(see docs/sources/python.md)."
)


def _where(err: BaseException, code: CodeType | None) -> tuple[str, int | None]:
    """Return the innermost line of the function's own file in a traceback, or else where the function begins."""
    if isinstance(err, SyntaxError) and err.filename:
        return err.filename, err.lineno
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    if not own and code is not None:
        return code.co_filename, code.co_firstlineno
    return (own or frames)[-1].filename, (own or frames)[-1].lineno

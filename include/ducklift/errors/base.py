"""What every error is, and those that any room may raise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_RETRY = 0, 1, 2, 3


class DuckliftError(Exception):
    """Base of all errors that Ducklift raises on purpose; the message says what, where and what to do."""

    exit_code = EXIT_FAILED

    def __reduce__(self) -> tuple[Any, ...]:
        # Airflow and multiprocessing carry exceptions between processes; subclasses have signatures of their own.
        return _revive, (self.__class__, self.args, self.__dict__)


def _revive(cls: type[DuckliftError], args: tuple[Any, ...], facts: dict[str, Any]) -> DuckliftError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class Terminal(DuckliftError):
    """Trying again cannot help until somebody mends something."""


class Retryable(DuckliftError):
    """Trying again later may help."""

    exit_code = EXIT_RETRY


class ConfigurationError(Terminal):
    """A setting, a pipeline file or a form field is not usable."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, file: Path | None = None, line: int | None = None) -> None:
        self.file, self.line = file, line
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message)


class CredentialsMissing(ConfigurationError):
    """No credentials were found; the message lists every place that was looked at."""


def pip_install(extra: str) -> str:
    """Return the command that installs an extra where Ducklift is installed: no package index has it."""
    return f"{sys.executable} -m pip install 'ducklift[{extra}]'"


class MissingExtra(ConfigurationError):
    """An optional package is needed for this URL or format."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{what} needs the package {package!r}. Install it with: {pip_install(extra)}")


class DiskFull(Terminal):
    """A write failed for want of space; what was half written is removed or rolled back."""

    def __init__(self, path: str, doing: str) -> None:
        self.path = path
        super().__init__(f"No space left at {path} while {doing}. Nothing half-written was kept. Free some space, or move the folder.")


class SandboxUnavailable(Terminal):
    """A server of the sandbox did not start."""


class StreamsFailed(Terminal):
    """One or more streams of a run failed; the others landed."""

    def __init__(self, failures: dict[str, str]) -> None:
        self.failures = failures
        super().__init__("; ".join(failures.values()))

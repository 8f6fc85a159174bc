"""Reading: what a source will not give, did not give whole, or gave in a form that nothing can hold."""

from __future__ import annotations

from datetime import datetime

from ducklift.errors.base import Retryable, Terminal


class StreamRefused(Terminal):
    """The source refuses one stream for a reason that waiting does not change."""

    def __init__(self, stream: str, reason: str, advice: str) -> None:
        self.stream, self.reason = stream, reason
        super().__init__(f"{stream}: {reason}. {advice}")


class FunctionFailed(Terminal):
    """The function of a `python` source raised; nothing of this reading landed. The original error is the cause."""

    def __init__(self, function: str, file: str, line: int | None, error: BaseException) -> None:
        self.function, self.file, self.line = function, file, line
        text = " ".join(str(error).split())[:300]
        super().__init__(
            f"{function} failed at {file}:{line}: {type(error).__name__}{': ' if text else ''}{text}. Nothing of this reading landed. "
            "Mend the function; where waiting may help, let it raise ducklift.errors.SourceUnavailable, and the task is tried again."
        )


class RecordUnwritable(Terminal):
    """A record holds something that has no place in a file; nothing of this reading landed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"A record cannot be written: {reason}. Nothing of this reading landed. Let the source yield texts, numbers, booleans, dates, "
            "times, decimals, bytes, UUIDs, lists and dicts."
        )


class ReadingLimit(Terminal):
    """A reading came to a limit that the pipeline file sets; it fails rather than end early."""

    def __init__(self, stream: str, reason: str, advice: str) -> None:
        self.stream, self.reason = stream, reason
        super().__init__(f"{stream}: {reason}. Nothing of this reading was kept. {advice}")


class ListingGap(Terminal):
    """Records between the watermark and the oldest one in reach were not read; what was read is committed."""

    def __init__(self, stream: str, cursor_from: object, cursor_to: object) -> None:
        self.stream, self.cursor_from, self.cursor_to = stream, cursor_from, cursor_to
        super().__init__(
            f"{stream}: the source's listing ended before the watermark was reached: records from {cursor_from} to {cursor_to} "
            "may be missing. What was read is loaded and the gap is recorded in _ducklift.gaps. "
            "Run more often, or fill the gap from a dump."
        )


class SourceFileChanged(Terminal):
    """An object outside the lake is not the one that was listed; loading it would not be what the slice or the manifest says."""

    def __init__(self, url: str, expected: str, found: str) -> None:
        self.url, self.expected, self.found = url, expected, found
        super().__init__(
            f"{url} was changed since it was listed: expected {expected}, found {found}. No row of it was loaded. A new run takes the file "
            "as it is now; a rebuild of what was loaded needs the old version back."
        )


class SourceFileRefused(Terminal):
    """A file outside the lake cannot be taken as what it is said to be."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url} was refused: {reason}. Nothing was loaded. Mend the file, or leave it out by a narrower source.path.")


class FilesTaken(Terminal):
    """A load of a table in the lake alone brings files that another load committed since they were listed."""

    def __init__(self, load_id: str, url: str, files: int) -> None:
        self.load_id, self.url, self.files = load_id, url, files
        super().__init__(
            f"Load {load_id} brings {files} files that another run has committed since they were listed, {url} among them. Nothing was "
            "committed twice. A new run takes what is left."
        )


class SourceThrottled(Retryable):
    """The source asks to wait."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class SourceUnavailable(Retryable):
    """The source does not answer, or not sensibly."""


class SliceNotOver(Retryable):
    """What an interval holds was asked for before it ended; nothing was read, so that nothing is missed."""

    def __init__(self, stream: str, start: datetime, end: datetime) -> None:
        self.ends_at = end
        super().__init__(f"{stream}: the interval from {start:%F %R} UTC ends at {end:%F %R} UTC. Run it again after that.")


class ExtractionIncomplete(Retryable):
    """The source ended its answer without reason; a green run with fewer rows is not an outcome."""

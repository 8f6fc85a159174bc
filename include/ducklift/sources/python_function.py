"""python: whatever a function of yours yields, each stream from one call of it, with the incremental state handed in as it asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.sources.user_code import HOW_TO_NAME, PLACE, UserFunction
from ducklift.sources.yielded import batches_of

StreamName = Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,100}$")]
OFFERED = ("state", "stream", "watermark", "cursor_from", "cursor_to", "interval_start", "interval_end", "partition", "connection")


class PythonSource(Source):
    """One function for one table or several, or a function for each."""

    type: Literal["python"] = "python"
    function: str | None = Field(default=None, description="module:function, or file.py:function below the project.")
    named_streams: tuple[StreamName, ...] | dict[StreamName, str] = Field(
        default=(), alias="streams", description="Names for one function that is called for each, or name: function."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Handed to the function by name.")
    moves_watermark: bool = Field(default=True, description="false: the function does not give everything since the watermark.")

    by_interval: bool = Field(default=False, description="true: the function keeps to cursor_to, so that one interval can be asked of it.")

    @model_validator(mode="after")
    def _functions_are_named(self) -> PythonSource:
        if not self.function and not isinstance(self.named_streams, dict):
            raise ValueError("a python source needs a function, for example function: include/sources/weather.py:observations")
        if self.function and isinstance(self.named_streams, dict):
            raise ValueError("write function with a list of streams, or streams with a function each")
        for stream in self.streams():
            if not PLACE.fullmatch(self._function_of(stream)):
                raise ValueError(f"{self._function_of(stream)!r} names no function. {HOW_TO_NAME}")
        if len(set(self.streams())) < len(self.streams()):
            raise ValueError("a stream is named twice")
        if taken := sorted(self.params.keys() & set(OFFERED)):
            raise ValueError(f"params: {', '.join(taken)} is handed to the function by Ducklift; choose another name")
        return self

    def streams(self) -> Sequence[str]:
        """Return the streams' names; a lone function's stream is called as the function is."""
        return list(self.named_streams) or [str(self.function).rpartition(":")[2]]

    def uses_watermark(self) -> bool:
        """Return whether the function gives everything since the watermark."""
        return self.moves_watermark

    def reads_windows(self) -> bool:
        """Return whether the function gives what lies between two cursors, and nothing else."""
        return self.by_interval

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield what the function gives; raises `FunctionFailed` for its errors, `ConfigurationError` when it cannot be found or called."""
        if request.stream not in self.streams():
            raise ConfigurationError(f"{request.stream!r} is not a stream of this source; its streams are {', '.join(self.streams())}")
        place = self._function_of(request.stream)
        report.request = {
            "function": place,
            "params": sorted(self.params),
            "cursor_from": request.cursor_from,
            "watermark": request.watermark,
        }
        function = UserFunction(place, settings.project)
        returned = function.call(_offered(request, settings), self.params)
        with function.errors_told():
            yield from batches_of(returned)
        report.ordered_and_complete = self.moves_watermark

    def _function_of(self, stream: str) -> str:
        return self.named_streams[stream] if isinstance(self.named_streams, dict) else str(self.function)


def _offered(request: SliceRequest, settings: Settings) -> Mapping[str, Any]:
    return {
        "state": request,
        "stream": request.stream,
        "watermark": request.watermark,
        "cursor_from": request.cursor_from,
        "cursor_to": request.cursor_to,
        "interval_start": request.interval_start,
        "interval_end": request.interval_end,
        "partition": request.partition,
        "connection": settings.connections,
    }

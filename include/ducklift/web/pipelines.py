"""What the pipeline files say that a page needs: tables and streams, freshness checks, retention. A broken file is a problem on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ducklift.errors import DuckliftError
from ducklift.pipeline_file import Pipeline, Retention, load_pipeline, pipeline_names
from ducklift.settings import Settings
from ducklift.specs import TableSpec, duration_s
from ducklift.web.views.states import Problem
from ducklift.web.views.texts import MESSAGE, NAME, shown

_NO_FILE = (0, 0)
_FIX = "Mend the file; `ducklift validate {name}` checks it. Its tables are shown as they were loaded last."


@dataclass(frozen=True, slots=True)
class PipelineTable:
    """One table of a pipeline: its configured streams, and how old the values of its columns may be (`freshness` checks, seconds)."""

    streams: frozenset[str]
    freshness: Mapping[str, float] = field(default_factory=dict)
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class PipelineFacts:
    """One pipeline file; `mark` tells whether the file was changed since."""

    name: str
    mark: tuple[int, int]
    tables: Mapping[str, PipelineTable]
    target: str = "warehouse"
    retention: Retention = field(default_factory=Retention)
    personal: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The personal columns of tables that have some."""
    unsampled: frozenset[str] = frozenset()
    """Tables of which no rows are to be shown."""
    problem: Problem | None = None


def read_pipelines(settings: Settings, before: Mapping[str, PipelineFacts]) -> dict[str, PipelineFacts]:
    """Return what all pipeline files say; those that were not changed are not read again."""
    found = {}
    for name in pipeline_names(settings):
        mark = _mark(settings, name)
        known = before.get(name)
        found[name] = known if known is not None and known.mark == mark else _read(name, mark, settings)
    return found


def _mark(settings: Settings, name: str) -> tuple[int, int]:
    try:
        stat = (settings.pipelines / f"{name}.yaml").stat()
    except OSError:
        return _NO_FILE  # an editor's lock is a link to nowhere: reading it tells so
    return stat.st_mtime_ns, stat.st_size


def _read(name: str, mark: tuple[int, int], settings: Settings) -> PipelineFacts:
    try:
        pipeline = load_pipeline(name, settings)
        specs = list(map(pipeline.table_spec, pipeline.streams()))
        unsampled = frozenset(str(spec.name) for spec in specs if not spec.sample)
        return PipelineFacts(name, mark, _tables(pipeline), pipeline.target, pipeline.retention, _personal(specs), unsampled)
    except (DuckliftError, ValueError, OSError) as err:
        what = f"The pipeline file {shown(name, NAME)} cannot be used"
        return PipelineFacts(name, mark, {}, problem=Problem(what, shown(str(err), MESSAGE), _FIX.format(name=shown(name, NAME))))


def _personal(specs: Iterable[TableSpec]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for spec in specs:
        if columns := frozenset(name for column in spec.columns if column.pii for name in (column.name, column.field)):
            found[str(spec.name)] = found.get(str(spec.name), frozenset()) | columns
    return found


def _tables(pipeline: Pipeline) -> dict[str, PipelineTable]:
    streams: dict[str, set[str]] = {}
    freshness: dict[str, dict[str, float]] = {}
    cursors: dict[str, str | None] = {}
    for stream in pipeline.streams():
        spec = pipeline.table_spec(stream)
        name = str(spec.name)
        streams.setdefault(name, set()).add(stream)
        cursors[name] = spec.cursor_name
        for check in spec.checks:
            freshness.setdefault(name, {}).update({column: float(duration_s(age)) for column, age in (check.freshness or {}).items()})
    return {name: PipelineTable(frozenset(found), freshness.get(name, {}), cursors[name]) for name, found in streams.items()}

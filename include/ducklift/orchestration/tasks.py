"""What the three tasks do: Airflow's context in, the pipeline's plain steps, a path or a small summary out.

Each is a function that can be called without Airflow around it (`dag.get_task(…).python_callable(…)`); the context is then what the caller
passes, and without a `dag_run` in it the run is a manual one of this moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryAction, RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ducklift.errors import ConfigurationError, SliceNotOver, SourceThrottled, Terminal
from ducklift.lake.spool_place import PackageName
from ducklift.load_streams import stream_under
from ducklift.orchestration.arrivals import TASK_ID as ARRIVALS, Watched, run_for
from ducklift.orchestration.connections import airflow_settings
from ducklift.orchestration.kept_state import mirror_load, slice_notes
from ducklift.orchestration.lineage import landed_folders, loaded_folders, source_folders, tell_lineage
from ducklift.orchestration.metrics import measured, tell_landed, tell_load
from ducklift.orchestration.partitions import REEXTRACT, Context, facts_of, run_of
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.planning import Run
from ducklift.repeating import AGAIN, OF_LOAD, Again, asked_again, package_again
from ducklift.summary import LAST

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from ducklift.settings import Settings

NOT_OF_THE_SOURCE = (REEXTRACT, AGAIN, OF_LOAD)
LONGEST_WAIT = timedelta(hours=1)
ASSET_FACTS = (
    "state", "rows_extracted", "rows_inserted", "rows_updated", "rows_loaded", "rows_deleted", "rows_quarantined", "total_rows", "bytes",
    "load_id", "stream", "manifest", "watermark",
)  # fmt: skip


class WaitAsAsked(RetryPolicy):
    """Retry a throttled task when the source said that it may come back, and one that was early when its interval has ended.

    Everything else is left to the task's own delays.
    """

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Return the source's own delay, an hour at most, or until the interval's end, or no opinion. How often is up to `retries`."""
        if isinstance(exception, SliceNotOver):
            left = max(exception.ends_at - datetime.now(UTC), timedelta(0)) + timedelta(seconds=1)
            return RetryDecision(action=RetryAction.RETRY, retry_delay=left, reason="The interval has not ended yet.")
        if not isinstance(exception, SourceThrottled) or exception.retry_after_s is None:
            return RetryDecision()
        delay = min(timedelta(seconds=max(exception.retry_after_s, 1)), LONGEST_WAIT)
        return RetryDecision(action=RetryAction.RETRY, retry_delay=delay, reason="The source said when to come back.")


@contextmanager
def terminal_errors_fail() -> Iterator[None]:
    """Fail the task for good on an error that trying again cannot mend; retryable ones go through to Airflow's retries."""
    try:
        yield
    except Terminal as err:
        raise AirflowFailException(str(err)) from err


def chosen_stream(pipeline: Pipeline, stream: str, params: Mapping[str, Any]) -> tuple[Pipeline, str | None]:
    """Return the pipeline with the trigger form applied, and what `stream` is under it: None when it was not chosen.

    The form was checked when the run was triggered; all of it is checked again here. Raises `ConfigurationError`.
    """
    chosen = pipeline.with_options({name: value for name, value in params.items() if name not in NOT_OF_THE_SOURCE})
    return chosen, stream_under(chosen, pipeline, stream)


def name_at(names: Sequence[str], index: int) -> str:
    """Return a mapped task's name; of a run from before the last ones were taken out of the files, an error here would fail the task."""
    return names[index] if index < len(names) else f"no. {index}, since taken out"


def label_of(pipeline: Pipeline, task_instance: Any, params: Mapping[str, Any]) -> str:
    """Return what Airflow's grid shows for a mapped task: the stream that it really reads."""
    stream = name_at(pipeline.streams(), task_instance.map_index)
    try:
        return chosen_stream(pipeline, stream, params)[1] or stream
    except ConfigurationError:
        return stream


def label_of_arrival(pipeline: Pipeline, task_instance: Any, params: Mapping[str, Any]) -> str:
    """Return what Airflow's grid shows for a task that is mapped over objects that landed: the object."""
    announced = task_instance.xcom_pull(task_ids=ARRIVALS) or ()
    if task_instance.map_index >= len(announced):
        return name_at((), task_instance.map_index)
    told = announced[task_instance.map_index]
    return str(told["stream"]) if "key" in told else label_of(pipeline, task_instance, params)


def extract_arrival(watched: Watched, told: Mapping[str, Any], context: Context) -> str:
    """Extract one object that landed, or the configured stream for a run that was started by hand."""
    if "key" not in told:
        return extract_stream(watched.pipeline, told["stream"], context)
    with terminal_errors_fail():
        params = watched.options_for(told, context.get("params") or {})
        chosen, _ = chosen_stream(watched.pipeline, watched.pipeline.streams()[0], params)
        return _extract(chosen, chosen.streams()[0], run_for(told, context), context)


def extract_stream(pipeline: Pipeline, stream: str, context: Context) -> str:
    """Extract one stream into the spool and return the package's path; skip a stream that the trigger form left out."""
    with terminal_errors_fail():
        chosen, effective = chosen_stream(pipeline, stream, context.get("params") or {})
        if (again := asked_again(context.get("params") or {})) is not None:
            return repeat_load(again, pipeline, chosen, stream, context)
        if effective is None:
            raise AirflowSkipException(f"{stream} was not chosen for this run.")
        return _extract(chosen, effective, run_of(context), context)


def _extract(pipeline: Pipeline, stream: str, run: Run, context: Context) -> str:
    notes = slice_notes(context)
    with measured("extract", pipeline.name, str(pipeline.table_spec(stream).name)):
        package = extract(pipeline, stream, run, airflow_settings(), notes.progress, notes.slice)
    tell_lineage(context, reads=source_folders(pipeline, stream))
    return package


def repeat_load(again: Again, pipeline: Pipeline, chosen: Pipeline, stream: str, context: Context) -> str:
    """Do again what the trigger form asks for and return the package's path; skip the streams whose load it is not."""
    notes = slice_notes(context)
    with measured("extract", pipeline.name, str(again.table)):
        package = package_again(again, pipeline, chosen, stream, run_of(context), airflow_settings(), notes.progress, notes.slice)
    if package is None:
        raise AirflowSkipException(f"{again.load_id} is no load of {stream}.")
    return package


def upload_package(pipeline: Pipeline, package_path: str, asset: Asset | None, context: Context) -> str:
    """Upload a spool package and return its manifest's URL; `asset` is the table's when the pipeline ends in the lake."""
    with terminal_errors_fail():
        settings, table = airflow_settings(), str(PackageName.of(package_path).table)
        with measured("upload", pipeline.name, table):
            manifest_url = upload(package_path, settings, facts_of(context))
        tell_lineage(context, writes=landed_folders(pipeline, table, settings))
        if asset is not None:
            landed = _landed(manifest_url, settings)
            tell_asset(context, asset, landed)
            tell_landed(pipeline.name, table, landed["rows_extracted"], landed["bytes"])
    return manifest_url


def load_package(pipeline: Pipeline, manifest_url: str, asset: Asset, context: Context) -> dict[str, Any]:
    """Load a landed package into the warehouse and return the load's summary.

    A load with a gap is committed, and its task fails all the same, each time it runs: the summary is then still in XCom, but Airflow tells
    consumers of the asset only about tasks that succeed.
    """
    with terminal_errors_fail():
        # …/raw/<dataset>/<table>/_loads/<load id>.json: a pipeline may have several tables, the asset is the first one's.
        with measured("load", pipeline.name, ".".join(manifest_url.split("/")[-4:-2])):
            summary = load(manifest_url, airflow_settings(), pipeline, facts_of(context))
        tell_load(pipeline, summary)
        tell_lineage(context, reads=loaded_folders(pipeline, summary.stream, summary.table), tables=[summary.table])
        values = {**summary.as_dict(), "gap": list(summary.gap) if summary.gap else None}
        tell_asset(context, asset, values)
        mirror_load(context, asset, values)
        if summary.gap and "ti" in context:
            context["ti"].xcom_push(key="return_value", value=values)
        summary.raise_for_gap()
    return values


def tell_asset(context: Context, asset: Asset, values: Mapping[str, Any]) -> None:
    """Put what happened to the table into the extra of its asset event."""
    if "outlet_events" in context:
        told = {name: values[name] for name in ASSET_FACTS if name in values}
        context["outlet_events"][asset].extra = told | {name: value for name, value in values.items() if name.startswith(LAST)}


def _landed(manifest_url: str, settings: Settings) -> dict[str, Any]:
    """Return what a manifest says about a load, in the summary's words."""
    from ducklift.lake.filesystem import open_lake
    from ducklift.lake.manifest import read_manifest

    lake = open_lake(settings)
    manifest = read_manifest(lake.read(lake.key_of(manifest_url)) or b"", manifest_url)
    return {
        "load_id": manifest.load_id,
        "stream": manifest.stream,
        "manifest": manifest_url,
        "rows_extracted": manifest.rows,
        "bytes": manifest.size_bytes,
        **({f"{LAST}{manifest.spec.cursor_name}": manifest.greatest_cursor} if manifest.spec.incremental else {}),
    }

"""The page on taxi trips: its commands answer as it says, its settings are settings, and of what it says is read, no more is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from s3_proxy import S3Proxy
from typer.testing import CliRunner
from worked_example import DOCUMENTS, differences

from ducklift.lake.filesystem import open_lake
from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.pipeline_file import Pipeline
from ducklift.sandbox import Sandbox
from ducklift.sandbox.trips import BUCKET, PREFIX
from ducklift.settings import Settings, load_settings
from ducklift.summary import LoadSummary
from ducklift.warehouse import open_warehouse
from ducklift.warehouse.rebuild import verify

FOOTER_BYTES = 2**16  # what Arrow fetches of a file's end, to begin with
SHIPPED = DOCUMENTS.parent / "include" / "pipelines" / "taxi_trips.yaml"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), trips=True) as running:
        yield running


def test_the_pages_commands_answer_as_it_says(project: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from ducklift.cli.app import app

    shutil.copy(SHIPPED, project / "include" / "pipelines")
    monkeypatch.setattr("ducklift.settings.PROJECT", project)
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> str:
        return CliRunner().invoke(app, list(words), prog_name="ducklift").output

    assert differences("taxi_trips.md", project, call) == []


def test_the_pages_other_source_is_one() -> None:
    (block,) = re.findall(r"^```yml\n(.*?)^```$", (DOCUMENTS / "taxi_trips.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    values = {**yaml.safe_load(SHIPPED.read_text("utf-8")), **yaml.safe_load(block)}

    assert Pipeline.model_validate(values).streams() == ["us-prd-motherduck-open-datasets/nyc_taxi/parquet/yellow_cab_nyc_*.parquet"]
    assert "us-prd-motherduck-open-datasets" in SHIPPED.read_text("utf-8")


@dataclass(frozen=True)
class Done:
    """A run's load, the bytes of trips that it fetched, and the sizes of their files."""

    load: LoadSummary
    fetched: int
    sizes: dict[str, int]


@pytest.fixture(scope="module")
def done(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Done]]:
    """Three runs through a proxy: the first, one without news, and one a day later."""
    project, found = tmp_path_factory.mktemp("project"), []
    (project / "include" / "pipelines").mkdir(parents=True)
    shutil.copy(SHIPPED, project / "include" / "pipelines")
    own = {**sandbox.environment, "DUCKLIFT_LAKE_URL": "s3://ducklift-three-runs"}
    with S3Proxy(sandbox.s3_url) as proxy:
        settings = load_settings(environment={**own, "AWS_ENDPOINT_URL": proxy.url}, project=project)
        for advance in (0, 0, 1):
            sandbox.advance(timedelta(days=advance))
            proxy.script.fetched.clear()
            (load,) = run_pipeline(load_pipeline("taxi_trips", settings), Run.now(), settings).loads
            sizes = {file.name: file.stat().st_size for file in (sandbox.s3_folder / BUCKET / PREFIX).iterdir()}
            found.append(Done(load, sum(count for path, count in proxy.script.fetched.items() if path.endswith(".parquet")), sizes))
    return load_settings(environment=own, project=project), found


def test_a_run_reads_what_is_new_and_needed_and_an_idle_one_next_to_nothing(done: tuple[Settings, list[Done]]) -> None:
    first, idle, later = done[1]

    assert [one.load.error for one in done[1]] == [None] * 3
    assert first.load.rows_loaded > 200_000
    assert idle.load.rows_loaded == 0
    assert later.load.rows_inserted > 7_400
    # The month's file is looked into each time, for the trip whose time has not come: its footer, and what may hold that trip.
    assert idle.fetched < 0.1 * sum(idle.sizes.values())
    assert later.fetched - idle.fetched < later.sizes[max(later.sizes)] + 2 * FOOTER_BYTES


@pytest.mark.slow
def test_the_table_is_rebuilt_from_the_manifests_and_the_objects_in_place(done: tuple[Settings, list[Done]]) -> None:
    settings = done[0]

    verify(open_lake(settings), settings)
    with open_warehouse(settings, read_only=True) as warehouse:
        assert warehouse.value("SELECT count(*) FROM taxi.trips WHERE loaded_at IS DISTINCT FROM _loaded_at") == 0

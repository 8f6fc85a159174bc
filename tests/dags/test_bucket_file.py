"""DAG `bucket_file` as it ships: its form, what the tasks make of it, hostile answers, and whole runs by Airflow itself on the sandbox."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowFailException
from dags_on_sandbox import dag_run, run_by_airflow, stand_on

from ducklift.orchestration.dag import pipeline_dag
from ducklift.sandbox import Sandbox
from ducklift.settings import load_settings

PIPELINES = Path(__file__).parents[2] / "include" / "pipelines"
GUIDE = "date date, share_price double, amount double, spend double, shift double, spread double"


@pytest.fixture
def dag(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_on(sandbox, tmp_path, monkeypatch)
    shutil.copy(PIPELINES / "bucket_file.yaml", tmp_path / "pipelines")
    return pipeline_dag("bucket_file", schedule=None)


def run_all(dag: Any, run_id: str = "manual__one", **form: Any) -> dict[str, Any]:
    """Call the three tasks with the form's defaults and what is given here."""
    params = {name: param.value for name, param in dag.params.items()} | form
    context = {"params": params, "dag_run": dag_run(run_id=run_id)}
    (stream,) = next(iter(dag.task_group.children.values()))._expand_input.value["stream"]
    argument = stream
    for task_id in ("bucket_files_extraction", "s3_upload", "duckdb_load"):
        argument = dag.get_task(task_id).python_callable(argument, **context)
    return argument


def query(sql: str) -> list[tuple[Any, ...]]:
    file = load_settings().warehouse_url.removeprefix("duckdb:///")
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_form_offers_what_the_yaml_allows_and_checks_it(dag: Any) -> None:
    assert list(dag.params) == ["bucket", "path", "format", "table", "disposition", "primary_key", "columns", "again", "of_load"]
    for name, bad in [("bucket", "s3://elsewhere"), ("table", "other.prices"), ("disposition", "drop"), ("format", "exe"), ("path", "")]:
        with pytest.raises(Exception, match=r"(?i)invalid input|is not one of|does not match|too short|non-empty"):
            dag.params.get_param(name).resolve(bad)


def test_one_file_becomes_a_table_with_the_columns_that_were_chosen(dag: Any) -> None:
    summary = run_all(dag, table="guide", columns=GUIDE)
    again = run_all(dag, run_id="manual__two", table="guide", columns=GUIDE)

    assert (summary["rows_inserted"], again["state"]) == (60, "empty")
    types = query(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'guide' AND column_name NOT LIKE '\\_%' ESCAPE '\\'"
    )
    assert types == [("date", "DATE"), *((name, "DOUBLE") for name in ("share_price", "amount", "spend", "shift", "spread"))]


def test_key_disposition_and_pattern_of_the_form_hold_for_the_load(dag: Any) -> None:
    first = run_all(dag, path="samples/*.json", table="bucket.merged", disposition="merge", primary_key="date")
    second = run_all(dag, run_id="manual__two", path="samples/prices.parquet", table="merged", disposition="merge", primary_key="date")

    assert (first["table"], first["rows_inserted"]) == ("bucket.merged", 60)
    assert (second["rows_extracted"], second["rows_inserted"], second["rows_unchanged"]) == (60, 0, 60)


def test_a_key_that_the_file_names_may_be_emptied_in_the_form(dag: Any) -> None:
    file = load_settings().pipelines / "bucket_file.yaml"
    file.write_text(file.read_text("utf-8").replace("disposition: append", "disposition: merge\nprimary_key: [date]"), "utf-8")
    keyed = pipeline_dag("bucket_file", schedule=None)

    # Airflow's form sends null for a field that was emptied.
    summary = run_all(keyed, table="unkeyed", disposition="append", primary_key=None)

    assert (summary["table"], summary["rows_inserted"]) == ("bucket.unkeyed", 60)


@pytest.mark.parametrize(
    "form",
    [
        {"bucket": "s3://someone-elses"},
        {"bucket": "file:///etc"},
        {"path": "../../etc/passwd"},
        {"path": "samples/\n.csv"},
        {"path": "{{ var.value.secret }}/a.csv", "format": "exe"},
        {"table": "reddit.posts"},
        {"table": 'prices"; DROP TABLE x; --'},
        {"disposition": "truncate"},
        {"disposition": "merge"},
        {"primary_key": 'date"; DROP', "disposition": "merge", "table": 5},
        {"columns": "date date); DROP TABLE x; --"},
        {"columns": "a varchar, a varchar"},
        {"columns": "a read_csv('/etc/passwd')"},
        {"connection": "aws_default"},
        {"endpoint_url": "http://169.254.169.254"},
    ],
    ids=str,
)
def test_a_hostile_form_is_refused_again_by_the_task(dag: Any, form: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException):
        run_all(dag, **form)

    assert not Path(load_settings().warehouse_url.removeprefix("duckdb:///")).exists()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The outcome of three runs by Airflow: the form as it stands, the same again, and a filled one."""
    folder = tmp_path_factory.mktemp("bucket_file")
    with pytest.MonkeyPatch.context() as monkeypatch, Sandbox(folder / "sandbox") as sandbox:
        stand_on(sandbox, folder, monkeypatch)
        shutil.copy(PIPELINES / "bucket_file.yaml", folder / "pipelines")
        filled = {"path": "samples/*.parquet", "table": "quotes", "disposition": "merge", "primary_key": "date"}
        yield run_by_airflow(folder, [{"form": form} for form in ({}, {}, filled)], "bucket_file")


@pytest.mark.airflow
def test_a_triggered_run_with_the_forms_defaults_is_green_and_a_second_one_brings_nothing_twice(told: Any) -> None:
    loads = [next(task["xcom"] for task in run["tasks"] if task["task"] == "duckdb_load") for run in told["runs"]]

    assert [run["state"] for run in told["runs"]] == ["success"] * 3
    assert [(load["table"], load["rows_inserted"]) for load in loads] == [
        ("bucket.prices", 60),
        ("bucket.prices", 0),
        ("bucket.quotes", 60),
    ]
    assert {task["label"] for task in told["runs"][2]["tasks"]} == {"ducklift-sandbox-files/samples/*.parquet"}

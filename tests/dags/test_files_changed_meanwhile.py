"""A stream that is taken out of the pipeline file while its package waits, and what Airflow is given to keep of many files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dags_on_sandbox import dag_run

from ducklift.orchestration.dag import pipeline_dag

SHOP = """\
name: shop
source: {{type: sql_tables, url: "sqlite:///{database}", tables: [{tables}]}}
disposition: merge
incremental: {{cursor: changed}}
streams: [{streams}]
"""


@pytest.fixture
def shop(on_sandbox: Path, tmp_path: Path) -> Any:
    """A function that builds DAG `shop` over some tables of a database."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        for table in ("orders", "items"):
            database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, changed TEXT)")
            database.execute(f"INSERT INTO {table} VALUES (1, '2026-01-01'), (2, '2026-01-02')")
        database.commit()

    def made(*tables: str) -> Any:
        streams = ", ".join(f"{{name: {table}, table: shop.{table}}}" for table in tables)
        text = SHOP.format(database=tmp_path / "shop.db", tables=", ".join(tables), streams=streams)
        (on_sandbox / "shop.yaml").write_text(text, "utf-8")
        return pipeline_dag("shop", schedule=None)

    return made


def test_a_package_is_loaded_though_its_stream_was_taken_out_of_the_file_since(shop):
    dag, context = shop("orders", "items"), {"dag_run": dag_run()}
    path = dag.get_task("sql_tables_extraction").python_callable("items", **context)
    manifest = dag.get_task("s3_upload").python_callable(path, **context)

    summary = shop("orders").get_task("duckdb_load").python_callable(manifest, **context)

    assert (summary["state"], summary["table"], summary["rows_inserted"]) == ("loaded", "shop.items", 2)


def test_airflow_keeps_of_a_slice_what_bounds_it_and_not_the_names_of_all_its_files(on_sandbox, tmp_path):
    (tmp_path / "bucket").mkdir()
    for number in range(50):
        (tmp_path / "bucket" / f"{number}.csv").write_text("id\n1\n", "utf-8")
    place = (tmp_path / "bucket").as_uri()
    source = f'source: {{type: bucket_files, buckets: ["{place}"], path: "*.csv"}}'
    (on_sandbox / "drops.yaml").write_text(f"name: drops\n{source}\ntable: nature.drops\n", "utf-8")
    dag = pipeline_dag("drops", schedule=None)
    kept: dict[str, Any] = {}
    store = SimpleNamespace(get=kept.get, set=kept.__setitem__)

    (stream,) = next(iter(dag.task_group.children.values()))._expand_input.value["stream"]
    dag.get_task("bucket_files_extraction").python_callable(stream, dag_run=dag_run(), task_state_store=store)

    assert kept["slice"]["load_id"].startswith("20260203T040506Z-")
    assert len(json.dumps(kept["slice"])) < 1000

"""What a table and its raw files are called in OpenLineage, wherever they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import Asset

from ducklift.orchestration.lineage import RAW, dataset_of, raw_dataset, table_dataset, uri_of
from ducklift.settings import load_settings
from ducklift.specs import TableName

BIRDS = TableName(dataset="nature", table="birds")


@pytest.mark.parametrize(
    ("lake_url", "namespace", "name"),
    [
        ("s3://lake", "s3://lake", "raw/nature/birds"),
        ("s3://lake/of/birds", "s3://lake", "of/birds/raw/nature/birds"),
        ("gs://lake", "gs://lake", "raw/nature/birds"),
        ("file:///data/lake", "file", "/data/lake/raw/nature/birds"),
        ("file://lake", "file", "/project/lake/raw/nature/birds"),
    ],
)
def test_raw_files_are_named_by_the_bucket_and_the_folders_key(lake_url, namespace, name):
    settings = load_settings({"DUCKLIFT_LAKE_URL": lake_url}, Path("/project"))

    assert raw_dataset(BIRDS, settings) == (namespace, name)


@pytest.mark.parametrize(
    ("warehouse_url", "namespace", "name"),
    [
        ("duckdb:///data/warehouse.duckdb", "duckdb:///data/warehouse.duckdb", "warehouse.nature.birds"),
        ("duckdb:warehouse.duckdb", "duckdb:///project/warehouse.duckdb", "warehouse.nature.birds"),
        ("md:birdwatch", "duckdb://md:birdwatch", "birdwatch.nature.birds"),
        ("ducklake:postgresql://keeper@host/catalog?schema=lake", "ducklake://host:5432", "catalog.nature.birds"),
        ("ducklake:duckdb:///data/catalog.ducklake", "ducklake:///data/catalog.ducklake", "catalog.nature.birds"),
    ],
)
def test_a_table_is_named_by_its_warehouse_as_openlineage_dbt_names_it(warehouse_url, namespace, name):
    settings = load_settings({"DUCKLIFT_LAKE_URL": "s3://lake", "DUCKLIFT_WAREHOUSE_URL": warehouse_url}, Path("/project"))

    assert table_dataset(BIRDS, settings) == (namespace, name)


def test_airflow_finds_the_names_of_ducklifts_assets_by_its_provider(monkeypatch):
    from airflow.providers.openlineage.utils.utils import translate_airflow_asset

    monkeypatch.setenv("DUCKLIFT_LAKE_URL", "s3://lake")
    found = translate_airflow_asset(Asset(uri=uri_of(RAW, "nature.birds")), None)

    assert (found.namespace, found.name) == ("s3://lake", "raw/nature/birds")
    assert found == dataset_of(Asset(uri=uri_of(RAW, "nature.birds")), None)

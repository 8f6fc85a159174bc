"""What a table and its raw files are called in OpenLineage, wherever they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import Asset

from ducklift.orchestration.dag import table_asset
from ducklift.orchestration.lineage import (
    dataset_of,
    landed_folders,
    loaded_folders,
    raw_folder,
    source_folders,
    table_dataset,
    uri_of_place,
)
from ducklift.pipeline import Pipeline
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
        ("file://a%20lake", "file", "/project/a lake/raw/nature/birds"),
    ],
)
def test_raw_files_are_named_by_the_bucket_and_the_folders_key(lake_url, namespace, name):
    settings = load_settings({"DUCKLIFT_LAKE_URL": lake_url}, Path("/project"))
    found = dataset_of(Asset(uri=uri_of_place(raw_folder("nature.birds", settings))), None)

    assert (found.namespace, found.name) == (namespace, name)


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


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("incoming/*.csv", "s3://birds/incoming"),
        ("incoming/2026-*/eggs.csv", "s3://birds/incoming"),
        ("*.csv", "s3://birds"),
        ("incoming/eggs.csv", "s3://birds/incoming/eggs.csv"),
    ],
)
def test_files_that_are_loaded_where_they_lie_are_what_the_load_reads(path, place, monkeypatch):
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", "s3://lake")
    source = {"type": "bucket_files", "buckets": ["s3://birds"], "path": path}
    birds = {"name": "birds", "source": source, "table": "nature.birds", "disposition": "append"}
    copied, referred = Pipeline.model_validate(birds), Pipeline.model_validate({**birds, "source": {**source, "in_place": True}})
    (stream,) = copied.streams()

    assert source_folders(copied, stream) == source_folders(referred, stream) == [place]
    assert loaded_folders(copied, stream, "nature.birds") == ["s3://lake/raw/nature/birds"]
    assert loaded_folders(referred, stream, "nature.birds") == [place]
    assert landed_folders(referred, "nature.birds", load_settings()) == []


@pytest.mark.parametrize(
    ("asset", "namespace", "name"),
    [
        (Asset(uri=uri_of_place("s3://lake/raw/a table")), "s3://lake", "raw/a table"),
        (table_asset("nature.birds"), "duckdb:///birds.duckdb", "birds.nature.birds"),
    ],
    ids=["folder", "table"],
)
def test_airflow_finds_the_names_of_ducklifts_assets_by_its_provider(asset, namespace, name, monkeypatch):
    from airflow.providers.openlineage.utils.utils import translate_airflow_asset

    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", "duckdb:///birds.duckdb")
    found = translate_airflow_asset(asset, None)

    assert (found.namespace, found.name) == (namespace, name)

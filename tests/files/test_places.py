"""The same files in different stores: a folder, two S3 servers over real HTTP, memory; and hostile names in them."""

from __future__ import annotations

import io
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from buckets import moments
from installations import Installation, slice_run

from ducklift.errors import ConfigurationError, LakeRefused, SourceFileChanged, StreamRefused
from ducklift.lake.filesystem import open_place
from ducklift.lake.store import Store
from ducklift.pipeline import Pipeline, extract, load, upload
from ducklift.source_files import Access
from ducklift.summary import LoadSummary
from ducklift.warehouse.rebuild import verify

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from store_servers import S3_KEY, S3_SECRET

from ducklift.sandbox.s3 import S3Server

Place = Callable[[], tuple[Installation, Store]]


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("rclone")
    server = S3Server(folder / "buckets", folder / "log", S3_KEY, S3_SECRET)
    server.start()
    yield {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.url}
    server.stop()


@pytest.fixture(params=["file", "memory", "moto", "rclone"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, installation: Installation, rclone: dict[str, str], moto_s3: Any
) -> tuple[Installation, Store]:
    """An installation on files, and a place of another kind with nothing in it."""
    name = f"exports-{uuid.uuid4().hex[:12]}"
    environment = {"moto": moto_s3.environment, "rclone": rclone}.get(request.param, {})
    own = Installation(installation.project, environment=environment)
    url = {"file": (tmp_path / name).as_uri(), "memory": f"memory://{name}"}.get(request.param, f"s3://{name}")
    store = open_place(own.settings, url, Access())
    store.ensure_container()
    return own, store


def pipeline(store: Store, path: str, in_place: bool, **spec: Any) -> Pipeline:
    source = {"type": "bucket_files", "buckets": [store.url], "path": path, "in_place": in_place}
    return Pipeline.model_validate({"name": "sales", "source": source, "table": "shop.sales", **spec})


def land(installation: Installation, one: Pipeline, day: int = 0) -> str:
    return upload(extract(one, one.streams()[0], slice_run(day), installation.settings), installation.settings)


def go(installation: Installation, one: Pipeline, day: int = 0) -> LoadSummary:
    return load(land(installation, one, day), installation.settings, one)


def trips(first: int, count: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"id": list(range(first, first + count)), "at": moments(*range(first, first + count))}), sink, row_group_size=100
    )
    return sink.getvalue()


@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_each_version_of_each_file_is_loaded_once_and_rebuilt_the_same(place: tuple[Installation, Store], in_place: bool) -> None:
    installation, store = place
    store.replace("in/a.parquet", trips(0, 1_000))
    one = pipeline(store, "in/*.parquet", in_place, disposition="merge", primary_key=["id"], incremental={"cursor": "at"})
    first, nothing = go(installation, one), go(installation, one, day=1)
    store.replace("in/b.parquet", trips(1_000, 50))
    second = go(installation, one, day=2)

    assert (first.rows_extracted, nothing.rows_extracted, second.rows_extracted) == (1_000, 0, 50)
    assert second.watermark == "1970-01-01 00:17:29"
    verify(installation.lake, installation.settings)
    assert installation.query("SELECT count(*), count(DISTINCT id) FROM shop.sales") == [(1_050, 1_050)]


def test_a_file_in_place_that_was_overwritten_or_deleted_is_refused(place: tuple[Installation, Store]) -> None:
    installation, store = place
    one = pipeline(store, "*.parquet", in_place=True)
    store.replace("a.parquet", trips(0, 10))
    overwritten = land(installation, one)
    store.replace("a.parquet", trips(5, 10))
    with pytest.raises(SourceFileChanged, match=r"a\.parquet"):
        load(overwritten, installation.settings, one)

    deleted = land(installation, one, day=1)
    store.delete("a.parquet")
    with pytest.raises(SourceFileChanged, match="found no object"):
        load(deleted, installation.settings, one)


def test_odd_names_are_taken_as_they_are(place: tuple[Installation, Store]) -> None:
    installation, store = place
    keys = ["in/a b+c%20&é🦆.csv", "in/*[x]?.csv", "in/" + "n" * 200 + ".csv", "in/a=b#frag.csv", "in/'quote\".csv"]
    for key in keys:
        store.replace(key, b"id\n1\n")

    assert go(installation, pipeline(store, "in/*.csv", in_place=False)).rows_inserted == len(keys)
    assert {name for (name,) in installation.query("SELECT _source_file FROM shop.sales")} == {f"{store.url}/{key}" for key in keys}
    verify(installation.lake, installation.settings)


def test_a_key_or_bucket_that_is_not_there_is_named(place: tuple[Installation, Store]) -> None:
    installation, store = place

    with pytest.raises((StreamRefused, LakeRefused), match=r"none\.csv|NoSuchBucket"):
        land(installation, pipeline(store, "none.csv", in_place=False))


@pytest.mark.parametrize("path", ["../x.csv", "a/../b.csv", "", "a\nb", "x" * 2_000, "{a,b}" * 8, "a//b.csv"])
def test_a_path_that_could_lead_elsewhere_is_refused_with_the_pipeline_file(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match=r"path|pattern"):
        Pipeline.model_validate({"name": "x", "source": {"type": "bucket_files", "buckets": ["s3://b"], "path": path}, "table": "a.b"})


def test_keys_do_not_stand_in_a_buckets_url(installation: Installation) -> None:
    with pytest.raises(ConfigurationError, match="no keys") as refusal:
        open_place(installation.settings, "s3://key:secret@bucket", Access())
    assert "secret" not in str(refusal.value)

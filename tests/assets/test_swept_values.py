"""A deletion sweep reaches the stored values that were made of a swept table, on every store, and no others."""

from __future__ import annotations

import io
import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import TABLE, Installation, listed_source_known, sighting
from killing import killed_at

from ducklift.assets import AssetIn, AssetValueLoader, OutputContext, StaticPartitions, asset, materialize
from ducklift.assets.errors import SweptMeanwhile, ValueSwept
from ducklift.assets.path_manager import open_store
from ducklift.assets.versions import VersionStore
from ducklift.cli.app import app
from ducklift.deletion_sweeps import Swept, sweep_keys
from ducklift.specs import Blanking
from ducklift.web.stored_values import read_values

__all__ = ["listed_source_known"]
SECRET = "magpie on the roof next door"
SIDES = StaticPartitions(["low", "high"])
QUERY = "SELECT id, bird FROM nature.sightings WHERE (id < 's0003') = ($partition_key = 'low') ORDER BY id"
SIGHTINGS = {"found": AssetIn(input_manager_key="warehouse", metadata={"query": QUERY})}
STORES = "io_managers:\n  elsewhere: {{type: filesystem, url: '{url}'}}\n"


@asset(partitions=SIDES, ins=SIGHTINGS)
def birds(found: pa.Table) -> pa.Table:
    return found


@asset(partitions=SIDES, io_manager_key="memory")
def longest(birds: list) -> str:
    return max((each["bird"] or "" for each in birds), key=len)


@asset(partitions=SIDES, io_manager_key="elsewhere")
def headline(longest: str) -> dict:
    return {"of": "birds", "text": longest}


@asset(partitions=SIDES)
def poster(headline: dict) -> bytes:
    return headline["text"].encode()


@asset(partitions=SIDES, derived_from=["nature.sightings"])
def opinion(context: OutputContext) -> str:
    return f"I like the {SECRET}"


@asset(partitions=SIDES)
def unconcerned(context: OutputContext) -> str:
    return context.partition_key


def owner(url: str) -> Any:
    return boto3.client("s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")


ALL = [birds, longest, headline, poster, opinion, unconcerned]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation whose lake is a folder, or a bucket that keeps versions, with a second store for some values."""
    project, name = tmp_path / "project", f"sweeps-{uuid.uuid4().hex[:12]}"
    (project / "include").mkdir(parents=True)
    lake, environment = (project / "lake").as_uri(), {}
    if getattr(request, "param", "file") == "s3":
        server = request.getfixturevalue("moto_s3")
        lake, environment = f"s3://{name}/lake", server.environment
        client = owner(server.url)
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    (project / "include" / "storage.yaml").write_text(STORES.format(url=lake.removesuffix("lake") + "elsewhere"))
    found = Installation(project, lake, {**environment, "DUCKLIFT_PIPELINES": str(project / "include" / "pipelines")})
    found.land([sighting(1), sighting(2, bird=SECRET), sighting(3), sighting(4)])
    return found


def make(place: Installation, *partitions: str) -> None:
    for partition in partitions or ("low", "high"):
        materialize(ALL, partition_key=partition, settings=place.settings)


def swept(place: Installation, *numbers: int) -> Swept:
    keys = [(f"s{number:04d}",) for number in numbers]
    return sweep_keys(place.pipeline([]), str(TABLE), keys, Blanking(content=("bird",)), place.settings, apply=True)


def everything(place: Installation) -> Iterator[tuple[str, bytes]]:
    """Yield every object of both stores, and every version of it where the store keeps versions, as it can be read."""
    for store in (place.lake, open_store(place.settings, place.lake_url.removesuffix("lake") + "elsewhere")):
        if store.url.startswith("file:"):
            yield from ((each.key, store.read(each.key) or b"") for each in store.list(""))
            continue
        bucket, client = store.root.partition("/")[0], owner(place.environment["AWS_ENDPOINT_URL"])
        for each in client.list_object_versions(Bucket=bucket, Prefix=store.root.partition("/")[2]).get("Versions", ()):
            yield each["Key"], client.get_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])["Body"].read()


def holding(place: Installation) -> list[str]:
    """Return the keys of the stored values that hold the secret."""
    found = []
    for key, data in everything(place):
        text = str(pq.read_table(io.BytesIO(data)).to_pylist()).encode() if key.endswith(".parquet") and "assets/" in key else data
        if SECRET.encode() in text:
            found.append(key)
    return found


def loaded(place: Installation, key: str, partition: str, **chosen: Any) -> Any:
    return AssetValueLoader(place.settings).load_asset_value(key, partition_key=partition, **chosen)


def versions_of(place: Installation) -> VersionStore:
    return VersionStore(place.lake)


def test_no_stored_value_holds_what_was_swept_and_those_that_never_did_stay(place: Installation) -> None:
    make(place)
    assert holding(place)
    before = {key: loaded(place, key, "high") for key in ("birds", "headline", "poster")}

    done = swept(place, 2)

    assert holding(place) == []
    assert loaded(place, "birds", "low").column("id").to_pylist() == ["s0001"]
    assert {key: loaded(place, key, "high") for key in before} == before
    assert [loaded(place, "unconcerned", side) for side in ("low", "high")] == ["low", "high"]
    # Nobody knows what a declared text holds: it goes in both partitions.
    assert sorted(done.to_make) == ["headline low", "opinion high", "opinion low", "poster low"]
    assert done.values == 5


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_no_version_of_any_object_of_a_bucket_holds_what_was_swept_out_of_values(place: Installation) -> None:
    for assets in ([birds], [birds, headline, longest]):
        materialize(assets, partition_key="low", settings=place.settings)
    # What was deleted before is no longer listed, and the bucket still has it.
    assert len(versions_of(place).expire("birds", "low", keep=1)) == 1
    assert len([key for key in holding(place) if "/birds/" in key]) == 2
    assert [key for key in holding(place) if key.startswith("elsewhere/assets/headline/")]

    swept(place, 2)

    assert holding(place) == []
    assert loaded(place, "birds", "low").column("id").to_pylist() == ["s0001"]


def test_a_value_that_went_names_the_sweep_and_is_there_again_when_it_was_made_again(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(place, "low")
    version = versions_of(place).current("poster", "low")
    done = swept(place, 2)

    sweep_id = (done.record or "").rpartition("/")[2].removesuffix(".json")
    for chosen in ({}, {"version": version}):
        with pytest.raises(ValueSwept, match=rf"poster in partition low .* {sweep_id}.* nature.sightings"):
            loaded(place, "poster", "low", **chosen)
    assert AssetValueLoader(place.settings).load_asset_value("poster", partition_key=["low"], missing="skip") == {}
    monkeypatch.chdir(place.project)
    for name, value in {**place.environment, "DUCKLIFT_LAKE_URL": place.lake_url}.items():
        monkeypatch.setenv(name, value)
    listed = json.loads(CliRunner().invoke(app, ["asset", "list", "--json"]).stdout)
    assert {each["key"] for each in listed["assets"]} == {"birds", "unconcerned"}
    assert sum(sweep_id in each for each in listed["missing"]) == 2
    page = read_values(place.lake)
    assert {each.view.key for each in page.values} == {"birds", "unconcerned"}
    assert all("deletion sweep of nature.sightings" in each.cause for each in page.problems)

    make(place, "low")
    assert loaded(place, "poster", "low") == b"wren"


def test_what_pointed_at_a_version_points_at_what_is_left_of_it(place: Installation) -> None:
    make(place, "low")
    versions = versions_of(place)
    first = versions.current("birds", "low")
    make(place, "low")
    versions.pin("birds", "low", first)

    swept(place, 2)

    assert len(versions.versions("birds", "low")) == 2
    assert loaded(place, "birds", "low", version=first).num_rows == loaded(place, "birds", "low").num_rows == 1
    assert versions.current("birds", "low") != first
    assert versions.pointer("birds", "low").pinned
    assert versions.expire("birds", "low", keep=1) == []  # the older one is current
    versions.unpin("birds", "low")
    assert loaded(place, "birds", "low").num_rows == 1


@pytest.mark.parametrize("point", ["sweep.value_replaced@3", "sweep.erased@9"])
def test_a_sweep_of_values_that_was_killed_is_done_to_its_end_by_the_next(place: Installation, point: str) -> None:
    make(place)
    assert killed_at(point, sweep_of_two, place), f"{point} was never passed"
    done = swept(place)

    assert len(done.resumed) == 1
    assert holding(place) == []
    assert loaded(place, "birds", "low").column("id").to_pylist() == ["s0001"]
    sweep = place.json(place.keys("_ducklift/sweeps/")[0])
    assert sorted(sweep["to_make"]) == ["headline low", "opinion high", "opinion low", "poster low"]


def sweep_of_two(place: Installation) -> Swept:
    return swept(place, 2)


def test_a_value_made_while_a_sweep_ran_is_not_stored(place: Installation) -> None:
    @asset(ins=SIGHTINGS | {"found": AssetIn(input_manager_key="warehouse", metadata={"query": "FROM nature.sightings"})})
    def slow(found: list) -> str:
        swept(place, 2)
        return str(found)

    with pytest.raises(SweptMeanwhile, match="run it again"):
        materialize([slow], settings=place.settings)
    assert holding(place) == []
    assert versions_of(place).versions("slow") == []


def test_a_value_that_a_deleted_version_was_the_origin_of_goes_when_that_is_not_known(place: Installation) -> None:
    make(place, "low", "low")
    versions = versions_of(place)
    assert len(versions.expire("birds", "low", keep=1)) == 1

    swept(place, 2)
    assert holding(place) == []


def test_a_table_that_a_value_was_stored_as_is_named_and_what_was_made_of_it_is_reached(place: Installation) -> None:
    file = place.project / "include" / "storage.yaml"
    file.write_text(f"{file.read_text()}  tables: {{type: duckdb, dataset: analytics}}\n")

    @asset(
        ins={"found": AssetIn(input_manager_key="warehouse", metadata={"query": "SELECT bird FROM nature.sightings"})},
        io_manager_key="tables",
    )
    def kinds(found: pa.Table) -> pa.Table:
        return found

    @asset
    def listing(kinds: list) -> str:
        return str(kinds)

    materialize([kinds, listing], settings=place.settings)
    done = swept(place, 2)
    assert [place for place in done.left if "analytics.kinds" in place]
    assert done.to_make == ("listing",)


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("SELECT * FROM nature.sightings WHERE id = $partition_key", {"nature.sightings"}),
        ("SELECT * FROM views.latest WHERE id IN $partition_keys", {"nature.sightings"}),
        ("FROM query_table('nature.sightings')", {"nature.sightings"}),
        ("PIVOT nature.sightings ON bird USING count(*)", {"nature.sightings"}),
        ("SELECT 1", set()),
    ],
)
def test_the_tables_that_a_query_reads_are_known(query: str, tables: set[str]) -> None:
    import duckdb

    from ducklift.assets.warehouse_input import tables_read

    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA nature; CREATE SCHEMA views; CREATE TABLE nature.sightings (id TEXT, bird TEXT)")
        connection.execute("CREATE VIEW views.latest AS FROM nature.sightings")
        assert tables_read(connection, query) == tables

"""Published tables: the same rows however they are read, the old version or the new one, and never more versions than are kept."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from installations import TABLE, Installation, sightings
from kept_lakes import DAY, aged, applied, places

from ducklift.errors import ConfigurationError
from ducklift.keeping import publish
from ducklift.lake.curated import PARTITION_TYPES, read_curated, read_current
from ducklift.lake.layout import current_key
from ducklift.specs import TableName
from ducklift.warehouse import publishing
from ducklift.warehouse.connect import open_warehouse


@pytest.fixture
def published(installation: Installation) -> Installation:
    installation.land([*sightings(1, 2), *sightings(3, bird="robin"), *sightings(4, bird=None)])
    return installation


def curated(installation: Installation) -> list[str]:
    return installation.keys("curated/")


def by_arrow(installation: Installation, columns: str = "id, bird, count") -> list[tuple]:
    with duckdb.connect() as connection:
        connection.register("published", read_curated(installation.lake, TABLE).to_table())
        return connection.execute(f"SELECT {columns} FROM published ORDER BY ALL").fetchall()


def test_a_published_table_reads_as_the_table_does(published: Installation):
    done = publish(published.settings, TABLE)

    assert by_arrow(published) == published.rows()
    assert (done.rows, done.files, done.unchanged) == (4, 1, False)


def test_partitions_are_hive_folders_that_arrow_and_duckdb_read_alike(published: Installation):
    publish(published.settings, TABLE, ["bird"])
    folder = published.project / "lake" / "curated" / "nature" / "sightings"
    version = read_current(published.lake, TABLE)
    assert version is not None

    assert [key.split("/")[4] for key in curated(published) if key.endswith(".parquet")] == [
        "bird=__HIVE_DEFAULT_PARTITION__",
        "bird=robin",
        "bird=wren",
    ]
    read = f"read_parquet('{folder / version.version}/**/*.parquet', hive_partitioning = true)"
    assert duckdb.sql(f"SELECT id, bird, count FROM {read} ORDER BY ALL").fetchall() == published.rows()
    assert by_arrow(published) == published.rows()


@pytest.mark.parametrize("value", ["a/b", "../x", "100 %", "ü = 1", "x" * 60, "a'b"])
def test_values_of_any_kind_make_safe_folders(installation: Installation, value: str):
    installation.land(sightings(1, bird=value))
    publish(installation.settings, TABLE, ["bird"])

    assert by_arrow(installation) == [("s0001", value, 1)]


@pytest.mark.parametrize("kind", PARTITION_TYPES)
def test_partitions_keep_their_type_and_what_has_no_value(published: Installation, kind: str):
    value = "CAST(seen_at AS DATE)" if kind == "DATE" else f"CAST(count % 2 AS {kind})"
    with open_warehouse(published.settings) as warehouse:
        warehouse.connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN part {kind}; UPDATE {TABLE} SET part = {value} WHERE count < 4")
    publish(published.settings, TABLE, ["part"])

    assert by_arrow(published, "id, part, count") == published.rows("id, part, count")


@pytest.mark.parametrize("value", ["lang" * 70, "鴨" * 30])
def test_a_value_too_long_for_a_path_is_refused_before_anything_is_put(installation: Installation, value: str):
    installation.land([*sightings(1), *sightings(2, bird=value)])

    with pytest.raises(ConfigurationError, match=r"nature\.sightings has a value .* bird=.* stores take 255"):
        publish(installation.settings, TABLE, ["bird"])
    assert curated(installation) == []


def test_the_manifest_counts_rows_and_values_and_bears_the_contents_hash(published: Installation):
    done = publish(published.settings, TABLE)
    current = read_current(published.lake, TABLE)
    assert current is not None

    assert (current.rows, current.columns["id"].values, current.columns["bird"].values) == (4, 4, 3)
    assert current.columns["seen_at"].type == "TIMESTAMP WITH TIME ZONE"
    assert current.content_hash == done.content_hash
    assert current.sequence == 1


def test_publishing_the_same_rows_again_puts_nothing(published: Installation):
    first = publish(published.settings, TABLE)
    moments = {key: published.lake.stat(key) for key in curated(published)}
    again = publish(published.settings, TABLE)

    assert (again.unchanged, again.version) == (True, first.version)
    assert {key: published.lake.stat(key) for key in curated(published)} == moments


def test_the_same_rows_in_another_order_give_the_same_files(tmp_path: Path):
    files = []
    for numbers in ((1, 2, 3), (3, 1, 2)):
        installation = Installation(tmp_path / str(numbers[0]))
        installation.project.mkdir()
        with open_warehouse(installation.settings) as warehouse:
            warehouse.connection.execute(f"CREATE SCHEMA nature; CREATE TABLE {TABLE} (id BIGINT, bird VARCHAR)")
            for number in numbers:
                warehouse.connection.execute(f"INSERT INTO {TABLE} VALUES (?, ?)", [number, "wren"])
        publish(installation.settings, TABLE)
        files.append(curated(installation))

    assert files[0] == files[1]


def test_a_reader_of_the_old_version_reads_on_while_a_new_one_is_published(published: Installation):
    publish(published.settings, TABLE)
    reader = read_curated(published.lake, TABLE)
    published.land(sightings(5), day=1)
    publish(published.settings, TABLE)

    assert (reader.count_rows(), len(by_arrow(published))) == (4, 5)


def test_until_the_swap_readers_see_the_old_version_whole(published: Installation, monkeypatch: pytest.MonkeyPatch):
    publish(published.settings, TABLE, ["bird"])
    published.land(sightings(5, bird="finch"), day=1)
    seen = []
    monkeypatch.setattr(publishing, "reach", lambda name: seen.append((name, len(by_arrow(published)))))
    publish(published.settings, TABLE, ["bird"])

    assert {count for name, count in seen if name != "publish.swapped"} == {4}
    assert seen[-1] == ("publish.swapped", 5)


def test_large_tables_make_several_files(published: Installation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publishing, "ROWS_PER_FILE", 3)

    assert publish(published.settings, TABLE).files == 2
    assert by_arrow(published) == published.rows()


def test_three_versions_are_kept_and_older_ones_go_after_their_grace(published: Installation):
    versions = []
    for day in range(1, 5):
        published.land(sightings(10 + day), day=day)
        versions.append(publish(published.settings, TABLE).version)
    assert places(applied(published), "curated") == []
    for key in curated(published):
        aged(published, key)
    applied(published)

    assert sorted({key.split("/")[3] for key in curated(published)} - {"_current.json"}) == versions[1:]
    assert by_arrow(published) == published.rows()


def test_what_an_interrupted_publication_left_goes_after_its_grace(published: Installation):
    publish(published.settings, TABLE)
    left = "curated/nature/sightings/0000000009-000000000000/part-000000.0123456789ab.parquet"
    published.lake.replace(left, b"half a version")
    aged(published, left, timedelta(hours=23))
    assert places(applied(published, timedelta())) == []
    aged(published, left, DAY + timedelta(hours=1))

    assert places(applied(published, timedelta())) == [left]


def test_an_empty_table_is_published_with_its_columns(published: Installation):
    with open_warehouse(published.settings) as warehouse:
        warehouse.connection.execute(f"DELETE FROM {TABLE}")
    publish(published.settings, TABLE)

    assert by_arrow(published) == []
    assert set(read_curated(published.lake, TABLE).schema.names) >= {"id", "bird", "_load_id"}


@pytest.mark.parametrize(
    ("table", "partition_by", "told"),
    [
        ("nature.nothing", [], "no table nature.nothing"),
        ("nature.sightings", ["wings"], "no column 'wings'"),
        ("nature.sightings", ["seen_at"], "of type TIMESTAMP WITH TIME ZONE"),
        ("nature.sightings", ["bird", "bird"], "once"),
    ],
)
def test_what_cannot_be_published_is_refused_by_name(published: Installation, table: str, partition_by: list[str], told: str):
    with pytest.raises(ConfigurationError, match=told):
        publish(published.settings, TableName.parse(table), partition_by)
    assert curated(published) == []


def test_a_table_that_was_never_published_is_told_with_the_command(published: Installation):
    with pytest.raises(ConfigurationError, match=r"ducklift publish nature\.sightings"):
        read_curated(published.lake, TABLE)


def test_a_partitioned_table_is_published_to_s3_and_read_there(moto_s3, tmp_path: Path):
    installation = Installation(tmp_path, "s3://keeping-curated/lake", moto_s3.environment)
    installation.land([*sightings(1, 2), *sightings(3, bird="robin / red")])
    publish(installation.settings, TABLE, ["bird"])

    assert by_arrow(installation) == installation.rows()
    assert json.loads(installation.lake.read(current_key(TABLE)) or b"")["rows"] == 3

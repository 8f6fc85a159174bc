from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from installations import STREAM, TABLE, Installation, Record, sighting, sightings, slice_run
from pydantic import ValidationError
from runs import go, rebuild_anew, rebuilt_is_equal

from ducklift.errors import ConfigurationError, ContractBroken
from ducklift.lake import order
from ducklift.lake.commits import read_commits
from ducklift.lake.dataset import arrow_dataset, live_files
from ducklift.lake.layout import commit_prefix, snapshot_key
from ducklift.pipeline import extract, run_pipeline, upload
from ducklift.planning import Run
from ducklift.resets import reset_pipeline
from ducklift.warehouse.lake_views import create_view

LAKE: dict[str, Any] = {"target": "lake", "disposition": "append", "primary_key": []}
REPLACED: dict[str, Any] = {**LAKE, "disposition": "replace", "incremental": None}


def shown(installation: Installation, columns: str = "id") -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        create_view(connection, installation.lake, TABLE)
        return connection.execute(f"SELECT {columns} FROM {TABLE} ORDER BY ALL").fetchall()


def numbers(installation: Installation) -> list[int]:
    return [int(row[0][1:]) for row in shown(installation)]


def test_loads_of_a_pipeline_that_ends_in_the_lake_read_as_one_dataset(installation: Installation) -> None:
    go(installation, sightings(1, 2), **LAKE)
    second = go(installation, sightings(3), day=1, **LAKE)

    assert numbers(installation) == [1, 2, 3]
    assert (second.state, second.rows_inserted, second.total_rows, second.watermark) == ("already_loaded", 0, 3, sighting(3)["seen"])
    assert shown(installation, "id, _load_id, _source_file")[2] == (
        "s0003",
        second.load_id,
        installation.manifest(1)["files"][0]["key"],
    )
    assert not installation.warehouse_file.exists()


def test_a_run_says_what_it_brought_and_a_second_one_that_it_was_there(installation: Installation) -> None:
    pipeline = installation.pipeline(sightings(1, 2), **LAKE)
    run = slice_run()

    first, second = (run_pipeline(pipeline, run, installation.settings).loads[0] for _ in range(2))

    assert (first.state, first.rows_extracted, first.rows_inserted) == ("loaded", 2, 2)
    assert (second.state, second.rows_inserted) == ("already_loaded", 0)
    assert len(installation.keys(commit_prefix(TABLE))) == 1


def test_a_load_of_the_lake_that_runs_again_after_others_tells_the_rows_of_now(installation: Installation) -> None:
    go(installation, sightings(1, 2), **LAKE)
    go(installation, sightings(3), day=1, **LAKE)

    assert go(installation, sightings(1, 2), **LAKE).total_rows == 3


def test_the_next_extraction_starts_at_the_watermark_in_the_lake(installation: Installation) -> None:
    go(installation, sightings(1, 2), **LAKE)
    go(installation, sightings(3), day=1, **LAKE)

    assert installation.manifest(1)["request"]["watermark"] == sighting(2)["seen"]


def test_a_replacement_hides_what_was_before_it(installation: Installation) -> None:
    go(installation, sightings(1, 2), **REPLACED)
    go(installation, sightings(3), day=1, **REPLACED)

    assert numbers(installation) == [3]
    assert installation.json(snapshot_key(TABLE))["rows"] == 1
    with pytest.raises(ContractBroken, match="allow_empty"):
        go(installation, [], day=2, **REPLACED)
    assert numbers(installation) == [3]


def test_a_reextraction_and_a_full_refresh_take_the_place_of_loads_on_files_alone(installation: Installation) -> None:
    go(installation, sightings(1), **LAKE)
    go(installation, sightings(2), day=1, **LAKE)

    go(installation, sightings(5), mode="reextract", **LAKE)
    assert numbers(installation) == [2, 5]
    assert installation.json(snapshot_key(TABLE))["rows"] == 2

    go(installation, sightings(7), day=2, mode="full_refresh", **LAKE)
    assert numbers(installation) == [7]


@pytest.mark.parametrize(
    "spec",
    [
        {"disposition": "insert_only"},
        {"disposition": "scd2"},
        {"merge_key": ["bird"]},
        {"deleted_column": "gone"},
        {"checks": [{"not_null": "bird"}]},
        {"contract": "freeze"},
        {"quarantine_limit": {"rows": 0}},
        {"nested": "tables", "record_column": None},
    ],
    ids=str,
)
def test_what_files_cannot_do_is_refused_and_not_left_out(installation: Installation, spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(spec))}.*: only a warehouse can do this"):
        installation.pipeline([], target="lake", **spec)


def test_a_reset_in_the_lake_is_a_commit_like_any_other(installation: Installation) -> None:
    go(installation, sightings(9), **LAKE)

    reset_pipeline(installation.pipeline([], **LAKE), installation.settings)
    go(installation, sightings(1), day=1, **LAKE)

    assert installation.manifest(1)["request"]["watermark"] is None
    assert [record.kind for record in read_commits(installation.lake, TABLE)] == ["load", "reset", "load"]


def test_a_merge_in_the_lake_shows_the_newest_version_of_each_key(installation: Installation) -> None:
    merged = {**LAKE, "disposition": "merge", "primary_key": ["id"]}
    go(installation, sightings(1, 2), **merged)
    go(installation, [sighting(1, bird="crow", seen=sighting(5)["seen"])], day=1, **merged)

    assert shown(installation, "id, bird") == [("s0001", "crow"), ("s0002", "wren")]


@pytest.mark.parametrize("format", ["jsonl.gz", "csv", "parquet"])
def test_a_merge_in_the_lake_shows_the_last_record_of_a_key_that_a_load_brings_twice(installation: Installation, format: str) -> None:
    merged = {**LAKE, "disposition": "merge", "primary_key": ["id"], "incremental": None, "format": format}
    go(installation, [{"id": 1, "bird": "wren"}, {"id": 2, "bird": "owl"}, {"id": 1, "bird": "crow"}], **merged)

    assert shown(installation, "id, bird") == [(1, "crow"), (2, "owl")]


def test_a_merge_in_the_lake_shows_every_record_that_has_no_key(installation: Installation) -> None:
    merged = {**LAKE, "disposition": "merge", "primary_key": ["id"], "incremental": None}
    go(installation, [{"id": 1, "bird": "wren"}, {"bird": "owl"}, {"id": None, "bird": "crow"}], **merged)

    assert shown(installation, "id, bird") == [(1, "wren"), (None, "crow"), (None, "owl")]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_folder_of_the_layout_hides_no_field_of_the_same_name(installation: Installation, format: str) -> None:
    layout = "raw/{dataset}/{table}/year={YYYY}/{load_id}.{file_id}"
    go(installation, [{"id": 1, "year": 1999}], **{**LAKE, "incremental": None}, format=format, layout=layout)

    assert shown(installation, "id, year") == [(1, 1999)]


def test_a_merge_by_a_key_made_of_others_works_in_the_lake_too(installation: Installation) -> None:
    made = {"synthetic_key": {"name": "key", "columns": ["id", "count"]}, "columns": [{"name": "animal", "from": "bird"}]}
    merged = {**LAKE, **made, "disposition": "merge", "primary_key": ["key"]}
    go(installation, sightings(1, 2), **merged)
    go(installation, [sighting(1, bird="crow", seen=sighting(5)["seen"])], day=1, **merged)

    assert shown(installation, "id, bird") == [("s0001", "crow"), ("s0002", "wren")]


@pytest.mark.parametrize("format", ["jsonl", "jsonl.zst", "csv.gz", "parquet"])
def test_every_format_can_be_read_as_a_view(installation: Installation, format: str) -> None:
    go(installation, sightings(1, 2), **LAKE, format=format)
    go(installation, [sighting(3, colour="black")], day=1, **LAKE, format=format)

    assert shown(installation, "id, bird, count, colour") == [
        ("s0001", "wren", 1, None),
        ("s0002", "wren", 2, None),
        ("s0003", "wren", 3, "black"),
    ]


@pytest.mark.parametrize("format", ["jsonl", "csv", "csv.zst", "parquet"])
def test_texts_come_back_from_a_view_as_they_were(installation: Installation, format: str) -> None:
    texts = ["", None, "NULL", "a,b;c|d\te", 'he said "no"', "two\nlines", " spaced ", "00123"]
    go(installation, [{"bird": text} for text in texts], **{**LAKE, "incremental": None}, format=format)

    with duckdb.connect() as connection:
        create_view(connection, installation.lake, TABLE)
        columns = [name for name, *_ in connection.execute(f"DESCRIBE {TABLE}").fetchall()]
        found = [bird for (bird,) in connection.execute(f"SELECT bird FROM {TABLE}").fetchall()]

    assert sorted(found, key=repr) == sorted(texts, key=repr)
    assert columns == ["bird", "_load_id", "_extracted_at", "_source_file"]


def test_a_csv_record_longer_than_duckdb_takes_by_itself_is_shown(installation: Installation) -> None:
    go(installation, [sighting(1, bird="wren" * 1_000_000)], **LAKE, format="csv")

    assert shown(installation, "length(bird)") == [(4_000_000,)]


def test_parquet_files_read_as_one_arrow_dataset_with_all_their_fields(installation: Installation) -> None:
    go(installation, sightings(1, 2), **LAKE, format="parquet")
    go(installation, [sighting(3, colour="black")], day=1, **LAKE, format="parquet")
    go(installation, sightings(2), mode="reextract", **LAKE, format="parquet")

    rows = arrow_dataset(installation.lake, TABLE).to_table(columns=["id", "colour"]).sort_by("id").to_pylist()

    assert rows == [{"id": "s0002", "colour": None}, {"id": "s0003", "colour": "black"}]


def test_a_field_that_is_of_another_type_in_another_load_is_text_in_an_arrow_dataset_as_in_a_view(installation: Installation) -> None:
    for day, bird in enumerate([1, "wren", 2.5, True]):
        go(installation, [sighting(day, bird=bird)], day=day, **LAKE, format="parquet")

    read = arrow_dataset(installation.lake, TABLE).to_table(columns=["id", "bird"]).sort_by("id").to_pydict()

    assert read["bird"] == ["1", "wren", "2.5", "true"]
    assert shown(installation, "id, bird") == list(zip(read["id"], read["bird"], strict=True))


def test_a_list_in_one_load_and_a_single_value_in_another_are_named(installation: Installation) -> None:
    for day, bird in enumerate(["wren", ["robin"]]):
        table = f"pa.table({{'id': ['s{day}'], 'bird': [{bird!r}]}})"
        (installation.project / f"day{day}.py").write_text(f"import pyarrow as pa\n\ndef {STREAM}():\n    return {table}\n")
        source = {"type": "python", "function": f"day{day}.py:{STREAM}"}
        go(installation, day=day, **{**LAKE, "source": source, "incremental": None})

    with pytest.raises(
        ConfigurationError, match=r"'bird' of nature\.sightings has types that Arrow cannot read as one \(list<.*>, string\)"
    ):
        arrow_dataset(installation.lake, TABLE)


def test_an_arrow_dataset_of_another_format_says_what_reads_it(installation: Installation) -> None:
    go(installation, sightings(1), **LAKE)

    with pytest.raises(ConfigurationError, match="needs Parquet"):
        arrow_dataset(installation.lake, TABLE)


def test_an_unknown_table_is_named(installation: Installation) -> None:
    with pytest.raises(ConfigurationError, match="knows no commit"):
        live_files(installation.lake, TABLE)


def test_a_view_works_on_a_lake_that_is_no_folder(tmp_path: Path) -> None:
    installation = Installation(tmp_path, f"memory://{tmp_path.name}/lake")
    go(installation, sightings(1, 2), **LAKE)

    assert numbers(installation) == [1, 2]


def test_writers_at_once_each_get_a_place_of_their_own(installation: Installation) -> None:
    packages = [extract(installation.pipeline(sightings(day), **LAKE), STREAM, slice_run(day), installation.settings) for day in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda package: upload(package, installation.settings), packages))

    records = read_commits(installation.lake, TABLE)
    assert [record.sequence for record in records] == list(range(1, 9))
    assert len({record.load_id for record in records}) == 8
    assert numbers(installation) == list(range(8))
    assert records[-1].total_rows == 8
    known = order.current_snapshot(installation.lake, TABLE, "lake")
    assert known is not None
    assert (known.sequence, known.rows, known.watermarks) == (8, 8, {"nature/birds": sighting(7)["seen"]})


def test_a_place_that_another_writer_claimed_and_left_is_completed_by_the_next(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(order, "_complete", lambda *_: (_ for _ in ()).throw(ConnectionError("cut off")))
        with pytest.raises(ConnectionError):
            go(installation, sightings(1), **LAKE)

    go(installation, sightings(2), day=1, **LAKE)

    assert installation.manifest(1)["request"]["watermark"] == sighting(1)["seen"]
    assert numbers(installation) == [1, 2]
    assert go(installation, sightings(1), **LAKE).state == "already_loaded"


def test_a_rebuild_leaves_tables_of_the_lake_where_they_are(installation: Installation, tmp_path: Path) -> None:
    go(installation, sightings(1), **LAKE, table="nature.raw")
    go(installation, sightings(1), disposition="merge")

    assert rebuilt_is_equal(installation).in_lake == ["nature.raw"]
    assert rebuild_anew(installation, tmp_path / "other").query("SELECT count(*) FROM _ducklift.loads") == [(1,)]


SPAWNING = multiprocessing.get_context("forkserver")


def _upload_of(installation: Installation, package: str, fail: str) -> None:
    import os

    os.environ["DUCKLIFT_FAILPOINTS"] = fail
    upload(package, installation.settings)


@pytest.mark.parametrize(
    "point", ["upload.manifest_put", "upload.spool_removed", "commit.place_claimed", "commit.recorded", "commit.marked"]
)
def test_a_commit_to_the_lake_that_was_killed_ends_as_an_undisturbed_one(installation: Installation, point: str) -> None:
    pipeline = installation.pipeline(sightings(1, 2), **LAKE)
    package = extract(pipeline, STREAM, slice_run(), installation.settings)
    process = SPAWNING.Process(target=_upload_of, args=(installation, package, f"{point}:kill"))
    process.start()
    process.join(60)
    assert process.exitcode == -9

    upload(package, installation.settings)
    go(installation, sightings(3), day=1, **LAKE)

    assert numbers(installation) == [1, 2, 3]
    assert [record.sequence for record in read_commits(installation.lake, TABLE)] == [1, 2]
    assert installation.json(snapshot_key(TABLE))["sequence"] == 2


def test_a_run_named_by_hand_commits_once_per_run(installation: Installation) -> None:
    batch: list[Record] = sightings(1)
    pipeline = installation.pipeline(batch, **{**LAKE, "incremental": None})
    for _ in range(2):
        run_pipeline(pipeline, Run.now(), installation.settings)

    assert numbers(installation) == [1, 1]

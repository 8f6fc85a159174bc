"""Whole files of a bucket through all three steps: copied as they are or used in place, each version once, and rebuilt the same."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from buckets import Bucket, moments
from installations import slice_run

from ducklift.errors import ConfigurationError, FilesTaken, SourceFileChanged, SourceFileRefused
from ducklift.lake.filesystem import open_place
from ducklift.lake.folder import LocalStore
from ducklift.lake.foreign_objects import origin_of
from ducklift.pipeline import extract, upload
from ducklift.resets import reset_pipeline
from ducklift.source_files import Access, Limits
from ducklift.sources.archives import members_of
from ducklift.warehouse.rebuild import verify

SALES = "id,day,price\n1,2026-01-01,1.50\n2,2026-01-02,\n"


def test_a_file_is_copied_byte_for_byte_and_its_columns_are_typed(bucket: Bucket) -> None:
    bucket.put("sales/a.csv", SALES)

    summary = bucket.load(bucket.pipeline("sales/a.csv"))

    (key,) = [key for key in bucket.installation.keys("raw/") if "/_loads/" not in key]
    assert key.endswith(".csv")
    assert bucket.installation.lake.read(key) == SALES.encode()
    types = bucket.installation.query("SELECT typeof(id), typeof(day), typeof(price) FROM shop.sales LIMIT 1")
    assert types == [("BIGINT", "DATE", "DOUBLE")]
    assert (summary.rows_extracted, summary.rows_inserted) == (2, 2)
    verify(bucket.installation.lake, bucket.installation.settings)


def test_only_new_and_changed_files_are_read(bucket: Bucket) -> None:
    merging = {"disposition": "merge", "primary_key": ["id"]}
    bucket.put("b.csv", SALES)
    bucket.load(bucket.pipeline("*.csv", **merging))
    bucket.put("a.csv", "id,day,price\n9,2026-01-09,9\n")  # its name comes before the one that was seen
    second = bucket.load(bucket.pipeline("*.csv", **merging), day=1)
    bucket.put("b.csv", SALES.replace("1.50", "1.75"))
    third = bucket.load(bucket.pipeline("*.csv", **merging), day=2)
    fourth = bucket.load(bucket.pipeline("*.csv", **merging), day=3)

    assert [second.rows_extracted, third.rows_extracted, third.rows_updated, fourth.rows_extracted] == [1, 2, 1, 0]
    assert fourth.state == "empty"
    assert bucket.rows("id, price") == [(1, 1.75), (2, None), (9, 9.0)]
    verify(bucket.installation.lake, bucket.installation.settings)


def test_two_runs_that_list_the_same_file_load_it_once(bucket: Bucket) -> None:
    bucket.put("a.csv", SALES)
    pipeline = bucket.pipeline("*.csv")
    first, second = bucket.land(pipeline, day=0), bucket.land(pipeline, day=1)
    bucket.put("b.csv", SALES)
    third = bucket.land(pipeline, day=2)

    from ducklift.pipeline import load

    loads = [load(url, bucket.installation.settings, pipeline) for url in (second, first, third)]

    assert [(each.rows_inserted, each.rows_deduplicated) for each in loads] == [(2, 0), (0, 2), (2, 2)]
    assert bucket.file_rows() == [("a.csv", 2), ("b.csv", 2)]
    verify(bucket.installation.lake, bucket.installation.settings)


@pytest.mark.parametrize("known", ["kept in the lake", "derived anew"])
def test_a_reset_or_a_full_refresh_reads_all_files_again(bucket: Bucket, known: str) -> None:
    bucket.put("a.csv", SALES)
    pipeline = bucket.pipeline("*.csv", disposition="merge", primary_key=["id"])
    bucket.load(pipeline)
    assert bucket.load(pipeline, day=1).rows_extracted == 0
    if known == "derived anew":
        bucket.installation.lake.delete("_ducklift/files/shop.sales/sales.json")

    (reset,) = reset_pipeline(pipeline, bucket.installation.settings)
    again = bucket.load(pipeline, day=2)
    nothing = bucket.load(pipeline, day=3)
    refreshed = bucket.load(pipeline, day=4, mode="full_refresh")

    assert reset.changed
    assert (again.rows_extracted, again.rows_unchanged, nothing.rows_extracted) == (2, 2, 0)
    assert (refreshed.rows_extracted, refreshed.rows_inserted) == (2, 2)
    assert bucket.load(pipeline, day=5).rows_extracted == 0
    verify(bucket.installation.lake, bucket.installation.settings)


def trips(bucket: Bucket, key: str, first: int, count: int) -> None:
    bucket.put_parquet(key, id=list(range(first, first + count)), at=moments(*range(first, first + count)), note=["x" * 50] * count)


IN_PLACE: dict[str, Any] = {"in_place": True}
TRIPS: dict[str, Any] = {
    "disposition": "merge",
    "primary_key": ["id"],
    "fields": "declared",
    "columns": [{"name": "id", "type": "bigint"}, {"name": "at", "type": "timestamp"}],
}


def test_parquet_in_place_is_read_by_the_cursors_range_and_never_copied(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    trips(bucket, "t.parquet", 0, 20_000)
    until = {"cursor": "at", "end": "1970-01-01T01:30:00"}
    first = bucket.load(bucket.pipeline("*.parquet", IN_PLACE, incremental=until, **TRIPS))
    monkeypatch.setattr(LocalStore, "get_file", None)
    rest = bucket.load(bucket.pipeline("*.parquet", IN_PLACE, incremental={"cursor": "at"}, **TRIPS), day=1)
    none = bucket.load(bucket.pipeline("*.parquet", IN_PLACE, incremental={"cursor": "at"}, **TRIPS), day=2)

    assert (first.rows_extracted, first.watermark) == (5_400, "1970-01-01 01:29:59")
    assert (rest.rows_extracted, rest.rows_inserted) == (14_601, 14_600)
    assert (none.rows_extracted, none.state) == (0, "empty")
    (file,) = bucket.installation.json(rest.manifest.removeprefix(f"{bucket.installation.lake.url}/"))["files"]
    assert (file["origin"]["row_groups"], file["sha256"]) == (list(range(5, 20)), "")
    assert [key for key in bucket.installation.keys("raw/") if "/_loads/" not in key] == []
    verify(bucket.installation.lake, bucket.installation.settings)


@pytest.mark.parametrize("config", [{"in_place": True}, {"path_column": "path"}], ids=["in place", "with a column of the path"])
def test_parquet_values_that_arrow_does_not_keep_are_kept_or_refused_by_name(bucket: Bucket, config: dict[str, Any]) -> None:
    def put(key: str, select: str) -> None:
        duckdb.sql(f"COPY (SELECT {select}) TO '{bucket.folder / key}' (FORMAT parquet)")

    put("zoned.parquet", "1 AS id, '12:00:00+02'::TIMETZ AS at")
    put("plain.parquet", "1 AS id, '12:00:00'::TIME AS at")
    for day, (key, kept) in enumerate({"zoned": "10:00:00+00", "plain": "12:00:00"}.items()):
        bucket.load(bucket.pipeline(f"{key}.parquet", config, table=f"shop.{key}"), day)
        assert bucket.installation.query(f'SELECT CAST("at" AS VARCHAR) FROM shop.{key}') == [(kept,)]
    put("both.parquet", "'12:00:00+02'::TIMETZ AS a, '12:00:00'::TIME AS b")
    put("long.parquet", "1 AS id, [{'x': INTERVAL '1 day'}] AS lasting")
    with pytest.raises(SourceFileRefused, match=r"'a' has times with a zone and 'b' times without"):
        bucket.load(bucket.pipeline("both.parquet", config), 2)
    with pytest.raises(SourceFileRefused, match=r"INTERVALs \(lasting\.list\.element\.x\) are kept by a copy of the whole file alone"):
        bucket.load(bucket.pipeline("long.parquet", config), 3)


def test_the_months_of_folders_are_numbers_where_that_is_declared(bucket: Bucket) -> None:
    bucket.put("m=01/a.csv", "id\n1\n")
    bucket.put("m=12/a.csv", "id\n2\n")

    bucket.load(bucket.pipeline("**/*.csv", columns=[{"name": "m", "type": "integer"}]))
    assert bucket.rows("id, m") == [(1, 1), (2, 12)]
    bucket.load(bucket.pipeline("**/*.csv", table="shop.texts"), day=1)
    assert bucket.installation.query("SELECT m FROM shop.texts ORDER BY ALL") == [("01",), ("12",)]


def test_a_file_that_is_taken_whole_cannot_be_read_up_to_an_end(bucket: Bucket) -> None:
    bucket.put("a.csv", "id,at\n1,2026-01-05\n2,2026-01-20\n")
    until = {"cursor": "at", "end": "2026-01-10"}

    with pytest.raises(ValueError, match=r"files are taken whole.* remove incremental\.end"):
        bucket.pipeline("*.csv", incremental=until)
    with pytest.raises(ConfigurationError, match=r"a\.csv is taken whole, and incremental\.end wants a part of it"):
        bucket.load(bucket.pipeline("*.csv", IN_PLACE, incremental=until))
    assert bucket.load(bucket.pipeline("*.csv", incremental={"cursor": "at"}), day=1).rows_inserted == 2


def test_moments_in_a_column_of_texts_are_compared_as_moments_in_parquet_too(bucket: Bucket) -> None:
    bucket.put_parquet("a.parquet", 2, at=["2026-01-05", "2026-01-09 23:00:00", None, "2026-01-10 12:00:00", "2026-01-20"])
    until = {"cursor": "at", "end": "2026-01-10T00:00:00+00:00"}
    capped = bucket.load(bucket.pipeline("*.parquet", IN_PLACE, incremental=until))
    rest = bucket.load(bucket.pipeline("*.parquet", IN_PLACE, incremental={"cursor": "at"}), day=1)
    bucket.put_parquet("late.parquet", 1, at=["2026-01-18", "2026-01-19 02:00:00", "2026-01-19", "2026-01-20T07:00:00+08:00", "2026-01-21"])
    late = bucket.load(bucket.pipeline("*.parquet", IN_PLACE, incremental={"cursor": "at", "overlap": "1d"}), day=2)

    assert [each.rows_inserted for each in (capped, rest, late)] == [3, 2, 4]
    assert [each.watermark for each in (capped, rest, late)] == ["2026-01-09 23:00:00", "2026-01-20", "2026-01-21"]
    verify(bucket.installation.lake, bucket.installation.settings)


@pytest.mark.parametrize(
    ("key", "data"), [("a.csv", SALES.encode()), ("a.json.gz", gzip.compress(b'[{"id": 1}, {"id": 2}]'))], ids=["csv", "json.gz"]
)
def test_other_formats_in_place_are_counted_by_the_load(bucket: Bucket, key: str, data: bytes) -> None:
    bucket.put(key, data)

    summary = bucket.load(bucket.pipeline("a.*", IN_PLACE))

    assert (summary.rows_extracted, summary.rows_inserted) == (2, 2)
    assert [name for name in bucket.installation.keys("raw/") if "/_loads/" not in name] == []
    verify(bucket.installation.lake, bucket.installation.settings)


def test_a_file_in_place_that_was_changed_is_refused_by_name_by_the_load_and_by_a_rebuild(bucket: Bucket) -> None:
    trips(bucket, "t.parquet", 0, 100)
    pipeline = bucket.pipeline("*.parquet", IN_PLACE)
    bucket.load(pipeline)
    trips(bucket, "u.parquet", 100, 100)
    landed = bucket.land(pipeline, day=1)
    trips(bucket, "t.parquet", 50, 100)
    trips(bucket, "u.parquet", 150, 100)

    from ducklift.pipeline import load

    with pytest.raises(SourceFileChanged, match=r"u\.parquet was changed"):
        load(landed, bucket.installation.settings, pipeline)
    with pytest.raises(SourceFileChanged, match=r"t\.parquet was changed"):
        verify(bucket.installation.lake, bucket.installation.settings)
    assert bucket.rows("count(*)") == [(100,)]


def test_a_file_that_changes_while_it_is_copied_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a.csv", SALES)
    copy = LocalStore.get_file

    def changing(store: LocalStore, key: str, local: Path) -> None:
        copy(store, key, local)
        bucket.put("a.csv", SALES.replace("1.50", "1.75"))

    monkeypatch.setattr(LocalStore, "get_file", changing)
    with pytest.raises(SourceFileChanged, match=r"a\.csv was changed"):
        bucket.land(bucket.pipeline("a.csv"))
    assert bucket.installation.keys("raw/") == []


def test_records_that_do_not_fit_the_header_are_quarantined_with_their_line(bucket: Bucket) -> None:
    bucket.put("a.csv", 'id,day,price\n1,2026-01-01,1\n2,2026-01-02\n3,2026-01-03,3,4\n4,"2026\n-01",5\n5,2026-01-05,x\n')
    columns = [{"name": "id", "type": "bigint"}, {"name": "day", "type": "varchar"}, {"name": "price", "type": "double"}]

    summary = bucket.load(bucket.pipeline("a.csv", columns=columns, contract="quarantine"))

    assert (summary.rows_extracted, summary.rows_inserted, summary.rows_quarantined) == (5, 2, 3)
    kept = bucket.installation.query("SELECT line, reason, record FROM _ducklift.quarantine ORDER BY line")
    assert [(line, record) for line, _, record in kept] == [
        (2, '"2,2026-01-02"'),
        (3, '"3,2026-01-03,3,4"'),
        (5, '{"id":"5","day":"2026-01-05","price":"x"}'),
    ]
    verify(bucket.installation.lake, bucket.installation.settings)


def test_json_documents_and_lines_load_alike_with_what_their_paths_tell(bucket: Bucket) -> None:
    bucket.put("day=2026-01-01/a.json", '[\n  {"id": 1, "tags": ["x", "y\\n"]},\n  {"id": 2}\n]')
    bucket.put("day=2026-01-02/b.jsonl", '\ufeff{"id": 3}\n\n{"id": 4}\r\n')
    bucket.put("day=__HIVE_DEFAULT_PARTITION__/c.json", '{\n  "id": 5\n}')

    summary = bucket.load(bucket.pipeline("**/*.json*", {"path_column": "file_path"}))

    assert summary.rows_inserted == 5
    assert bucket.rows("id, CAST(day AS VARCHAR), tags, file_path") == [
        (1, "2026-01-01", '["x","y\\n"]', "day=2026-01-01/a.json"),
        (2, "2026-01-01", None, "day=2026-01-01/a.json"),
        (3, "2026-01-02", None, "day=2026-01-02/b.jsonl"),
        (4, "2026-01-02", None, "day=2026-01-02/b.jsonl"),
        (5, None, None, "day=__HIVE_DEFAULT_PARTITION__/c.json"),
    ]
    verify(bucket.installation.lake, bucket.installation.settings)


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def parquet(rows: int) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table({"id": list(range(rows))}), sink)
    return sink.getvalue()


REFUSED = {
    "a cut gzip": ("a.csv.gz", gzip.compress(SALES.encode())[:-4], "cut or damaged"),
    "a wrong checksum": (
        "a.csv.gz",
        gzip.compress(SALES.encode())[:-8] + b"\0\0\0\0" + gzip.compress(SALES.encode())[-4:],
        "cut or damaged",
    ),
    "a cut Parquet file": ("a.parquet", parquet(100)[:-9], "no whole Parquet"),
    "a bomb": ("a.jsonl.gz", gzip.compress(b" " * 2**20), "bomb"),
    "a bomb in an archive": ("a.zip", zipped(**{"a.csv": b"0" * 2**20}), "bomb"),
    "an archive in an archive": ("a.zip", zipped(**{"b.csv": b"id\n1\n", "in.zip": zipped(**{"c.csv": b"id\n2\n"})}), "another archive"),
    "a path out of an archive": ("a.zip", zipped(**{"../../a.csv": b"id\n1\n"}), "leads out of it"),
    "a name with a line end": ("a\nb.csv", SALES.encode(), "control character"),
    "another delimiter": ("a.csv", b"id;day\n1;2\n", "Set read.delimiter"),
    "columns named twice": ("a.csv", b"id,ID\n1,2\n", "columns twice"),
    "no format": ("a.dat", b"1", "tells no format"),
}


@pytest.mark.parametrize(("key", "data", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_for_what_it_says_is_refused_before_a_row_is_written(
    bucket: Bucket, key: str, data: bytes, reason: str
) -> None:
    bucket.put(key, data)
    limits = {"read": {"limits": {"expanded_bytes": 2**19}}}

    with pytest.raises(SourceFileRefused, match=reason):
        bucket.land(bucket.pipeline("a*", limits))

    assert bucket.installation.keys("raw/") == []
    assert list((bucket.installation.project / ".ducklift" / "spool").rglob("*.csv")) == []


NUMBERS = [b"id\n" + b"".join(b"%d\n" % (number * step) for number in range(300)) for step in (7919, 104729)]


def archived(ending: str) -> bytes:
    """Return an archive of two files."""
    if ending == "zip":
        return zipped(**{"a.csv": NUMBERS[0], "b.csv": NUMBERS[1]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{ending[4:]}") as archive:  # type: ignore[call-overload]
        for name, data in zip(("a.csv", "b.csv"), NUMBERS, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def copied_out(bucket: Bucket, key: str) -> list[bytes] | str:
    """Return all files of an archive in the bucket, copied out as an extraction does it, or `refused`."""
    settings, place = bucket.installation.settings, bucket.folder.as_uri()
    store, local = open_place(settings, place, Access()), bucket.installation.project / "copied"
    found, copied = store.stat(key), []
    assert found is not None
    try:
        for _, fetch in members_of(store, origin_of(place, found), Limits(), settings):
            fetch(local)
            copied.append(local.read_bytes())
    except SourceFileRefused:
        return "refused"
    return copied


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_that_is_cut_or_damaged_anywhere_is_refused_or_read_whole(bucket: Bucket, ending: str) -> None:
    whole, key = archived(ending), f"a.{ending}"
    refused = 0
    for place in range(0, len(whole), len(whole) // 100 + 1):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            bucket.put(key, damaged)
            found = copied_out(bucket, key)
            refused += found == "refused"
            # A plain tar has no sum over what lies in its files.
            assert found in ("refused", NUMBERS) or (ending == "tar" and list(map(len, found)) == list(map(len, NUMBERS))), place

    assert refused > 50


def test_an_archive_of_a_whole_folder_gives_its_files_as_they_are_called_there(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "sales").mkdir()
    (tmp_path / "sales" / "a.csv").write_bytes(NUMBERS[0])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tmp_path / "sales", ".")
        assert archive.getnames() == [".", "./a.csv"]
    bucket.put("all.tgz", packed.getvalue())

    loaded = bucket.load(bucket.pipeline("*.tgz"))

    assert loaded.rows_inserted == 300
    assert bucket.file_rows() == [("all.tgz!a.csv", 300)]


def test_a_lake_without_a_warehouse_reads_whole_files_as_one_table(bucket: Bucket) -> None:
    from ducklift.lake.order import current_snapshot
    from ducklift.specs import TableName
    from ducklift.warehouse.lake_views import dataset_sql

    bucket.put("a.json", '[{"id": 1}, {"id": 2}]')
    bucket.put("b.jsonl", '{"id": 3}\n')
    bucket.put("empty.jsonl", "")
    pipeline = bucket.pipeline("*.json*", target="lake")
    bucket.land(pipeline)
    bucket.land(pipeline, day=1)

    bucket.put("c.json", "[]")
    settings = bucket.installation.settings
    packages = [extract(pipeline, pipeline.streams()[0], slice_run(day), settings) for day in (2, 3)]
    upload(packages[0], settings)
    with pytest.raises(FilesTaken, match=r"c\.json"):
        upload(packages[1], settings)

    table, lake = TableName.parse("shop.sales"), bucket.installation.lake
    known = current_snapshot(lake, table, "lake")
    assert known is not None
    assert known.rows == 3
    found = duckdb.sql(f"SELECT id, parse_filename(_source_file) FROM ({dataset_sql(lake, table)}) ORDER BY id").fetchall()
    assert found == [(1, "a.json"), (2, "a.json"), (3, "b.jsonl")]


def test_the_files_of_an_archive_are_rows_of_the_load_each_with_its_path(bucket: Bucket) -> None:
    bucket.put("day=1/a.zip", zipped(**{"in/x.csv": b"id\n1\n", "in/y.csv.gz": gzip.compress(b"id\n2\n"), "README.md": b"no data"}))
    one = bucket.pipeline("**/*.zip")

    assert (bucket.load(one).rows_inserted, bucket.load(one, day=1).rows_extracted) == (2, 0)
    assert bucket.rows("id, day") == [(1, 1), (2, 1)]
    assert [name for name, _ in bucket.file_rows()] == ["day=1/a.zip!in/x.csv", "day=1/a.zip!in/y.csv.gz"]
    verify(bucket.installation.lake, bucket.installation.settings)


@pytest.mark.parametrize(
    ("key", "data"), [("d=1/a.csv", b"id,D\n1,2\n"), ("d=1/a.jsonl", b'{"id": 1, "d": 2}\n'), ("d=1/a.json", b'[{"d": 2}]')]
)
def test_a_column_that_path_and_records_both_tell_is_refused_and_not_overwritten(bucket: Bucket, key: str, data: bytes) -> None:
    bucket.put(key, data)

    with pytest.raises(SourceFileRefused, match=r"set source\.hive to false"):
        bucket.load(bucket.pipeline("**/a.*"))
    assert bucket.load(bucket.pipeline("**/a.*", {"hive": False}), day=1).rows_inserted == 1


def test_files_older_than_the_watermark_are_not_opened_where_that_is_promised(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    trips(bucket, "old.parquet", 0, 10)
    after = {"cursor": "at", "initial": "2100-01-01"}
    monkeypatch.setattr(LocalStore, "opened", None)

    summary = bucket.load(bucket.pipeline("*.parquet", {"in_place": True, "written_after_rows": True}, incremental=after, **TRIPS))

    assert (summary.state, summary.rows_extracted) == ("empty", 0)

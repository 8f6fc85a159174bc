"""Raw files in every format: read back by DuckDB they hold what was written, and nothing was rounded, cut or lost on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ducklift.batches import Batch
from ducklift.errors import ConfigurationError, ContractBroken, RecordUnwritable
from ducklift.lake import spool
from ducklift.lake.privacy import REDACTED, Privacy
from ducklift.lake.spool import SpoolWriter
from ducklift.lake.spool_place import FolderSpool
from ducklift.lake.templates import FileFacts, Layout
from ducklift.settings import load_settings
from ducklift.specs import ColumnSpec, TableName

FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet")
COLUMNAR = ("csv", "csv.gz", "csv.zst", "parquet")
READERS = {
    "jsonl": "read_json({}, union_by_name = true, format = 'newline_delimited')",
    "csv": "read_csv({}, union_by_name = true, header = true, all_varchar = true, nullstr = '', allow_quoted_nulls = false)",
    "parquet": "read_parquet({}, union_by_name = true)",
}
ODD_TEXTS = ["", " ", "a,b", 'say "x"', "line\nline", "\r\n", "🦆", "\x00", "=1+1", "null", "5", "'", "\\", "\u2028"]
Write = Callable[..., SpoolWriter]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write batches to a package of its own and return the writer, its files closed."""

    def written(
        extension: str, *batches: Batch, privacy: Privacy | None = None, layout: str | None = None, load_id: str = "L1"
    ) -> SpoolWriter:
        facts = FileFacts(
            TableName(dataset="nature", table="birds"), "nature", "birds", load_id, datetime(2026, 1, 1, tzinfo=UTC), extension
        )
        folder = FolderSpool(str(tmp_path / f"spool{len(list(tmp_path.iterdir()))}"))
        with SpoolWriter(folder, Layout(layout), facts, privacy or Privacy((), load_settings({}, tmp_path))) as writer:
            for batch in batches:
                writer.write(batch)
            writer.close()
        return writer

    return written


def paths(writer: SpoolWriter) -> list[Path]:
    return [writer._building / file.key.rpartition("/")[2] for file in writer.files]


def read(writer: SpoolWriter, columns: str) -> list[tuple[Any, ...]]:
    """Return the rows of all files in their order."""
    reader = READERS[writer.facts.extension.partition(".")[0]]
    rows: list[tuple[Any, ...]] = []
    for path in paths(writer):
        rows += duckdb.sql(f"SELECT {columns} FROM {reader.format(repr(str(path)))}").fetchall()
    return rows


@pytest.mark.parametrize("extension", FORMATS)
def test_texts_come_back_as_they_were(write: Write, extension: str) -> None:
    writer = write(extension, [{"n": str(number), "text": text} for number, text in enumerate(ODD_TEXTS)])

    assert [text for (text,) in read(writer, "text")] == ODD_TEXTS


@pytest.mark.parametrize("extension", FORMATS)
def test_no_value_and_an_empty_text_are_told_apart(write: Write, extension: str) -> None:
    writer = write(extension, [{"text": None}, {"text": ""}, {"text": "x"}])

    assert read(writer, "text") == [(None,), ("",), ("x",)]


@pytest.mark.parametrize("extension", FORMATS)
def test_size_hash_and_rows_are_those_of_the_file(write: Write, extension: str) -> None:
    writer = write(extension, [{"a": 1}], [{"a": 2}, {"a": 3}])

    [file], [path] = writer.files, paths(writer)
    content = path.read_bytes()
    assert (file.size_bytes, file.sha256, file.rows) == (len(content), hashlib.sha256(content).hexdigest(), 3)


@pytest.mark.parametrize("extension", FORMATS)
def test_the_same_records_give_the_same_bytes(write: Write, extension: str) -> None:
    records = [{"id": number, "name": "wren" * number, "nested": {"b": 1, "a": [2]}} for number in range(500)]

    first, second = (write(extension, [dict(record) for record in records]) for _ in range(2))

    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]


@pytest.mark.parametrize("extension", FORMATS)
def test_files_are_rotated_by_rows(write: Write, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ROTATE_ROWS", 2)

    writer = write(extension, *([{"a": number}] for number in range(5)))

    assert [file.rows for file in writer.files] == [2, 2, 1]


@pytest.mark.parametrize("extension", ["jsonl", "csv"])
def test_files_are_rotated_by_size(write: Write, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ROTATE_BYTES", 100)

    writer = write(extension, *([{"a": "x" * 60}] for _ in range(4)))

    assert [file.rows for file in writer.files] == [2, 2]


@pytest.mark.parametrize("extension", COLUMNAR)
def test_a_new_field_starts_a_new_file_and_no_row_is_lost(write: Write, extension: str) -> None:
    writer = write(extension, [{"id": "a"}], [{"id": "b", "new": "x"}], [{"id": "c"}])

    assert [file.rows for file in writer.files] == [1, 2]
    assert read(writer, "id") == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize("extension", COLUMNAR)
@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "x"], ["1", "x"]),
        ([1, True], ["1", "true"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([2**53 + 1, 1.5], [str(2**53 + 1), "1.5"]),
        ([1.5, 2**53 + 1], ["1.5", str(2**53 + 1)]),
        ([2**53 + 1, 1.5, 2**53 + 1], [str(2**53 + 1), "1.5", str(2**53 + 1)]),
        ([Decimal("1.10"), Decimal("12345678901234567890.12345678901234567890")], ["1.10", "12345678901234567890.12345678901234567890"]),
        ([{"a": [1]}, [1, {"b": None}]], ['{"a":[1]}', '[1,{"b":null}]']),
        ([date(2026, 1, 1), "soon"], ["2026-01-01", "soon"]),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_values_of_several_types_are_kept_exactly(write: Write, extension: str, values: list[Any], texts: list[str], at_once: bool) -> None:
    batches = [[{"v": value} for value in values]] if at_once else [[{"v": value}] for value in values]

    assert [str(text) for (text,) in read(write(extension, *batches), "v::VARCHAR")] == texts


def test_parquet_keeps_the_types_of_records(write: Write) -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)

    writer = write("parquet", [{"i": 1, "f": 1.5, "b": True, "s": "x", "t": moment, "d": date(2026, 1, 1), "raw": b"\x00"}])

    assert read(writer, "i, f, b, s, epoch(t), d, raw") == [(1, 1.5, True, "x", moment.timestamp(), date(2026, 1, 1), b"\x00")]
    assert writer.field_types == {
        "i": "int64", "f": "double", "b": "bool", "s": "string", "t": "timestamp[us, tz=UTC]", "d": "date32[day]", "raw": "binary",
    }  # fmt: skip


def test_a_field_whose_types_alternate_does_not_start_a_file_each_time(write: Write) -> None:
    writer = write("parquet", *([{"v": number if number % 2 else "x"}] for number in range(20)))

    assert len(writer.files) <= 2


@pytest.mark.parametrize("extension", FORMATS)
def test_an_arrow_table_is_written_whole(write: Write, extension: str) -> None:
    table = pa.table({"id": pa.array([1, 2, None], pa.int32()), "name": ["wren", None, ""], "tags": [["a"], None, []]})

    writer = write(extension, table, table.to_batches()[0])

    assert writer.rows == 6
    assert read(writer, "id::INT, name, tags::VARCHAR")[:3] == read(writer, "id::INT, name, tags::VARCHAR")[3:]
    assert [row[:2] for row in read(writer, "id::INT, name")[:3]] == [(1, "wren"), (2, None), (None, "")]


def test_parquet_keeps_arrows_own_types(write: Write) -> None:
    table = pa.table({"d": pa.array([Decimal("1.10")], pa.decimal128(9, 2)), "c": pa.array(["u"]).dictionary_encode(), "n": [{"x": 1}]})

    assert read(write("parquet", table), "d, c, n") == [(Decimal("1.10"), "u", '{"x":1}')]


def test_two_columns_of_one_name_are_refused(write: Write) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])

    with pytest.raises(ContractBroken, match=r"nature\.birds: the source yields several columns of one name: id"):
        write("jsonl", table)


def test_a_table_far_greater_than_one_piece_is_written_in_pieces(write: Write) -> None:
    writer = write("parquet", pa.table({"id": range(300_000)}))

    assert duckdb.sql(f"SELECT count(*), sum(id) FROM '{paths(writer)[0]}'").fetchall() == [(300_000, sum(range(300_000)))]


@pytest.mark.parametrize("extension", FORMATS)
def test_a_lone_surrogate_is_replaced_and_counted(write: Write, extension: str) -> None:
    writer = write(extension, [{"id": "a", "text": "x\ud800y"}, {"id": "b", "text": "whole"}])

    assert read(writer, "text") == [("x\ufffdy",), ("whole",)]
    assert writer.surrogates_replaced == 1


@pytest.mark.parametrize("extension", FORMATS)
def test_all_fields_that_any_record_had_are_named_in_their_order(write: Write, extension: str) -> None:
    writer = write(extension, [{"b": 1}, {"a": 1, "b": 2}], [{"never": None}])

    assert writer.fields == ("b", "a", "never")


@pytest.mark.parametrize("extension", FORMATS)
def test_records_without_any_field_are_rows_all_the_same(write: Write, extension: str) -> None:
    assert len(read(write(extension, [{}, {}, {"a": None}]), "*")) == 3


def test_the_longest_line_is_known_without_its_line_feed(write: Write) -> None:
    writer = write("jsonl", [{"a": "x" * 1000}, {"a": 1}])

    assert writer.files[0].longest_record_bytes == len('{"a":""}') + 1000


def test_the_bound_of_a_csv_record_holds_for_texts_of_nothing_but_quotes(write: Write) -> None:
    writer = write("csv", [{"a": '"' * 1000, "b": 1.5}])

    assert len(paths(writer)[0].read_bytes().split(b"\n")[1]) <= writer.files[0].longest_record_bytes


def privacy(tmp_path: Path, *columns: dict[str, Any], salt: str = "salt") -> Privacy:
    settings = load_settings({"DUCKLIFT_PII_SALT": salt} if salt else {}, tmp_path)
    return Privacy([ColumnSpec.model_validate(column) for column in columns], settings)


def personal() -> Iterable[Batch]:
    records = [{"email": "a@b", "phone": 5, "name": "Ann", "kept": 1}, {"email": None, "kept": 2}]
    return [records, pa.table({"email": ["a@b", None], "phone": [5, None], "name": ["Ann", None], "kept": [1, 2]})]


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("batch", personal(), ids=["dicts", "arrow"])
def test_personal_fields_never_reach_a_file(write: Write, tmp_path: Path, extension: str, batch: Batch) -> None:
    columns = [{"name": "email", "pii": "hash"}, {"name": "phone", "pii": "redact"}, {"name": "who", "from": "name", "pii": "drop"}]
    batch = [dict(record) for record in batch] if isinstance(batch, list) else batch

    writer = write(extension, batch, privacy=privacy(tmp_path, *columns))

    [(email, phone, kept), (no_email, no_phone, _)] = read(writer, "email, phone, kept::INT")
    assert (len(email), phone, kept, no_email, no_phone) == (64, REDACTED, 1, None, None)
    assert writer.fields == ("email", "phone", "kept")
    assert not any(word in path.read_bytes() for path in paths(writer) for word in (b"a@b", b"Ann"))


def test_hashes_of_equal_values_are_equal_whatever_their_type_and_differ_by_salt(tmp_path: Path) -> None:
    column = {"name": "id", "pii": "hash"}
    [number, text] = privacy(tmp_path, column).applied([{"id": 5}, {"id": "5"}])
    [salted] = privacy(tmp_path, column, salt="other").applied([{"id": 5}])

    assert number == text
    assert number != salted


def test_a_nested_field_is_treated_when_it_is_named(tmp_path: Path) -> None:
    treated = privacy(tmp_path, {"name": "mail", "from": "author.email", "pii": "drop"})

    assert treated.applied([{"author": {"email": "a@b", "id": 1}}]) == [{"author": {"id": 1}}]
    assert treated.applied([{"author": [{"email": "a@b"}, {"id": 2}]}]) == [{"author": [{}, {"id": 2}]}]
    assert treated.applied([{"other": {"email": "a@b"}}]) == [{"other": {"email": "a@b"}}]


def test_of_two_treatments_of_one_field_the_stricter_holds(tmp_path: Path) -> None:
    treated = privacy(tmp_path, {"name": "a", "from": "x", "pii": "hash"}, {"name": "b", "from": "x", "pii": "drop"})

    assert treated.applied([{"x": 1, "y": 2}]) == [{"y": 2}]


def test_hashing_without_a_salt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'email' is to be hashed .* Set DUCKLIFT_PII_SALT"):
        privacy(tmp_path, {"name": "email", "pii": "hash"}, salt="")


def test_nested_arrow_values_are_json_or_lists_in_parquet(write: Write) -> None:
    first = pa.table({"place": [{"lat": 1.5, "names": ["a"]}, None], "tags": [["a,b", None], None], "none": [[], None]})
    later = pa.table({"place": ["here"], "tags": [[]], "none": [[5]]})

    writer = write("parquet", first, later)

    assert read(writer, "CAST(place AS VARCHAR), typeof(place), tags, typeof(tags), none") == [
        ('{"lat":1.5,"names":["a"]}', "JSON", ["a,b", None], "VARCHAR[]", []),
        (None, "JSON", None, "VARCHAR[]", None),
        ('"here"', "JSON", [], "VARCHAR[]", [5]),
    ]


def test_a_list_that_becomes_a_single_value_is_refused_by_name(write: Write) -> None:
    with pytest.raises(RecordUnwritable, match="'tags' held lists"):
        write("parquet", pa.table({"tags": [["a"]]}), pa.table({"tags": ["a"]}))

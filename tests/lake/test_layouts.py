"""Layouts: what each placeholder becomes, which templates are refused and how, and where the records' own dates put them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from installations import Installation, sighting, sightings

from ducklift.errors import ConfigurationError
from ducklift.lake import spool
from ducklift.lake.date_patterns import moment_of
from ducklift.lake.layout import DEFAULT_LAYOUT
from ducklift.lake.templates import PLACEHOLDERS, FileFacts, Layout
from ducklift.pipeline_file import Pipeline, load_pipeline
from ducklift.settings import load_settings
from ducklift.specs import TableName

SLICE_START = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
FACTS = FileFacts(TableName(dataset="reddit", table="posts"), "daily", "Python/new", "L1", SLICE_START, "jsonl.gz")

SHOWN = {
    "file_id": "abc", "dataset": "reddit", "schema_name": "reddit", "table": "posts", "table_name": "posts", "pipeline": "daily",
    "stream": "python-new", "load_id": "L1", "format": "jsonl", "timestamp": "1770091506", "timestamp_ms": "1770091506000",
    "load_package_timestamp": "1770091506", "curr_date": "2026-02-03", "date": "2026-02-03", "partition": "2026-02-03",
    "YYYY": "2026", "YY": "26", "Y": "2026", "MMMM": "february", "MMM": "feb", "MM": "02", "M": "2", "DD": "03", "D": "3",
    "DDDD": "034", "DDD": "34", "HH": "04", "H": "4", "mm": "05", "m": "5", "ss": "06", "s": "6",
    "dddd": "tuesday", "ddd": "tue", "dd": "tu", "d": "2", "Q": "1",
    "YYYY-MM-DD": "2026-02-03", "YYYYMMDDTHHmmss": "20260203T040506", "YYYY/MM/DD": "2026/02/03",
}  # fmt: skip


@pytest.mark.parametrize(("placeholder", "shown"), SHOWN.items())
def test_a_placeholder_becomes(placeholder: str, shown: str) -> None:
    layout = Layout(f"raw/x-{{{placeholder}}}/{{file_id}}.{{ext}}")

    assert layout.key(FACTS, "abc") == f"raw/x-{shown}/abc.jsonl.gz"


def test_every_named_placeholder_stands_in_the_table_above() -> None:
    assert set(PLACEHOLDERS) - {"ext"} <= set(SHOWN)


@pytest.mark.parametrize(
    ("key", "shown"), [("2026-02", "2026-02"), ("2026-02-03T04:00:00", "2026-02-03T04-00-00"), ("../_emea", "emea"), ("/", "2026-02-03")]
)
def test_a_partitions_key_is_shown_as_a_path_may_carry_it(key: str, shown: str) -> None:
    assert Layout("raw/{dataset}/{table}/{partition}/{file_id}.{ext}").key(replace(FACTS, partition=key), "abc").split("/")[3] == shown


def test_dates_are_those_of_the_slice_in_utc() -> None:
    facts = FileFacts(
        FACTS.table, "daily", "s", "L1", datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "parquet"
    )  # fmt: skip

    assert Layout("raw/year={YYYY}/month={MM}/{file_id}").key(facts, "abc") == "raw/year=2025/month=12/abc.parquet"


def test_without_a_layout_files_lie_where_the_house_plan_says() -> None:
    assert Layout().key(FACTS, "abc") == "raw/reddit/posts/L1.abc.jsonl.gz"


def test_values_of_your_own_fill_placeholders_of_your_own() -> None:
    assert Layout("raw/{team}/{file_id}", {"team": "growth"}).key(FACTS, "abc") == "raw/growth/abc.jsonl.gz"


@pytest.mark.parametrize(
    ("template", "extras", "problem"),
    [
        ("raw/{tabel}/{file_id}", {}, "{tabel} is not a placeholder"),
        ("raw/{created:MMX}/{file_id}", {}, "{created:MMX} is not a placeholder"),
        ("raw/{}/{file_id}", {}, "{} is not a placeholder"),
        ("raw/{table/{file_id}", {}, "'{' without its other half"),
        ("raw/table}/{file_id}", {}, "'}' without its other half"),
        ("{dataset}/{file_id}", {}, "has to start with 'raw/'"),
        ("/raw/{file_id}", {}, "has to start with 'raw/'"),
        ("raw/../{file_id}", {}, "a segment '..'"),
        ("raw/./{file_id}", {}, "a segment '.'"),
        ("raw//{file_id}", {}, "a segment ''"),
        ("raw/_loads/{file_id}", {}, "a segment '_loads'"),
        ("raw/{table}/_x/{file_id}", {}, "a segment '_x'"),
        ("raw/{table}/.x{file_id}", {}, "a segment '.x{file_id}"),
        ("raw/{table}/", {}, "a segment '.{ext}'"),
        ("raw/{table}/{load_id}", {}, "has to hold {file_id}"),
        ("raw/{file_id}/{load_id}", {}, "has to hold {file_id}"),
        ("raw/{ext}/{file_id}", {}, "{ext} in its middle"),
        ("raw/{file_id}{ext}", {}, "{ext} in its middle"),
        ("raw/a b/{file_id}", {}, "not safe in every store"),
        ("raw/*/{file_id}", {}, "not safe in every store"),
        ("raw/\n/{file_id}", {}, "not safe in every store"),
        ("raw/{team}/{file_id}", {"team": "../.."}, "layout_values: team is '../..'"),
        ("raw/{team}/{file_id}", {"team": "a/b"}, "layout_values: team is 'a/b'"),
        ("raw/{table}/{file_id}", {"table": "x"}, "layout_values: 'table' cannot"),
        ("raw/{d}/{file_id}", {"d": "x"}, "layout_values: 'd' cannot"),
        ("raw/{file_id}", {"team": "x"}, "layout_values: 'team' is not in the layout"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_a_valid_one(template: str, extras: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match="A valid layout") as refused:
        Layout(template, extras)

    assert problem in str(refused.value)
    assert str(refused.value).endswith(f"A valid layout: {DEFAULT_LAYOUT}")


def pipeline(installation: Installation, **spec: Any) -> Pipeline:
    return installation.pipeline([], **spec)


@pytest.mark.parametrize(
    "layout",
    ["raw/{table}/{file_id}", "raw/{dataset}/{load_id}.{file_id}", "raw/{dataset}/{table}{file_id}", "raw/{dataset}/{table}_{file_id}",
     "raw/{YYYY}/{dataset}/{table}/{file_id}", "raw/{dataset}{table}/{file_id}"],
)  # fmt: skip
def test_a_replace_needs_a_prefix_that_no_other_table_shares(installation: Installation, layout: str) -> None:
    with pytest.raises(ValueError, match="is replaced whole, so its files need a prefix"):
        pipeline(installation, disposition="replace", primary_key=[], layout=layout)


@pytest.mark.parametrize("layout", ["raw/{dataset}/{table}/{file_id}", "raw/{pipeline}/{dataset}.{table}-{file_id}", None])
def test_a_replace_with_a_prefix_of_its_own_is_fit_to_run(installation: Installation, layout: str | None) -> None:
    assert pipeline(installation, disposition="replace", primary_key=[], layout=layout).layout == layout


def test_two_tables_of_a_pipeline_never_share_a_path(installation: Installation) -> None:
    streams = {"a": [], "b": []}
    tables = [{"name": "a", "table": "nature.one"}, {"name": "b", "table": "nature.two"}]

    with pytest.raises(ValueError, match=r"files of nature\.one and nature\.two would lie under the same names"):
        installation.pipeline(streams=streams, table=None, layout="raw/{dataset}/{load_id}.{file_id}", tables=tables)


@pytest.mark.parametrize("table", ["_nature.sightings", "nature._sightings", "nature._loads"])
def test_files_under_a_name_that_readers_skip_are_refused(installation: Installation, table: str) -> None:
    with pytest.raises(ValueError, match=r"into '_\w+': readers skip what starts with '_'.* A valid layout: "):
        pipeline(installation, table=table)
    assert pipeline(installation, table=table, layout="raw/t-{dataset}.{table}/{file_id}").layout


@pytest.mark.parametrize("dataset", ["_ducklift", "information_schema", "pg_catalog", "temp"])
def test_a_dataset_that_is_ducklifts_own_or_duckdbs_is_refused(installation: Installation, dataset: str) -> None:
    with pytest.raises(ValueError, match=f"dataset '{dataset}' is not for tables of yours"):
        pipeline(installation, table=f"{dataset}.loads")


def test_a_key_longer_than_a_store_takes_is_refused(installation: Installation) -> None:
    with pytest.raises(ValueError, match=r"with names of up to \d+; stores take 1024 and 255"):
        pipeline(installation, layout=f"raw/{{table}}/{'x' * 240}{{file_id}}")


def test_the_error_names_the_layouts_line(project: Path) -> None:
    text = "name: nature\nsource: {type: reddit, subreddits: [python]}\ntable: reddit.posts\nlayout: raw/{tabel}/{file_id}\n"
    (project / "include" / "pipelines" / "nature.yaml").write_text(text)

    with pytest.raises(ConfigurationError, match=r"nature\.yaml:4: layout: \{tabel\} is not a placeholder"):
        load_pipeline("nature", load_settings({}, project))


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (1_767_225_600, "2026-01-01"), (1_767_225_600.5, "2026-01-01"), ("1767225600", "2026-01-01"), (1_767_225_600_000, "2026-01-01"),
        (1_767_225_600_000_000, "2026-01-01"), (1_767_225_600_000_000_000, "2026-01-01"), ("20260101", "2026-01-01"),
        ("2026-01-01", "2026-01-01"), ("2026-01-01T00:30:00+01:00", "2025-12-31"), ("2026-01-01 23:59:59", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01"), (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01"), (date(2026, 1, 1), "2026-01-01"),
    ],
)  # fmt: skip
def test_a_records_date_is_read_from(value: Any, day: str) -> None:
    moment = moment_of(value)

    assert moment is not None
    assert moment.strftime("%Y-%m-%d") == day


@pytest.mark.parametrize("value", [None, "", "soon", True, float("nan"), float("inf"), 1e300, {"a": 1}, [1], "2026-13-01"])
def test_what_names_no_date_is_no_date(value: Any) -> None:
    assert moment_of(value) is None


def test_records_lie_under_their_own_dates(installation: Installation) -> None:
    days = [sighting(1), sighting(2, seen="2026-01-02T10:00:00Z"), sighting(3), {"id": "s0004"}]

    installation.land(days, layout="raw/{dataset}/{table}/{seen:YYYY-MM-DD}/{load_id}.{file_id}")

    files = {file["key"].split("/")[3]: file["rows"] for file in installation.manifest()["files"]}
    assert files == {"2026-01-01": 2, "2026-01-02": 1, "__none__": 1}


def test_records_without_a_date_go_to_hives_default_partition(installation: Installation) -> None:
    installation.land([sighting(1), {"id": "s0002"}], layout="raw/{dataset}/{table}/year={seen:YYYY}/{load_id}.{file_id}")

    keys = sorted(file["key"].split("/")[3] for file in installation.manifest()["files"])
    assert keys == ["year=2026", "year=__HIVE_DEFAULT_PARTITION__"]


def test_every_record_split_by_its_date_is_loaded(installation: Installation) -> None:
    installation.put(installation.pipeline(sightings(*range(1, 51)), layout="raw/{dataset}/{table}/{seen:YYYY-MM-DD-HH-mm}/{file_id}"))

    manifest = installation.manifest()
    assert (manifest["rows"], sum(file["rows"] for file in manifest["files"])) == (50, 50)


def test_no_more_files_are_open_than_the_limit(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "OPEN_FILES", 3)
    most = []
    close_file = spool.SpoolWriter._close_file
    monkeypatch.setattr(spool.SpoolWriter, "_close_file", lambda self, of: most.append(len(self._open)) or close_file(self, of))

    installation.put(installation.pipeline(sightings(*range(1, 11)), layout="raw/{dataset}/{table}/{seen:HH-mm}/{file_id}"))

    assert max(most) == 3


def test_equal_files_of_one_load_have_keys_of_their_own(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ROTATE_ROWS", 1)

    installation.put(installation.pipeline([sighting(1)], [sighting(1)]))

    keys = [file["key"] for file in installation.manifest()["files"]]
    assert len(set(keys)) == 2


def test_a_layout_without_the_load_keeps_two_loads_of_the_same_records_apart(installation: Installation) -> None:
    pipeline = installation.pipeline([sighting(1)], layout="raw/{dataset}/{table}/{file_id}")

    installation.put(pipeline, day=0)
    installation.put(pipeline, day=1)

    assert installation.manifest(0)["files"][0]["key"] != installation.manifest(1)["files"][0]["key"]

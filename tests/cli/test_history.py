from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.sources.registry import SOURCE_TYPES


class CountingSource(Source):
    """Brings as many numbers as a file says, from the cursor on."""

    type: Literal["counting"] = "counting"
    upto: Path

    def streams(self) -> Sequence[str]:
        return ("numbers",)

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        report.ordered_and_complete = True
        yield [{"n": n} for n in range(int(request.cursor_from or 0), int(self.upto.read_text()))]


@pytest.fixture
def upto(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(SOURCE_TYPES, "counting", f"{__name__}:CountingSource")
    file = home / "upto"
    file.write_text("3")
    for name, rest in (("numbers", "incremental: {cursor: n}"), ("days", ""), ("landed", "target: lake\nincremental: {cursor: n}")):
        text = (
            f"name: {name}\nsource: {{type: counting, upto: {file}}}\ntable: tests.{name}\ncolumns: [{{name: n, type: bigint}}]\n{rest}\n"
        )
        (home / "include" / "pipelines" / f"{name}.yaml").write_text(text)
    return file


DAY = ("--from", "2026-01-01", "--to", "2026-01-02")


def counted(ducklift, table: str) -> list[int]:
    return [row["n"] for row in json.loads(ducklift("query", f"SELECT n FROM tests.{table} ORDER BY n", "--format", "json").stdout)]


def test_a_slice_runs_once_and_is_replaced_when_that_is_asked(ducklift, upto):
    ducklift("run", "days", *DAY)
    again = json.loads(ducklift("run", "days", *DAY, "--json").stdout)
    upto.write_text("2")
    replaced = json.loads(ducklift("run", "days", *DAY, "--reextract", "--json").stdout)

    assert (again["state"], replaced["state"]) == ("already_loaded", "loaded")
    assert replaced["loads"][0]["load_id"] == f"{again['loads'][0]['load_id']}-r2"
    assert counted(ducklift, "days") == [0, 1]


def test_a_full_refresh_reads_from_the_beginning(ducklift, upto):
    ducklift("run", "numbers")
    upto.write_text("2")
    ducklift("run", "numbers", "--full-refresh")

    assert counted(ducklift, "numbers") == [0, 1]


def test_a_reset_lets_the_next_run_read_again(ducklift, upto):
    ducklift("run", "numbers")
    told = json.loads(ducklift("reset", "numbers", "--to", "1", "--json").stdout)
    plan = json.loads(ducklift("run", "numbers", "--dry-run", "--json").stdout)

    assert told == {
        "state": "reset",
        "streams": [{"stream": "numbers", "table": "tests.numbers", "before": 2, "after": 1, "changed": True}],
    }
    assert plan["loads"][0]["watermark"] == 1
    assert "numbers" in ducklift("reset", "numbers").stdout


def test_a_reset_to_a_date_counts_as_the_cursor_does(ducklift, home, upto):
    file = home / "include" / "pipelines" / "numbers.yaml"
    file.write_text(file.read_text().replace("{cursor: n}", "{cursor: n, epoch: ms, initial: 1767225600000}"))
    upto.write_text("1767225600003")
    ducklift("run", "numbers")
    told = json.loads(ducklift("reset", "numbers", "--to", "2026-01-01", "--json").stdout)

    assert told["streams"][0]["before"] == 1767225600002
    assert told["streams"][0]["after"] == 1767225600000


def test_a_dry_run_shows_what_would_happen_and_does_none_of_it(ducklift, upto, home):
    before = sorted(home.rglob("*"))

    shown = ducklift("run", "numbers", "--dry-run")

    assert shown.exit_code == 0
    assert "from the beginning" in shown.stdout
    assert "No record was read from the source, and nothing was written." in shown.stdout
    assert sorted(home.rglob("*")) == before


def test_a_rebuild_asks_before_it_replaces_and_verifies_what_is_there(ducklift, upto, home):
    ducklift("run", "numbers")

    refused = ducklift("rebuild")
    verified = json.loads(ducklift("rebuild", "--verify", "--json").stdout)
    replaced = ducklift("rebuild", "--replace")
    beside = ducklift("rebuild", "--into", f"duckdb:///{home}/beside.duckdb", "--json")

    assert refused.exit_code == 2
    assert "--replace" in refused.stderr
    assert (verified["state"], verified["tables"][0]["rows"]) == ("verified", 3)
    assert "is rebuilt" in replaced.stdout
    assert json.loads(beside.stdout)["tables"] == verified["tables"]
    assert (home / "beside.duckdb").exists()


def test_a_warehouse_that_differs_from_the_lake_ends_with_1(ducklift, upto, warehouse):
    ducklift("run", "numbers")
    warehouse("DELETE FROM tests.numbers WHERE n = 1")

    answer = ducklift("rebuild", "--verify")

    assert answer.exit_code == 1
    assert "tests.numbers differs" in answer.stderr


def test_tables_of_the_lake_are_queried_through_their_manifests(ducklift, upto, home):
    ducklift("run", "landed")
    upto.write_text("5")
    ducklift("run", "landed")

    answer = ducklift("query", "--lake", "tests.landed", "SELECT count(DISTINCT n) AS n FROM tests.landed", "--format", "json")

    assert json.loads(answer.stdout) == [{"n": 5}]
    assert ducklift("query", "--lake", "tests.landed", "SELECT * FROM read_text('/etc/hostname')").exit_code == 2
    assert not (home / ".ducklift" / "warehouse.duckdb").exists()


def test_tables_of_a_lake_in_a_bucket_are_queried_whatever_their_formats(ducklift, command, upto, moto_s3, monkeypatch):
    for name, value in {**moto_s3.environment, "DUCKLIFT_LAKE_URL": "s3://queried/lake"}.items():
        monkeypatch.setenv(name, value)
    for number, form in enumerate(["parquet", "parquet", "csv.zst", "jsonl.gz"], start=1):
        upto.write_text(str(number))
        assert ducklift("run", "landed", "--set", f"format={form}").exit_code == 0

    # In a process of its own: what waits for ever there ends with the test's patience.
    answer = command("query", "--lake", "tests.landed", "SELECT count(DISTINCT n) AS n FROM tests.landed", "--format", "json")

    assert (answer.stderr, json.loads(answer.stdout)) == ("", [{"n": 4}])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reextract",), "--from and --to"),
        (("--from", "2026-01-01"), "both --from and --to"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "is empty"),
        (("--from", "soon", "--to", "later"), "write a date"),
        (("--from", "0001-01-01T00:00:00+14:00", "--to", "2026-01-01"), "write a date"),
        ((*DAY, "--full-refresh"), "--full-refresh reads everything"),
    ],
)
def test_options_that_do_not_go_together_are_refused(ducklift, upto, options, told):
    answer = ducklift("run", "days", *options)

    assert answer.exit_code == 2
    assert told in answer.stderr


def test_a_manifest_that_is_not_there_is_named(ducklift, upto):
    answer = ducklift("load", "raw/tests/days/_loads/nothing.json")

    assert answer.exit_code == 2
    assert "There is no manifest at" in answer.stderr


@pytest.mark.parametrize("into", ["nowhere", "duckdb:"])
def test_a_rebuild_into_nowhere_names_the_option_that_said_so(ducklift, upto, into):
    ducklift("run", "numbers")
    answer = ducklift("rebuild", "--into", into)

    assert answer.exit_code == 2
    assert "(--into)" in answer.stderr

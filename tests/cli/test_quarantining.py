from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import listed_source_known

__all__ = ["listed_source_known"]

BAD = [{"id": 1, "count": "5"}, {"id": 2, "count": "many\x1b[31m"}, {"id": 3, "count": "few"}]


@pytest.fixture
def birds(home, ducklift):
    """A pipeline `birds` that has loaded three records, two of them into quarantine, and a way to write its file anew."""

    def write(count: str) -> None:
        records = home / "records.json"
        records.write_text(json.dumps({"birds": [BAD]}))
        text = f"""
name: birds
source: {{type: listed, file: {records}}}
table: nature.birds
disposition: merge
primary_key: [id]
columns: [{{name: id, type: bigint}}, {count}]
"""
        (home / "include" / "pipelines" / "birds.yaml").write_text(text)

    write("{name: count, type: bigint}")
    assert ducklift("run", "birds").exit_code == 0
    return write


@pytest.mark.usefixtures("birds")
def test_list_tells_which_loads_have_records_in_quarantine_and_why(ducklift):
    [load] = json.loads(ducklift("quarantine", "list", "--json").stdout)["quarantine"]

    assert (load["table"], load["stream"], load["rows"], load["reasons"]) == ("nature.birds", "birds", 2, 2)
    assert load["load_id"] in ducklift("quarantine", "list").stdout
    assert ducklift("quarantine", "list", "--table", "nature.other").stderr == "Nothing is in quarantine.\n"


@pytest.mark.usefixtures("birds")
def test_show_gives_each_record_whole_with_its_place_and_reason(ducklift):
    records = json.loads(ducklift("quarantine", "show", "--table", "nature.birds", "--json").stdout)["records"]
    by_load = json.loads(ducklift("quarantine", "show", records[0]["load_id"], "--limit", "1", "--json").stdout)["records"]

    assert [record["line"] for record in records] == [2, 3]
    assert json.loads(records[0]["record"]) == BAD[1]
    assert records[1]["reason"] == "column count: not a bigint: few"
    assert by_load == records[:1]


@pytest.mark.usefixtures("birds")
def test_show_lets_no_record_speak_to_the_terminal(ducklift):
    shown = ducklift("quarantine", "show", "--table", "nature.birds")

    assert "\x1b[31m" not in shown.stdout
    assert "many" in shown.stdout


def test_retry_loads_what_fits_after_a_fix_and_says_what_does_not(birds, ducklift):
    birds("{name: count, type: bigint, null_if: [few]}")

    told = json.loads(ducklift("quarantine", "retry", "--table", "nature.birds", "--json").stdout)
    [left] = json.loads(ducklift("quarantine", "list", "--json").stdout)["quarantine"]

    assert (told["state"], told["rows_extracted"], told["rows_inserted"], told["rows_quarantined"]) == ("loaded", 2, 1, 1)
    assert left["load_id"] == told["loads"][0]["load_id"]
    assert ducklift("query", "select count(*) n from nature.birds", "-f", "csv").stdout == "n\n2\n"


@pytest.mark.usefixtures("birds")
def test_a_retry_of_one_load_leaves_the_others(ducklift):
    ducklift("run", "birds")
    newest, oldest = json.loads(ducklift("quarantine", "list", "--json").stdout)["quarantine"]

    told = json.loads(ducklift("quarantine", "retry", "--table", "nature.birds", "--load-id", oldest["load_id"], "--json").stdout)

    assert [load["load_id"] for load in told["loads"]] == [f"{oldest['load_id']}-q"]
    assert newest["load_id"] in ducklift("quarantine", "list").stdout


def test_a_retry_that_fails_ends_red_and_keeps_the_records(birds, ducklift):
    birds("{name: count, type: bigint, null_if: [few], contract: freeze}")

    answer = ducklift("quarantine", "retry", "--table", "nature.birds")

    assert (answer.exit_code, "freeze" in answer.stdout) == (1, True)
    [left] = json.loads(ducklift("quarantine", "list", "--json").stdout)["quarantine"]
    assert left["rows"] == 2


@pytest.mark.usefixtures("birds")
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("show",), "Name a load or a table"),
        (("retry", "--table", "birds"), "write dataset.table"),
        (("retry", "--table", "nature.other"), "has no quarantined records"),
        (("retry", "--table", "nature.birds", "--load-id", "x"), "of load x"),
    ],
)
def test_bad_usage_says_what_to_write(ducklift, words, named):
    answer = ducklift("quarantine", *words)

    assert (answer.exit_code, named in answer.stderr) == (2, True)

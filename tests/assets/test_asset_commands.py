"""`ducklift asset …` and `asset('key')` in SQL, as a person types them."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from ducklift.assets import OutputContext, Storage
from ducklift.cli.app import app
from ducklift.settings import load_settings


@pytest.fixture
def stored(tmp_path, monkeypatch, declare) -> Any:
    monkeypatch.setenv("DUCKLIFT_PIPELINES", str(tmp_path / "include" / "pipelines"))
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", (tmp_path / "lake").as_uri())
    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", f"duckdb:///{tmp_path / 'w.duckdb'}")
    declare("io_managers:\n  tables: {type: duckdb}\n")
    with Storage(load_settings()) as storage:
        for day, score in (("2026-01-01", 1), ("2026-01-02", 2)):
            storage.store(OutputContext("top_posts", (day,), f"run of {day}"), pd.DataFrame({"day": [day], "score": [score]}))
        storage.store(OutputContext("top_posts", ("2026-01-02",), "second"), pd.DataFrame({"day": ["2026-01-02"], "score": [3]}))
        storage.store(OutputContext("notes", (), "run"), {"text": "\x1b[31mred\nsecond line"})
        storage.store(OutputContext("kept/table", (), "run"), pd.DataFrame({"n": [7]}), "tables")


def ducklift(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def printed(*arguments: str) -> Any:
    done = ducklift(*arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_assets_are_listed_with_their_partitions(stored):
    found = printed("asset", "list", "--json")["assets"]
    assert [(each["key"], each["partition"]) for each in found] == [
        ("notes", None),
        ("top_posts", "2026-01-01"),
        ("top_posts", "2026-01-02"),
    ]


def test_versions_are_listed_and_one_can_be_gone_back_to(stored):
    versions = printed("asset", "versions", "top_posts", "-p", "2026-01-02", "--json")["versions"]
    assert [each["current"] for each in versions] == [True, False]

    assert ducklift("asset", "rollback", "top_posts", versions[1]["version"], "-p", "2026-01-02").exit_code == 0
    assert printed("query", "select score from asset('top_posts', '2026-01-02')", "-f", "json") == [{"score": 2}]
    assert ducklift("asset", "pin", "top_posts", "-p", "2026-01-02").exit_code == 0
    assert ducklift("asset", "unpin", "top_posts", "-p", "2026-01-02").exit_code == 0
    assert printed("query", "select score from asset('top_posts', '2026-01-02')", "-f", "json") == [{"score": 3}]
    assert ducklift("asset", "expire", "top_posts", "--keep", "1", "-p", "2026-01-02").exit_code == 0
    assert len(printed("asset", "versions", "top_posts", "-p", "2026-01-02", "--json")["versions"]) == 1


def test_two_versions_are_compared_by_their_facts_and_rows(stored):
    first, second = [each["version"] for each in printed("asset", "versions", "top_posts", "-p", "2026-01-02", "--json")["versions"]]
    found = printed("asset", "compare", "top_posts", first, second, "-p", "2026-01-02", "--json")["differences"]
    assert found["rows that the other lacks"] == [1, 1]
    assert {"sha256", "run_id"} <= set(found)
    assert "rows" not in found


def test_old_values_of_xcom_are_cleaned_away_and_nothing_else(stored):
    from ducklift.assets import FilesystemIOManager
    from ducklift.assets.path_manager import open_store

    settings = load_settings()
    manager = FilesystemIOManager(open_store(settings, None), settings)
    manager.store_reference(OutputContext("xcom/d/t/k", ("run",)), {1})
    before = printed("asset", "list", "--json")
    assert "0 value" in ducklift("asset", "clean", "--older-than", "1d").output
    assert "1 value" in ducklift("asset", "clean", "--older-than", "0s").output
    assert printed("asset", "list", "--json") == before


def test_a_storage_file_that_is_wrong_is_found_by_validate(stored, declare):
    declare("default: gone\n")
    load_settings().pipelines.mkdir()
    (load_settings().pipelines / "some.yaml").write_text("name: some\nsource: {type: reddit, subreddits: [python]}\ntable: a.b\n")
    done = ducklift("validate")
    assert "gone" in done.output


def test_a_value_is_shown_and_what_it_holds_is_not_obeyed_by_the_terminal(stored):
    shown = ducklift("asset", "show", "notes").output
    assert "json" in shown
    assert "\x1b" not in shown
    assert "score" in ducklift("asset", "show", "top_posts", "-p", "2026-01-01").output


def test_stored_tables_are_queried_by_their_key(stored):
    sql = "select a.score, b.n from asset('top_posts') a, asset('kept/table') b order by all"
    assert printed("query", sql, "-f", "json") == [{"score": 1, "n": 7}, {"score": 3, "n": 7}]
    assert printed("query", "select _partition from asset('top_posts') order by 1", "-f", "json")[0] == {"_partition": "2026-01-01"}


@pytest.mark.parametrize(
    ("sql", "said"),
    [("from asset('nothing')", "nothing is not stored"), ("from asset('notes')", "no table"), ("from asset(1 + 1)", "each a text"),
     ("from asset('../up')", "not an asset's key")],
)  # fmt: skip
def test_a_call_that_gives_no_table_is_named(stored, sql, said):
    done = ducklift("query", sql)
    assert done.exit_code in (1, 2)
    assert said in done.output


def test_a_table_of_the_warehouse_keeps_no_versions(stored):
    done = ducklift("asset", "versions", "kept/table")
    assert (done.exit_code, "no versions" in done.output) == (2, True)

from __future__ import annotations

import json

import pytest

LOADS = """
    INSERT INTO _ducklift.loads BY NAME
    SELECT 'load-' || n AS load_id, 'reddit' AS pipeline, stream, 'reddit' AS dataset, name AS "table", n AS sequence, 'loaded' AS state,
           n * 10 AS rows_extracted, n AS rows_inserted, 0.5 AS seconds, TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_days(n) AS loaded_at
    FROM (VALUES (1, 'python/new', 'posts'), (2, 'duckdb/new', 'posts'), (3, 'duckdb/hot', 'comments')) AS v(n, stream, name)
"""
WATERMARKS = """
    INSERT INTO _ducklift.watermark_moves BY NAME
    SELECT 'reddit' AS pipeline, stream, 'reddit' AS dataset, 'posts' AS "table", 'created_utc' AS cursor, value::JSON AS value
    FROM (VALUES ('python/new', '100'), ('duckdb/new', '250')) AS v(stream, value)
"""


@pytest.fixture
def filled(home, warehouse):
    """A warehouse with two tables and three loads."""
    from ducklift.settings import load_settings
    from ducklift.warehouse import open_warehouse
    from ducklift.warehouse.system import prepare_system

    with open_warehouse(load_settings()) as opened:
        prepare_system(opened)
    warehouse("CREATE SCHEMA reddit; CREATE TABLE reddit.posts AS SELECT i AS a, i AS b FROM range(1234) t(i)")
    warehouse('CREATE TABLE reddit.comments (x INTEGER); CREATE TABLE main."odd ""name" (x INTEGER)')
    warehouse(LOADS)
    warehouse(WATERMARKS)


@pytest.mark.usefixtures("filled")
def test_tables_tells_rows_columns_last_load_and_watermark(ducklift):
    lines = [line.split() for line in ducklift("tables").stdout.splitlines()]

    assert ["reddit.posts", "1,234", "2", "2026-01-03T00:00:00Z", "100", "…", "250"] in lines
    assert ["reddit.comments", "0", "1", "2026-01-04T00:00:00Z"] in lines
    assert ["main.odd", '"name', "0", "1"] in lines
    assert not any("_ducklift" in cell for line in lines for cell in line)


@pytest.mark.usefixtures("filled")
def test_tables_as_json_has_a_watermark_for_each_stream(ducklift):
    [posts] = [table for table in json.loads(ducklift("tables", "--json").stdout)["tables"] if table["table"] == "reddit.posts"]

    assert posts["rows"] == 1234
    assert [(mark["stream"], mark["value"]) for mark in posts["watermarks"]] == [("duckdb/new", 250), ("python/new", 100)]


@pytest.mark.usefixtures("filled")
def test_loads_are_listed_newest_first(ducklift):
    lines = [line.split() for line in ducklift("loads").stdout.splitlines()[2:]]

    assert [line[0] for line in lines if line] == ["load-3", "load-2", "load-1"]
    assert lines[0] == ["load-3", "reddit.comments", "duckdb/hot", "loaded", "30", "3", "0.5"]


@pytest.mark.usefixtures("filled")
def test_loads_can_be_limited_to_a_table_and_a_number(ducklift):
    def listed(*options):
        return [load["load_id"] for load in json.loads(ducklift("loads", "--json", *options).stdout)["loads"]]

    assert listed("--table", "reddit.posts") == ["load-2", "load-1"]
    assert listed("--limit", "1") == ["load-3"]
    assert listed("--table", "no.such") == []


@pytest.mark.usefixtures("filled")
def test_status_tells_the_places_the_last_loads_and_the_watermarks(ducklift, home):
    answer = ducklift("status")

    assert f"lake       {(home / '.ducklift' / 'lake').as_uri()}  (DUCKLIFT_LAKE_URL in the environment)" in answer.stdout
    assert ["reddit.posts", "1,234", "2026-01-03T00:00:00Z", "load-2", "loaded"] in [line.split() for line in answer.stdout.splitlines()]
    assert ["reddit.posts", "python/new", "created_utc", "100"] in [line.split() for line in answer.stdout.splitlines()]


def test_status_before_the_first_run_says_what_to_do(ducklift, home):
    answer = ducklift("status")

    assert answer.exit_code == 0
    assert "ducklift run" in answer.stdout
    assert not (home / ".ducklift" / "warehouse.duckdb").exists()


def test_status_shows_no_secret(ducklift, monkeypatch):
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", "sftp://user:hunter2@host/lake?token=abc123&region=eu")
    answer = ducklift("status")

    assert "hunter2" not in answer.stdout
    assert "abc123" not in answer.stdout
    assert "sftp://user:***@host/lake?token=***&region=eu" in answer.stdout


@pytest.mark.parametrize("verb", ["tables", "loads"])
def test_a_missing_warehouse_names_the_command_that_fills_it(ducklift, verb):
    answer = ducklift(verb, "--json")

    assert answer.exit_code == 2
    assert "ducklift run" in json.loads(answer.stdout)["error"]


@pytest.mark.parametrize("verb", ["tables", "loads", "status"])
def test_a_database_that_something_else_made_is_named_as_such(ducklift, warehouse, verb):
    warehouse("CREATE TABLE t (i INTEGER)")
    answer = ducklift(verb)

    assert answer.exit_code == 2
    assert "not filled by Ducklift" in answer.stderr


@pytest.mark.usefixtures("filled")
def test_status_names_what_fails_until_something_is_committed_after_it(ducklift, warehouse):
    from ducklift.errors import SourceThrottled
    from ducklift.lake.attempts import Trying, noting_failures
    from ducklift.lake.filesystem import open_lake
    from ducklift.settings import load_settings
    from ducklift.specs import TableName

    trying = Trying("extract", TableName.parse("reddit.posts"), "load-9", "reddit", "duckdb/new")
    with pytest.raises(SourceThrottled), noting_failures(open_lake(load_settings()), trying):
        raise SourceThrottled("Reddit", 30)

    lines = ducklift("status").stdout.splitlines()
    [failing] = json.loads(ducklift("status", "--json").stdout)["failing"]
    assert any(line.startswith("failing    reddit.posts  duckdb/new: extract of load-9, 1 try, last 20") for line in lines)
    assert any("Reddit" in line and line.startswith("           ") for line in lines)
    assert (failing["step"], failing["error_type"], failing["retryable"]) == ("extract", "SourceThrottled", True)

    warehouse("UPDATE _ducklift.loads SET loaded_at = now() WHERE stream = 'duckdb/new'")
    assert json.loads(ducklift("status", "--json").stdout)["failing"] == []

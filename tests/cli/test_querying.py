from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


@pytest.fixture(autouse=True)
def posts(warehouse):
    warehouse("CREATE SCHEMA reddit; CREATE TABLE reddit.posts AS SELECT 't3_' || i AS name, i AS score FROM range(250) t(i)")


def test_a_table_shows_columns_and_rows(ducklift):
    answer = ducklift("query", "from reddit.posts order by score limit 2")

    assert answer.exit_code == 0
    assert [line.split() for line in answer.stdout.splitlines() if "t3_" in line] == [["t3_0", "0"], ["t3_1", "1"]]
    assert answer.stdout.split()[:2] == ["name", "score"]


def test_a_long_table_is_cut_and_says_so_beside_the_data(ducklift):
    answer = ducklift("query", "from reddit.posts")

    assert answer.stdout.count("t3_") == 100
    assert "first 100 rows" in answer.stderr


def test_a_limit_of_zero_shows_all(ducklift):
    answer = ducklift("query", "from reddit.posts", "--limit", "0")

    assert answer.stdout.count("t3_") == 250
    assert answer.stderr == ""


def test_csv_has_every_row_unless_a_limit_is_given(ducklift):
    everything = ducklift("query", "from reddit.posts", "--format", "csv")
    some = ducklift("query", "from reddit.posts", "--format", "csv", "--limit", "3")

    assert len(everything.stdout.splitlines()) == 251
    assert len(some.stdout.splitlines()) == 4
    assert "first 3 rows" in some.stderr


def test_the_order_of_the_statement_is_kept(ducklift):
    answer = ducklift("query", "select score from reddit.posts order by hash(score)", "--format", "csv")
    same = ducklift("query", "select score from reddit.posts order by hash(score) desc", "--format", "csv")

    assert answer.stdout.splitlines()[1:] == same.stdout.splitlines()[:0:-1]


def test_csv_is_faithful_and_tells_null_from_an_empty_text(ducklift):
    answer = ducklift("query", """select '=1+1' a, NULL b, '' c, 'x,"y"' d, E'two\\nlines' e, chr(27) || '[31m' f""", "-f", "csv")

    assert answer.stdout == 'a,b,c,d,e,f\n=1+1,,"","x,""y""","two\nlines",\x1b[31m\n'
    assert next(csv.DictReader(io.StringIO(answer.stdout)))["d"] == 'x,"y"'


def test_json_is_a_list_of_objects_with_the_types_of_the_table(ducklift):
    sql = """select 1.10::decimal(9,2) d, 170141183460469231731687303715884105727::hugeint h, true b, NULL n, 'é' t, 0.1::double f,
             '\\xDE\\xAD'::blob x, {'a': [1, 2]} s, '{"k":1.0000000000000000001}'::json j, 'nan'::double nan, ['-inf'::double] i"""
    answer = ducklift("query", sql, "-f", "json")

    assert '"d": 1.10,' in answer.stdout
    assert '"j": {"k":1.0000000000000000001}' in answer.stdout
    row = json.loads(answer.stdout)[0]
    del row["d"], row["j"]
    assert row == {
        "h": 2**127 - 1,
        "b": True,
        "n": None,
        "t": "é",
        "f": 0.1,
        "x": "\\xDE\\xAD",
        "s": {"a": [1, 2]},
        "nan": "nan",
        "i": ["-Infinity"],
    }


def test_json_keeps_the_digits_of_nested_decimals_and_what_is_no_json_by_itself(ducklift):
    sql = """select [1.234567890123456789::decimal(38,18)] d, {'x': 'NaN, "inf" ]', 'n': 'nan'::double} s,
             '{"NaN": [NaN, -Infinity, 1e5,], "b": ",]"}'::json j"""
    printed = ducklift("query", sql, "-f", "json").stdout

    assert '"d": [1.234567890123456789]' in printed
    [row] = json.loads(printed, parse_constant=pytest.fail)
    assert row["s"] == {"x": 'NaN, "inf" ]', "n": "NaN"}
    assert row["j"] == {"NaN": ["NaN", "-Infinity", 1e5], "b": ",]"}


def test_json_without_rows_is_an_empty_list(ducklift):
    assert json.loads(ducklift("query", "from reddit.posts where false", "-f", "json").stdout) == []


def test_json_keeps_columns_of_the_same_name_apart(ducklift):
    answer = ducklift("query", "select 1 a, 2 a, 3 a_1", "-f", "json")

    assert json.loads(answer.stdout) == [{"a": 1, "a_2": 2, "a_1": 3}]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("timestamptz '2026-01-01 00:00:00+05'", "2025-12-31T19:00:00Z"),
        ("timestamp '2026-01-01 00:00:00.25'", "2026-01-01T00:00:00.25"),
        ("'2026-01-01 00:00:00.123456789'::timestamp_ns", "2026-01-01T00:00:00.123456789"),
        ("'infinity'::timestamptz", "infinity"),
        ("date '4000-01-01 (BC)'", "4000-01-01 (BC)"),
        ("interval 3 month", "3 months"),
        ("uuid '68ab649c-c53b-4972-87dc-e02a5cc6b8f3'", "68ab649c-c53b-4972-87dc-e02a5cc6b8f3"),
    ],
)
@pytest.mark.parametrize("output", ["csv", "json", "table"])
def test_dates_and_times_are_exact_and_in_utc(ducklift, value, shown, output):
    answer = ducklift("query", f"select {value} as v", "-f", output)

    found = {"csv": lambda: answer.stdout.splitlines()[1], "json": lambda: json.loads(answer.stdout)[0]["v"]}
    assert (found[output]() if output in found else answer.stdout.splitlines()[2].strip()) == shown


@pytest.mark.parametrize("sql", ["select 1; -- done", "describe reddit.posts", "show all tables", "summarize reddit.posts", "values (1)"])
def test_every_kind_of_reading_statement_works(ducklift, sql):
    assert ducklift("query", sql).exit_code == 0


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{path}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}'",
        "EXPORT DATABASE '{path}'",
        "ATTACH '{path}' AS other",
        "INSERT INTO reddit.posts VALUES ('x', 1)",
        "DELETE FROM reddit.posts",
        "CREATE TABLE t AS SELECT 1",
        "SET enable_external_access = true",
        "SELECT 1; COPY (SELECT 1) TO '{path}'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "LOAD httpfs",
        "CREATE TEMPORARY TABLE t AS SELECT 1",
        "SET VARIABLE x = 1",
        "",
    ],
)
def test_a_hostile_statement_is_refused_and_leaves_nothing(ducklift, tmp_path, sql):
    path = tmp_path / "stolen"
    answer = ducklift("query", sql.format(path=path))

    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert "root:" not in answer.stderr
    assert not path.exists()
    assert ducklift("query", "select count(*) n from reddit.posts", "-f", "csv").stdout == "n\n250\n"


def test_the_connection_itself_refuses_what_the_statement_check_would(home):
    import duckdb

    from ducklift.cli.opening import reading

    with reading() as warehouse:
        for sql in ("INSERT INTO reddit.posts VALUES ('x', 1)", f"COPY (SELECT 1) TO '{home}/stolen'", f"ATTACH '{home}/other.duckdb'"):
            with pytest.raises(duckdb.Error):
                warehouse.connection.execute(sql)


def test_a_typing_mistake_is_bad_usage_in_one_line(ducklift):
    answer = ducklift("query", "select nothing from reddit.posts")

    assert answer.exit_code == 2
    assert "nothing" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_statement_that_fails_while_running_is_a_failure(ducklift):
    answer = ducklift("query", "select cast(name as int) from reddit.posts")

    assert answer.exit_code == 1
    assert "t3_" in answer.stderr


def test_a_missing_warehouse_names_the_command_that_fills_it(ducklift, home):
    (home / ".ducklift" / "warehouse.duckdb").unlink()
    answer = ducklift("query", "select 1")

    assert answer.exit_code == 2
    assert "ducklift run" in answer.stderr


def test_a_warehouse_that_another_process_writes_is_retry_later_and_names_the_holder(ducklift, home, monkeypatch):
    monkeypatch.setattr("ducklift.cli.opening._WAIT_S", 0.1)
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    path = str(home / ".ducklift" / "warehouse.duckdb")
    with subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        answer = ducklift("query", "select 1")
        holder.stdin.close()

    assert answer.exit_code == 3
    assert f"PID {holder.pid}" in answer.stderr


def test_control_characters_in_data_never_reach_the_terminal(terminal, warehouse):
    warehouse(r"CREATE TABLE evil AS SELECT chr(27) || ']0;owned' || chr(7) || chr(155) || '2J' AS title, '[red]x[/red]' AS markup")

    for output in ("table", "csv", "json"):
        sent = terminal("query", "from evil", "-f", output)
        assert "\x1b]0;owned" not in sent
        assert "\x07" not in sent
        assert "\x9b" not in sent
        assert "owned" in sent
        assert "[red]x[/red]" in sent


def test_long_text_is_cut_on_a_terminal_only(terminal, ducklift):
    sql = "select 1 as id, repeat('x', 500) as body"

    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal("query", sql)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["id", "body"]
    assert lines[2].split()[0] == "1"
    assert lines[2].rstrip().endswith("xxx…")
    assert "x" * 500 in ducklift("query", sql).stdout


def test_more_columns_than_a_terminal_can_show_are_shown_below_each_other(terminal):
    sent = terminal("query", "select " + ", ".join(f"{i} as column_{i}" for i in range(30)))

    assert "row 1" in sent
    assert "column_29" in sent


@pytest.mark.usefixtures("home")
def test_a_reader_who_has_seen_enough_ends_the_query_quietly():
    command = Path(sys.executable).with_name("ducklift")
    sql = "select repeat('x', 1000) from range(1000000)"
    with subprocess.Popen([command, "query", sql, "-f", "csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("computing_s", [0.0, 0.5])
def test_an_interrupted_query_ends_with_130_however_long_it_has_computed(computing_s):
    # Days of work for all threads, in little memory; the header reaches the pipe before the first row is asked for.
    endless = "select max(a.range + b.range + c.range) as top from range(1000000) a, range(1000000) b, range(1000000) c"
    command = [Path(sys.executable).with_name("ducklift"), "query", endless, "-f", "csv"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "top\n"
        started_s = sum(psutil.Process(process.pid).cpu_times()[:2])
        while sum(psutil.Process(process.pid).cpu_times()[:2]) < started_s + computing_s:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "Traceback" not in complaint


def test_a_query_that_is_interrupted_while_the_warehouse_is_opened_ends_with_130(ducklift, monkeypatch):
    def interrupted(*_args: object, **_options: object) -> None:
        raise RuntimeError("Query interrupted")  # DuckDB's own words

    monkeypatch.setattr("ducklift.warehouse.targets.FileTarget.connect", interrupted)

    assert ducklift("query", "from reddit.posts").exit_code == 130

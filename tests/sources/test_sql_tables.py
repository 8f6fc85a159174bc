from __future__ import annotations

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from databases import Database, database, mariadb, postgres, postgres_database, sqlite_database
from project_runs import Project, succeeded

from ducklift.errors import ConfigurationError, CredentialsMissing, DuckliftError, MissingExtra, SourceUnavailable, StreamRefused
from ducklift.pipeline import Run, load_pipeline, resolved
from ducklift.settings import Connection
from ducklift.sources.base import ReadReport, SliceRequest
from ducklift.sources.sql_tables import SqlTablesSource

__all__ = ["database", "mariadb", "postgres", "postgres_database", "sqlite_database"]

DAY = datetime(2026, 1, 1, tzinfo=UTC)
MERGED = """
    source: {type: sql_tables, url: {env: SHOP_URL}, tables: orders}
    table: shop.orders
    disposition: merge
    incremental: {cursor: changed}
"""


def project_of(database: Database, tmp_path: Path, text: str = MERGED) -> Project:
    made = Project(tmp_path, {"SHOP_URL": database.url})
    made.pipeline("shop", text)
    return made


def orders(database: Database, *rows: str) -> None:
    database.sql("CREATE TABLE orders (id int PRIMARY KEY, name varchar(40), changed timestamp NULL)")
    for row in rows:
        database.sql(f"INSERT INTO orders VALUES {row}")


def read(database: Database, stream: str, report: ReadReport | None = None, **config: Any) -> list[dict[str, Any]]:
    source = SqlTablesSource.model_validate({"type": "sql_tables", "url": {"env": "SHOP_URL"}, **config})
    settings = Project(Path.cwd(), {"SHOP_URL": database.url}).settings
    batches = source.read(SliceRequest(stream, DAY, DAY), settings, report or ReadReport())
    return [row for batch in batches for row in batch.to_pylist()]


def test_only_what_changed_is_read_again_and_the_tables_own_key_merges_it(database: Database, tmp_path: Path):
    orders(database, "(1, 'tea', '2026-01-01 10:00:00')", "(2, 'cup', '2026-01-02 10:00:00')", "(3, 'pot', NULL)")
    project = project_of(database, tmp_path)
    first = succeeded(project.run("shop")).loads[0]
    database.sql("UPDATE orders SET name = 'mug', changed = '2026-01-03 10:00:00' WHERE id = 2")
    database.sql("INSERT INTO orders VALUES (4, 'urn', '2026-01-02 10:00:00')", "INSERT INTO orders VALUES (5, 'lid', NULL)")
    second = succeeded(project.run("shop")).loads[0]
    third = succeeded(project.run("shop")).loads[0]

    assert (first.rows_inserted, second.rows_inserted, second.rows_updated) == (3, 2, 1)
    assert (third.rows_inserted, third.rows_updated) == (0, 0)
    assert third.rows_extracted == 3  # the newest, and those that do not say when they changed
    names = project.query("SELECT name FROM shop.orders ORDER BY id")
    assert names == [("tea",), ("mug",), ("pot",), ("urn",), ("lid",)]
    assert project.manifests()[0]["found_key"] == ["id"]


def test_an_interval_is_read_as_an_interval_whatever_was_loaded(database: Database, tmp_path: Path):
    orders(database, *(f"({day}, 'n{day}', '2026-01-0{day} 10:00:00')" for day in range(1, 5)))
    project = project_of(database, tmp_path)
    days = [Run.of_interval(datetime(2026, 1, day, tzinfo=UTC), datetime(2026, 1, day + 1, tzinfo=UTC)) for day in (3, 2, 3)]

    loads = [succeeded(project.run("shop", run)).loads[0] for run in days]

    assert [(load.state, load.rows_inserted) for load in loads] == [("loaded", 1), ("loaded", 1), ("already_loaded", 0)]
    assert project.query("SELECT id FROM shop.orders ORDER BY id") == [(2,), (3,)]


def test_moments_in_a_column_of_texts_are_compared_as_moments_however_they_are_spelled(database: Database, tmp_path: Path):
    database.sql("CREATE TABLE orders (id int PRIMARY KEY, changed varchar(40))")
    for number, changed in enumerate(("2026-01-08 01:00:00", "2026-01-09T23:30:00-05:00", "2026-01-10 12:00:00")):
        database.sql(f"INSERT INTO orders VALUES ({number}, '{changed}')")
    project = project_of(database, tmp_path, MERGED.replace("changed}", "changed, overlap: 1d}"))
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (8, 10, 9, 10, 11)]
    by_day = [succeeded(project.run("shop", Run.of_interval(*days[at : at + 2]))).loads[0] for at in (0, 3, 2)]
    assert [each.rows_inserted for each in by_day] == [1, 2, 0]

    succeeded(project.run("shop"))
    database.sql("INSERT INTO orders VALUES (7, '2026-01-09 13:00:00')", "INSERT INTO orders VALUES (8, '2026-01-09 11:00:00')")
    late = succeeded(project.run("shop")).loads[0]
    assert (late.rows_inserted, late.watermark) == (1, "2026-01-10 12:00:00")


def test_rows_that_all_lack_the_cursor_are_appended_once(sqlite_database: Database, tmp_path: Path):
    orders(sqlite_database, "(1, 'tea', NULL)", "(2, 'cup', NULL)")
    project = project_of(sqlite_database, tmp_path, MERGED.replace("merge", "append\n    primary_key: []"))
    first = succeeded(project.run("shop")).loads[0]
    sqlite_database.sql("INSERT INTO orders VALUES (3, 'cup', NULL)")
    second = succeeded(project.run("shop")).loads[0]

    assert (first.rows_inserted, second.rows_inserted, second.rows_unchanged) == (2, 1, 2)


def test_names_are_quoted_by_the_dialect_whatever_is_in_them(database: Database, tmp_path: Path):
    table, column, cursor = 'Or"der` %(x)s :y; DROP TABLE t', 'the "name %s :z', "When's"
    quote = database.quoted
    database.sql(f"CREATE TABLE {quote(table)} ({quote(column)} varchar(40), {quote(cursor)} int)")
    database.sql(f"INSERT INTO {quote(table)} VALUES ('a', 1)", f"INSERT INTO {quote(table)} VALUES ('b', 2)")
    source = SqlTablesSource(url={"env": "SHOP_URL"}, tables=[table])
    settings = Project(tmp_path, {"SHOP_URL": database.url}).settings

    batches = list(source.read(SliceRequest(table, DAY, DAY, 2, 2, 3, cursor), settings, ReadReport()))

    assert [row for batch in batches for row in batch.to_pylist()] == [{column: "b", cursor: 2}]


def test_a_bound_is_a_value_and_never_sql(database: Database, tmp_path: Path):
    database.sql("CREATE TABLE words (word varchar(80))", "INSERT INTO words VALUES ('a')", "INSERT INTO words VALUES ('z')")
    source = SqlTablesSource(url={"env": "SHOP_URL"}, tables=["words"])
    settings = Project(tmp_path, {"SHOP_URL": database.url}).settings
    hostile = "b' OR '1' = '1' --"

    batches = list(source.read(SliceRequest("words", DAY, DAY, hostile, hostile, None, "word"), settings, ReadReport()))

    assert [row for batch in batches for row in batch.to_pylist()] == [{"word": "z"}]


def test_a_query_is_a_stream_and_may_hold_what_sqlalchemy_takes_for_parameters(database: Database, tmp_path: Path):
    orders(database, "(1, 'a:b %s', '2026-01-01 10:00:00')", "(2, 'tea', '2026-01-02 10:00:00')")
    text = """
        source:
          type: sql_tables
          url: {env: SHOP_URL}
          queries:
            odd: "SELECT id, name, changed FROM orders WHERE name LIKE '%:b %%' OR id > 1 -- :x %(y)s ;"
        table: shop.*
        disposition: merge
        primary_key: id
        incremental: {cursor: changed}
    """
    project = project_of(database, tmp_path, text)

    runs = [succeeded(project.run("shop")).loads[0].rows_extracted for _ in range(2)]

    assert runs == [2, 1]
    assert project.query("SELECT id, name FROM shop.odd ORDER BY id") == [(1, "a:b %s"), (2, "tea")]


def test_columns_and_rows_can_be_left_out_by_table(database: Database):
    orders(database, "(1, 'a', NULL)", "(2, 'b', NULL)")
    report = ReadReport()

    some = read(database, "orders", report, tables=[{"name": "orders", "exclude_columns": ["changed"], "limit": 1}])
    others = read(database, "orders", tables=[{"name": "orders", "columns": ["name"]}])

    assert (len(some), list(some[0])) == (1, ["id", "name"])
    assert not report.ordered_and_complete
    assert others == [{"name": "a"}, {"name": "b"}]
    with pytest.raises(ConfigurationError, match="has no columns price; it has id, name, changed"):
        read(database, "orders", tables=[{"name": "orders", "columns": ["price"]}])


def test_patterns_stand_for_the_tables_that_are_there(database: Database, tmp_path: Path):
    for name in ("orders", "order_lines", "customers", "tmp_orders"):
        database.sql(f"CREATE TABLE {name} (id int)", f"INSERT INTO {name} VALUES (1)")
    text = "source: {type: sql_tables, url: {env: SHOP_URL}, tables: ['order*', '/c.*s/'], exclude_tables: ['tmp*']}\ntable: shop.*\n"
    project = project_of(database, tmp_path, text)

    streams = [load.stream for load in succeeded(project.run("shop")).loads]

    assert streams == ["customers", "order_lines", "orders"]
    assert project.query("SELECT count(*) FROM shop.order_lines") == [(1,)]
    with pytest.raises(ConfigurationError, match="no table of the database matches 'nothing"):
        project.run("shop", None, 'source.tables=["nothing*"]')
    every = load_pipeline("shop", project.settings, ["source.tables=all"]).source.resolved(project.settings)
    assert every.streams() == ["customers", "order_lines", "orders"]


def test_other_schemas_are_named_with_a_dot(postgres_database: Database, tmp_path: Path):
    postgres_database.sql("CREATE SCHEMA sales", "CREATE TABLE sales.orders (id int)", "CREATE TABLE orders (id int)")
    text = "source: {type: sql_tables, url: {env: SHOP_URL}, tables: ['sales.*', orders]}\ntable: shop.*\n"
    project = project_of(postgres_database, tmp_path, text)
    source = load_pipeline("shop", project.settings).source.resolved(project.settings)

    assert source.streams() == ["orders", "sales.orders"]
    with pytest.raises(ConfigurationError, match=r"makes shop\.orders of both 'orders' and 'sales\.orders'"):
        resolved(load_pipeline("shop", project.settings), project.settings)
    assert "would" not in str(source)


@pytest.mark.parametrize("statement", ["INSERT INTO orders VALUES (9, 'x', NULL)", "DROP TABLE orders", "SELECT broken FROM orders"])
def test_a_query_that_writes_or_is_wrong_is_refused_and_changes_nothing(database: Database, statement: str):
    orders(database, "(1, 'a', NULL)")

    with pytest.raises(StreamRefused, match="bad: the database says"):
        read(database, "bad", queries={"bad": statement})

    assert [row["id"] for row in read(database, "orders", tables=["orders"])] == [1]


def test_a_reading_sees_one_snapshot_however_long_it_takes(database: Database, tmp_path: Path):
    database.sql("CREATE TABLE numbers (id int, filler varchar(500))")
    database.sql("INSERT INTO numbers VALUES " + ", ".join([f"(1, '{'x' * 200}')"] * 10))
    database.sql(*["INSERT INTO numbers SELECT * FROM numbers"] * 12)
    source = SqlTablesSource(url={"env": "SHOP_URL"}, tables=["numbers"])
    settings = Project(tmp_path, {"SHOP_URL": database.url}).settings
    reading = source.read(SliceRequest("numbers", DAY, DAY), settings, ReadReport())

    first = len(next(reading))
    if database.kind != "sqlite":  # which lets nobody write meanwhile
        database.sql("INSERT INTO numbers VALUES (40000, 'later')")
    rest = [len(batch) for batch in reading]

    assert first < 40_960  # not all at once
    assert first + sum(rest) == 40_960


def test_a_server_that_fails_midway_lands_nothing(postgres_database: Database, tmp_path: Path):
    query = "SELECT 1 / (200000 - g) AS n, repeat('x', 200) AS filler FROM generate_series(1, 300000) g"
    text = f'source: {{type: sql_tables, url: {{env: SHOP_URL}}, queries: {{n: "{query}"}}}}\ntable: shop.*\n'
    project = project_of(postgres_database, tmp_path, text)

    summary = project.run("shop")

    assert "n: the database says: " in str(summary.loads[0].error)
    assert "division by zero" in str(summary.loads[0].error)
    assert project.raw() == []


def test_a_server_that_ends_the_session_midway_is_asked_again(postgres_database: Database):
    query = "SELECT g, pg_terminate_backend(CASE WHEN g = 200000 THEN pg_backend_pid() END) FROM generate_series(1, 300000) g"

    with pytest.raises(SourceUnavailable, match="terminating connection"):
        read(postgres_database, "n", queries={"n": query})


def test_a_wrong_password_is_refused_for_good_and_shown_nowhere(database: Database):
    if database.kind == "sqlite":
        return
    url = database.url.replace(database.secret, "s3cret-and-wrong")

    with pytest.raises(CredentialsMissing, match="the database refuses the connection") as caught:
        read(Database(database.kind, url, "", None), "orders", tables=["orders"])

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_is_not_there_is_asked_again_later():
    for url in ("postgresql://u:s3cret@127.0.0.1:1/shop", "mysql://u:s3cret@127.0.0.1:1/shop"):
        with pytest.raises(SourceUnavailable) as caught:
            read(Database("none", url, "", None), "orders", tables=["orders"])
        assert "s3cret" not in str(caught.value)


def test_a_connection_of_airflow_reaches_the_same_database(database: Database, tmp_path: Path):
    from sqlalchemy.engine import make_url

    orders(database, "(1, 'a', NULL)")
    url = make_url(database.url)
    kind = {"postgres": "postgres", "mariadb": "mysql", "sqlite": "sqlite"}[database.kind]
    host = url.database if kind == "sqlite" else url.host
    known = Connection(url.username, url.password, host, url.port, None if kind == "sqlite" else url.database, kind=kind)
    project = Project(tmp_path, {}, {"shop": known})
    source = SqlTablesSource(connection="shop", tables=["orders"])

    batches = list(source.read(SliceRequest("orders", DAY, DAY), project.settings, ReadReport()))

    assert [batch.num_rows for batch in batches] == [1]
    with pytest.raises(ConfigurationError, match="There is no Airflow connection 'other'"):
        list(SqlTablesSource(connection="other", tables=["orders"]).read(SliceRequest("orders", DAY, DAY), project.settings, ReadReport()))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{url: 'postgresql://u:s3cret@h/db', tables: a}", "url holds a password"),
        ("{url: 'postgresql://h/db?password=s3cret', tables: a}", "url holds a password"),
        ("{url: 's3cret', tables: a}", "not a SQLAlchemy URL"),
        ("{tables: a}", "write where the database is"),
        ("{url: {env: A}, connection: b, tables: a}", "write where the database is"),
        ("{url: {env: A}}", "write tables"),
        ("{url: {env: A}, tables: [a, a]}", "named twice"),
        ("{url: {env: A}, tables: a, limit: 0}", "greater than or equal"),
    ],
)
def test_a_source_block_without_sense_is_refused_and_shows_no_secret(tmp_path: Path, source: str, said: str):
    project = Project(tmp_path)
    project.pipeline("shop", f"source: {{type: sql_tables, {source[1:]}\ntable: shop.*\n")

    with pytest.raises(ConfigurationError, match=said) as caught:
        load_pipeline("shop", project.settings)

    assert "s3cret" not in str(caught.value)


def test_a_format_that_would_lose_the_types_is_refused(sqlite_database: Database, tmp_path: Path):
    project = project_of(sqlite_database, tmp_path)

    with pytest.raises(ConfigurationError, match="which sql_tables keeps by Parquet"):
        load_pipeline("shop", project.settings, ["format=jsonl.gz"])


def test_a_table_without_a_key_cannot_be_merged_and_says_so(sqlite_database: Database, tmp_path: Path):
    sqlite_database.sql("CREATE TABLE orders (id int, changed int)", "INSERT INTO orders VALUES (1, 1)")

    error = project_of(sqlite_database, tmp_path).run("shop").loads[0].error

    assert "orders: the source tells no primary key" in str(error)
    assert "needs a primary_key" in str(error)


def test_a_table_without_the_cursors_column_is_named(sqlite_database: Database, tmp_path: Path):
    sqlite_database.sql("CREATE TABLE orders (id int PRIMARY KEY)")

    assert "orders has no column 'changed'" in str(project_of(sqlite_database, tmp_path).run("shop").loads[0].error)


def test_an_interval_of_a_cursor_that_is_a_number_asks_what_it_counts(sqlite_database: Database, tmp_path: Path):
    sqlite_database.sql("CREATE TABLE orders (id int PRIMARY KEY, changed int)", "INSERT INTO orders VALUES (1, 1767225600)")
    interval = Run.of_interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))

    assert "epoch: s" in str(project_of(sqlite_database, tmp_path / "bare").run("shop", interval).loads[0].error)
    counted = project_of(sqlite_database, tmp_path / "counted", MERGED.replace("changed}", "changed, epoch: s}"))
    assert succeeded(counted.run("shop", interval)).loads[0].rows_inserted == 1


def test_a_query_without_the_cursors_column_is_named(sqlite_database: Database, tmp_path: Path):
    # SQLite takes a quoted name that it does not know for a text.
    orders(sqlite_database, "(1, 'tea', NULL)")
    query = MERGED.replace("tables: orders", "queries: {q: SELECT id FROM orders}").replace("merge", "append")

    assert "q has no column 'changed'" in str(project_of(sqlite_database, tmp_path, query).run("shop").loads[0].error)


def test_moments_that_sqlite_spells_in_two_ways_are_compared_as_moments(sqlite_database: Database, tmp_path: Path):
    orders(sqlite_database, "(1, 'a', '2026-01-01T10:00:00')", "(2, 'b', '2026-01-01 11:00:00')")
    project = project_of(sqlite_database, tmp_path)
    succeeded(project.run("shop"))
    sqlite_database.sql("INSERT INTO orders VALUES (3, 'c', '2026-01-01T11:30:00'), (4, 'd', '2026-01-01 11:15:00')")

    assert succeeded(project.run("shop")).loads[0].rows_inserted == 2


def test_a_chosen_table_is_one_of_those_configured(tmp_path: Path):
    source = SqlTablesSource(url={"env": "A"}, tables=["orders", "lines"], queries={"big": "SELECT 1"})

    chosen = source.with_options({"tables": ["lines", "big"], "limit": 5})

    assert [source.effective_stream(name) for name in ("orders", "secrets")] == ["orders", None]
    assert (chosen.streams(), chosen.effective_stream("orders"), chosen.stream_uses_watermark("big")) == (["lines", "big"], None, False)
    for hostile in ({"tables": ["secrets"]}, {"tables": "orders"}, {"limit": "5; DROP"}, {"queries": {"x": "DROP"}}, {"url": "sqlite://"}):
        with pytest.raises(ConfigurationError):
            source.with_options(hostile)


def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ducklift.sources.sql_connection.find_spec", lambda _name: None)
    for url, extra in (("postgresql://h/db", "postgres"), ("mysql://h/db", "mysql")):
        with pytest.raises(MissingExtra, match=rf"ducklift\[{extra}\]"):
            read(Database("none", url, "", None), "a", tables=["a"])


def test_an_unknown_dialect_is_a_matter_of_configuration():
    with pytest.raises(DuckliftError, match="cannot be used"):
        read(Database("none", "nosuch://h/db", "", None), "a", tables=["a"])


def test_tables_that_replace_one_table_are_one_load_and_rows_with_equal_keys_stay_apart(database: Database, tmp_path: Path):
    orders(database, "(1, 'tea', NULL)", "(2, 'cup', NULL)")
    database.sql("CREATE TABLE returns (id int PRIMARY KEY, name varchar(40), reason varchar(40))")
    database.sql("INSERT INTO returns VALUES (1, 'pot', 'cracked')")
    project = project_of(
        database,
        tmp_path,
        """
        source: {type: sql_tables, url: {env: SHOP_URL}, tables: [orders, returns]}
        table: shop.movements
        disposition: replace
        """,
    )

    [first] = succeeded(project.run("shop")).loads
    database.sql("DELETE FROM returns", "INSERT INTO returns VALUES (3, 'urn', 'late')")
    [second] = succeeded(project.run("shop")).loads

    assert (first.stream, first.rows_inserted, second.rows_inserted, second.rows_deleted) == ("shop.movements", 3, 3, 3)
    moved = project.query("SELECT id, name, reason FROM shop.movements ORDER BY id")
    assert moved == [(1, "tea", None), (2, "cup", None), (3, "urn", "late")]

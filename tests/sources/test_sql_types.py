"""Every type of a database comes into the warehouse as the one that holds it, each value as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databases import NEEDS_MARIADB, Database, mariadb, mariadb_database, postgres, postgres_database, sqlite_database
from project_runs import Project, succeeded

__all__ = ["mariadb", "mariadb_database", "postgres", "postgres_database", "sqlite_database"]

PIPELINE = "source: {type: sql_tables, url: {env: SHOP_URL}, tables: zoo}\ntable: shop.zoo\n"

# type, a value in SQL, the column's type in the warehouse, the value there as text
POSTGRES = (
    ("smallint", "-32768", "SMALLINT", "-32768"),
    ("integer", "2147483647", "INTEGER", "2147483647"),
    ("bigint", "-9223372036854775808", "BIGINT", "-9223372036854775808"),
    ("real", "1.5", "FLOAT", "1.5"),
    ("double precision", "0.1", "DOUBLE", "0.1"),
    ("numeric(12,2)", "1.50", "DECIMAL(12,2)", "1.50"),
    ("numeric(38,0)", "99999999999999999999999999999999999999", "DECIMAL(38,0)", "99999999999999999999999999999999999999"),
    ("numeric", "1.100", "VARCHAR", "1.100"),
    ("boolean", "true", "BOOLEAN", "true"),
    ("text", "E'a\\nb'", "VARCHAR", "a\nb"),
    ("varchar(9)", "''", "VARCHAR", ""),
    ("char(3)", "'a'", "VARCHAR", "a  "),
    ("date", "'0044-03-15 BC'", "DATE", "0044-03-15 (BC)"),
    ("date", "'infinity'", "DATE", "infinity"),
    ("time", "'24:00'", "TIME", "24:00:00"),
    ("timetz", "'12:00+02'", "VARCHAR", "12:00:00+02"),
    ("timestamp", "'2026-01-01 12:30:00.123456'", "TIMESTAMP", "2026-01-01 12:30:00.123456"),
    ("timestamp", "'-infinity'", "TIMESTAMP", "-infinity"),
    ("timestamptz", "'2026-01-01 12:30:00+02'", "TIMESTAMP WITH TIME ZONE", "2026-01-01 10:30:00+00"),
    ("timestamptz", "'infinity'", "TIMESTAMP WITH TIME ZONE", "infinity"),
    ("interval", "'1 month 2 days 3 seconds'", "VARCHAR", "P1M2DT3S"),
    ("uuid", "'00000000-0000-0000-0000-00000000000a'", "UUID", "00000000-0000-0000-0000-00000000000a"),
    ("json", "'{\"a\":1.50}'", "JSON", '{"a":1.50}'),
    ("jsonb", "'{\"a\": [1, null]}'", "JSON", '{"a": [1, null]}'),
    ("bytea", "'\\x00ff'", "BLOB", "\\x00\\xFF"),
    ("integer[]", "'{1,NULL,3}'", "JSON", "[1,null,3]"),
    ("integer[]", "'{{1,2},{3,4}}'", "JSON", "[[1,2],[3,4]]"),
    ("text[]", "array['a,b', 'c\"d', '']", "JSON", '["a,b","c\\"d",""]'),
    ("numeric(5,2)[]", "array[1.50]", "JSON", "[1.50]"),
    ("inet", "'10.0.0.1/24'", "VARCHAR", "10.0.0.1/24"),
    ("int4range", "'[1,5)'", "VARCHAR", "[1,5)"),
    ("money", "'1.5'", "VARCHAR", "$1.50"),
    ("bit(3)", "B'101'", "VARCHAR", "101"),
    ("point", "point(1,2)", "VARCHAR", "(1,2)"),
    ("oid", "4294967295", "VARCHAR", "4294967295"),
    ("mood", "'glad'", "VARCHAR", "glad"),
)
MARIADB = (
    ("tinyint", "-128", "TINYINT", "-128"),
    ("boolean", "true", "TINYINT", "1"),
    ("smallint unsigned", "65535", "USMALLINT", "65535"),
    ("int", "-2147483648", "INTEGER", "-2147483648"),
    ("int unsigned", "4294967295", "UINTEGER", "4294967295"),
    ("bigint unsigned", "18446744073709551615", "UBIGINT", "18446744073709551615"),
    ("float", "1.23456789", "DOUBLE", "1.2345678806304932"),
    ("double", "0.1", "DOUBLE", "0.1"),
    ("decimal(12,2)", "1.50", "DECIMAL(12,2)", "1.50"),
    ("decimal(65,2)", "123456789012345678901234567890123456789012345.50", "VARCHAR", "123456789012345678901234567890123456789012345.50"),
    ("text", "'a\\nb 🦆'", "VARCHAR", "a\nb 🦆"),
    ("varchar(9)", "''", "VARCHAR", ""),
    ("date", "'1000-01-01'", "DATE", "1000-01-01"),
    ("time(6)", "'12:30:00.000005'", "TIME", "12:30:00.000005"),
    ("time", "'-838:59:59'", "VARCHAR", "-838:59:59"),
    ("datetime(6)", "'2026-01-01 12:30:00.123456'", "TIMESTAMP", "2026-01-01 12:30:00.123456"),
    ("timestamp", "'2026-01-01 12:30:00'", "TIMESTAMP WITH TIME ZONE", "2026-01-01 12:30:00+00"),
    ("year", "2026", "BIGINT", "2026"),
    ("blob", "x'00ff'", "BLOB", "\\x00\\xFF"),
    ("binary(2)", "x'00ff'", "BLOB", "\\x00\\xFF"),
    ("enum('glad','sad')", "'glad'", "VARCHAR", "glad"),
    ("json", "'{\"a\": 1.50}'", "VARCHAR", '{"a": 1.50}'),
)
SQLITE = (
    ("INTEGER", "9223372036854775807", "BIGINT", "9223372036854775807"),
    ("REAL", "0.1", "DOUBLE", "0.1"),
    ("DECIMAL(12,2)", "1.1", "DECIMAL(12,2)", "1.10"),
    ("DECIMAL(12,2)", "1.123", "DOUBLE", "1.123"),
    ("NUMERIC", "5", "VARCHAR", "5"),
    ("TEXT", "'a'", "VARCHAR", "a"),
    ("TEXT", "5", "VARCHAR", "5"),
    ("INTEGER", "'five'", "VARCHAR", "five"),
    ("BLOB", "x'00ff'", "BLOB", "\\x00\\xFF"),
    ("BOOLEAN", "1", "BOOLEAN", "true"),
    ("BOOLEAN", "2", "BIGINT", "2"),
    ("DATE", "'2026-01-01'", "DATE", "2026-01-01"),
    ("DATETIME", "'2026-01-01 12:30:00.5'", "TIMESTAMP", "2026-01-01 12:30:00.5"),
    ("DATETIME", "'yesterday'", "VARCHAR", "yesterday"),
    ("TIME", "'12:30:00'", "TIME", "12:30:00"),
    ("JSON", "'{\"a\":1}'", "JSON", '{"a":1}'),
)


def compare(database: Database, project: Project, zoo: tuple[tuple[str, str, str, str], ...]) -> None:
    """Make a table of a row with the values and a row of NULLs, take it through a pipeline and compare types and values."""
    columns = [(f"c{number}", *each) for number, each in enumerate(zoo)]
    database.sql(f"CREATE TABLE zoo (id int, {', '.join(f'{name} {type_} NULL' for name, type_, *_ in columns)})")
    database.sql(f"INSERT INTO zoo VALUES (1, {', '.join(value for _, _, value, *_ in columns)})")
    database.sql(f"INSERT INTO zoo VALUES (2, {', '.join('NULL' for _ in columns)})")
    succeeded(project.run("zoo"))

    expected = {name: (kind, f"{type_} {value}", text) for name, type_, value, kind, text in columns}
    types = project.columns("shop.zoo")
    row, nothing = (
        project.query(f"SELECT {', '.join(f'CAST({name} AS VARCHAR)' for name in expected)} FROM shop.zoo WHERE id = {number}")[0]
        for number in (1, 2)
    )
    found: dict[str, Any] = {name: (types[name], expected[name][1], text) for name, text in zip(expected, row, strict=True)}
    assert found == expected
    assert set(nothing) == {None}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.pipeline("zoo", PIPELINE)
    return made


def of(project: Project, database: Database) -> Project:
    return Project(project.folder, {"SHOP_URL": database.url})


def test_postgres_keeps_its_types(postgres_database: Database, project: Project):
    postgres_database.sql("CREATE TYPE mood AS ENUM ('glad', 'sad')", "SET lc_monetary = 'C'")
    compare(postgres_database, of(project, postgres_database), POSTGRES)


@NEEDS_MARIADB
def test_mariadb_keeps_its_types(mariadb_database: Database, project: Project):
    compare(mariadb_database, of(project, mariadb_database), MARIADB)


def test_sqlite_gives_what_its_columns_declare_where_the_values_are_such(sqlite_database: Database, project: Project):
    compare(sqlite_database, of(project, sqlite_database), SQLITE)


def test_a_nan_among_decimals_is_not_lost(postgres_database: Database, project: Project):
    postgres_database.sql("CREATE TABLE zoo (id int, price numeric(8,2))", "INSERT INTO zoo VALUES (1, 1.50), (2, 'NaN')")

    succeeded(of(project, postgres_database).run("zoo"))

    assert project.query("SELECT price FROM shop.zoo ORDER BY id") == [("1.50",), ("nan",)]


@NEEDS_MARIADB
def test_a_date_that_is_none_is_not_made_nothing(mariadb_database: Database, project: Project):
    mariadb_database.sql("SET SESSION sql_mode = ''", "CREATE TABLE zoo (id int, day date)", "INSERT INTO zoo VALUES (1, '0000-00-00')")

    succeeded(of(project, mariadb_database).run("zoo"))

    assert project.query("SELECT id, CAST(day AS VARCHAR) FROM shop.zoo") == [(1, "0000-00-00")]

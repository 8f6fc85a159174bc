"""What DUCKLIFT_WAREHOUSE_URL may name, what each place refuses, and that no secret is ever told."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from warehouse_places import TABLE, TOKEN, Installation, installed, postgres, settings_of, shared_lake, sightings, stand_in_for_motherduck

from ducklift.errors import ConfigurationError, CredentialsMissing, MissingExtra, WarehouseMissing, WarehouseUnavailable, WarehouseUnusable
from ducklift.settings import Connection, Settings, load_settings
from ducklift.warehouse import extensions, open_warehouse
from ducklift.warehouse.motherduck import attach_statements, motherduck_error, motherduck_token
from ducklift.warehouse.object_access import execute_secretly, s3_secret
from ducklift.warehouse.targets import warehouse_target

__all__ = ["installed", "postgres", "shared_lake"]


def settings_for(project: Path, url: str, **environment: str) -> Settings:
    lake = environment.pop("DUCKLIFT_LAKE_URL", (project / "lake").as_uri())
    return load_settings({"DUCKLIFT_WAREHOUSE_URL": url, "DUCKLIFT_LAKE_URL": lake, **environment}, project)


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("duckdb:////data/w.duckdb", "file", "/data/w.duckdb"),
        ("duckdb:///data/w.duckdb", "file", "/data/w.duckdb"),
        ("duckdb:w.duckdb", "file", "{project}/w.duckdb"),
        ("duckdb:///:memory:", "memory", ":memory:"),
        ("md:birds", "motherduck", "md:birds"),
        ("ducklake:postgresql://me@db.example:5433/lake", "ducklake", "ducklake:postgresql://db.example:5433/lake"),
        ("ducklake:postgresql://db/lake?schema=birds", "ducklake", "ducklake:postgresql://db:5432/lake?schema=birds"),
        ("ducklake:sqlite:///data/c.sqlite", "ducklake", "ducklake:sqlite:///data/c.sqlite"),
        ("ducklake:duckdb:///data/c.ducklake", "ducklake", "ducklake:duckdb:///data/c.ducklake"),
    ],
)
def test_a_url_names_a_place(project: Path, url: str, kind: str, name: str):
    target = warehouse_target(settings_for(project, url))

    assert (target.kind, target.name) == (kind, name.format(project=project))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/db",
        "ducklake:postgresql://me:hunter2@host/db",
        "ducklake:postgresql://me@host",
        "ducklake:mysql://me@host/db",
        "ducklake:sqlite://",
        "ducklake:postgresql://me@host/db?password=hunter2",
        "ducklake:postgresql://me@host/db?sslmode=hunter2",
        "ducklake:postgresql://me@host/db?schema=a%20b",
        "ducklake:postgresql://me@host/db?data_path=gs://bucket/x",
        "duckdb:",
        "duckdb:///",
        "md:",
        "md:birds?motherduck_token=hunter2",
        "md:a;drop",
    ],
)
def test_a_url_that_is_of_no_use_is_refused_without_showing_a_secret(project: Path, url: str):
    with pytest.raises(ConfigurationError) as caught:
        warehouse_target(settings_for(project, url))

    assert "hunter2" not in str(caught.value)


def test_a_path_that_duckdb_would_cut_at_its_question_mark_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=re.escape("birds?/w.duckdb has a '?'")):
        warehouse_target(settings_for(tmp_path, "duckdb:birds?/w.duckdb"))


def test_the_data_of_a_ducklake_lie_in_the_lake_unless_another_place_is_named(project: Path):
    url = "ducklake:postgresql://db/lake"
    by_default = warehouse_target(settings_for(project, url, DUCKLIFT_LAKE_URL="s3://bucket/prefix"))
    named = warehouse_target(settings_for(project, f"{url}?data_path=s3://other/data", DUCKLIFT_LAKE_URL="s3://bucket/prefix"))

    assert by_default.data_folders() == ["s3://bucket/prefix/warehouse/"]
    assert named.data_folders() == ["s3://other/data/"]


def test_a_file_named_as_a_dataset_is_no_trouble(project: Path):
    settings = settings_for(project, f"duckdb:///{project}/nature.duckdb")
    with open_warehouse(settings) as warehouse:
        warehouse.connection.execute("CREATE SCHEMA nature; CREATE TABLE nature.birds AS SELECT 1 AS a")

    with duckdb.connect(str(project / "nature.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT a FROM nature.nature.birds").fetchall() == [(1,)]
    assert not (project / "nature.duckdb.wal").exists()


@pytest.mark.parametrize("kind", ["file", "ducklake-file", "ducklake-sqlite", "ducklake"])
def test_a_warehouse_that_was_never_filled_cannot_be_read_and_is_not_made_by_trying(installed: Callable[[str], Installation], kind: str):
    installation = installed(kind)
    for _ in range(2):
        with pytest.raises(WarehouseMissing, match="ducklift run"), open_warehouse(installation.settings, read_only=True):
            pass


@pytest.mark.parametrize("kind", ["file", "ducklake-file", "ducklake"])
def test_a_reader_cannot_write(installed: Callable[[str], Installation], kind: str):
    installation = installed(kind)
    installation.land(sightings(1))

    with open_warehouse(installation.settings, read_only=True) as warehouse:
        assert warehouse.value(f"SELECT count(*) FROM {TABLE}") == 1
        for sql in (f"DELETE FROM {TABLE}", "CREATE TABLE x (a INTEGER)", "CREATE SCHEMA other"):
            with pytest.raises(duckdb.Error):
                warehouse.connection.execute(sql)


def test_memory_cannot_be_read_by_another_process(project: Path):
    with (
        pytest.raises(WarehouseMissing, match="each process has its own"),
        open_warehouse(settings_for(project, "duckdb:///:memory:"), read_only=True),
    ):
        pass


def test_readers_and_a_writer_of_a_shared_ducklake_do_not_wait_for_each_other(shared_lake: Callable[[], Installation]):
    first, second = shared_lake(), shared_lake()
    first.land(sightings(1))

    with open_warehouse(first.settings, read_only=True) as reader:
        second.land(sightings(2), day=1)
        assert reader.value(f"SELECT count(*) FROM {TABLE}") == 2


def test_a_wrong_password_and_a_server_that_is_not_there_are_told_apart(shared_lake: Callable[[], Installation]):
    installation = shared_lake()
    wrong = settings_of(installation, PGPASSWORD="hunter2 is wrong")
    url = installation.environment["DUCKLIFT_WAREHOUSE_URL"]
    nobody = settings_of(installation, DUCKLIFT_WAREHOUSE_URL=url.replace(url.rpartition(":")[2].partition("/")[0], "9"))

    with pytest.raises(WarehouseUnusable, match="password authentication failed") as refused, open_warehouse(wrong):
        pass
    with pytest.raises(WarehouseUnavailable, match="refused") as absent, open_warehouse(nobody):
        pass
    assert (refused.value.exit_code, absent.value.exit_code) == (1, 3)
    assert "hunter2" not in f"{refused.value} {refused.value.__cause__}"


def test_the_password_of_a_connection_goes_before_the_environments(shared_lake: Callable[[], Installation]):
    installation = shared_lake()
    password = installation.environment["PGPASSWORD"]
    settings = settings_of(installation, PGPASSWORD="wrong").with_connections(
        lambda name: Connection(password=password) if name == "ducklift_warehouse" else None
    )

    with open_warehouse(settings) as warehouse:
        assert warehouse.value("SELECT 1") == 1


def test_a_ducklake_whose_data_moved_is_refused_by_name(installed: Callable[[str], Installation], tmp_path: Path):
    installation = installed("ducklake-file")
    installation.land(sightings(1))
    url = installation.environment["DUCKLIFT_WAREHOUSE_URL"]
    moved = settings_of(installation, DUCKLIFT_WAREHOUSE_URL=f"{url}?data_path={(tmp_path / 'elsewhere').as_uri()}")

    with pytest.raises(WarehouseUnusable, match="keeps the data elsewhere"), open_warehouse(moved):
        pass


@pytest.mark.parametrize("name", ["ducklake", "postgres_scanner"])
def test_an_extension_that_is_not_installed_is_named_and_nothing_is_downloaded(project: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    found = extensions.find_spec
    monkeypatch.setattr(extensions, "find_spec", lambda module: None if module == f"duckdb_extension_{name}" else found(module))
    settings = settings_for(project, "ducklake:postgresql://me@127.0.0.1:9/db")

    with (
        pytest.raises(MissingExtra, match=re.escape(f"{sys.executable} -m pip install 'ducklift[ducklake]'")) as caught,
        open_warehouse(settings),
    ):
        pass
    assert caught.value.package.startswith(f"duckdb-extension-{name.replace('_', '-')}==")


def test_motherduck_is_attached_its_database_made_and_used(project: Path, monkeypatch: pytest.MonkeyPatch):
    sent = stand_in_for_motherduck(monkeypatch)
    settings = settings_for(project, "md:birds", motherduck_token=TOKEN)
    with open_warehouse(settings) as warehouse:
        assert warehouse.value("SELECT current_database()") == "birds"

    account = [sql for sql in sent if sql.startswith(("SET motherduck", "ATTACH", "CREATE DATABASE", "USE"))]
    assert account == [
        f"SET motherduck_token = '{TOKEN}'",
        "ATTACH 'md:'",
        'CREATE DATABASE IF NOT EXISTS "birds"',
        'USE "birds"',
    ]
    assert attach_statements("birds", read_only=True) == ["ATTACH 'md:'", 'USE "birds"']


def test_the_lake_keys_are_given_to_motherduck_before_everything_is_locked(project: Path, monkeypatch: pytest.MonkeyPatch):
    sent = stand_in_for_motherduck(monkeypatch)
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
    settings = settings_for(project, "md:birds", motherduck_token=TOKEN, DUCKLIFT_LAKE_URL="s3://bucket/prefix", **keys)
    with open_warehouse(settings) as warehouse:
        [secret] = warehouse.rows("SELECT name, type, scope FROM duckdb_secrets()")

    assert secret == ("ducklift_lake", "s3", ["s3://bucket"])
    assert [index for index, sql in enumerate(sent) if "SECRET" in sql] < [sent.index("SET lock_configuration = true")]


def test_a_missing_token_lists_every_place_that_was_looked_at(project: Path):
    with pytest.raises(CredentialsMissing) as caught:
        motherduck_token(settings_for(project, "md:birds"))

    for place in ("ducklift_warehouse", "motherduck_token", "MOTHERDUCK_TOKEN"):
        assert place in str(caught.value)


def test_a_client_that_motherduck_does_not_take_yet_is_told_which_version_to_pin():
    text = "Your DuckDB version (v1.5.5) is not yet supported by MotherDuck. The latest supported version is v1.5.2. Please downgrade."
    error = motherduck_error("md:birds", duckdb.InvalidInputException(text))

    assert isinstance(error, WarehouseUnusable)
    assert "duckdb==1.5.2 " in str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (duckdb.InvalidInputException("Invalid token eyJhbGciOi.hunter2.x"), WarehouseUnusable),
        (duckdb.IOException("Could not connect to api.motherduck.com"), WarehouseUnavailable),
        (duckdb.InvalidInputException('Failed to download "http://x/version": Could not establish connection'), WarehouseUnavailable),
    ],
)
def test_motherducks_refusals_are_terminal_or_to_be_waited_for_and_hold_no_token(error: duckdb.Error, kind: type):
    found = motherduck_error("md:birds", error)

    assert isinstance(found, kind)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, ["ENDPOINT '127.0.0.1:9000'", "USE_SSL false", "URL_STYLE 'path'"]),
        ({"AWS_ENDPOINT_URL": "https://r2.example/sub"}, ["ENDPOINT 'r2.example/sub'", "USE_SSL true", "URL_STYLE 'path'"]),
        ({"AWS_SESSION_TOKEN": "st", "AWS_REGION": "eu-west-1"}, ["SESSION_TOKEN 'st'", "REGION 'eu-west-1'"]),
    ],
)
def test_the_lakes_endpoint_and_keys_become_duckdbs(project: Path, environment: dict[str, str], expected: list[str]):
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "it's"}
    statement = s3_secret(settings_for(project, "md:birds", **keys, **environment), "s3://bucket/prefix/")

    for part in ["KEY_ID 'key'", "SECRET 'it''s'", "SCOPE 's3://bucket'", *expected]:
        assert part in statement
    with duckdb.connect() as connection:
        extensions.load_extension(connection, "httpfs", "this test")
        execute_secretly(connection, statement, "this test")


def test_an_error_about_credentials_does_not_quote_them():
    with duckdb.connect() as connection, pytest.raises(ConfigurationError) as caught:
        execute_secretly(connection, "CREATE SECRET x (TYPE s3, KEY_ID 'hunter2', NONSENSE 'y')", "s3://bucket")

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None

"""Files by handle, and inputs that come from a path or a database."""

from __future__ import annotations

import dataclasses
import io
import json
import sqlite3
import sys
import threading
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from value_stores import BACKENDS

from ducklift.assets import AssetIn, FileManager, Storage, ValueMissing, ValueUnreadable, asset, materialize
from ducklift.assets.path_manager import open_store
from ducklift.assets.storage import input_context
from ducklift.errors import ConfigurationError, CorruptObject
from ducklift.lake.filesystem import ensure_lake

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from postgres_server import USER, running_postgres


@pytest.fixture(params=BACKENDS)
def files(request, settings_on):
    with FileManager(settings=settings_on(request.param)) as manager:
        yield manager


def test_bytes_and_streams_come_back_by_their_handle(files):
    handle = files.write_data(b"some bytes", "txt")
    assert files.write(io.BytesIO(b"some bytes"), "txt") == handle
    assert files.read_data(handle.model_dump(mode="json")) == b"some bytes"
    assert handle.path_desc.endswith(".txt")


def test_a_temporary_copy_goes_with_the_manager(files):
    copy = files.copy_handle_to_local_temp(files.write_data(b"x"))
    assert copy.read_bytes() == b"x"
    files.close()
    assert not copy.parent.exists()


def test_a_copy_that_was_read_is_gone(files):
    with files.read(files.write_data(b"x")) as source:
        path = source.name
        assert source.read() == b"x"
    assert not Path(path).exists()


def test_a_file_that_was_deleted_or_changed_is_an_error(files):
    handle = files.write_data(b"x")
    files.store.replace(handle.key, b"y")
    with pytest.raises(CorruptObject):
        files.read_data(handle)
    files.delete(handle)
    with pytest.raises(CorruptObject):
        files.read_data(handle)


def test_a_handle_that_leads_elsewhere_is_refused(files):
    handle = files.write_data(b"x")
    for key in ("raw/secret", "assets/_files/../../raw/secret"):
        with pytest.raises(ConfigurationError, match="no file of this manager"):
            files.read_data(handle.model_copy(update={"key": key, "url": files.store.url_of(key)}))


INPUTS = """
input_managers:
  reference: {type: path}
  shop: {type: sql, url: {env: SHOP_URL}}
"""


@pytest.fixture
def shop(settings_on, declare, tmp_path):
    declare(INPUTS)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE sales (day TEXT, region TEXT, amount INTEGER)")
        rows = [("2026-01-01", "eu", 1), ("2026-01-01", "us", 2), ("2026-01-02", "eu", 4), ("x' OR 1=1 --", "eu", 8)]
        database.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
    found = settings_on("file")
    return dataclasses.replace(found, environment={**found.environment, "SHOP_URL": f"sqlite:///{tmp_path / 'shop.db'}"})


DAY = {"query": "SELECT region, amount FROM sales WHERE day = :partition_key ORDER BY amount"}


def test_a_query_takes_the_partition_as_a_bound_value(shop):
    with Storage(shop) as storage:
        found = storage.load(input_context("sales", "2026-01-01", metadata=DAY, type=pd.DataFrame), "shop")
        hostile = storage.load(input_context("sales", "x' OR 1=1 --", metadata=DAY), "shop")
    assert found.to_dict("list") == {"region": ["eu", "us"], "amount": [1, 2]}
    assert hostile.column("amount").to_pylist() == [8]


def test_the_dimensions_of_a_partition_are_bound_by_their_names(shop):
    metadata = {"query": "SELECT amount FROM sales WHERE day = :day AND region = :region"}
    with Storage(shop) as storage:
        found = storage.load(input_context("sales", {"day": "2026-01-01", "region": "us"}, metadata=metadata), "shop")
    assert found.column("amount").to_pylist() == [2]


@pytest.fixture(scope="module", params=["postgresql", "duckdb"])
def birds(request, tmp_path_factory):
    """The URL of a database with a table of typed columns."""
    rows = "INSERT INTO birds VALUES ('wren', DATE '2026-01-01', 1.10), ('kite', DATE '2026-01-02', NULL)"
    table = "CREATE TABLE birds (bird TEXT, day DATE, price NUMERIC(10, 2))"
    if request.param == "duckdb":
        file = tmp_path_factory.mktemp("duckdb") / "birds.duckdb"
        with duckdb.connect(str(file)) as connection:
            connection.execute(f"{table}; {rows}")
        yield f"duckdb:///{file}"
        return
    with running_postgres() as server:
        server.sql(f"{table}; {rows}")
        yield f"postgresql+psycopg://{USER}:{server.password}@127.0.0.1:{server.port}/postgres"


def test_a_table_of_postgresql_and_of_duckdb_comes_with_its_types(birds, settings_on, declare):
    declare("input_managers:\n  nature: {type: sql, url: {env: NATURE_URL}}\n")
    found = settings_on("file")
    settings = dataclasses.replace(found, environment={**found.environment, "NATURE_URL": birds})
    whole = {"query": "SELECT * FROM birds WHERE day = CAST(:partition_key AS DATE)"}
    several = {"query": "SELECT bird FROM birds WHERE CAST(day AS TEXT) IN :partition_keys AND 'it''s 12:30' <> '' ORDER BY bird"}
    named = {"query": "SELECT * FROM birds WHERE bird = :partition_key"}
    with Storage(settings) as storage:
        one = storage.load(input_context("birds", "2026-01-01", metadata=whole, type=pa.Table), "nature")
        hostile = storage.load(input_context("birds", "x' OR 1=1 --", metadata=named), "nature")
        both = storage.manager("nature").load_input(input_context("birds", ["2026-01-01", "2026-01-02"], metadata=several, type=list))
    assert one.to_pylist() == [{"bird": "wren", "day": date(2026, 1, 1), "price": Decimal("1.10")}]
    assert hostile.num_rows == 0
    assert both == [{"bird": "kite"}, {"bird": "wren"}]


def test_an_input_of_a_function_comes_from_the_database(shop):
    @asset(ins={"sales": AssetIn(input_manager_key="shop", metadata={"query": "SELECT sum(amount) AS total FROM sales"})})
    def revenue(sales: pd.DataFrame) -> int:
        return int(sales["total"][0])

    assert materialize([revenue], settings=shop).output_for_node("revenue") == 15


@pytest.mark.parametrize(
    ("metadata", "said"),
    [({"query": "SELECT nope FROM sales"}, "nope"), ({"query": "SELECT * FROM sales WHERE day = :day"}, "wants day"), ({}, "query")],
)
def test_a_query_that_cannot_be_run_is_named(shop, metadata, said):
    with Storage(shop) as storage, pytest.raises((ValueUnreadable, ConfigurationError), match=said):
        storage.load(input_context("sales", metadata=metadata), "shop")


def test_a_password_in_the_file_is_refused(settings_on, declare):
    declare("input_managers:\n  shop: {type: sql, url: 'postgresql://me:secret@host/db'}\n")
    with Storage(settings_on("file")) as storage, pytest.raises(ConfigurationError, match="password") as raised:
        storage.check()
    assert "secret" not in str(raised.value)


def test_a_file_of_a_path_is_read_by_its_extension(settings_on, declare):
    declare(INPUTS)
    settings = settings_on("file")
    store = open_store(settings, None)
    ensure_lake(store)
    store.replace("reference/2026-01-01.json", b'{"rate": 1.5}')
    with Storage(settings) as storage:
        asked = input_context("rates", "2026-01-01", metadata={"path": "reference/{partition_key}.json"})
        assert storage.load(asked, "reference") == {"rate": 1.5}
        with pytest.raises(ValueMissing):
            storage.load(input_context("rates", "2026-01-02", metadata={"path": "reference/{partition_key}.json"}), "reference")
        for path in ("../etc/passwd.json", "/etc/passwd.json", 7):
            with pytest.raises(ConfigurationError, match="folder/file"):
                storage.load(input_context("rates", metadata={"path": path}), "reference")


class Rates(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        body = json.dumps({"rates": [{"day": asked["day"][0], "rate": 1.5}], "asked": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(declare):
    with ThreadingHTTPServer(("127.0.0.1", 0), Rates) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        declare(f"input_managers:\n  api: {{type: rest, client: {{base_url: '{url}', paginator: single_page}}}}\n")
        yield
        server.shutdown()


ENDPOINT = {"endpoint": {"path": "rates", "params": {"day": "{partition_key}"}, "data_selector": "rates"}}


def test_an_endpoint_takes_the_partition_as_a_parameter(api, settings_on):
    with Storage(settings_on("file")) as storage:
        assert storage.load(input_context("rates", "2026-01-01&x=1", metadata=ENDPOINT), "api") == [{"day": "2026-01-01&x=1", "rate": 1.5}]
        frame = storage.load(input_context("rates", "2026-01-01", metadata=ENDPOINT, type=pd.DataFrame), "api")
        one = storage.load(input_context("rates", "2026-01-01", metadata=ENDPOINT, type=dict), "api")
    assert frame["rate"].tolist() == [1.5]
    assert one["rate"] == 1.5


@pytest.mark.parametrize("metadata", [{}, {"endpoint": {"path": "../up"}}, {"endpoint": {"path": "rates", "params": {"day": "{nope}"}}}])
def test_an_endpoint_that_cannot_be_asked_is_named(api, settings_on, metadata):
    with Storage(settings_on("file")) as storage, pytest.raises(ConfigurationError, match="rates"):
        storage.load(input_context("rates", metadata=metadata), "api")

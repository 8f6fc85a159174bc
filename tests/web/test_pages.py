from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from filled_views import HARMLESS, HOSTILE, FilledReader
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from visitors import anybody

import ducklift.web
from ducklift.errors import ConfigurationError, LakeUnavailable
from ducklift.web.app import create_app
from ducklift.web.pages import TABS
from ducklift.web.views.overview import COMMANDS, OverviewView

HOST = "http://lake.test"
STATIC = Path(ducklift.web.__file__).with_name("static")
PAGES = ["/", "/lake", "/dags/a.b", "/tables/a.b/loads/l1", "/tables/a.b", *(f"/tables/a.b/{tab}" for tab in TABS)]


def client_of(reader, **options) -> TestClient:
    return TestClient(create_app(anybody, lambda: reader, **options), base_url=HOST, follow_redirects=False)


class Elements(HTMLParser):
    """What a browser makes of a page: its elements with the names of their attributes, its links, its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple[str, ...]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        # A long cell has its whole text on hovering.
        self.shape.append((tag, *(name for name, _ in attrs if (tag, name) != ("td", "title"))))
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text += data

    @property
    def links(self) -> set[str]:
        return {value for _, name, value in self.attributes if name in ("href", "src", "action") and not value.startswith("#")}


@pytest.mark.parametrize("path", PAGES)
def test_hostile_text_in_every_field_makes_no_element_and_no_attribute(path):
    harmless = Elements(client_of(FilledReader(HARMLESS), airflow_root="/").get(path).text)
    answer = client_of(FilledReader(HOSTILE), airflow_root="/").get(path)
    hostile = Elements(answer.text)

    assert answer.status_code == 200
    assert hostile.shape == harmless.shape
    assert "<script>alert(1)</script>" in hostile.text
    assert not set("\u202e\u2066\x00\x1b") & set(answer.text)
    assert {urlsplit(link).scheme for link in hostile.links} == {""}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_style_or_script_and_every_link_of_it_works_below_any_prefix(path):
    app = create_app(anybody, FilledReader, airflow_root="/")
    client = TestClient(Starlette(routes=[Mount("/some/prefix", app)]), base_url=HOST, follow_redirects=False)
    address = f"/some/prefix{path}"
    page = Elements(client.get(address).text)
    own = {urljoin(address, link) for link in page.links if not link.startswith("/dags/")}

    assert [one for one in page.attributes if one[1] == "style" or one[1].startswith("on")] == []
    assert [tag for tag, *names in page.shape if tag in ("style", "base") or (tag == "script" and "src" not in names)] == []
    assert all(link.startswith("/some/prefix/") for link in own), own
    assert {link: client.get(link).status_code for link in own if "/static/" in link or link.count("/") < 5} != {}
    assert [link for link in own if client.get(link).status_code != 200] == []


def test_airflow_is_linked_below_its_root_and_not_without_one():
    inside, alone = (client_of(FilledReader(), airflow_root=root).get("/tables/a.b").text for root in ("/here/", None))

    assert 'href="/here/dags/text/runs/text" data-airflow' in inside
    assert "/here/dags/text/runs/text/tasks/text/mapped/12345?try_number=12345" in inside
    assert "data-airflow" not in alone


def test_the_empty_lake_shows_the_three_commands_that_fill_it():
    reader = FilledReader()
    reader.overview = lambda query: reader._view(OverviewView, query, empty=True, commands=COMMANDS)

    assert all(f">{command}</code>" in client_of(reader).get("/").text for command in COMMANDS)


@pytest.mark.parametrize(
    ("error", "status", "advice"),
    [(LakeUnavailable("s3://b", "503"), 503, "Wait a moment"), (ConfigurationError("DUCKLIFT_LAKE_URL is no URL"), 500, "ducklift doctor")],
)
def test_a_lake_that_cannot_be_opened_is_told_with_cause_and_fix(error, status, advice):
    def fails():
        raise error

    answer = TestClient(create_app(anybody, fails), base_url=HOST).get("/tables/a.b")

    assert answer.status_code == status
    assert str(error) in Elements(answer.text).text
    assert advice in answer.text


def test_what_is_not_there_is_a_page_that_says_so():
    reader = FilledReader()
    reader.table = lambda _name, _query: None
    reader.manifest = reader.file = reader.chart = lambda *_: None
    client = client_of(reader)

    for path in (
        "/tables/no.such",
        "/tables/no.such/loads/l/manifest.json",
        "/tables/a.b/loads/l/files/3",
        "/charts/a/b.png",
        "/tables/a.b/nope",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "What to do" in answer.text


@pytest.mark.parametrize("path", [path for path in PAGES if not path.endswith("outputs") and path != "/dags/a.b"])
def test_every_table_is_a_csv_by_its_address_or_by_what_is_accepted_and_runs_nothing_in_a_spreadsheet(path):
    formula = '=HYPERLINK("http://evil","x")'
    client = client_of(FilledReader(formula))
    answer = client.get(path, params={"format": "csv"})
    rows = list(csv.reader(io.StringIO(answer.text)))

    assert answer.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(r'attachment; filename="[A-Za-z0-9._-]+\.csv"', answer.headers["content-disposition"])
    assert len(rows) > 1
    assert any(cell == f"'{formula}" for row in rows for cell in row)
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t"))]
    assert client.get(path, headers={"accept": "text/csv"}).text == answer.text


def test_downloads_are_never_shown_as_a_page():
    client = client_of(FilledReader())
    manifest, file = (client.get(f"/tables/a.b/loads/l1/{what}") for what in ("manifest.json", "files/0"))

    assert manifest.headers["content-type"] == "application/json"
    assert file.headers["content-type"] == "application/octet-stream"
    assert (file.content, file.headers["content-length"]) == (b"abc", "3")
    for answer in (manifest, file):
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert "sandbox" in answer.headers.get_list("content-security-policy")[0]


def test_the_vendored_uplot_is_the_one_that_npm_has():
    recorded = json.loads((STATIC / "vendor" / "vendored.json").read_text())

    assert {name: hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() for name in recorded["files"]} == recorded["files"]
    assert "MIT License" in (STATIC / "vendor" / "uPlot.LICENSE").read_text()

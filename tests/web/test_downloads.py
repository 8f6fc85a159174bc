"""What can be had from a real lake by an address, and what cannot: files, manifests, pictures, and everything beside them."""

from __future__ import annotations

from typing import Any

import pytest
from installations import TABLE, Installation, sightings
from shown_lakes import reader
from starlette.testclient import TestClient
from visitors import anybody

from ducklift.assets import asset, materialize
from ducklift.assets.versions import VersionStore
from ducklift.web.app import create_app
from ducklift.web.security import Visitor

HOST = "http://lake.test"


@asset
def chart() -> Any:
    from PIL import Image

    return Image.new("RGB", (4, 4), "red")


def page_of(installation: Installation, authorize: Any = anybody) -> TestClient:
    return TestClient(create_app(authorize, lambda: reader(installation.settings)), base_url=HOST, follow_redirects=False)


@pytest.fixture
def filled(installation: Installation) -> Installation:
    installation.land(sightings(3))
    materialize([chart], settings=installation.settings)
    return installation


def addresses(filled: Installation) -> dict[str, str]:
    of_load = f"/tables/{TABLE}/loads/{filled.manifest()['load_id']}"
    [version] = VersionStore(filled.lake).versions("chart")
    return {
        "manifest": f"{of_load}/manifest.json",
        "file": f"{of_load}/files/0",
        "csv": f"/tables/{TABLE}?format=csv",
        "picture": f"/charts/chart/{version.version}.png",
    }


@pytest.mark.parametrize(
    ("what", "kind", "saved"),
    [
        ("manifest", "application/json", True),
        ("file", "application/octet-stream", True),
        ("csv", "text/csv; charset=utf-8", True),
        ("picture", "image/png", False),
    ],
)
def test_a_download_can_run_nothing_in_a_browser(filled, what, kind, saved):
    answer = page_of(filled).get(addresses(filled)[what])

    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers.get("content-disposition", "").startswith("attachment") == saved
    if what != "csv":
        assert "sandbox" in answer.headers.get_list("content-security-policy")[0]


def test_a_file_is_given_as_it_lies_in_the_lake(filled):
    key = filled.manifest()["files"][0]["key"]

    assert page_of(filled).get(addresses(filled)["file"]).content == filled.lake.read(key)


@pytest.mark.parametrize("what", ["manifest", "file", "csv", "picture"])
def test_nothing_is_given_to_who_may_not_read_the_pipeline(filled, what):
    async def stranger(_request: Any) -> Visitor:
        return Visitor("sven", may_read=lambda _pipeline: False, may_run=lambda _pipeline: False)

    assert page_of(filled, stranger).get(addresses(filled)[what]).status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/charts/../_ducklift/tables/nature.sightings.png",
        "/charts/..%2f..%2f_ducklift%2ftables/nature.sightings.png",
        "/charts/chart%2f..%2f..%2f_ducklift/x.png",
        "/charts/%2e%2e/%2e%2e/x.png",
        "/charts//etc/passwd.png",
        "/charts/chart/..%2f..%2fx.png",
        "/charts/chart/x%00.png",
        "/charts/chart/x.png?partition=../../..",
        "/charts/unknown/20260101T000000Z-abcdef01.png",
        "/tables/nature.sightings/loads/..%2f..%2f_ducklift/manifest.json",
        "/tables/nature.sightings/loads/%2e%2e/manifest.json",
        "/tables/..%2f..%2fassets/loads/x/manifest.json",
        "/tables/nature.sightings%2f../loads/x/manifest.json",
        "/tables/nature.sightings/loads/20260101T000000Z-abcdef01/manifest.json",
        "/tables/nature.sightings/loads/x/files/-1",
        "/tables/nature.sightings/loads/x/files/1e3",
        "/tables/nature.sightings/loads/x/files/99999999999999999999999999999999",
        "/_ducklift/tables/nature.sightings.json",
        "/raw/nature/sightings/",
        "/static/%2e%2e/templates/base.html",
        "/static/..%2f..%2fapp.py",
    ],
)
def test_no_address_leads_to_what_is_not_meant_to_be_seen(filled, address):
    answer = page_of(filled).get(address)

    assert answer.status_code == 404
    assert "default-src 'none'" in answer.headers.get_list("content-security-policy")[-1]
    assert '"snapshot' not in answer.text
    assert "root:" not in answer.text

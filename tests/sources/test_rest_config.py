"""What a pipeline file may say about an API, and how it is told otherwise."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from ducklift.sources.rest_api import RestApiSource

URL = "https://api.example.com/v1"


def source(*resources, **more):
    return RestApiSource.model_validate({"client": {"base_url": URL}, "resources": list(resources), **more})


def endpoint(**values):
    return {"name": "birds", "endpoint": values}


CHILD = {"name": "eggs", "endpoint": "nests/{resources.nests.id}/eggs"}


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ([], "at least 1 item"),
        (["birds", "birds"], "named twice: birds"),
        ([{"name": "birds", "selected": False}], "no resource is selected"),
        ([CHILD], "there is no resource 'nests'; there are: eggs"),
        (["nests", {**CHILD, "parent": "birds"}], "has several parents"),
        ([{"name": "a", "endpoint": "{resources.b.x}"}, {"name": "b", "endpoint": "{resources.a.x}"}], "is its own parent"),
        ([{"name": "birds", "include_from_parent": ["id"]}], "speaks of its parent, but has none"),
        (["nests", {"name": "eggs", "endpoint": "{parent.id}"}], "speaks of its parent, but has none"),
        ([endpoint(path="{resources.nests}")], "is not a placeholder"),
        ([endpoint(path="{0}")], "is not a placeholder"),
        ([endpoint(params={"a": "{birds.__class__}"})], "is not a placeholder"),
        ([endpoint(params={"a": "{incremental.last_value}"})], "is not a placeholder"),
        ([endpoint(params={"a": "{parent.id!r}"})], "takes no format"),
        ([endpoint(path="https://elsewhere.example.com/birds")], "is a URL: write the path alone"),
        ([endpoint(path="birds?page=1")], "parameters belong under params"),
        ([endpoint(path="../admin")], "is not a path"),
        ([endpoint(json={"a": 1})], "write method: POST"),
        ([endpoint(method="POST", json={}, data={})], "json or data, not both"),
        ([endpoint(method="DELETE")], "'GET' or 'POST'"),
        ([endpoint(headers={"a b": "c"})], "is not a header"),
        ([endpoint(headers={"a": "b\r\nc: d"})], "is not a header"),
        ([endpoint(data_selector="a..[")], "is not a JSONPath"),
        ([endpoint(paginator="pages")], "'auto', 'single_page', 'header_link'"),
        ([endpoint(paginator={"type": "offset"})], "limit"),
        ([endpoint(paginator={"type": "page_number", "stop_after_empty_page": False})], "nothing ends this listing"),
        ([endpoint(paginator={"type": "cursor", "cursor_param": "a", "cursor_body_path": "b"})], "not both"),
        ([endpoint(response_actions=[{"action": "ignore"}])], "needs a status_code or a content"),
        ([endpoint(incremental={"format": "isoformat"})], "is not a format"),
        ([endpoint(incremental={"cursor_path": "at"})], "Extra inputs"),
    ],
    ids=str,
)
def test_a_bad_description_is_refused_with_a_hint(resources, says):
    with pytest.raises(ValidationError, match=says):
        source(*resources)


def test_a_resource_may_be_no_more_than_its_name():
    birds = source("birds").resource("birds")

    assert (birds.path, birds.endpoint.method, birds.parent_name) == ("birds", "GET", None)


def test_what_a_resource_says_goes_before_the_defaults():
    shared = {"endpoint": {"params": {"a": 1, "b": 1}, "paginator": "single_page", "data_selector": "items"}}
    birds = source(endpoint(params={"b": 2}, data_selector="data"), resource_defaults=shared).resource("birds").endpoint

    assert birds.params == {"a": 1, "b": 2}
    assert birds.data_selector == "data"
    assert birds.paginator.type == "single_page"


def test_importing_and_checking_a_source_imports_no_http_library():
    code = (
        "import sys; from ducklift.sources.rest_api import RestApiSource as S; "
        "S.model_validate({'client': {'base_url': 'https://a.b'}, 'resources': [{'name': 'x', 'endpoint': {'data_selector': 'a.b'}}]}); "
        "print([n for n in ('httpx', 'httpcore', 'tenacity') if n in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

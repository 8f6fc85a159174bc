"""The page about REST sources says nothing that is not so: its example runs, each of its fields exists, none is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from scripted_api import Asked, Says, header_link

from ducklift.pipeline import Run, load_pipeline, run_pipeline
from ducklift.settings import load_settings
from ducklift.sources import rest_auth_config, rest_config, rest_paginator_config
from ducklift.sources.rest_api import RestApiSource

PAGE = (Path(__file__).parents[2] / "docs" / "sources" / "rest_api.md").read_text("utf-8")
EXAMPLE, AUTHS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ISSUES = [{"id": n, "number": n + 100, "title": f"Issue {n}", "updated_at": f"2026-01-{n:02d}T06:00:00Z"} for n in range(1, 13)]


def comments(number: int) -> list[dict]:
    return [{"id": number * 10 + n, "body": "quack"} for n in range(number % 3)]


def issues(asked: Asked) -> Says:
    since = asked.query.get("since", "")
    return header_link([issue for issue in ISSUES if issue["updated_at"] >= since], size=5)(asked)


def test_the_example_runs_and_a_second_run_asks_only_for_what_is_new(api, project):
    root = "/repos/duckdb/duckdb/issues"
    api.on(root, issues)
    for issue in ISSUES:
        number = issue["number"]
        api.on(f"{root}/{number}/comments", comments(number) if number != 105 else Says(status=410))
    settings = load_settings({"GITHUB_TOKEN": "t0ken"}, project)
    (settings.pipelines / "github.yaml").write_text(EXAMPLE.replace("https://api.github.com", api.url), "utf-8")
    pipeline = load_pipeline("github", settings)

    first = run_pipeline(pipeline, Run.now(), settings)
    assert [(load.table, load.rows_inserted, load.error) for load in first.loads] == [
        ("github.issues", 12, None),
        ("github.comments", sum(len(comments(issue["number"])) for issue in ISSUES if issue["number"] != 105), None),
    ]
    assert {asked.headers["authorization"] for asked in api.asked} == {"Bearer t0ken"}

    api.asked.clear()
    second = run_pipeline(pipeline, Run.now(), settings)
    assert [load.rows_inserted for load in second.loads] == [0, 0]
    assert {asked.query.get("since", "2026-01-12T05:00:00Z") for asked in api.asked} <= {"2026-01-12T05:00:00Z", "2026-01-11T05:00:00Z"}
    assert len(api.asked) < 8


def test_the_credentials_on_the_page_are_ones():
    for text in re.split(r"^(?=auth:)", AUTHS, flags=re.MULTILINE)[1:]:
        client = {"base_url": "https://a.b", **yaml.safe_load(text)}
        assert RestApiSource.model_validate({"client": client, "resources": ["birds"]}).client.auth


MODELS = {
    rest_config: "Client RateLimit Retries Limits Endpoint Incremental Resource ResponseAction",
    rest_paginator_config: "HeaderLink JsonLink HeaderCursor Cursor Offset PageNumber",
    rest_auth_config: "BearerAuth BasicAuth ApiKeyAuth ClientCredentialsAuth",
}


@pytest.mark.parametrize(
    "model", [getattr(module, name) for module, names in MODELS.items() for name in names.split()], ids=lambda model: model.__name__
)
def test_every_field_is_on_the_page(model):
    names = {field.alias or name for name, field in model.model_fields.items()}

    assert {name for name in names if not re.search(rf"\b{name}\b", PAGE)} == set()

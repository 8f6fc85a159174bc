"""What can be set is on the pages: each field of a pipeline file, each option of a source, each variable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from ducklift.pipeline_file import Pipeline
from ducklift.sources.registry import SOURCE_TYPES, source_class

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
# Set by what starts the sandbox, the stack and the tests, for what they start.
OUR_OWN = {"DUCKLIFT_STANDING", "DUCKLIFT_SANDBOX_HOST", "DUCKLIFT_FAILPOINTS"}


def models(annotation: object) -> set[type[BaseModel]]:
    found = {annotation} if isinstance(annotation, type) and issubclass(annotation, BaseModel) else set()
    return found.union(*(models(each) for each in get_args(annotation)))


def settable(model: type[BaseModel]) -> set[str]:
    """Return what the model's block may say, and the blocks within it, as a pipeline file writes it."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        if not field.exclude:
            names |= {field.alias or name}.union(*(settable(each) for each in models(field.annotation) if each.__name__ != "Source"))
    return names


def unnamed(names: set[str], page: str) -> list[str]:
    code = " ".join(_CODE.findall((DOCS / page).read_text("utf-8")))
    return sorted(names - set(re.findall(r"[A-Za-z_]\w*", code)))


def test_every_key_of_a_pipeline_file_is_on_its_page():
    checked_by_name = {"not_null", "unique", "accepted_values", "min_rows", "freshness", "relationship", "sql", "level"}

    assert unnamed(settable(Pipeline) - checked_by_name - {"share", "rows"}, "pipeline-file.md") == []
    assert unnamed(checked_by_name | {"share", "rows"}, "checks-and-quarantine.md") == []


def test_the_example_of_a_pipeline_file_is_one():
    text = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "pipeline-file.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]

    assert Pipeline.model_validate(yaml.safe_load(text)).table == "shop.orders"


@pytest.mark.parametrize("source", sorted(SOURCE_TYPES))
def test_every_option_of_a_source_is_on_its_page(source):
    assert unnamed(settable(source_class(source)) - {"type"}, f"sources/{source}.md") == []


def test_every_variable_is_on_the_page_of_settings():
    code = [*(PROJECT / "include" / "ducklift").rglob("*.py"), PROJECT / "docker-compose.yaml", PROJECT / "Dockerfile"]
    used = {name for file in code for name in re.findall(r"DUCKLIFT_[A-Z0-9_]*[A-Z0-9]", file.read_text("utf-8"))}

    assert unnamed(used - OUR_OWN, "settings.md") == []

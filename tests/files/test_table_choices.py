"""Columns as a person writes them into a form, and what may be chosen of a table."""

from __future__ import annotations

import pytest
from buckets import Bucket

from ducklift.errors import ConfigurationError
from ducklift.pipeline import load
from ducklift.table_choices import parsed_columns


def test_columns_are_read_with_types_quotes_and_parentheses() -> None:
    found = parsed_columns('date date, "share price" double,\n price decimal(18, 2), at timestamp with time zone, note, tags varchar[]')

    assert [(column.name, column.type) for column in found] == [
        ("date", "date"),
        ("share price", "double"),
        ("price", "decimal(18, 2)"),
        ("at", "timestamp with time zone"),
        ("note", None),
        ("tags", "varchar[]"),
    ]


@pytest.mark.parametrize(
    "text", ["a b c d(", "a varchar; drop", "a (select 1)", "_load_id bigint", ", ,", "a varchar) --", "a " + "x" * 300 + "!"]
)
def test_what_is_no_list_of_columns_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="columns"):
        parsed_columns(text)


def test_what_was_chosen_travels_in_the_manifest_so_that_any_load_of_it_goes_by_it(bucket: Bucket) -> None:
    bucket.put("a.csv", "id,price\n1,1\n1,2\n")
    pipeline = bucket.pipeline("a.csv", form=["table", "disposition", "primary_key", "columns"])
    chosen = pipeline.with_options({"table": "keyed", "disposition": "merge", "primary_key": "id", "columns": "id bigint, price varchar"})

    summary = load(bucket.land(chosen), bucket.installation.settings, pipeline)

    assert (summary.table, summary.rows_inserted, summary.rows_deduplicated) == ("shop.keyed", 1, 1)
    assert bucket.installation.query("SELECT id, price FROM shop.keyed") == [(1, "2")]
    assert pipeline.with_options({name: rules["default"] for name, rules in pipeline.options_schema().items()}) == pipeline


def test_every_field_that_is_empty_at_first_may_be_null_so_that_the_form_can_be_sent_as_it_is(bucket: Bucket) -> None:
    schema = bucket.pipeline("a.csv", form=["table", "disposition", "primary_key", "columns"]).options_schema()
    assert [name for name, field in schema.items() if not field["default"] and "null" not in field["type"]] == []


def test_a_key_that_was_emptied_in_the_form_is_none(bucket: Bucket) -> None:
    pipeline = bucket.pipeline("a.csv", form=["primary_key"], primary_key=["id"])
    assert pipeline.with_options({"primary_key": None}).primary_key == ()

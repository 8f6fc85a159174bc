"""Hostile or mistaken pipeline files: refused with the file, the line and the fix, before anything is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ducklift.errors import ConfigurationError
from ducklift.pipeline import load_pipeline
from ducklift.settings import Settings, load_settings

GOOD = """\
name: nature
source:
  type: listed
  file: records.json
table: nature.sightings
disposition: merge
primary_key: [id]
incremental: {cursor: seen, overlap: 48h}
columns:
  - {name: id}
  - {name: seen_at, from: seen, type: timestamptz}
"""


@pytest.fixture
def settings(project: Path) -> Settings:
    (project / "records.json").write_text('{"birds": []}')
    return load_settings(environment={}, project=project)


@pytest.fixture
def refusal(settings: Settings) -> Callable[[str | bytes], ConfigurationError]:
    """Return the error that a pipeline file of this content ends with."""

    def refused(content: str | bytes) -> ConfigurationError:
        data = content.encode() if isinstance(content, str) else content
        (settings.pipelines / "nature.yaml").write_bytes(data)
        with pytest.raises(ConfigurationError) as found:
            load_pipeline("nature", settings)
        return found.value

    return refused


def test_the_file_that_the_others_differ_from_is_good(settings: Settings) -> None:
    (settings.pipelines / "nature.yaml").write_text(GOOD)

    assert load_pipeline("nature", settings).primary_key == ("id",)


def with_line(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


MISTAKES = {
    "an anchor": (with_line("[id]", "&key [id]"), 7, "anchor"),
    "an alias": (GOOD + "record_column: *key\n", 12, "alias"),
    "a duplicate key": (GOOD + "table: nature.other\n", 12, "'table' stands twice"),
    "a duplicate key further in": (with_line("{name: id}", "{name: id, name: other}"), 10, "'name' stands twice"),
    "a merge key": (GOOD + "<<: {table: a.b}\n", 12, "plain text"),
    "a key that is a list": (GOOD + "? [a, b]\n: 1\n", 12, "plain text"),
    "an unknown field": (GOOD + "dispositon: merge\n", 12, "not a known field"),
    "an unknown field of the source": (with_line("  type: listed\n", "  type: listed\n  token: abc\n"), 4, "not a known field"),
    "an unknown field of a column": (with_line("{name: id}", "{name: id, tpye: bigint}"), 10, "not a known field"),
    "a tag for a Python object": (with_line("nature.sightings", "!!python/object/apply:os.system ['touch made']"), 5, "valid string"),
    "a tag of its own": (with_line("nature.sightings", "!secret x"), 5, "read"),
    "a tab": (with_line("  type", "\ttype"), 3, "YAML"),
    "an open bracket": (GOOD + "checks: [\n", 13, "YAML"),
    "an impossible date": (GOOD + "allow_empty: 2026-13-45\n", 12, "read"),
    "a disposition that there is not": (with_line("disposition: merge", "disposition: upsert"), 6, "disposition"),
    "a merge without a key": (with_line("primary_key: [id]\n", ""), 1, "primary_key"),
    "a table without a dataset": (with_line("nature.sightings", "sightings"), 1, "dataset.table"),
    "SQL in the table": (with_line("nature.sightings", "'nature.sightings; DROP TABLE x'"), 5, "plain name"),
    "quotes in the table": (with_line("nature.sightings", "'nature.\"a\"'"), 5, "plain name"),
    "a path in the table": (with_line("nature.sightings", "../../etc.passwd"), 1, "plain name"),
    "SQL in a type": (with_line("type: timestamptz", "type: 'bigint); DROP TABLE x; --'"), 11, "not a column type"),
    "a subquery in a type": (with_line("type: timestamptz", "type: (SELECT 1)"), 11, "not a column type"),
    "a type that is a number": (with_line("type: timestamptz", "type: 7"), 11, "columns.1.type"),
    "a column named twice": (with_line("{name: id}", "{name: SEEN_AT}"), 1, "named twice"),
    "a column of the lineage": (with_line("{name: id}", "{name: _load_id}"), 10, "adds itself"),
    "a column without a name": (with_line("{name: id}", "{name: ''}"), 10, "columns.0.name"),
    "a name of 300 characters": (with_line("{name: id}", f"{{name: {'x' * 300}}}"), 10, "columns.0.name"),
    "a list for a table": (with_line("nature.sightings", "[a, b]"), 5, "table"),
    "a mapping for a key": (with_line("[id]", "{a: b}"), 7, "primary_key"),
    "a number in the key": (with_line("[id]", "[1]"), 7, "primary_key"),
    "a text for the columns": (GOOD.partition("columns:")[0] + "columns: id\n", 9, "columns"),
    "a duration without a unit": (with_line("48h", "'48'"), 8, "duration"),
    "a negative overlap": (with_line("48h", "-1"), 8, "overlap"),
    "a source without a type": (with_line("  type: listed\n", ""), 2, "needs a type"),
    "a source of an unknown type": (with_line("type: listed", "type: twitter"), 2, "not a source type"),
    "a source type that is a module": (with_line("type: listed", "type: 'os:system'"), 2, "not a source type"),
    "a source that is a text": (with_line("source:\n  type: listed\n  file: records.json\n", "source: reddit\n"), 2, "needs a type"),
    "another name than the file's": (with_line("name: nature", "name: other"), 1, "agree"),
    "a name that is a path": (with_line("name: nature", "name: ../nature"), 1, "plain name"),
    "no name": (with_line("name: nature\n", ""), 1, "name"),
    "a format that there is not": (GOOD + "format: xml\n", 12, "format"),
    "two documents": (GOOD + "---\n" + GOOD, 12, "YAML"),
    "nothing": ("", 1, "no mapping"),
    "a comment alone": ("# name: nature\n", 1, "no mapping"),
    "a list": ("- name: nature\n", 1, "no mapping"),
    "a text": ("nature\n", 1, "no mapping"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_is_refused_with_its_line_that_has(mistake: str, refusal: Callable[[str], ConfigurationError], settings: Settings) -> None:
    content, line, words = MISTAKES[mistake]

    error = refusal(content)

    assert words in str(error)
    assert error.file == settings.pipelines / "nature.yaml"
    assert error.line == line


@pytest.mark.parametrize(
    "content",
    [
        b"name: nature\xff\xfe\n",
        GOOD.encode("utf-16"),
        b"\x00" * 10,
        b"name: \x1b[31mred\n",
        b"\x93NUMPY",
        b"name: nature\n" + b"# " + b"x" * 300_000,
    ],
)
def test_a_file_that_is_no_text_of_a_sensible_size_is_refused_by_name(
    refusal: Callable[[bytes], ConfigurationError], content: bytes
) -> None:
    assert "nature.yaml" in str(refusal(content))


@pytest.mark.parametrize("depth", [30, 400, 5_000, 60_000])
@pytest.mark.parametrize("form", ["[", "{a: "])
def test_a_file_that_is_nested_deeply_is_refused_quickly(refusal: Callable[[str], ConfigurationError], form: str, depth: int) -> None:
    started = time.monotonic()

    error = refusal(f"name: nature\nsource: {form * depth}")

    assert "nature.yaml" in str(error)
    assert time.monotonic() - started < 30


def test_a_billion_laughs_are_not_laughed(refusal: Callable[[str], ConfigurationError]) -> None:
    lines = ["a0: &a0 [lol]"] + [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 10)]

    assert refusal("\n".join(lines)).line == 1


def test_values_of_a_secret_are_not_shown_in_an_error(refusal: Callable[[str], ConfigurationError]) -> None:
    error = refusal(GOOD.replace("  type: listed\n", "  type: listed\n  password: hunter2\n"))

    assert "password" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("name", ["../nature", "nature.yaml", "", ".", "nature/../nature", "/etc/passwd", "nature\n"])
def test_a_pipeline_name_that_is_no_file_here_is_refused_with_those_there_are(settings: Settings, name: str) -> None:
    (settings.pipelines / "nature.yaml").write_text(GOOD)

    with pytest.raises(ConfigurationError, match="there are: nature"):
        load_pipeline(name, settings)


@pytest.mark.parametrize("override", ["table", "=x", "table.x=1", "source.type.x=1", "name.=1", "nothing=1", "source=1", "table=[1]"])
def test_an_override_that_makes_no_pipeline_is_refused(settings: Settings, override: str) -> None:
    (settings.pipelines / "nature.yaml").write_text(GOOD)

    with pytest.raises(ConfigurationError):
        load_pipeline("nature", settings, [override])


def test_an_override_is_taken_as_json_or_as_text(settings: Settings) -> None:
    (settings.pipelines / "nature.yaml").write_text(GOOD)

    pipeline = load_pipeline("nature", settings, ['primary_key=["id", "seen_at"]', "disposition=insert_only", "incremental.overlap=1h"])

    assert (pipeline.primary_key, pipeline.disposition) == (("id", "seen_at"), "insert_only")
    assert pipeline.incremental is not None
    assert pipeline.incremental.overlap_s == 3600


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(settings):
    settings.pipelines.mkdir(parents=True, exist_ok=True)
    os.mkfifo(settings.pipelines / "nature.yaml")

    with pytest.raises(ConfigurationError, match=r"nature\.yaml: is no file"):
        load_pipeline("nature", settings)

"""The documented JSON Schema of manifests is the model's own, and a landed manifest fits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from installations import Installation, sighting, sightings

from ducklift.errors import ManifestUnreadable
from ducklift.lake.manifest import MANIFEST_VERSION, manifest_schema, read_manifest

DOCUMENTED = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


def test_the_documented_schema_is_the_models_own() -> None:
    hint = "write it anew with what ducklift.lake.manifest.manifest_schema() returns"

    assert DOCUMENTED.read_bytes() == manifest_schema(), hint


@pytest.mark.parametrize("extension", ["jsonl.gz", "csv.zst", "parquet"])
def test_a_landed_manifest_fits_the_documented_schema(installation: Installation, extension: str) -> None:
    installation.put(installation.pipeline(sightings(1, 2), format=extension))

    jsonschema.validate(installation.manifest(), json.loads(DOCUMENTED.read_bytes()))


def test_a_manifest_tells_fields_types_layout_and_format(installation: Installation) -> None:
    installation.put(installation.pipeline([sighting(1)], [sighting(2, extra="x")], format="parquet"))

    manifest = installation.manifest()
    assert manifest["fields"] == ["id", "seen", "bird", "count", "extra"]
    assert manifest["field_types"] == {"id": "string", "seen": "int64", "bird": "string", "count": "int64", "extra": "string"}
    assert (manifest["layout"], manifest["format"]) == ("raw/{dataset}/{table}/{load_id}.{file_id}.{ext}", "parquet")


def test_a_slice_names_the_load_before_it_and_where_its_cursor_ends(installation: Installation) -> None:
    first = installation.land([sighting(1)])

    installation.put(installation.pipeline([sighting(2)], incremental={"cursor": "seen", "end": 2_000_000_000}), day=1)

    found = installation.manifest(1)["slice"]
    assert (found["parent_load"], found["cursor_from"], found["cursor_to"]) == (first.load_id, sighting(1)["seen"], 2_000_000_000)


def test_an_older_reader_refuses_a_newer_manifest_by_its_version(installation: Installation) -> None:
    installation.put(installation.pipeline([sighting(1)]))
    newer = {**installation.manifest(), "manifest_version": MANIFEST_VERSION + 1}

    with pytest.raises(ManifestUnreadable, match=f"its version is {MANIFEST_VERSION + 1}, this Ducklift reads up to {MANIFEST_VERSION}"):
        read_manifest(json.dumps(newer).encode(), "file:///lake/newer.json")


@pytest.mark.parametrize(
    ("column", "spec", "problem"),
    [
        ({"name": "seen", "pii": "hash"}, {}, "the cursor or the layout needs 'seen' as it is"),
        ({"name": "day", "pii": "drop"}, {"layout": "raw/{dataset}/{table}/{day:YYYY}/{file_id}"}, "needs 'day' as it is"),
        ({"name": "id", "pii": "redact"}, {}, "is part of a key: write pii: hash"),
        ({"name": "count", "pii": "hash", "type": "bigint"}, {}, "write type: varchar"),
    ],
)
def test_a_personal_field_that_is_needed_as_it_was_is_refused(
    installation: Installation, column: dict[str, Any], spec: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        installation.pipeline([], **{"columns": [column], **spec})


def test_personal_fields_are_treated_before_anything_is_in_the_lake(installation: Installation) -> None:
    columns = [{"name": "id"}, {"name": "bird", "pii": "redact"}]

    installation.put(installation.pipeline([sighting(1, bird="Ann's wren")], columns=columns, format="jsonl"))

    [file] = installation.manifest()["files"]
    raw = installation.lake.read(file["key"])
    assert raw is not None
    assert json.loads(raw)["bird"] == "[redacted]"

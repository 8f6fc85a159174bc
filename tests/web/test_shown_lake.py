"""What the lake's page says: objects by prefix and day, what could go, retention, stored values with their pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from installations import TABLE, Installation, sightings
from shown_lakes import reader, table

from ducklift.assets import asset, materialize
from ducklift.assets.versions import VersionStore
from ducklift.keeping import collect_garbage
from ducklift.web import survey as surveying
from ducklift.web.published_lake import Patience, PublishedLake
from ducklift.web.survey import place_of
from ducklift.web.views.lakes import LakeView
from ducklift.web.views.queries import LakeQuery, TableQuery

NAME = str(TABLE)


def page(installation: Installation, may_read: Callable[[str], bool] | None = None) -> LakeView:
    lake = reader(installation.settings)
    return (lake.seen_by(may_read) if may_read else lake).lake(LakeQuery())


def orphan(installation: Installation, name: str = "raw/nature/sightings/nobody.jsonl", days: float = 3) -> None:
    installation.lake.replace(name, b"nobody names this")
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(Path(installation.lake.path(name)), (moment, moment))


@asset
def chart() -> Any:
    from PIL import Image

    return Image.new("RGB", (32, 16), "red")


@asset
def numbers() -> list[int]:
    return [1, 2, 3]


def test_objects_and_bytes_are_told_by_prefix_and_day(installation):
    installation.land(sightings(1, 2))
    orphan(installation)

    view = page(installation)
    sizes = {found.key: found.size_bytes for found in installation.lake.list("")}
    assert (view.total.objects, view.total.bytes) == (len(sizes), sum(sizes.values()))
    prefixes = {row.prefix: row.amount.bytes for row in view.prefixes}
    raw = sum(size for key, size in sizes.items() if key.startswith("raw/nature/sightings/"))
    assert prefixes["raw/nature/sightings/"] == raw
    assert {"_ducklift/commits/", "_ducklift/tables/", "_ducklift/slices/"} <= prefixes.keys()
    assert sum(row.amount.share for row in view.prefixes) == pytest.approx(1)
    assert (len(view.days), view.days[-1].height, view.days[-4].amount.objects) == (60, 1.0, 1)
    assert view.survey.at is not None


def test_what_could_go_is_told_as_a_collection_of_garbage_would_find_it(installation):
    installation.land(sightings(1))
    orphan(installation)

    view = page(installation)
    assert view.garbage is not None
    [row] = view.garbage
    assert (row.kind, row.found, row.bytes) == ("orphan", 1, 17)
    assert "raw/nature/sightings/nobody.jsonl" in row.examples[0]
    assert view.collections == ()

    collect_garbage(installation.settings, apply=True)

    collected = page(installation)
    assert collected.garbage == ()
    [collection] = collected.collections
    assert (collection.items, collection.bytes, collection.completed) == (1, 17, True)


def test_a_lake_of_many_manifests_leaves_the_dry_run_to_the_command(installation, monkeypatch):
    installation.land(sightings(1))
    monkeypatch.setattr(surveying, "MOST_MANIFESTS", 0)

    view = page(installation)
    assert view.garbage is None
    assert "ducklift gc" in (view.garbage_note or "")


def test_a_manifest_that_cannot_be_read_is_told_and_the_page_stands(installation):
    installation.land(sightings(1))
    installation.lake.replace("raw/nature/sightings/_loads/broken.json", b"{")

    view = page(installation)
    assert view.garbage is None
    assert "broken.json" in (view.garbage_note or "")
    assert view.total.objects > 3


def test_a_survey_is_made_in_the_background_and_kept(installation, monkeypatch):
    installation.land(sightings(1))
    may_go_on, made = Event(), []
    original = surveying.survey

    def slow(*arguments: Any) -> Any:
        made.append(1)
        assert may_go_on.wait(30)
        return original(*arguments)

    monkeypatch.setattr("ducklift.web.published_lake.survey", slow)
    lake = PublishedLake(installation.settings, patience=Patience(survey_s=0.01, state_s=60, values_s=60))

    view = lake.lake(LakeQuery())
    assert (view.survey.reading, view.garbage, view.prefixes) == (True, None, ())
    may_go_on.set()
    lake._sources.survey.patience_s = 30
    assert lake.lake(LakeQuery()).total.objects > 3
    assert lake.lake(LakeQuery(survey=True)).total.objects > 3
    assert made == [1]


def test_retention_is_told_by_pipeline(installation):
    folder = installation.project / "include" / "pipelines"
    folder.mkdir(parents=True)
    (installation.project / "records.json").write_text('{"birds": []}')
    text = {
        "name": "nature",
        "source": {"type": "listed", "file": str(installation.project / "records.json")},
        "table": NAME,
        "retention": {"raw": "30d"},
    }
    (folder / "nature.yaml").write_text(json.dumps(text))

    [row] = page(installation).retention
    assert (row.pipeline, row.raw_s, row.keep_superseded_s) == ("nature", 30 * 86400, 7 * 86400)
    assert page(installation, lambda _: False).retention == ()


def test_stored_values_are_told_and_pictures_can_be_shown(installation):
    materialize([chart, numbers], settings=installation.settings)
    materialize([numbers], settings=installation.settings)
    installation.lake.replace("assets/broken/_all/current.json", b"{")
    lake = reader(installation.settings)

    view = lake.lake(LakeQuery())
    assert [(value.key, value.form, value.versions, value.width, value.height) for value in view.assets] == [
        ("chart", "png", 1, 32, 16),
        ("numbers", "json", 2, None, None),
    ]
    assert view.assets[0].chart == f"charts/chart/{view.assets[0].version}.png"
    assert ["broken" in problem.what for problem in view.problems] == [True]
    picture = lake.chart("chart", view.assets[0].version, None)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    for key, version in (("numbers", view.assets[1].version), ("../chart", "x"), ("chart", "../.."), ("unknown", "v1")):
        assert lake.chart(key, version, None) is None


def test_a_picture_that_is_not_what_its_record_says_is_not_shown(installation):
    materialize([chart], settings=installation.settings)
    [version] = VersionStore(installation.lake).versions("chart")
    installation.lake.replace(version.file_key, b"\x89PNG\r\n\x1a\n of somebody else")

    assert reader(installation.settings).chart("chart", version.version, None) is None


def test_a_value_that_was_made_of_a_table_stands_on_its_page_and_is_seen_by_who_sees_the_table(installation):
    installation.land(sightings(1))
    materialize([chart], settings=installation.settings)
    [version] = VersionStore(installation.lake).versions("chart")
    record = f"assets/chart/_all/{version.version}/version.json"
    told = {**installation.json(record), "derived_from": {NAME: "2026-01-01T00:00:00Z"}}
    installation.lake.replace(record, json.dumps(told).encode())
    lake = reader(installation.settings)

    assert [value.key for value in table(lake, NAME).assets] == ["chart"]
    limited = lake.seen_by(lambda pipeline: pipeline == "nature")
    assert limited.chart("chart", version.version, None) is not None
    assert [value.key for value in limited.lake(LakeQuery()).assets] == ["chart"]
    nobody = lake.seen_by(lambda _: False)
    assert nobody.chart("chart", version.version, None) is None
    assert nobody.lake(LakeQuery()).assets == ()
    assert nobody.table(NAME, TableQuery()) is None


def test_who_sees_a_part_of_the_tables_sees_nothing_of_the_others_in_the_lake(installation):
    installation.land(sightings(1))
    installation.lake.replace("raw/secret/plans/x.jsonl", b"12345")
    installation.lake.replace("elsewhere/x", b"12345")
    fails = {"attempts_version": 1, "load_id": "x", "table": "secret.plans", "pipeline": "secret", "stream": "s", "tries": []}
    installation.lake.replace("_ducklift/attempts/secret.plans/x.json", json.dumps(fails).encode())
    orphan(installation, "raw/secret/plans/nobody.jsonl")

    everything, limited = page(installation), page(installation, lambda pipeline: pipeline == "nature")
    assert everything.garbage is not None
    assert [row.kind for row in everything.garbage] == ["orphan"]
    assert {"raw/secret/plans/", "elsewhere/"} <= {row.prefix for row in everything.prefixes}
    assert limited.garbage == ()
    assert "secret" not in repr(limited)
    assert limited.total.bytes == sum(
        found.size_bytes for found in installation.lake.list("") if NAME in found.key or found.key.startswith("raw/nature/sightings/")
    )


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("raw/a/b/2026/x.jsonl", ("raw/a/b/", "a.b")),
        ("raw/A/b/x.jsonl", ("raw/A/b/", None)),
        ("curated/a/b/_current.json", ("curated/a/b/", "a.b")),
        ("_ducklift/tables/a.b.json", ("_ducklift/tables/", "a.b")),
        ("_ducklift/commits/a.b/1.json", ("_ducklift/commits/", "a.b")),
        ("_ducklift/gc/1.json", ("_ducklift/gc/", None)),
        ("_ducklift/lake.json", ("_ducklift/", None)),
        ("assets/chart/_all/current.json", ("assets/chart/", None)),
        ("lonely", ("lonely", None)),
    ],
)
def test_an_object_is_counted_under_a_prefix_and_for_a_table(key, place):
    assert place_of(key) == place

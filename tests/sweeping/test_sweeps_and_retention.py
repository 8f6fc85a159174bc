"""Sweeps of tables whose raw files have expired, and collections of garbage behind a sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from installations import MERGED, TABLE, Installation, sighting
from runs import MERGE, go, rebuilt_is_equal
from test_sweeps import content, holding, swept, told

from ducklift.keeping import collect_garbage

DAY = timedelta(days=1)


def collected(installation: Installation, after: timedelta) -> set[str]:
    return {item.kind for item in collect_garbage(installation.settings, apply=True, now=datetime.now(UTC) + after).items}


def keeping(installation: Installation) -> None:
    import json

    folder = installation.settings.pipelines
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.json").write_text(json.dumps({"birds": []}))
    source = {"type": "listed", "file": str(folder / "records.json")}
    (folder / "nature.yaml").write_text(json.dumps({"name": "nature", "source": source, **MERGED, "retention": {"raw": "30d"}}))


def test_a_collection_of_garbage_keeps_what_a_sweep_rewrote(installation: Installation) -> None:
    go(installation, [sighting(1), told(2)], **MERGE)
    swept(installation, 2)

    assert collected(installation, 2 * DAY) == set()

    rebuilt_is_equal(installation)


def test_a_record_whose_raw_file_has_expired_is_swept_from_the_checkpoint(installation: Installation) -> None:
    keeping(installation)
    go(installation, [sighting(1), told(2)], **MERGE)
    assert collected(installation, 40 * DAY) == {"expired"}
    go(installation, [told(2, seen=sighting(4)["seen"])], day=1, **MERGE)
    assert any("checkpoints" in place for place in holding(installation))

    done = swept(installation, 2)

    assert holding(installation) == []
    assert done.rewritten == 1
    rebuilt_is_equal(installation)


def test_rewritten_files_expire_like_others(installation: Installation) -> None:
    keeping(installation)
    go(installation, [sighting(1), told(2)], **MERGE)
    swept(installation, 2)
    before = content(installation)

    assert collected(installation, 40 * DAY) == {"expired"}

    assert [key for key in installation.keys("raw/") if "/_loads/" not in key] == []
    rebuilt_is_equal(installation)
    assert content(installation) == before
    assert swept(installation, 1).rows == 1
    rebuilt_is_equal(installation)


def test_the_table_is_named_in_the_record(installation: Installation) -> None:
    go(installation, [sighting(1), told(2)], **MERGE)
    swept(installation, 2)

    (key,) = installation.keys(f"_ducklift/sweeps/{TABLE}/")
    record = installation.json(key)
    assert (record["keys"], record["rows"], len(record["erased"])) == ([["s0002"]], 1, 1)
    assert record["erased"][0].startswith("raw/nature/sightings/")

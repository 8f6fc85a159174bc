"""A load that fails never commits: what failed, when and why is noted in the lake, and success costs nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
from installations import DAY, STREAM, TABLE, Installation, sightings, slice_run

from ducklift.deletion_sweeps import sweep_keys
from ducklift.errors import (
    CheckFailed,
    FunctionFailed,
    LakeRefused,
    LoadSuperseded,
    ReadCopyFailed,
    RetryOutdated,
    SliceNotOver,
    SourceThrottled,
    SpoolMissing,
)
from ducklift.lake.attempts import (
    KEPT_LOADS,
    KEPT_TRIES,
    PRIVATE_MESSAGE,
    FailedLoad,
    Trying,
    failed_loads,
    noting_failures,
    read_failed_load,
    standing_failures,
)
from ducklift.lake.commits import read_commits
from ducklift.lake.layout import ATTEMPTS, attempts_key
from ducklift.pipeline import extract, load, load_id_for, upload
from ducklift.specs import Blanking

LOAD_ID = load_id_for("nature", STREAM, slice_run())
REFUSING: dict[str, Any] = {"checks": [{"accepted_values": {"bird": ["wren"]}}]}
FACTS = {"dag_id": "nature", "run_id": "manual__1", "task_id": "duckdb_load", "try_number": 2, "map_index": 0}


def noted(installation: Installation, load_id: str = LOAD_ID) -> FailedLoad | None:
    return read_failed_load(installation.lake, TABLE, load_id)


def standing(installation: Installation) -> list[FailedLoad]:
    records = read_commits(installation.lake, TABLE)
    newest = {(record.pipeline, record.stream): record.loaded_at for record in records}
    return standing_failures(failed_loads(installation.lake), newest, {record.load_id: record.loaded_at for record in records})


def test_a_failed_load_is_noted_with_step_cause_and_task_and_a_success_ends_it(installation):
    pipeline = installation.pipeline(sightings(1, bird="emu"), **REFUSING)
    url = installation.put(pipeline)

    for _ in range(2):
        with pytest.raises(CheckFailed):
            load(url, installation.settings, pipeline, FACTS)

    found = noted(installation)
    assert found is not None
    assert (found.pipeline, found.stream, len(found.tries)) == ("nature", STREAM, 2)
    assert (found.last.step, found.last.error, found.last.retryable, found.last.airflow) == ("load", "CheckFailed", False, FACTS)
    assert "'emu'" in found.last.message
    assert [load.load_id for load in standing(installation)] == [LOAD_ID]

    load(url, installation.settings, installation.pipeline(sightings(1)))

    assert standing(installation) == []
    assert noted(installation) == found, "a commit tells of success; the note of what failed stays for who looks at the load"


def test_success_writes_no_note_and_reads_none(installation):
    installation.land(sightings(1))
    installation.land(sightings(2), day=1)

    assert installation.keys(ATTEMPTS) == []


def test_an_upload_that_lost_its_package_is_noted_under_the_stream_that_its_slice_names(installation):
    package = extract(installation.pipeline(sightings(1)), STREAM, slice_run(), installation.settings)
    shutil.rmtree(package)

    with pytest.raises(SpoolMissing):
        upload(package, installation.settings, FACTS)

    found = noted(installation)
    assert found is not None
    assert (found.stream, found.last.step, found.last.error) == (STREAM, "upload", "SpoolMissing")


def test_a_load_that_failed_after_its_commit_is_mended_by_a_try_that_finds_it_there(installation, monkeypatch):
    pipeline = installation.pipeline(sightings(1))
    broken = replace(installation, environment={"DUCKLIFT_READ_COPY": str(installation.project / "copy" / "nature.duckdb")})
    url = installation.put(pipeline)

    def refused(*_: Any) -> None:
        raise ReadCopyFailed("somewhere", "no space")

    with monkeypatch.context() as patched:
        patched.setattr("ducklift.warehouse.loading.refresh_read_copy", refused)
        with pytest.raises(ReadCopyFailed):
            load(url, broken.settings, pipeline)
    assert [load.load_id for load in standing(installation)] == [LOAD_ID]

    assert load(url, broken.settings, pipeline).state == "already_loaded"
    assert standing(installation) == []


def test_a_failure_that_cannot_be_noted_goes_up_as_it_is_and_says_so(installation, monkeypatch):
    lake = installation.lake
    monkeypatch.setattr(lake, "replace", lambda *_: (_ for _ in ()).throw(LakeRefused("file:///lake", "AccessDenied", "Ask.")))
    first = SourceThrottled("Reddit", 30)

    with pytest.raises(SourceThrottled) as raised, noting_failures(lake, Trying("extract", TABLE, LOAD_ID, "nature", STREAM)):
        raise first

    assert raised.value is first
    assert raised.value.__notes__ == [
        f"The failure could not be noted in the lake: LakeRefused: {LakeRefused('file:///lake', 'AccessDenied', 'Ask.')}"
    ]


def test_what_is_not_over_yet_or_was_done_by_another_is_no_failure(installation):
    lake = installation.lake
    for error in (SliceNotOver("birds", DAY, DAY), LoadSuperseded(LOAD_ID, "another"), RetryOutdated(LOAD_ID, LOAD_ID, "done")):
        with pytest.raises(type(error)), noting_failures(lake, Trying("load", TABLE, LOAD_ID, "nature", STREAM)):
            raise error

    assert installation.keys(ATTEMPTS) == []


def test_no_secret_and_no_personal_value_gets_into_a_note(installation):
    def fail(error: Exception, **trying: Any) -> str:
        with pytest.raises(type(error)), noting_failures(installation.lake, Trying("extract", TABLE, LOAD_ID, "nature", STREAM, **trying)):
            raise error
        found = noted(installation)
        assert found is not None
        return found.last.message

    assert "hunter2" not in fail(SourceThrottled("postgresql://anna:hunter2@db/shop?token=abc123 says", 3))
    assert "abc123" not in fail(SourceThrottled("https://api.example.com/?access_token=abc123", 3))
    assert "hunter2" not in fail(ValueError("hunter2"))
    assert fail(FunctionFailed("rows", "f.py", 3, ValueError("anna@example.com")), private=True) == PRIVATE_MESSAGE


def test_notes_are_bounded_by_tries_and_by_loads(installation, monkeypatch):
    monkeypatch.setattr("ducklift.lake.attempts.KEPT_LOADS", 5)
    assert KEPT_LOADS == 200
    for number in range(8):
        for _ in range(KEPT_TRIES + 2 if number == 7 else 1):
            with pytest.raises(SourceThrottled), noting_failures(installation.lake, Trying("extract", TABLE, f"load-{number}")):
                raise SourceThrottled("Reddit", 30)

    assert installation.keys(ATTEMPTS) == [attempts_key(TABLE, f"load-{number}") for number in range(3, 8)]
    last = noted(installation, "load-7")
    assert last is not None
    assert len(last.tries) == KEPT_TRIES


def test_a_deletion_sweep_takes_the_messages_out_that_may_quote_what_it_sweeps(installation):
    installation.land(sightings(1, bird="emu"))
    failing = installation.pipeline(sightings(2, bird="emu on the roof"), **REFUSING)
    with pytest.raises(CheckFailed):
        installation.run(failing, day=1)

    sweep_keys(installation.pipeline([]), str(TABLE), [("s0001",)], Blanking(content=("bird",)), installation.settings, apply=True)

    [key] = installation.keys(ATTEMPTS)
    assert "emu" not in json.dumps(installation.json(key))
    assert installation.json(key)["tries"][0]["error"] == "CheckFailed"

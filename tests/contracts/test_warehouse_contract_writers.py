"""Many writers on one DuckLake: real processes, a real PostgreSQL, a real S3 endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from warehouse_places import STREAM, TABLE, Installation, listed_source_known, postgres, shared_lake, sightings, slice_run

from ducklift.errors import WriteConflict
from ducklift.lake.commits import read_snapshot
from ducklift.lake.filesystem import open_lake
from ducklift.lake.layout import commit_prefix
from ducklift.pipeline import extract, load, upload
from ducklift.specs import TableName
from ducklift.warehouse import conflicts, open_warehouse
from ducklift.warehouse.system import prepare_system

__all__ = ["listed_source_known", "postgres", "shared_lake"]

WRITER = Path(__file__).with_name("load_manifests.py")


def query(installation: Installation, sql: str) -> list[tuple]:
    with open_warehouse(installation.settings, read_only=True) as warehouse:
        return warehouse.rows(sql)


def write_at_once(installations: Sequence[Installation], manifests: Sequence[Sequence[str]]) -> list[list[str]]:
    """Start one process for each installation, let them load at the same moment, and return their states."""
    writers = []
    for installation, urls in zip(installations, manifests, strict=True):
        environment = {**os.environ, **installation.environment, "DUCKLIFT_LAKE_URL": installation.lake_url}
        command = [sys.executable, str(WRITER), str(installation.project), *urls]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        writers.append(subprocess.Popen(command, env=environment, **pipes))
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    answers = [writer.communicate(timeout=240) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * len(writers), "\n".join(answer[1][-2000:] for answer in answers)
    return [json.loads(answer[0].splitlines()[-1]) for answer in answers]


@pytest.mark.slow
def test_three_processes_that_merge_the_same_new_keys_leave_each_key_once(shared_lake: Callable[[], Installation]):
    hosts = [shared_lake() for _ in range(3)]
    manifests = [
        [host.put(host.pipeline(sightings(*range(30), count=writer)), day=10 * writer + day) for day in range(2)]
        for writer, host in enumerate(hosts)
    ]
    states = write_at_once(hosts, manifests)

    assert states == [["loaded"] * 2] * 3
    assert query(hosts[0], f"SELECT count(*), count(DISTINCT id) FROM {TABLE}") == [(30, 30)]
    assert query(hosts[0], "SELECT count(*), count(DISTINCT sequence), max(sequence) FROM _ducklift.loads") == [(6, 6, 6)]
    assert query(hosts[0], "SELECT sum(rows_inserted), sum(rows_extracted) FROM _ducklift.loads") == [(30, 180)]
    lake = open_lake(hosts[0].settings)
    snapshot = read_snapshot(lake, TABLE)
    assert snapshot is not None
    assert (snapshot.sequence, snapshot.rows) == (6, 30)
    assert len(list(lake.list(commit_prefix(TABLE)))) == 6


def test_processes_that_write_different_tables_do_not_get_in_each_others_way(shared_lake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conflicts, "ROUNDS", 1)
    first, second = shared_lake(), shared_lake()
    for host in (first, second):
        with open_warehouse(host.settings) as warehouse:
            prepare_system(warehouse)
    names = [TableName(dataset="nature", table=name) for name in ("nests", "eggs")]
    for host, name in ((first, names[0]), (second, names[1])):
        load(host.put(host.pipeline(sightings(1), table=str(name)), day=names.index(name)), host.settings)
    interrupted = []

    def load_the_other(name: str) -> None:
        if name == "load.before_commit" and not interrupted:
            interrupted.append(name)
            load(second.put(second.pipeline(sightings(2), table=str(names[1])), day=11), second.settings)

    monkeypatch.setattr("ducklift.warehouse.loading.reach", load_the_other)
    load(first.put(first.pipeline(sightings(2, 3), table=str(names[0])), day=10), first.settings)

    assert interrupted
    counts = [query(first, f"SELECT count(*) FROM {name}") for name in names]
    assert counts == [[(3,)], [(2,)]]


def test_a_load_that_was_beaten_to_the_commit_is_done_again_and_sees_the_others_rows(shared_lake, monkeypatch: pytest.MonkeyPatch):
    first, second = shared_lake(), shared_lake()
    interrupted = []

    def load_the_other(name: str) -> None:
        if name == "load.before_commit" and not interrupted:
            interrupted.append(name)
            load(second.put(second.pipeline(sightings(1, 2)), day=1), second.settings)

    manifest = first.put(first.pipeline(sightings(2, 3)), day=2)
    monkeypatch.setattr("ducklift.warehouse.loading.reach", load_the_other)
    summary = load(manifest, first.settings)

    assert (summary.rows_inserted, summary.rows_unchanged, summary.total_rows) == (1, 1, 3)
    assert query(first, f"SELECT id FROM {TABLE} ORDER BY id") == [("s0001",), ("s0002",), ("s0003",)]


def test_a_load_that_two_processes_run_at_once_is_loaded_by_one_of_them(shared_lake: Callable[[], Installation]):
    first, second = shared_lake(), shared_lake()
    manifest = first.put(first.pipeline(sightings(*range(20))))
    states = write_at_once([first, second], [[manifest], [manifest]])

    assert sorted(state for [state] in states) == ["already_loaded", "loaded"]
    assert query(first, f"SELECT count(*) FROM {TABLE}") == [(20,)]


def test_a_writer_that_always_loses_gives_up_with_nothing_kept(shared_lake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conflicts, "ROUNDS", 2)
    first, second = shared_lake(), shared_lake()
    days = iter(range(100, 200))

    def always_lose(name: str) -> None:
        if name == "load.before_commit":
            monkeypatch.setattr("ducklift.warehouse.loading.reach", lambda _name: None)
            day = next(days)
            load(second.put(second.pipeline(sightings(day)), day=day), second.settings)
            monkeypatch.setattr("ducklift.warehouse.loading.reach", always_lose)

    load(first.put(first.pipeline(sightings(1))), first.settings)
    pipeline = first.pipeline(sightings(2))
    manifest = upload(extract(pipeline, STREAM, slice_run(5), first.settings), first.settings)
    monkeypatch.setattr("ducklift.warehouse.loading.reach", always_lose)
    with pytest.raises(WriteConflict, match="nothing was kept") as caught:
        load(manifest, first.settings, pipeline)

    assert caught.value.exit_code == 3
    assert query(first, f"SELECT count(*) FROM {TABLE} WHERE id = 's0002'") == [(0,)]

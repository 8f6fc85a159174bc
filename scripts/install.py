"""Install the project into `.venv` from the hashed lock; called by `scripts/install` with a suitable Python.

Two profiles: `run` (requirements.txt) and `dev` (requirements-dev.txt, a superset). An environment that once got `dev`
keeps it, so that `make run` and `make test` do not undo each other. A stamp in `.venv` tells whether anything changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parent.parent
ENVIRONMENT = PROJECT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "ducklift-install.json"
LOG = PROJECT / ".ducklift" / "logs" / "install.log"
LOCKS = {"run": "requirements.txt", "dev": "requirements-dev.txt"}

# pip's own settings that would send the installation elsewhere, or make it refuse the environment.
MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")

# What pip and uv print, and what to do about it; the first match wins.
KNOWN_FAILURES = (
    (r"No space left on device|os error 28", "the disk is full. Free about 1.5 GB"),
    (
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer",
        "the certificate of {index} is not trusted. Set PIP_CERT and SSL_CERT_FILE to your organisation's CA bundle",
    ),
    (
        r"\b(401|403|407)\b.{0,40}(Unauthorized|Forbidden|Proxy Authentication)|(HTTP|status code).{0,10}(401|403|407)",
        "{index} refuses access. Check the credentials in PIP_INDEX_URL or UV_INDEX_URL, and the proxy's",
    ),
    (
        r"DO NOT MATCH THE HASHES|[Hh]ash mismatch",
        "{index} served a file whose hash is not the one in the lock. Use an index that mirrors PyPI unchanged",
    ),
    (
        r"NewConnectionError|Connect(ion)?Timeout|ConnectError|name resolution|Name or service not known|dns error|"
        r"Connection refused|Network is unreachable|error sending request|ProxyError|timed out|client error \(Connect\)",
        "cannot reach {index}. Check the network, or set PIP_INDEX_URL (a mirror) or HTTPS_PROXY",
    ),
    (r"Permission denied|os error 13", "no write permission. Make {project} and your cache folder your own (chown)"),
)


class InstallationFailed(Exception):
    """One line for the user: what failed and what to do."""


def main(profile: str) -> None:
    """Bring `.venv` up to date for `profile`, or return at once when it is."""
    if profile not in LOCKS:
        raise InstallationFailed(f"unknown profile {profile!r}; use one of {', '.join(LOCKS)}")
    with (PROJECT / "pyproject.toml").open("rb") as held:
        # Two calls of make at the same time would install over each other.
        fcntl.flock(held, fcntl.LOCK_EX)
        stamp = read_stamp()
        if stamp.get("profile") == "dev":
            profile = "dev"
        if stamp == expected_stamp(profile):
            return
        install(profile, keep=environment_is_usable(stamp))


def expected_stamp(profile: str) -> dict[str, str]:
    """Return what the stamp says when `.venv` is up to date; the project's path is in it, as scripts hold it."""
    digest = hashlib.sha256()
    for name in (LOCKS[profile], "pyproject.toml", "scripts/install.py"):
        digest.update((PROJECT / name).read_bytes())
    return {
        "profile": profile,
        "inputs": digest.hexdigest(),
        "python": f"{platform.python_version()} {Path(sys.base_prefix).resolve()}",
        "project": str(PROJECT),
    }


def read_stamp() -> dict[str, str]:
    """Return what the last finished installation wrote, nothing when there was none."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and PYTHON.exists() else {}


def environment_is_usable(stamp: dict[str, str]) -> bool:
    """Tell whether `.venv` can be brought up to date in place: same Python, same path, and pip in it."""
    probe = "import sys, platform, pip; print(platform.python_version(), sys.base_prefix)"
    try:
        asked = subprocess.run([PYTHON, "-I", "-c", probe], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    version, _, prefix = asked.strip().partition(" ")
    same_python = version == platform.python_version() and Path(prefix).resolve() == Path(sys.base_prefix).resolve()
    return same_python and stamp.get("project", str(PROJECT)) == str(PROJECT)


def install(profile: str, *, keep: bool) -> None:
    """Make or keep `.venv`, sync it with the lock, add the project itself, and write the stamp last."""
    started = time.monotonic()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("", "utf-8")
    STAMP.unlink(missing_ok=True)
    if not keep:
        say(f"making .venv with Python {platform.python_version()}")
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(ENVIRONMENT)
    lock = PROJECT / LOCKS[profile]
    say(f"installing {count_packages(lock)} packages from {lock.name} (once; again only when the lock changes)")
    environment = installer_environment()
    install_uv(lock, environment)
    uv = [str(PYTHON), "-m", "uv", "pip"]
    at = ["--python", str(PYTHON)]
    # Best match over all indexes is safe here, because every file must have the lock's hash.
    run([*uv, "sync", *at, "--require-hashes", "--compile-bytecode", "--index-strategy", "unsafe-best-match", str(lock)], environment)
    run([*uv, "install", *at, "--no-deps", "--no-build-isolation", "--editable", str(PROJECT)], environment)
    # Uv compiles what it installs and leaves an editable package alone; uncompiled, it costs each start 0.2 s where nothing may be written.
    run([str(PYTHON), "-m", "compileall", "-q", str(PROJECT / "include" / "ducklift")], environment)
    STAMP.write_text(json.dumps(expected_stamp(profile)), "utf-8")
    say(f"installed in {time.monotonic() - started:.0f} s")


def count_packages(lock: Path) -> int:
    """Count the lock's packages; a few are for other platforms or Pythons only."""
    return len(re.findall(r"^[a-z0-9][^\s=]*==", lock.read_text("utf-8"), re.MULTILINE))


def install_uv(lock: Path, environment: dict[str, str]) -> None:
    """Install the uv that the lock names, by pip and with its hashes."""
    block = re.search(r"^uv==(\S+)(?: \\\n +--hash=\S+)+", lock.read_text("utf-8"), re.MULTILINE)
    if block is None:
        raise InstallationFailed(f"{lock.name} does not pin uv with hashes. Run: make lock")
    asked = subprocess.run([PYTHON, "-m", "uv", "--version"], capture_output=True, text=True)
    if asked.stdout.split()[1:2] == [block[1]]:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as only_uv:
        only_uv.write(block[0] + "\n")
        only_uv.flush()
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install"]
        run([*pip, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", only_uv.name], environment)


def installer_environment() -> dict[str, str]:
    """Return the environment for pip and uv, each told of the index that the user set for the other."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment |= {"PIP_NO_INPUT": "1", "PIP_USER": "0"}
    environment.setdefault("PIP_RETRIES", "2")
    uv_index = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    settings = pip_settings(environment)
    if uv_index and "index-url" not in settings:
        environment["PIP_INDEX_URL"] = re.sub(r"^\w+=", "", uv_index)
    if not uv_index and "index-url" in settings:
        environment["UV_DEFAULT_INDEX"] = settings["index-url"]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        environment |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split())}
    for pip_name, uv_name in (("cert", "SSL_CERT_FILE"), ("proxy", "ALL_PROXY"), ("trusted-host", "UV_INSECURE_HOST")):
        if pip_name in settings:
            environment.setdefault(uv_name, settings[pip_name])
    if "UV_CACHE_DIR" not in environment and not can_write_cache(environment):
        environment["UV_NO_CACHE"] = "1"
    return environment


def pip_settings(environment: dict[str, str]) -> dict[str, str]:
    """Return pip's settings from its files and the environment, the strongest last word for each."""
    command = [PYTHON, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, env=environment).stdout
    lines = re.findall(r"^(\S+)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    rank = {"global": 0, "install": 1, ":env:": 2}
    lines.sort(key=lambda line: rank.get(line[0], -1))
    return {name: value.replace("\\n", " ").strip() for section, name, value in lines if section in rank}


def can_write_cache(environment: dict[str, str]) -> bool:
    """Tell whether uv can keep a cache; a container's user often has no home."""
    folder = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/")) / ".cache")
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run an installer with its output in the log; raise with one line of explanation when it fails."""
    finished = subprocess.run(
        command, env=environment, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = finished.stdout.decode("utf-8", "replace")
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n{output}\n")
    if finished.returncode:
        raise InstallationFailed(f"{explain(output, environment)}. The log: {LOG.relative_to(PROJECT)}")


def explain(output: str, environment: dict[str, str]) -> str:
    """Return the advice for a known failure, or the installer's own last error line."""
    index = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or "https://pypi.org/simple"
    parts = urlsplit(re.sub(r"^\w+=", "", index))
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    for pattern, advice in KNOWN_FAILURES:
        if re.search(pattern, output):
            return advice.format(index=f"the package index {shown}", project=PROJECT)
    errors = [line.strip() for line in output.splitlines() if re.match(r"\s*(error|ERROR)", line)]
    return (errors or output.strip().splitlines() or ["the installer failed without a word"])[-1]


def say(text: str) -> None:
    """Tell the user on standard error, which leaves standard output to the command that make runs."""
    sys.stderr.write(f"ducklift: {text}\n")
    sys.stderr.flush()


def advice_for(failure: OSError | subprocess.CalledProcessError) -> str:
    """Return one line on what stopped the installation outside the installers, and what to do."""
    if isinstance(failure, subprocess.CalledProcessError):
        return f"could not set up .venv: {(failure.output or b'').decode('utf-8', 'replace').strip()[-300:]}"
    if isinstance(failure, PermissionError):
        return f"no write permission for {failure.filename}. Clone into a folder of your own, or chown this one."
    return f"{failure.filename or PROJECT}: {failure.strerror}."


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "run")
    except InstallationFailed as failure:
        sys.exit(f"ducklift: {failure}")
    except (OSError, subprocess.CalledProcessError) as failure:
        sys.exit(f"ducklift: {advice_for(failure)}")
    except KeyboardInterrupt:
        sys.exit("ducklift: stopped; call make again to go on.")

"""Programs from npm that tests run: installed into the project's cache by a lock of their own, by the first test worker that needs them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[1] / ".cache"
INSTALLED_WITHIN_S = 240


def installed(lock: Path, file: str) -> Path:
    """Return a file of the packages that the folder `lock` names (package.json and package-lock.json); `file` is below node_modules."""
    target = CACHE / lock.name
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".installing").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        return _install(lock, target, target / "node_modules" / file)


def _install(lock: Path, target: Path, found: Path) -> Path:
    stamp, wanted = target / "installed-lock.json", lock / "package-lock.json"
    if stamp.is_file() and stamp.read_bytes() == wanted.read_bytes() and found.is_file():
        return found
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock / name, target / name)
    # The tests' own environment leads nowhere but to loopback; this one command needs the registry.
    environment = {name: value for name, value in os.environ.items() if name.upper() not in {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}}
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=INSTALLED_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {lock.name} within {INSTALLED_WITHIN_S} s")
    if done.returncode:
        pytest.skip(f"npm could not install {lock.name}: {done.stderr.strip()[-300:]}")
    shutil.copy(wanted, stamp)
    return found

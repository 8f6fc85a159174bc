"""The servers that the store contract runs on: each on loopback, in a folder of its own, ended by the one who started it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kept_ports import kept_ports
from npm_packages import installed

HOST = "127.0.0.1"
S3_KEY, S3_SECRET = "an-access-key", "a-secret-access-key"
# Azurite's own account, the same in every installation of it.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ANSWERS_WITHIN_S = 40.0
AZURITE_LOCK = Path(__file__).with_name("azurite")


@contextmanager
def served(command: list[str], url: str, folder: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; it is killed, as it keeps nothing that anybody wants."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment)
    try:
        wait_until_answering(url, process, log)
        yield
    finally:
        process.kill()
        process.wait()


def wait_until_answering(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(url, timeout=1).close()
            return
        except urllib.request.HTTPError:
            return  # it answers, which is all that is asked
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the server did not answer on {url}: {log.read_text(errors='replace')[-500:]}")


@contextmanager
def seaweedfs(folder: Path, key: str, secret: str) -> Iterator[str]:
    """Run SeaweedFS with one key pair and yield its S3 endpoint's URL."""
    identity = f'{{"name":"t","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}],"actions":["Admin","Read","Write","List"]}}'
    (folder / "identities.json").write_text(f'{{"identities":[{identity}]}}')
    names = [f"{part}.{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("port", "port.grpc")]
    options = [f"-ip={HOST}", f"-ip.bind={HOST}", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=identities.json"]
    # Each bucket takes several volumes at once, and what is left on the disk counts as room for whole ones.
    options += ["-dir=.", "-volume.max=200", "-master.volumeSizeLimitMB=8", "-s3.autoCreateBucket=false"]
    weed = str(Path(sys.executable).with_name("weed"))
    with kept_ports(len(names)) as ports:
        url = f"http://{HOST}:{ports[names.index('s3.port')]}"
        chosen = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
        with served([weed, "server", *options, *chosen], f"{url}/status", folder):
            yield url


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azurite and yield the URL of its one account."""
    program = str(installed(AZURITE_LOCK, "azurite/dist/src/blob/main.js"))
    with kept_ports(1) as (port,):
        command = ["node", program, "--silent", "--blobHost", HOST, "--blobPort", str(port), "--location", str(folder)]
        with served([*command, "--skipApiVersionCheck", "--disableTelemetry"], f"http://{HOST}:{port}/", folder):
            yield f"http://{HOST}:{port}/devstoreaccount1"

"""A Docker engine of the tests' own: private socket, private data, its changes to the network undone at the end.

It stands on Debian's packages alone. Compose v2 and buildx, which bookworm lacks, are Debian trixie's, verified by the archive's keyring
and unpacked beside the engine; nothing of them is installed. STACK_ENGINE=unix:///path names an engine that stands already instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
STANDIN = Path(__file__).parent / "standin"
CACHE = PROJECT / ".cache" / "stack"
PROGRAMS = ("dockerd", "docker", "containerd", "runc", "iptables-save", "mmdebstrap", "dpkg-deb")
ROOT_PACKAGES = (
    "python3,python3-venv,dumb-init,wget,ca-certificates,libnss-wrapper,postgresql-17,valkey-server,bash,coreutils,util-linux,findutils,"
    "grep,sed,gawk,libc-bin,passwd,base-files,base-passwd,dash,debconf,perl-base,tar,gzip,dpkg,diffutils,hostname,login,debianutils"
)
# LLVM is for PostgreSQL's just-in-time compiler alone; nobody reads manuals here.
LEFT_OUT = (
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/share/i18n/*",
    "usr/lib/*/libLLVM*",
    "usr/lib/*/libz3*",
    "usr/lib/postgresql/*/lib/llvmjit*",
)
IMAGES = {
    "postgres": "postgres:17",
    "valkey": "valkey/valkey:8.1",
    "seaweedfs": "chrislusf/seaweedfs:4.48",
    "airflow": "apache/airflow:3.3.2-python3.12",
    "prometheus": "prom/prometheus:v3.5.0",
    "statsd-exporter": "prom/statsd-exporter:v0.28.0",
}
TRIXIE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n"
ENGINE_UP_WITHIN_S = 60.0
ENGINE_DOWN_WITHIN_S = 60.0
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


NEEDED_RIGHTS = {
    "mount a file system": "unshare --mount mount -t tmpfs none /mnt",
    "make a network bridge": "ip link add ducklift-probe type bridge && ip link delete ducklift-probe",
}


class NoEngine(Exception):
    """This machine allows no engine; the text says why."""


def until(condition: Callable[[], object], within_s: float, what: str) -> None:
    """Return once the condition holds; raises `AssertionError` when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:.0f} s"
        time.sleep(0.5)


def outside_environment() -> dict[str, str]:
    """Return an environment that reaches the package mirrors: the tests' own leads nowhere but to loopback."""
    dead = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HOME")
    kept = {name: value for name, value in os.environ.items() if name not in dead}
    given = {name.removeprefix("OUTSIDE_"): value for name, value in os.environ.items() if name.startswith("OUTSIDE_")}
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return kept | given | {"PATH": path, "HOME": os.environ["HOME"], "DOCKER_BUILDKIT": "1"}


def require_possible() -> None:
    """Raise `NoEngine` where the machine allows none, and `AssertionError` where one could run and only its programs are missing."""
    if os.getuid() != 0:
        raise NoEngine("an engine needs root")
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        raise NoEngine("packets cannot be forwarded here: /proc/sys/net/ipv4/ip_forward is not writable")
    environment = outside_environment()
    for what, command in NEEDED_RIGHTS.items():
        if subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False).returncode:
            raise NoEngine(f"this machine does not let root {what}")
    missing = [program for program in PROGRAMS if shutil.which(program, path=environment["PATH"]) is None]
    assert not missing, f"{', '.join(missing)} missing; on Debian: apt-get install docker.io iptables mmdebstrap"
    engine_here = Path("/sys/class/net/docker0").exists()
    assert not engine_here, "another engine stands here already: docker0 is its network. Name it: STACK_ENGINE=unix:///var/run/docker.sock"


class Engine:
    """A running engine: `run` Docker's client on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = outside_environment() | {
            "DOCKER_HOST": f"unix://{folder / 'docker.sock'}",
            "DOCKER_CONFIG": str(folder / "client"),
        }

    def run(self, *arguments: str, cwd: Path = PROJECT, check: bool = True, timeout_s: float = 900) -> str:
        """Run a Docker command and return what it printed; what went wrong is in the assertion's text."""
        done = subprocess.run(
            ["docker", *arguments], cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def crash(self, container: str) -> None:
        """Kill a container's first process from outside, as the kernel does: to Docker that is a crash, not somebody's wish."""
        os.kill(int(self.run("inspect", container, "--format", "{{.State.Pid}}")), signal.SIGKILL)


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Start an engine and yield it; end it and everything it made. Raises `NoEngine` where the machine allows none."""
    standing = os.environ.get("STACK_ENGINE")
    if not standing:
        require_possible()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ducklift-engine-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        engine = Engine(folder)
        if standing:
            engine.environment["DOCKER_HOST"] = standing
        else:
            stack.enter_context(network_restored())
            stack.enter_context(daemon(engine))
        add_plugins(folder / "client" / "cli-plugins")
        yield engine


@contextmanager
def network_restored() -> Iterator[None]:
    """Put forwarding and packet filters back to what they were, and take away the bridges that came."""
    environment, forward = outside_environment(), Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text()
    asked = {name: subprocess.run([f"{name}-save"], env=environment, capture_output=True, check=False) for name in FILTERS}
    rules = {name: answer.stdout for name, answer in asked.items() if answer.returncode == 0}
    bridges = interfaces()
    try:
        yield
    finally:
        forward.write_text(before)
        for name, saved in rules.items():
            flush_tables(name, environment)
            subprocess.run([f"{name}-restore"], input=saved, env=environment, check=True)
        for made in interfaces() - bridges:
            subprocess.run(["ip", "link", "delete", made], env=environment, check=False)


FILTERS = ("iptables", "ip6tables")
TABLES = ("filter", "nat")


def flush_tables(name: str, environment: dict[str, str]) -> None:
    """Empty the tables that the engine writes into: restoring nothing into them would leave its rules."""
    for table in TABLES:
        for action in ("-F", "-X"):
            subprocess.run([name, "-t", table, action], env=environment, check=False, stderr=subprocess.DEVNULL)
    for chain in ("INPUT", "FORWARD", "OUTPUT"):
        subprocess.run([name, "-P", chain, "ACCEPT"], env=environment, check=False, stderr=subprocess.DEVNULL)


def interfaces() -> set[str]:
    """Return the names of the network's bridges, as the engine makes them."""
    return {path.name for path in Path("/sys/class/net").iterdir() if (path / "bridge").exists()}


@contextmanager
def daemon(engine: Engine) -> Iterator[None]:
    """Run `dockerd` until the block ends."""
    folder, log = engine.folder, engine.folder / "dockerd.log"
    command = ["dockerd", "--host", engine.environment["DOCKER_HOST"], "--pidfile", str(folder / "docker.pid")]
    command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=engine.environment, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + ENGINE_UP_WITHIN_S
        while subprocess.run(["docker", "version"], env=engine.environment, capture_output=True, check=False).returncode:
            standing = process.poll() is None and time.monotonic() < deadline
            assert standing, f"dockerd did not come up: {log.read_text(errors='replace')[-1500:]}"
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(ENGINE_DOWN_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def add_plugins(folder: Path) -> None:
    """Put Compose v2 and buildx where the client looks for them, from trixie's packages."""
    folder.mkdir(parents=True)
    downloads = CACHE / "debs"
    if len(list(downloads.glob("docker-*.deb"))) < 2:
        download_debs(downloads, "docker-compose", "docker-buildx")
    for deb in downloads.glob("docker-*.deb"):
        unpacked = folder.parent / deb.stem
        subprocess.run(["dpkg-deb", "-x", str(deb), str(unpacked)], check=True)
        for program in (unpacked / "usr" / "libexec" / "docker" / "cli-plugins").iterdir():
            shutil.copy2(program, folder / program.name)


def download_debs(folder: Path, *packages: str) -> None:
    """Download packages of trixie by an apt of its own; the host's package lists stay as they are."""
    with tempfile.TemporaryDirectory() as scratch:
        apt = Path(scratch)
        for name in ("lists/partial", "cache/archives/partial"):
            (apt / name).mkdir(parents=True)
        (apt / "sources.list").write_text(TRIXIE)
        places = {
            "Etc::sourcelist": apt / "sources.list",
            "Etc::sourceparts": "/dev/null",
            "State::lists": apt / "lists",
            "Cache": apt / "cache",
        }
        options = [f"-oDir::{name}={place}" for name, place in places.items()] + ["-oAPT::Sandbox::User=root"]
        folder.mkdir(parents=True, exist_ok=True)
        for command in (["update", "-q"], ["download", "-q", *packages]):
            subprocess.run(["apt-get", *options, *command], cwd=folder, env=outside_environment(), check=True, stdout=sys.stderr)


def build_standins(engine: Engine) -> None:
    """Build the images that docker-compose.yaml names, from Debian packages and the locks, unless a standing engine has them all."""
    if os.environ.get("STACK_ENGINE") and all(engine.run("images", "--quiet", image) for image in IMAGES.values()):
        return
    engine.run("import", str(debian_root()), "ducklift-standin:debian")
    context = engine.folder / "standin"
    shutil.copytree(STANDIN, context)
    shutil.copy(PROJECT / "requirements.txt", context)
    for program in ("uv", "weed"):
        shutil.copy(Path(sys.executable).with_name(program), context)
    shutil.copy(Path(__file__).with_name("statsd_exposition.py"), context)
    # The program alone: the package wants to be set up on a system that runs services.
    download_debs(CACHE / "prometheus", "prometheus")
    unpacked = engine.folder / "prometheus"
    subprocess.run(["dpkg-deb", "-x", str(next((CACHE / "prometheus").glob("*.deb"))), str(unpacked)], check=True)
    shutil.copy(unpacked / "usr" / "bin" / "prometheus", context)
    ca = next(filter(os.path.isfile, (os.environ.get("SSL_CERT_FILE", ""), CA_BUNDLE)), os.devnull)
    for stage, image in IMAGES.items():
        engine.run("buildx", "build", "--quiet", "--secret", f"id=ca_bundle,src={ca}", "--target", stage, "--tag", image, str(context))


def debian_root() -> Path:
    """Return the tar of the stand-ins' Debian root, made once per list of packages (a minute and a half)."""
    recipe = hashlib.sha256("\n".join([ROOT_PACKAGES, *LEFT_OUT]).encode()).hexdigest()[:16]
    tar = CACHE / f"root-{recipe}.tar"
    if tar.exists():
        return tar
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = tar.with_name(f".{os.getpid()}.tar")
    command = ["mmdebstrap", "--quiet", "--variant=custom", "--mode=root", f"--include={ROOT_PACKAGES}"]
    command += ['--aptopt=Apt::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"]
    command += [f"--dpkgopt=path-exclude=/{pattern}" for pattern in LEFT_OUT]
    # In memory: unpacking syncs every file, which takes longer on a disk than all the rest.
    room = next((place for place in ("/dev/shm",) if shutil.disk_usage(place).free > 3 * 2**30), tempfile.gettempdir())
    subprocess.run([*command, "trixie", str(scratch)], env=outside_environment() | {"TMPDIR": room}, check=True, stdout=sys.stderr)
    scratch.replace(tar)
    return tar

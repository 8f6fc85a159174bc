"""What every test stands on: an isolated environment, no network but loopback, and a named list of what was skipped."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ducklift.sandbox import Sandbox

FOREIGN_SETTINGS = ("AIRFLOW_", "AWS_", "DUCKLIFT_", "PRAW_", "praw_", "REDDIT_", "motherduck_", "MOTHERDUCK_")
FORBID_SKIPS = "DUCKLIFT_FORBID_SKIPS"
DEAD_PROXY = "http://127.0.0.1:9"


def isolate_process() -> Path:
    """Give this test process its own home and none of the user's credentials, before Airflow reads them at import."""
    for name in [name for name in os.environ if name.startswith(FOREIGN_SETTINGS) and name != FORBID_SKIPS]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="ducklift-tests-"))
    os.environ |= {
        "HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AWS_EC2_METADATA_DISABLED": "true",
        # The socket guard below does not reach into the processes that tests start; this does, for most clients.
        "HTTP_PROXY": DEAD_PROXY,
        "HTTPS_PROXY": DEAD_PROXY,
        "NO_PROXY": "127.0.0.1,localhost,::1",
    }
    for name in ("http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        os.environ.pop(name, None)
    return home


TEMPORARY_HOME = isolate_process()

# What a load imports costs a second of CPU in every process that a test starts to kill it; one that is forked from a server that has it
# costs none. Installed modules only: the server does not know the tests' folders.
IMPORTED_ONCE = [
    "duckdb",
    "isal.isal_zlib",
    "pytz",
    "pytest",
    "tenacity",
    "ducklift.pipeline",
    "ducklift.warehouse.checkpoints",
    "ducklift.warehouse.loading",
    "ducklift.warehouse.publishing",
    "ducklift.warehouse.rebuild",
]
multiprocessing.set_forkserver_preload(IMPORTED_ONCE)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C and hands that on to every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class OutsideNetwork(RuntimeError):
    """A test reached for another machine; not an `OSError`, so that no retry under test can swallow it."""

    def __init__(self, target: object) -> None:
        super().__init__(f"this test tried to reach {target!r}; tests reach nothing but loopback")


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is this machine's own; names in `.invalid` never exist and may be tried."""
    if host in ("", "localhost", "0.0.0.0", "::", socket.gethostname()) or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def guard_sockets() -> None:
    """Refuse connections and name look-ups of other machines, for every thread of this process."""

    def checked(method: Any) -> Any:
        def call(self: socket.socket, address: Any, *rest: Any) -> Any:
            internet = self.family in (socket.AF_INET, socket.AF_INET6)
            if internet and not is_loopback(str(address[0])):
                raise OutsideNetwork(address)
            return method(self, address, *rest)

        return call

    find_address = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name is not None and not is_loopback(name):
            raise OutsideNetwork(name)
        return find_address(host, *rest, **options)

    for method in ("connect", "connect_ex"):
        setattr(socket.socket, method, checked(getattr(socket.socket, method)))
    socket.getaddrinfo = getaddrinfo


guard_sockets()


@pytest.fixture(autouse=True)
def environment_restored() -> Iterator[None]:
    """Undo what code under test writes into the environment, as reading a `.env` file does."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as the working directory: `include/pipelines/` and `.ducklift/`."""
    folder = tmp_path / "project"
    (folder / "include" / "pipelines").mkdir(parents=True)
    (folder / ".ducklift").mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox that stands for the whole session; a test that moves its clock starts one of its own.

    Without a quota: a session's tests together would use it up, and PRAW would spread their requests over the minutes left of it.
    """
    from ducklift.sandbox import RedditOptions, Sandbox

    with Sandbox(tmp_path_factory.mktemp("sandbox"), options=RedditOptions(requests_per_minute=None)) as running:
        yield running


@dataclass(frozen=True)
class S3Endpoint:
    """An S3 endpoint on loopback and the environment that reaches it."""

    url: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Endpoint]:
    """A strict S3 endpoint (create-only puts, location constraints) in memory; take a bucket name of your own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    yield S3Endpoint(url, keys | {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url})
    server.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start first the files that take longest, since a worker takes a whole file: what runs Airflow, what asks for a long timeout.

    A file's own order stays, and so does all order in a run of one process: the tests of the compose stack go through its life.
    """
    if not hasattr(config, "workerinput"):
        return

    def length(item: pytest.Item) -> tuple[bool, float]:
        timeout = item.get_closest_marker("timeout")
        return item.get_closest_marker("airflow") is not None, timeout.args[0] if timeout and timeout.args else 0

    longest: dict[Path, tuple[bool, float]] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, (False, 0)), length(item))
    items.sort(key=lambda item: longest[item.path], reverse=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose system program is missing."""
    for marker in item.iter_markers("needs_program"):
        for program in marker.args:
            if shutil.which(program) is None:
                pytest.skip(f"needs {program}; on Debian: apt-get install {marker.kwargs.get('package', program)}")


def pytest_unconfigure() -> None:
    """Remove the home that this test process lived in."""
    shutil.rmtree(TEMPORARY_HOME, ignore_errors=True)


def skipped_tests(config: pytest.Config) -> list[tuple[str, str]]:
    """Return name and reason of each test that was skipped so far."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return []
    return [(report.nodeid, str(report.longrepr[-1])) for report in reporter.stats.get("skipped", [])]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session when something was skipped where nothing may be."""
    on_worker = hasattr(session.config, "workerinput")
    if os.environ.get(FORBID_SKIPS) and not on_worker and skipped_tests(session.config) and not session.testsfailed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List what was skipped by name, with the reason."""
    skipped = skipped_tests(config)
    if not skipped:
        return
    verdict = f"; {FORBID_SKIPS} makes this a failure" if os.environ.get(FORBID_SKIPS) else ""
    terminalreporter.section(f"{len(skipped)} skipped{verdict}")
    for name, reason in skipped:
        terminalreporter.line(f"{name}: {reason.removeprefix('Skipped: ')}")

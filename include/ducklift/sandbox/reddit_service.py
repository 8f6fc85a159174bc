"""The sandbox's Reddit API by itself, for clients on other machines of a private network: `python -m ducklift.sandbox.reddit_service`.

The keys that it asks for lie in a file of the sandbox's own form (`ducklift.sandbox.keys`), which its clients are given, too.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from ducklift.sandbox.clock import SandboxClock
from ducklift.sandbox.keys import load_or_make_keys
from ducklift.sandbox.reddit_api import RedditApi, RedditOptions
from ducklift.sandbox.reddit_server import RedditServer


def serve(folder: Path, keys: Path, host: str, port: int, speed: float) -> None:
    """Serve until SIGTERM or SIGINT; the clock, kept in `folder`, runs `speed` times as fast as the real one."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    folder.mkdir(parents=True, exist_ok=True)
    clock = SandboxClock(folder / "clock.json", speed=speed)
    server = RedditServer(RedditApi(clock, load_or_make_keys(keys), RedditOptions()), port, host)
    server.start()
    sys.stdout.write(f"The sandbox's Reddit API listens on {host}:{port}. Every post in it is invented.\n")
    sys.stdout.flush()
    ended.wait()
    server.stop()
    clock.save()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m ducklift.sandbox.reddit_service", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the clock is kept")
    parser.add_argument("--keys", type=Path, required=True, help="the file of keys, made where it is missing")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8091, help="default: %(default)s")
    parser.add_argument("--speed", type=float, default=120.0, help="default: two hours a minute")
    given = parser.parse_args()
    serve(given.folder, given.keys, given.host, given.port, given.speed)


if __name__ == "__main__":
    main()

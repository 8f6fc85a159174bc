"""One writer: loads manifests in a process of its own and prints each load's state. Called with a project folder and manifest URLs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ducklift.pipeline import load
from ducklift.settings import load_settings


def main() -> None:
    """Wait for the word to start, so that all writers meet, then load."""
    settings = load_settings(project=Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps([load(url, settings).state for url in sys.argv[2:]]))


if __name__ == "__main__":
    main()

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

# The installed command keeps the sandbox in its own project; this one in the working directory.
ELSEWHERE = (
    "import sys; from pathlib import Path; import ducklift.settings; ducklift.settings.PROJECT = Path.cwd();"
    "from ducklift.cli import main; main()"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_stands_until_it_is_told_to_end(home, number):
    command = [sys.executable, "-c", ELSEWHERE, "sandbox", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        while (line := process.stdout.readline()) != "}\n":
            assert line, process.stderr.read()
            lines.append(line)
        environment = json.loads("".join((*lines, line)))["environment"]
        with urlopen(environment["praw_reddit_url"]) as answer:
            assert answer.status == 200
        process.send_signal(number)
        assert process.wait(30) == 0

    with pytest.raises(URLError):
        urlopen(environment["praw_reddit_url"])
    assert Path(home / ".ducklift" / "sandbox").is_dir()
    assert environment["DUCKLIFT_LAKE_URL"].startswith("s3://")

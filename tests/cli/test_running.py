from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Literal

import pytest

from ducklift.errors import SourceUnavailable, StreamRefused
from ducklift.pipeline import Run, extract, load_pipeline, upload
from ducklift.settings import Settings, load_settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.sources.registry import SOURCE_TYPES

TOTALS = {
    "state",
    "rows_extracted",
    "rows_inserted",
    "rows_updated",
    "rows_unchanged",
    "rows_deleted",
    "rows_deduplicated",
    "rows_quarantined",
    "bytes",
    "files",
    "seconds",
    "loads",
}
PER_LOAD = {"load_id", "stream", "state", "manifest", "table", "watermark", "error"}


class ScriptedSource(Source):
    """A source whose streams are named after what happens in them."""

    type: Literal["scripted"] = "scripted"
    happens: tuple[str, ...] = ("good",)

    def streams(self) -> Sequence[str]:
        return self.happens

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        failures = {
            "down": SourceUnavailable("down: the source answered 503"),
            "refused": StreamRefused("refused", "it is private", "Ask for access."),
            "defect": ValueError("nobody expected this"),
            "interrupted": KeyboardInterrupt(),
        }
        kind = request.stream.partition("-")[0]
        if kind in failures:
            raise failures[kind]
        if request.stream == "gap":
            report.gap = (1, 5)
        yield [{"id": f"{request.stream}-{number}", "seen": number} for number in range(3)]


@pytest.fixture
def scripted(home, monkeypatch):
    """A pipeline `scripted` whose streams are chosen by --set."""
    monkeypatch.setitem(SOURCE_TYPES, "scripted", f"{__name__}:ScriptedSource")
    text = """
name: scripted
source: {type: scripted}
table: tests.things
disposition: merge
primary_key: [id]
incremental: {cursor: seen}
columns: [{name: id, type: varchar}, {name: seen, type: bigint}]
"""
    (home / "include" / "pipelines" / "scripted.yaml").write_text(text)


@pytest.fixture
def reddit(home, sandbox, monkeypatch):
    """The pipeline `reddit` on the sandbox's Reddit and a lake of files."""
    for name, value in sandbox.environment.items():
        if name.startswith(("REDDIT_", "praw_")):
            monkeypatch.setenv(name, value)
    text = """
name: reddit
source: {type: reddit, subreddits: [duckdb, python]}
table: reddit.posts
disposition: merge
primary_key: [name]
incremental: {cursor: created_utc, overlap: 48h}
"""
    (home / "include" / "pipelines" / "reddit.yaml").write_text(text)


def happens(*streams: str) -> tuple[str, str]:
    return "--set", f"source.happens={json.dumps(streams)}"


@pytest.mark.usefixtures("reddit")
def test_a_run_lands_every_stream_and_a_second_one_adds_nothing(command):
    first = command("run", "reddit", "--json")
    second = command("run", "reddit", "--json")

    assert (first.exit_code, second.exit_code) == (0, 0)
    told, again = json.loads(first.stdout), json.loads(second.stdout)
    assert told.keys() >= TOTALS
    assert all(load.keys() >= PER_LOAD | (TOTALS - {"loads"}) for load in told["loads"])
    assert [load["stream"] for load in told["loads"]] == ["duckdb/new", "python/new"]
    assert told["state"] == "loaded"
    assert told["rows_inserted"] == told["rows_extracted"] == told["rows_loaded"] > 0
    assert again["rows_inserted"] == 0
    assert all(load["last_created_at"] == load["watermark"] > 0 for load in told["loads"])
    assert command("query", "select count(*) n from reddit.posts", "-f", "json").stdout == f'[\n{{"n": {told["rows_inserted"]}}}\n]\n'


@pytest.mark.usefixtures("reddit")
def test_one_bad_stream_does_not_stop_the_others_and_the_summary_names_it(command):
    answer = command("run", "reddit", "--set", 'source.subreddits=["nonesuch","duckdb"]')

    assert answer.exit_code == 1
    assert re.search(r"nonesuch/new +reddit\.posts +failed", answer.stdout)
    assert re.search(r"duckdb/new +reddit\.posts +loaded", answer.stdout)
    assert re.search(r"^reddit\.posts: [\d,]+ rows$", answer.stdout, re.MULTILINE)
    assert "there is no such subreddit" in answer.stdout
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        ([], 'ducklift query "from tests.things limit 5"'),
        (["target=lake", "disposition=append", "primary_key=[]"], 'ducklift query --lake tests.things "from tests.things limit 5"'),
        (["contract=quarantine", 'columns=[{"name": "id", "type": "bigint"}]'], "ducklift quarantine show "),
    ],
)
def test_what_a_run_says_to_try_next_works(ducklift, scripted, overrides, hint):
    answer = ducklift("run", "scripted", *(part for override in overrides for part in ("--set", override)))

    (told,) = [line.strip() for line in answer.stdout.splitlines() if line.startswith("  ducklift")]
    assert told.startswith(hint)
    assert "good-2" in ducklift(*shlex.split(told)[1:]).stdout


@pytest.mark.usefixtures("reddit")
def test_a_terminal_sees_a_bar_for_each_stream_and_a_pipe_none(command, terminal):
    piped, shown = command("run", "reddit"), terminal("run", "reddit", columns=120)

    assert "━" in shown
    assert "1/2 duckdb/new" in shown
    assert "2/2 python/new" in shown
    assert "━" not in piped.stdout + piped.stderr


@pytest.mark.usefixtures("reddit")
def test_a_landed_manifest_is_loaded_once(command, home):
    settings = load_settings()
    pipeline = load_pipeline("reddit", settings)
    manifest = upload(extract(pipeline, pipeline.streams()[0], Run.now(), settings), settings)

    by_url = command("load", manifest, "--json")
    by_key = command("load", manifest[manifest.index("raw/") :], "--json")

    assert (by_url.exit_code, by_key.exit_code) == (0, 0)
    assert json.loads(by_url.stdout)["state"] == "loaded"
    assert json.loads(by_key.stdout)["state"] == "already_loaded"
    assert "already_loaded" in command("load", manifest).stdout


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("streams", "exit_code", "state"),
    [
        (["good"], 0, "loaded"),
        (["good", "down"], 3, "failed"),
        (["down", "refused", "good"], 1, "failed"),
        (["good", "gap"], 1, "failed"),
    ],
)
def test_the_exit_code_tells_whether_waiting_helps(ducklift, streams, exit_code, state):
    answer = ducklift("run", "scripted", *happens(*streams), "--json")

    assert answer.exit_code == exit_code
    told = json.loads(answer.stdout)
    assert told["state"] == state
    assert told["rows_inserted"] == 3 * sum(stream in ("good", "gap") for stream in streams)


@pytest.mark.usefixtures("scripted")
def test_a_run_that_failed_for_its_settings_alone_answers_2(ducklift, monkeypatch):
    monkeypatch.setenv("DUCKLIFT_LAKE_URL", "ftp://birds")
    answer = ducklift("run", "scripted", *happens("good"), "--json")

    assert answer.exit_code == 2
    assert "DUCKLIFT_LAKE_URL has the scheme 'ftp'" in json.loads(answer.stdout)["loads"][0]["error"]


@pytest.mark.usefixtures("scripted")
def test_a_gap_is_named_with_its_ends(ducklift):
    answer = ducklift("run", "scripted", *happens("gap"))

    assert "gap: the source's listing ended before the watermark was reached: records from 1 to 5" in answer.stdout


@pytest.mark.usefixtures("scripted")
def test_an_interrupted_run_ends_with_130(ducklift):
    assert ducklift("run", "scripted", *happens("interrupted")).exit_code == 130


@pytest.mark.usefixtures("scripted")
def test_a_summary_of_many_streams_stays_on_one_screen(ducklift):
    answer = ducklift("run", "scripted", *happens(*(f"refused-{number}" for number in range(60))))

    assert len(answer.stdout.splitlines()) < 40
    assert "40 more streams" in answer.stdout
    assert "50 more failures" in answer.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "nonesuch"),
        ("run", "scripted", "--set", "source.typo=1"),
        ("run", "scripted", "--set", "nothing"),
        ("run",),
        ("run", "x", "--what"),
    ],
)
@pytest.mark.usefixtures("scripted")
def test_bad_usage_answers_2_and_in_json_when_asked(ducklift, arguments):
    plain, machine = ducklift(*arguments), ducklift(*arguments, "--json")

    assert (plain.exit_code, machine.exit_code) == (2, 2)
    assert plain.stdout == ""
    assert plain.stderr
    told = json.loads(machine.stdout)
    assert told["state"] == "failed"
    assert told["error"]
    assert told["error_type"]


def test_an_error_on_purpose_is_one_line_without_a_traceback(command):
    answer = command("run", "nonesuch")

    assert answer.exit_code == 2
    assert re.fullmatch(r"ducklift: There is no pipeline 'nonesuch' in .*\n", answer.stderr)


@pytest.mark.usefixtures("home")
def test_an_unexpected_error_shows_its_traceback_and_answers_1():
    breaking = (
        "import sys\n"
        "import ducklift.cli.inspecting as room\n"
        "from ducklift.cli import main\n"
        "def load_settings(): raise RuntimeError('a defect')\n"
        "room.load_settings = load_settings\n"
        "sys.argv[1:] = ['status', '--json']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", breaking], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert json.loads(done.stdout) == {"state": "failed", "error": "a defect", "error_type": "RuntimeError"}
    assert "Traceback" in done.stderr


def test_settings_come_from_a_file_too(ducklift, home, monkeypatch):
    monkeypatch.delenv("DUCKLIFT_LAKE_URL")
    (home / ".env").write_text("DUCKLIFT_LAKE_URL=s3://from-the-file\n")

    assert "s3://from-the-file  (DUCKLIFT_LAKE_URL in .env)" in ducklift("status").stdout

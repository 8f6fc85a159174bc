from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from dumps import FIRST_S, HOUR_S, line, post, write_dump
from project_runs import Project, succeeded

from ducklift.errors import ConfigurationError, SourceFileRefused, StreamRefused
from ducklift.pipeline import Run, load_pipeline
from ducklift.sandbox import Sandbox
from ducklift.sources.base import JsonLines, ReadReport, SliceRequest
from ducklift.sources.reddit_dump import RedditDumpSource

DAY = datetime(2026, 1, 1, tzinfo=UTC)
FILE = "dumps/RS_2026-01.zst"
PIPELINE = """
    source: {type: reddit_dump, files: dumps/RS_2026-01.zst, subreddits: [Python]}
    table: reddit.posts
    disposition: merge
    incremental: {cursor: created_utc, epoch: s}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.pipeline("archive", PIPELINE)
    return made


def read(folder: Path, lines: list[bytes], report: ReadReport | None = None, **config: Any) -> list[Any]:
    """Return the lines of a dump that a source yields, and the records that it wrote anew."""
    file = config.pop("file", FILE)
    if lines:
        write_dump(folder / file, lines)
    source = RedditDumpSource.model_validate({"files": [file], **config})
    batches = list(source.read(SliceRequest(file, DAY, DAY), Project(folder).settings, report or ReadReport()))
    return [each for batch in batches for each in (batch.lines if isinstance(batch, JsonLines) else batch)]


def test_posts_of_a_dump_and_of_the_api_are_one_table(sandbox: Sandbox, tmp_path: Path):
    environment = {name: value for name, value in sandbox.environment.items() if not name.startswith("DUCKLIFT_")}
    project = Project(tmp_path, environment)
    project.pipeline("api", PIPELINE.replace("type: reddit_dump, files: dumps/RS_2026-01.zst,", "type: reddit,"))
    project.pipeline("archive", PIPELINE)
    api = succeeded(project.run("api")).loads[0]
    of_api, table = (
        project.columns("reddit.posts"),
        "SELECT * EXCLUDE (_load_id, _loaded_at, _extracted_at, _source_file) FROM reddit.posts",
    )
    posts = project.query(f"{table} ORDER BY name")
    # A promoted item says no subreddit, and so is no post of this one in a dump.
    records = [orjson.loads(text) for (text,) in project.query("SELECT raw FROM reddit.posts WHERE subreddit IS NOT NULL ORDER BY name")]
    older = post(1, created_utc=str(FIRST_S - 10**8))
    write_dump(project.folder / FILE, [line(record) for record in [*records, older]])

    dump = succeeded(project.run("archive")).loads[0]

    assert (dump.rows_inserted, dump.rows_unchanged) == (1, len(records))
    assert 0 < len(records) <= api.rows_inserted
    assert project.columns("reddit.posts") == of_api
    assert project.query(f"{table} WHERE name <> 't3_000001' ORDER BY name") == posts


def test_what_was_read_lies_in_the_lake_byte_for_byte(tmp_path: Path):
    odd = b'{"id": "a" , "name":"t3_a","subreddit" :\t"python", "created_utc":"1767225600", "new": [1.50, 12345678901234567890123]}\r\n'

    assert read(tmp_path, [odd, line(post(1))], subreddits=["python"]) == [odd, line(post(1))]


def test_subreddits_are_told_by_the_post_itself_and_not_by_what_it_mentions(tmp_path: Path):
    crosspost = post(0, crosspost_parent_list=[post(1)])
    lines = [line(crosspost), line(post(1)), line(post(2)), line(post(3, subreddit="PYTHON"))]

    assert read(tmp_path, lines, subreddits="python") == [lines[1], lines[3]]


@pytest.mark.parametrize("spelled", [int, float, str])
def test_a_range_is_from_its_beginning_up_to_its_end(tmp_path: Path, spelled: Any):
    lines = [line(post(number, created_utc=spelled(FIRST_S + HOUR_S * number))) for number in range(0, 72)]

    found = read(tmp_path, lines, **{"from": "2026-01-02", "to": "2026-01-03"})

    assert found == lines[24:48]


def test_a_backfill_goes_through_a_dump_day_by_day_in_any_order(project: Project):
    write_dump(project.folder / FILE, [line(post(number)) for number in range(96)])
    runs = [Run.of_interval(DAY + timedelta(days=day), DAY + timedelta(days=day + 1)) for day in (2, 0, 1, 2)]

    loads = [succeeded(project.run("archive", run)).loads[0] for run in runs]

    assert [(load.state, load.rows_inserted) for load in loads] == [("loaded", 12)] * 3 + [("already_loaded", 0)]
    assert project.query("SELECT count(*), max(epoch(created_at)) FROM reddit.posts") == [(36, FIRST_S + 71 * HOUR_S)]
    assert [load.watermark for load in loads[:3]] == [None] * 3


def test_malformed_lines_are_kept_in_quarantine(project: Project):
    whole = line(post(3))
    lines = [line(post(1)), whole[:40] + b"\n", b"\xff\xfe no JSON\n", b"[1]\n", b"\n", whole, b'{"subreddit": "python", "name": "t3_z"}\n']
    write_dump(project.folder / FILE, lines)

    load = succeeded(project.run("archive")).loads[0]

    assert (load.rows_extracted, load.rows_inserted, load.rows_quarantined) == (6, 2, 4)
    assert {record for (record,) in project.query("SELECT CAST(record AS VARCHAR) FROM _ducklift.quarantine")} >= {"[1]"}
    assert project.manifests()[0]["request"]["lines_malformed"] == 3


def test_a_lone_surrogate_is_written_anew_and_counted(project: Project):
    write_dump(project.folder / FILE, [line(post(1)), line(post(3)).replace(b"Post 3", b"Post \\ud800"), line(post(5))])

    succeeded(project.run("archive"))

    assert project.query("SELECT title FROM reddit.posts ORDER BY name") == [("Post 1",), ("Post \ufffd",), ("Post 5",)]
    assert project.manifests()[0]["surrogates_replaced"] == 1


def test_a_post_without_its_name_gets_it_from_its_id(tmp_path: Path):
    nameless = {name: value for name, value in post(1).items() if name != "name"}
    report = ReadReport()

    (found,) = read(tmp_path, [line(nameless)], report)

    assert orjson.loads(found) == {"name": "t3_000001", **nameless}
    assert report.request["names_added"] == 1


@pytest.mark.parametrize("cut", [1, 4, 1000, 30_000])
def test_a_cut_dump_is_an_error_wherever_it_was_cut(tmp_path: Path, cut: int):
    whole = write_dump(
        tmp_path / FILE, [line(post(number, noise=f"{number * 7919 % 10007:x}" * 9)) for number in range(5_000)]
    ).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-cut])

    with pytest.raises(SourceFileRefused, match="ends in the midst of a frame"):
        read(tmp_path, [])


def test_a_damaged_dump_is_an_error_and_nothing_of_it_lands(project: Project):
    file = write_dump(project.folder / FILE, [line(post(number)) for number in range(5_000)])
    data = bytearray(file.read_bytes())
    data[-2] ^= 1  # in the checksum
    file.write_bytes(data)

    assert "RS_2026-01.zst was refused: it is damaged" in str(project.run("archive").loads[0].error)
    assert project.raw() == []


@pytest.mark.parametrize(("content", "said"), [(b"", "in the midst"), (b"<html>", "damaged, or no zstandard file")])
def test_a_file_that_is_no_dump_is_refused(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "dumps").mkdir()
    (tmp_path / FILE).write_bytes(content)

    with pytest.raises(SourceFileRefused, match=said):
        read(tmp_path, [])


def test_comments_are_not_taken_for_posts(tmp_path: Path):
    with pytest.raises(SourceFileRefused, match="it holds comments"):
        read(tmp_path, [line({"id": "a", "name": "t1_a", "link_id": "t3_b", "body": "yes", "subreddit": "python"})])


def test_several_dumps_are_named_by_a_pattern_anywhere_a_lake_may_lie(project: Project):
    for month in (1, 2):
        write_dump(project.folder / f"dumps/RS_2026-0{month}.zst", [line(post(month))])
    (project.folder / "dumps" / "RS_2026-03.jsonl").write_bytes(line(post(3)))
    pattern = (project.folder / "dumps").as_uri() + "/RS_*"

    found = [read(project.folder, [], file=file) for file in (f"{pattern}.zst", "dumps/RS_2026-03.jsonl", "dumps/*.zst")]

    assert found == [[line(post(1)), line(post(2))], [line(post(3))], [line(post(1)), line(post(2))]]
    with pytest.raises(StreamRefused, match="no such file"):
        read(project.folder, [], file="dumps/RC_*.zst")


@pytest.mark.parametrize(
    "source",
    [
        "{files: a.txt}",
        "{files: ../a.zst}",
        "{files: []}",
        "{files: a.zst, subreddits: [r/python]}",
        "{files: a.zst, from: 2026-01-02, to: 2026-01-01}",
        "{files: a.zst, from: yesterday}",
    ],
)
def test_a_source_block_without_sense_is_refused_with_its_line(project: Project, source: str):
    project.pipeline("archive", f"source: {{type: reddit_dump, {source[1:]}\ntable: reddit.posts\n")

    with pytest.raises(ConfigurationError, match=r"archive.yaml:2"):
        load_pipeline("archive", project.settings)
